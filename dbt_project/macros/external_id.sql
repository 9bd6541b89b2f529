{# The name that a document of ours carries in the ERP: equals meshline_dagster.core.identity.external_id (a test compares them).
   The hash is over the RFC 8785 JSON of [document kind, entity key]. #}
{% macro external_id(document_kind, entity_key) -%}
    case {{ document_kind }}
        when 'customer' then 'MLC-' when 'address' then 'MLA-' when 'sales_order' then 'MLO-' when 'invoice' then 'MLI-' when 'credit_note' then 'MLN-' when 'payment' then 'MLP-' else 'MLX-'
    end
    || left(sha256('["' || {{ document_kind }} || '",' || {{ json_text(entity_key) }} || ']'), 20)
{%- endmacro %}
