-- Grain: (document_kind, destination, erp_id): an ERP invoice or credit note as it stands, unless deleted or cancelled there.
-- Why: the newest version that was read back, and whether it is one too many: another of its kind has the same external id.
with newest as (
    select *
    from {{ ref('stg_erp__accounting_documents') }}
    qualify row_number() over (
        partition by document_kind, destination, erp_id order by changed_at desc, observed_at desc, row_hash desc
    ) = 1
),

active as (
    select * from newest where not is_deleted and status <> 'cancelled'
),

final as (
    select
        document_kind,
        destination,
        erp_id,
        external_id,
        erp_number,
        changed_at,
        status,
        order_external_id,
        invoice_external_id,
        currency,
        amount,
        document_date,
        external_id is not null
        and row_number() over (partition by document_kind, destination, external_id order by erp_id) > 1 as is_one_too_many
    from active
)

select * from final
