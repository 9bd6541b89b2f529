-- Grain: one observation of an ERP sales order (destination, erp_id, changed_at, row_hash).
-- Why: renamed and typed. Amounts are ex tax, in the document's currency. A build reads back one destination.
with observations as (
    select * from {{ source('landing', 'erp__sales_order') }}
),

final as (
    select
        _source as destination,
        _id as erp_id,
        _stamp as changed_at,
        _observed_at as observed_at,
        _hash as row_hash,
        coalesce(_deleted, false) as is_deleted,
        nullif(external_id, '') as external_id,
        number as erp_number,
        status,
        nullif(event_id, '') as event_id,
        customer,
        currency,
        amount,
        document_date,
        lines
    from observations
)

select * from final
