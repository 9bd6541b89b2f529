{# Exact decimal arithmetic. DuckDB's `/` on decimals is a double, so division goes through 128-bit integers. #}

{# The smallest amount of a currency, ISO 4217; a currency that is not listed has two decimals. Equals core.money.exponent. Looked up in a
   map: a longer list after IN is a join for DuckDB, each time that it stands there, and planning a model with dozens of them took most
   of its time. #}
{% macro minor_unit(currency) -%}
    {%- set whole = ['BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF'] -%}
    {%- set mills = ['BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND'] -%}
    coalesce(
        map(
            {{ whole + mills }},
            {{ [1.0] * (whole | length) + [0.001] * (mills | length) }}::decimal(38, 9)[]
        )[{{ currency }}],
        cast(0.01 as decimal(38, 9))
    )
{%- endmacro %}

{# quantity * price with all digits (18 decimals); null instead of an error where 38 digits do not hold it. #}
{% macro product(quantity, price) -%}
    try({{ quantity }} * {{ price }})
{%- endmacro %}

{# True when quantity * price is the amount to the last digit. #}
{% macro is_exact(quantity, price, amount) -%}
    coalesce(try({{ quantity }} * {{ price }} = {{ amount }}), false)
{%- endmacro %}

{# True when quantity * price rounds to the amount in the currency's minor unit (a tie does not). #}
{% macro is_within_minor_unit(quantity, price, amount, currency) -%}
    coalesce(try(abs({{ quantity }} * {{ price }} - {{ amount }}) * 2 < {{ minor_unit(currency) }}), false)
{%- endmacro %}

{# amount / quantity, rounded half up to `digits` (at most 9) decimals; null unless amount >= 0 and quantity > 0. #}
{% macro ratio(amount, quantity, digits) -%}
    case
        when {{ quantity }} > 0 and {{ amount }} >= 0 then try(cast(
            cast(
                (cast({{ amount }} * 1000000000 as hugeint) * {{ 10 ** digits }} * 2 + cast({{ quantity }} * 1000000000 as hugeint))
                // (cast({{ quantity }} * 1000000000 as hugeint) * 2)
                as decimal(29, 0)
            ) * cast({{ '%.*f' % (digits, 10 ** -digits) }} as decimal(10, 9))
            as decimal(38, 9)
        ))
    end
{%- endmacro %}

{#
    amount * part / whole, rounded half-even to the currency's minor unit; part and whole are integers, 0 <= part, 0 < whole. Equals
    core.line_shares. The amount's billionths are divided in two steps, as on paper, by 10^12 and the rest: 128 bits hold each of them while
    part and whole stay below 10^25, whatever the amount.
#}
{% macro share(amount, part, whole, currency) -%}
    {%- set units = 'cast(abs(' ~ amount ~ ') * 1000000000 as hugeint)' -%}
    {%- set part = 'cast(' ~ part ~ ' as hugeint)' -%}
    {%- set whole = 'cast(' ~ whole ~ ' as hugeint)' -%}
    {%- set high = '(' ~ units ~ ' // 1000000000000 * ' ~ part ~ ')' -%}
    {%- set low = '(' ~ high ~ ' % ' ~ whole ~ ' * 1000000000000 + ' ~ units ~ ' % 1000000000000 * ' ~ part ~ ')' -%}
    {%- set billionths = '(' ~ high ~ ' // ' ~ whole ~ ' * 1000000000000 + ' ~ low ~ ' // ' ~ whole ~ ')' -%}
    {%- set minor = 'cast(' ~ minor_unit(currency) ~ ' * 1000000000 as hugeint)' -%}
    {%- set quotient = '(' ~ billionths ~ ' // ' ~ minor ~ ')' -%}
    {%- set rest = '(' ~ billionths ~ ' % ' ~ minor ~ ' * ' ~ whole ~ ' + ' ~ low ~ ' % ' ~ whole ~ ')' -%}
    {%- set divisor = '(' ~ whole ~ ' * ' ~ minor ~ ')' -%}
    cast(
        sign({{ amount }})
        * cast(
            {{ quotient }}
            + case
                when {{ rest }} * 2 > {{ divisor }} or ({{ rest }} * 2 = {{ divisor }} and {{ quotient }} % 2 = 1) then 1
                else 0
            end
            as decimal(29, 0)
        ) * cast({{ minor_unit(currency) }} as decimal(5, 3))
        as decimal(38, 9)
    )
{%- endmacro %}
