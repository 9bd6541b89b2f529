{# Entity keys are <source>/<object>/<id>; a source's name holds no slash, an id may. An item is one for all sources. #}
{% macro entity_key(source, object, id) -%}
    {{ source }} || '/{{ object }}/' || {{ id }}
{%- endmacro %}

{% macro item_key(sku) -%}
    'catalog/item/' || {{ sku }}
{%- endmacro %}

{% macro entity_object(key) -%}
    split_part({{ key }}, '/', 2)
{%- endmacro %}

{% macro entity_source(key) -%}
    split_part({{ key }}, '/', 1)
{%- endmacro %}

{% macro entity_id(key) -%}
    substr({{ key }}, length(split_part({{ key }}, '/', 1)) + length(split_part({{ key }}, '/', 2)) + 3)
{%- endmacro %}
