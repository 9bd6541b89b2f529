{# A text as RFC 8785 writes it. DuckDB's own JSON differs: it escapes some control characters with capital letters. #}
{% macro json_text(expression) -%}
    {%- set short = {8: 'b', 9: 't', 10: 'n', 12: 'f', 13: 'r'} -%}
    '"' || case
        when regexp_matches({{ expression }}, '[\x00-\x1f"\\]') then
            {% for _ in range(32) %}replace({% endfor -%}
            replace(replace({{ expression }}, '\', '\\'), '"', '\"')
            {%- for number in range(32) -%}
                , chr({{ number }}), '\{{ short.get(number, 'u%04x' % number) }}')
            {%- endfor %}
        else {{ expression }}
    end || '"'
{%- endmacro %}
