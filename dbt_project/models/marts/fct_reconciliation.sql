{{ config(materialized='table', tags=['reconcile']) }}
-- Grain: an order of the source, or an ERP document that belongs to none. Key: reconciliation_id.
-- Why: what the source says now against what the ERP holds under our external id: amounts ex tax, per order and per currency.
--   duplicate        more than one active document
--   matched          the newest state is posted as it stands; or it is cancelled and no active document is left
--   missing_in_erp   the newest state is open and the ERP has nothing
--   stale            the ERP holds an earlier state of the order, or one that is not confirmed yet
--   amount_mismatch  the ERP's document differs in amount, currency or lines (`detail` says in what)
--   missing_in_crm   an active document that no order of ours accounts for
-- `explained_by` is the disposition of the newest state when that is why it is not in the ERP.
with dispositions as (
    select event_id, disposition, reasons from {{ ref('event_dispositions') }}
),

events as (
    select
        events.*,
        dispositions.disposition,
        coalesce(dispositions.reasons[1].code = 'pre_cutover', false) as is_pre_cutover
    from {{ ref('canonical_events') }} as events
    inner join dispositions on events.id = dispositions.event_id
),

newest as (
    select *, {{ external_id('document_kind', 'entity_key') }} as external_id
    from events
    qualify row_number() over (partition by entity_key order by position desc) = 1
),

expected as (
    select event_id, entity_key, amount, currency, operation, {{ lines_text("payload ->> '$.lines'") }} as lines_text
    from {{ ref('outbox') }}
    where document_kind = 'sales_order'
    qualify row_number() over (partition by entity_key order by position desc) = 1
),

documents as (
    select
        external_id,
        count(*) as erp_documents,
        min(destination) as destination,
        min(erp_id) as erp_id,
        string_agg(erp_number, ', ' order by erp_id) as erp_number,
        min(status) as erp_status,
        sum(amount) as erp_amount,
        min(currency) as erp_currency,
        min(event_id) as erp_event_id,
        min(lines_text) as lines_text
    from {{ ref('int_erp_orders') }}
    where external_id is not null
    group by external_id
),

compared as (
    select
        newest.entity_key as reconciliation_id,
        newest.entity_key,
        newest.source,
        newest.source_document_id,
        newest.external_id,
        newest.id as event_id,
        newest.status as source_status,
        newest.amount as source_amount,
        newest.currency as source_currency,
        newest.disposition,
        newest.is_pre_cutover,
        expected.event_id as expected_event_id,
        expected.amount as expected_amount,
        case when expected.operation = 'cancel' then 'cancelled' when expected.event_id is not null then 'open' end as expected_status,
        documents.destination,
        documents.erp_id,
        documents.erp_number,
        documents.erp_status,
        documents.erp_amount,
        documents.erp_currency,
        documents.erp_event_id,
        coalesce(documents.erp_documents, 0) as erp_documents,
        case
            when documents.erp_documents > 1 then documents.erp_documents || ' active documents: ' || documents.erp_number
            when newest.status = 'cancelled' and documents.erp_id is not null then 'cancelled in the source, active in the ERP'
            when documents.erp_id is null or newest.status = 'cancelled' then null
            when newest.disposition <> 'post' then 'the newest state is not posted'
            when documents.erp_status <> 'open' then 'the ERP document is ' || documents.erp_status
            when documents.erp_currency is distinct from newest.currency
                then 'currency ' || coalesce(documents.erp_currency, 'none') || ' instead of ' || newest.currency
            when documents.erp_amount is distinct from newest.amount
                then 'amount ' || {{ decimal_text('documents.erp_amount') }} || ' instead of ' || {{ decimal_text('newest.amount') }}
            when documents.lines_text <> expected.lines_text then 'lines differ'
        end as detail,
        earlier.id is not null as holds_earlier_state
    from newest
    left join expected on newest.entity_key = expected.entity_key
    left join documents on newest.external_id = documents.external_id
    left join events as earlier
        on newest.entity_key = earlier.entity_key
        and documents.erp_event_id = earlier.id
        and earlier.position < newest.position
),

orders as (
    select
        * exclude (holds_earlier_state),
        case
            when erp_documents > 1 then 'duplicate'
            when source_status = 'cancelled' then case when erp_documents = 0 then 'matched' else 'stale' end
            when erp_documents = 0 then 'missing_in_erp'
            when detail is null then 'matched'
            when disposition <> 'post' or erp_status <> 'open' or holds_earlier_state then 'stale'
            else 'amount_mismatch'
        end as class
    from compared
),

orphans as (
    select
        'erp:' || destination || '/' || erp_id as reconciliation_id,
        external_id,
        destination,
        erp_id,
        erp_number,
        status as erp_status,
        amount as erp_amount,
        currency as erp_currency,
        event_id as erp_event_id,
        1 as erp_documents,
        false as is_pre_cutover,
        'missing_in_crm' as class,
        'no order of the source has this external id' as detail
    from {{ ref('int_erp_orders') }}
    where external_id is null or external_id not in (select external_id from newest)
),

together as (
    select * from orders
    union all by name
    select * from orphans
),

final as (
    select
        reconciliation_id,
        entity_key,
        source,
        source_document_id,
        external_id,
        event_id,
        source_status,
        source_amount,
        source_currency,
        disposition,
        is_pre_cutover,
        expected_event_id,
        expected_amount,
        expected_status,
        destination,
        erp_id,
        erp_number,
        erp_status,
        cast(erp_amount as decimal(38, 9)) as erp_amount,
        erp_currency,
        erp_event_id,
        cast(erp_documents as bigint) as erp_documents,
        class,
        detail,
        case when class not in ('matched', 'missing_in_crm') and disposition <> 'post' then disposition end as explained_by
    from together
)

select * from final
