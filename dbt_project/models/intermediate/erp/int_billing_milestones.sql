{{ config(materialized='table', tags=['reconcile']) }}
-- Grain: one state of an order that is to be posted and has milestones that are the whole of it, where orders are invoiced by milestones; else
-- empty. Key: event_id.
-- Why: what of the order has to be on invoices by today, and by yesterday: of each line what is reached of the order. The same as
-- core/invoice_milestones.py, in SQL.
with planned as (
    select
        milestones.entity_key,
        coalesce(cast(cast(milestones.percent as decimal(38, 4)) * 10000 as hugeint), 0) as percent,
        coalesce(cast(cast(milestones.amount as decimal(38, 4)) * 10000 as hugeint), 0) as amount,
        milestones.reached_on,
        terms.today
    from {{ source('ops', 'milestone') }} as milestones
    cross join {{ source('ops', 'billing_terms') }} as terms
    where terms.invoice_trigger = 'milestone'
),

-- what an order's milestones are shares of: its amount in millionths where one of them is an amount, else anything, as it may be worth nothing
orders as (
    select
        outbox.event_id,
        outbox.entity_key,
        case
            when outbox.entity_key in (select entity_key from planned where amount > 0) then cast(outbox.amount * 1000000 as hugeint)
            else 1
        end as worth
    from {{ ref('outbox') }} as outbox
    where outbox.document_kind = 'sales_order'
),

-- in 10^-6 of that, whole numbers, so that percentages and amounts add up without a division
parts as (
    select
        orders.event_id,
        orders.worth * 1000000 as whole,
        planned.percent * orders.worth + planned.amount * 100000000 as part,
        planned.reached_on,
        planned.today
    from orders
    inner join planned on orders.entity_key = planned.entity_key
    where orders.worth <> 0
),

shares as (
    select
        event_id,
        whole,
        coalesce(sum(part) filter (where reached_on <= today), 0) as reached,
        coalesce(sum(part) filter (where reached_on < today), 0) as reached_before,
        min(reached_on) as due_on,
        min(reached_on) filter (where reached_on > today) as next_due_on
    from parts
    group by event_id, whole
    having sum(part) = whole
),

order_lines as (
    select
        outbox.event_id,
        outbox.currency,
        unnest(from_json(outbox.payload ->> '$.lines', '[{"amount": "DECIMAL(38,9)"}]'), recursive := true)
    from {{ ref('outbox') }} as outbox
    where outbox.event_id in (select event_id from shares)
),

due as (
    select
        order_lines.event_id,
        shares.due_on,
        shares.next_due_on,
        case
            when reached = whole then amount else {{ share('amount', 'abs(reached)', 'abs(whole)', 'currency') }}
        end as due_amount,
        case
            when reached_before = whole then amount else {{ share('amount', 'abs(reached_before)', 'abs(whole)', 'currency') }}
        end as due_before_amount
    from order_lines
    inner join shares on order_lines.event_id = shares.event_id
),

final as (
    select
        event_id,
        min(due_on) as due_on,
        min(next_due_on) as next_due_on,
        cast(sum(due_amount) as decimal(38, 9)) as due_amount,
        cast(sum(due_before_amount) as decimal(38, 9)) as due_before_amount
    from due
    group by event_id
)

select * from final
