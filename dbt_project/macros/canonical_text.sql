{# Text that enters hashes: the same on every engine, and no two different rows give the same text. #}

{# A decimal without trailing zeros or exponent: 1.500000000 -> 1.5, 0.000000000 -> 0. Equals core.money.to_text. #}
{% macro decimal_text(expression) -%}
    rtrim(rtrim(cast(cast({{ expression }} as decimal(38, 9)) as varchar), '0'), '.')
{%- endmacro %}

{# An instant as microseconds since 1970: no time zone, no format. #}
{% macro instant_text(expression) -%}
    cast(epoch_us({{ expression }}) as varchar)
{%- endmacro %}

{# One field as a netstring (length:value), a null as '-': concatenations of fields cannot be confused. #}
{% macro text_part(expression) -%}
    coalesce(cast(length({{ expression }}) as varchar) || ':' || {{ expression }}, '-')
{%- endmacro %}

{# Several text fields, in the order given. #}
{% macro canonical_text(expressions) -%}
    {%- for expression in expressions -%}
        {{ text_part(expression) }}{% if not loop.last %} || {% endif %}
    {%- endfor -%}
{%- endmacro %}
