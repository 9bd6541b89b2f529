-- Grain: one observation of an ERP invoice or credit note (document_kind, destination, erp_id, changed_at, row_hash).
-- Why: both kinds renamed and typed as one relation. Amounts are ex tax, in the document's currency; a credit note's are positive.
with invoices as (
    select 'invoice' as document_kind, * from {{ source('landing', 'erp__invoice') }}
),

credit_notes as (
    select 'credit_note' as document_kind, * from {{ source('landing', 'erp__credit_note') }}
),

observations as (
    select * from invoices
    union all by name
    select * from credit_notes
),

final as (
    select
        document_kind,
        _source as destination,
        _id as erp_id,
        _stamp as changed_at,
        _observed_at as observed_at,
        _hash as row_hash,
        coalesce(_deleted, false) as is_deleted,
        nullif(external_id, '') as external_id,
        number as erp_number,
        status,
        nullif(order_external_id, '') as order_external_id,
        nullif(invoice_external_id, '') as invoice_external_id,
        customer,
        currency,
        amount,
        document_date
    from observations
)

select * from final
