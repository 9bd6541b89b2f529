{{ config(materialized='table', tags=['reconcile']) }}
-- Grain: an order and a currency in which the ERP has invoiced or credited it; or a document that names no order. Key: billing_id.
-- Why: what the ERP has invoiced less what it has credited, against the order as the ERP holds it now: amounts ex tax.
--   duplicate   more than one active document under one external id
--   billed      the difference is what the order is worth; nothing for one that is cancelled
--   differs     it is something else, as while a document is still on its way
--   no_order    the documents name no order of ours
with documents as (
    select
        *,
        coalesce(order_external_id, 'erp:' || destination || '/' || document_kind || '/' || erp_id) as billed_to,
        coalesce(currency, 'XXX') as billed_in
    from {{ ref('int_erp_accounting_documents') }}
),

billed as (
    select
        billed_to || '/' || billed_in as billing_id,
        min(order_external_id) as order_external_id,
        billed_in as currency,
        count(*) filter (where document_kind = 'invoice') as invoices,
        count(*) filter (where document_kind = 'credit_note') as credit_notes,
        count(*) filter (where is_one_too_many) as documents_too_many,
        string_agg(erp_number, ', ' order by document_kind desc, erp_id) as erp_numbers,
        coalesce(sum(amount) filter (where document_kind = 'invoice'), 0) as invoiced_amount,
        coalesce(sum(amount) filter (where document_kind = 'credit_note'), 0) as credited_amount
    from documents
    group by billed_to, billed_in
),

orders as (
    select external_id, entity_key, erp_currency, erp_amount
    from {{ ref('fct_reconciliation') }}
    where entity_key is not null
),

compared as (
    select
        billed.*,
        orders.entity_key,
        case when orders.erp_currency = billed.currency then coalesce(orders.erp_amount, 0) else 0 end as order_amount
    from billed
    left join orders on billed.order_external_id = orders.external_id
),

final as (
    select
        billing_id,
        entity_key,
        order_external_id,
        currency,
        cast(invoices as bigint) as invoices,
        cast(credit_notes as bigint) as credit_notes,
        cast(documents_too_many as bigint) as documents_too_many,
        erp_numbers,
        cast(invoiced_amount as decimal(38, 9)) as invoiced_amount,
        cast(credited_amount as decimal(38, 9)) as credited_amount,
        cast(order_amount as decimal(38, 9)) as order_amount,
        case
            when documents_too_many > 0 then 'duplicate'
            when entity_key is null then 'no_order'
            when invoiced_amount - credited_amount = order_amount then 'billed'
            else 'differs'
        end as class
    from compared
)

select * from final
