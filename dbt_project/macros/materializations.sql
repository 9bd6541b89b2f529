{# Views, tables and incremental tables on DuckDB, in one statement each. dbt's own write beside the old relation, rename both and drop
   one, for readers that look meanwhile. Nobody looks into this warehouse while a build holds it, and readers have the published files. #}

{% materialization view, adapter='duckdb' %}
    {%- set target = this.incorporate(type='view') -%}
    {%- set existing = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks) }}
    {%- if existing is not none and not existing.is_view -%}
        {% do adapter.drop_relation(existing) %}
    {%- endif -%}
    {% call statement('main') -%}
        create or replace view {{ target }} as {{ compiled_code }}
    {%- endcall %}
    {{ run_hooks(post_hooks) }}
    {% do adapter.commit() %}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{% materialization table, adapter='duckdb' %}
    {%- set target = this.incorporate(type='table') -%}
    {{ run_hooks(pre_hooks) }}
    {{ replace_table(target, load_cached_relation(this)) }}
    {{ run_hooks(post_hooks) }}
    {% do adapter.commit() %}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{# Appends; what has to go first is the pre-hook's business, in the same transaction. Columns never change between two builds of the
   same kind: other models make the build a full one. #}
{% materialization incremental, adapter='duckdb' %}
    {%- set target = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks) }}
    {%- if existing is none or existing.is_view or should_full_refresh() -%}
        {{ replace_table(target, existing) }}
    {%- else -%}
        {% call statement('main') -%}
            insert into {{ target }} by name {{ compiled_code }}
        {%- endcall %}
    {%- endif -%}
    {{ run_hooks(post_hooks) }}
    {% do adapter.commit() %}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{% macro replace_table(target, existing) %}
    {%- if existing is not none and existing.is_view -%}
        {% do adapter.drop_relation(existing) %}
    {%- endif -%}
    {% call statement('main') -%}
        {%- if config.get('contract').enforced -%}
            {{ get_assert_columns_equivalent(compiled_code) }}
            create or replace table {{ target }} {{ get_table_columns_and_constraints() }};
            insert into {{ target }} by name {{ compiled_code }};
        {%- else -%}
            create or replace table {{ target }} as {{ compiled_code }}
        {%- endif -%}
    {%- endcall %}
{% endmacro %}
