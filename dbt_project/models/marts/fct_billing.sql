{{ config(materialized='table', tags=['reconcile']) }}
-- Grain: an order and a currency in which it is to be billed, or in which the ERP has invoiced or credited it; or a document that names no
-- order. Key: billing_id.
-- Why: what the ERP has invoiced less what it has credited, against the order as the ERP holds it now: amounts ex tax. That is due_amount:
-- what the order is worth, or, where lines are billed by periods, what is due of it by today; or what is
-- delivered of it, or of its milestones reached; an order whose milestones are missing, or not the whole order, waits for them.
--   duplicate     more than one active document under one external id
--   billed        the difference is what is due; nothing for an order that is cancelled
--   not_due       nothing is invoiced, and nothing delivered, or the day from which the order is invoiced has not passed; or what was due by
--                 yesterday is
--   not_invoiced  nothing is invoiced, and that day has passed
--   differs       the difference is something else, as while a document is still on its way
--   no_order      the documents name no order of ours
-- Orders are to be billed here where the sync makes their invoices, unless they were booked before it did.
with terms as (
    select * from {{ source('ops', 'billing_terms') }}
),

documents as (
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

states as (
    select
        event_id,
        document_date as booked_on,
        cast(list_min(list_transform(
            from_json(payload ->> '$.lines', '[{"start": "VARCHAR"}]'), lambda line: line.start
        )) as date) as starts_on
    from {{ ref('outbox') }}
    where document_kind = 'sales_order'
),

-- by periods, or by milestones
scheduled as (
    select * from {{ ref('int_billing_schedule') }}
    union all by name
    select * from {{ ref('int_billing_milestones') }}
),

-- by the state that the ERP says it holds, else by the newest one
orders as (
    select
        external_id,
        entity_key,
        erp_status,
        erp_currency,
        erp_amount,
        explained_by,
        case when erp_event_id in (select event_id from states) then erp_event_id else expected_event_id end as event_id
    from {{ ref('fct_reconciliation') }}
    where entity_key is not null
),

billable as (
    select
        orders.external_id,
        coalesce(orders.erp_currency, 'XXX') as currency,
        case
            when terms.invoice_trigger = 'milestone' then scheduled.due_on
            when terms.invoice_trigger <> 'delivery'
                then coalesce(scheduled.due_on, case when terms.invoice_trigger = 'start' then states.starts_on end, states.booked_on)
        end as due_on
    from orders
    cross join terms
    left join states using (event_id)
    left join scheduled using (event_id)
    where
        terms.invoice_trigger is not null
        and orders.erp_status = 'open'
        and orders.erp_amount <> 0
        and coalesce(states.booked_on >= terms.invoices_from, true)
),

together as (
    select * from billed
    union all by name
    select
        billable.external_id || '/' || billable.currency as billing_id,
        billable.external_id as order_external_id,
        billable.currency,
        0 as invoices,
        0 as credit_notes,
        0 as documents_too_many,
        0 as invoiced_amount,
        0 as credited_amount
    from billable
    anti join billed on billable.external_id = billed.order_external_id and billable.currency = billed.currency
),

compared as (
    select
        together.*,
        orders.entity_key,
        orders.explained_by,
        billable.due_on,
        terms.invoice_trigger is not null and orders.entity_key is not null as is_billed_here,
        terms.today,
        case when orders.erp_currency = together.currency then scheduled.next_due_on end as next_due_on,
        case when orders.erp_currency = together.currency then coalesce(orders.erp_amount, 0) else 0 end as order_amount,
        case
            when orders.erp_currency = together.currency
                then coalesce(
                    scheduled.due_amount,
                    delivered.due_amount,
                    case when terms.invoice_trigger = 'milestone' then 0 end,
                    orders.erp_amount,
                    0
                )
            else 0
        end as due_amount,
        case
            when orders.erp_currency = together.currency then coalesce(scheduled.due_before_amount, delivered.due_amount)
        end as due_before_amount
    from together
    cross join terms
    left join orders on together.order_external_id = orders.external_id
    left join scheduled on orders.event_id = scheduled.event_id
    left join {{ ref('int_billing_deliveries') }} as delivered on orders.external_id = delivered.external_id
    left join billable on together.order_external_id = billable.external_id and together.currency = billable.currency
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
        cast(due_amount as decimal(38, 9)) as due_amount,
        due_on,
        next_due_on,
        is_billed_here,
        explained_by,
        case
            when documents_too_many > 0 then 'duplicate'
            when entity_key is null then 'no_order'
            when invoices + credit_notes > 0 and invoiced_amount - credited_amount = due_amount then 'billed'
            when invoices + credit_notes = 0 and due_on >= today then 'not_due'
            when invoiced_amount - credited_amount = due_before_amount then 'not_due'
            when invoices + credit_notes = 0 then 'not_invoiced'
            else 'differs'
        end as class
    from compared
)

select * from final
