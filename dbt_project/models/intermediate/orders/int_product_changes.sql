{{ config(materialized='view') }}
-- Grain: one observation of a product (source, product_id, changed_at, row_hash).
-- Why: where the CRMs meet.
with salesforce as (
    select * from {{ ref('stg_salesforce__products') }}
)

select
    source,
    product_id,
    changed_at,
    observed_at,
    row_hash,
    is_new,
    is_deleted,
    is_active,
    product_code,
    name,
    uom,
    list_price,
    currency
from salesforce
