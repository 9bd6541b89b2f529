{{ config(materialized='view') }}
-- Grain: one observation of a deal (source, deal_id, changed_at, row_hash).
-- Why: where the CRMs meet: another CRM's staging model is one more branch here, what it does not have is null,
-- and nothing below knows its name.
with crms as (
    select * from {{ ref('stg_salesforce__opportunities') }}
    union all by name
    select * from {{ ref('stg_hubspot__deals') }}
)

select
    source,
    deal_id,
    changed_at,
    observed_at,
    row_hash,
    is_new,
    is_tombstone,
    is_deleted,
    is_won,
    deal_type,
    original_deal_id,
    customer_id,
    contract_id,
    cast(null as varchar) as subscription_id,
    customer_id as bill_to,
    customer_id as ship_to,
    amount,
    currency,
    cast(null as date) as signed_date,
    booking_date,
    cast(null as date) as effective_date,
    po_number,
    payment_terms,
    cast(null as varchar) as tax_treatment
from crms
