{# What HubSpot writes as texts of floats. #}

{# An amount in whole minor units of its currency: 8.600000000000000477 USD is 8.60. #}
{% macro in_minor_units(amount, currency) -%}
    case {{ minor_unit(currency) }}
        when 1 then cast(round({{ amount }}, 0) as decimal(38, 9))
        when 0.001 then cast(round({{ amount }}, 3) as decimal(38, 9))
        else cast(round({{ amount }}, 2) as decimal(38, 9))
    end
{%- endmacro %}

{#
    The business day of an instant. Midnight UTC is how a day is written that has no time; any other instant was chosen by somebody in the
    portal's time zone, where it may be another day than in UTC. A time zone that is not known counts as UTC (DuckDB
    stops at one, also inside `try`).
#}
{% macro business_day(instant, time_zone) -%}
    case
        when timezone('UTC', {{ instant }}) = date_trunc('day', timezone('UTC', {{ instant }}))
            then cast(timezone('UTC', {{ instant }}) as date)
        else cast(timezone(
            case when {{ time_zone }} in (select name from pg_timezone_names()) then {{ time_zone }} else 'UTC' end, {{ instant }}
        ) as date)
    end
{%- endmacro %}
