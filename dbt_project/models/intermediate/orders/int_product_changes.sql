{{ config(materialized='view') }}
-- Grain: one observation of a product (source, product_id, changed_at, row_hash).
-- Why: where the CRMs meet; what a CRM does not have is null.
with crms as (
    select * from {{ ref('stg_salesforce__products') }}
    union all by name
    select * from {{ ref('stg_hubspot__products') }}
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
from crms
