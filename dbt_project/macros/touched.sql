{# Marts are kept by whole entities: what a build touches is deleted first and then written anew, so that an entity whose events
   vanished disappears. Use as the pre-hook of an incremental model that appends. #}

{# Deletes the rows of touched entities (all rows in a full build). #}
{% macro delete_touched() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where entity_key in (select entity_key from {{ ref('int_touched_entities') }})
           or exists (select 1 from {{ source('ops', 'build') }} where mode = 'full')
    {%- else -%}

    {%- endif -%}
{%- endmacro %}

{# The rows that the last build left in a mart, for models upstream of it (a `ref` would be a cycle); none before the first. #}
{% macro previous(schema, identifier, columns) -%}
    {%- set relation = adapter.get_relation(database=this.database, schema=schema, identifier=identifier) if execute else none -%}
    {%- if relation is none -%}
        (select {% for name, type in columns.items() %}cast(null as {{ type }}) as {{ name }}{{ ', ' if not loop.last }}{% endfor %} where false)
    {%- else -%}
        {#- an earlier version's mart may have something else under a name: the build is a full one then, and needs nothing of it -#}
        {%- set types = {} -%}
        {%- for column in adapter.get_columns_in_relation(relation) -%}
            {%- do types.update({column.name: column.dtype}) -%}
        {%- endfor -%}
        (select {% for name, type in columns.items() -%}
            {%- set has_it = name in types and types[name].endswith('[]') == type.endswith('[]') -%}
            {{ name if has_it else 'cast(null as ' ~ type ~ ') as ' ~ name }}{{ ', ' if not loop.last }}
        {%- endfor %} from {{ relation }})
    {%- endif -%}
{%- endmacro %}
