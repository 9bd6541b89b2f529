{{ config(materialized='view') }}
-- Grain: one observation of a customer (source, customer_id, changed_at, row_hash).
-- Why: where the CRMs meet; what a CRM does not have is null.
with crms as (
    select * from {{ ref('stg_salesforce__accounts') }}
    union all by name
    select * from {{ ref('stg_hubspot__companies') }}
)

select
    source,
    customer_id,
    changed_at,
    observed_at,
    row_hash,
    is_new,
    is_deleted,
    name,
    country,
    currency,
    billing_address,
    shipping_address
from crms
