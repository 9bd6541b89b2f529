{# Lines in JSON, ours or the ERP's, as one text to compare by: sku, quantity and amount, whatever the order; null without lines. #}
{% macro lines_text(lines) -%}
    nullif(array_to_string(list_sort(list_transform(
        from_json({{ lines }}, '[{"sku": "VARCHAR", "quantity": "DECIMAL(38,9)", "amount": "DECIMAL(38,9)"}]'),
        lambda line: coalesce(line.sku, '') || ' ' || coalesce(cast(line.quantity as varchar), '') || ' ' || coalesce(cast(line.amount as varchar), '')
    )), '|'), '')
{%- endmacro %}
