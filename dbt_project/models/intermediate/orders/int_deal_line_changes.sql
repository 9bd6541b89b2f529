{{ config(materialized='view') }}
-- Grain: one observation of a deal's line (source, line_id, changed_at, row_hash).
-- Why: where the CRMs meet. A quantity without a unit of measure counts units.
with crms as (
    select * from {{ ref('stg_salesforce__opportunity_line_items') }}
    union all by name
    select * from {{ ref('stg_hubspot__line_items') }}
)

select
    source,
    line_id,
    changed_at,
    observed_at,
    row_hash,
    is_new,
    is_deleted,
    deal_id,
    product_id,
    product_code,
    description,
    quantity,
    'unit' as uom,
    unit_price,
    discount,
    amount,
    cast(null as varchar) as charge_type,
    start_date,
    end_date,
    billing_frequency
from crms
