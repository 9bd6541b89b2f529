{# A postal address of an account; null where it has neither street nor city nor postal code: a country alone reaches nobody. #}
{% macro postal_address(prefix) -%}
    case
        when coalesce(nullif(trim("{{ prefix }}Street"), ''), nullif(trim("{{ prefix }}City"), ''), nullif(trim("{{ prefix }}PostalCode"), '')) is not null
            then struct_pack(
                street := nullif(trim("{{ prefix }}Street"), ''),
                city := nullif(trim("{{ prefix }}City"), ''),
                region := nullif(trim("{{ prefix }}State"), ''),
                postal_code := nullif(trim("{{ prefix }}PostalCode"), ''),
                country := nullif(trim("{{ prefix }}Country"), '')
            )
    end
{%- endmacro %}
