{{ config(materialized='table', tags=['reconcile']) }}
-- Grain: a currency (scope 'currency'), and one row for all (scope 'total', currency null).
-- Why: the figures of the status page. Orders are entities whose newest state is open and not pre-cutover. Parity: matched orders
-- among orders of the source. Drift: the share of the source's money that is neither matched in the ERP nor visibly explained (hold,
-- review, reject). XXX is ISO 4217's code for no currency: money whose currency nobody named is a group of its own. In the total row amounts stand only while there is one currency, and the ratios by money are the worst ones.
with reconciled as (
    select * from {{ ref('fct_reconciliation') }}
),

billing as (
    select * from {{ ref('fct_billing') }}
),

events as (
    select events.type, coalesce(events.currency, 'XXX') as currency, dispositions.disposition
    from {{ ref('canonical_events') }} as events
    inner join {{ ref('event_dispositions') }} as dispositions on events.id = dispositions.event_id
),

landed as (
    select
        (select count(*) from {{ ref('int_deal_changes') }}) + (select count(*) from {{ ref('int_deal_line_changes') }})
        + (select count(*) from {{ ref('int_customer_changes') }}) + (select count(*) from {{ ref('int_product_changes') }}) as changes
),

event_counts as (
    select
        currency,
        count(*) as events,
        count(*) filter (where type = 'order.created') as events_created,
        count(*) filter (where type = 'order.amended') as events_amended,
        count(*) filter (where type = 'order.cancelled') as events_cancelled,
        count(*) filter (where disposition = 'post') as events_post,
        count(*) filter (where disposition = 'hold') as events_hold,
        count(*) filter (where disposition = 'review') as events_review,
        count(*) filter (where disposition = 'reject') as events_reject,
        count(*) filter (where disposition = 'ignore') as events_ignore
    from events
    group by currency
),

source_counts as (
    select
        coalesce(source_currency, 'XXX') as currency,
        count(*) filter (where source_status = 'open' and not is_pre_cutover) as orders,
        count(*) filter (where disposition in ('review', 'reject')) as in_exception,
        count(*) filter (where disposition = 'hold') as held,
        count(*) filter (where disposition = 'reject') as rejected,
        count(*) filter (where is_pre_cutover) as ignored,
        count(*) filter (where class = 'matched' and source_status = 'open' and not is_pre_cutover) as matched,
        coalesce(sum(source_amount) filter (where source_status = 'open' and not is_pre_cutover), 0) as source_amount,
        coalesce(sum(source_amount) filter (where disposition in ('review', 'reject')), 0) as in_exception_amount,
        coalesce(sum(source_amount) filter (where disposition = 'hold'), 0) as held_amount,
        coalesce(sum(source_amount) filter (where class = 'matched' and source_status = 'open' and not is_pre_cutover), 0) as matched_amount,
        coalesce(sum(source_amount) filter (
            where class <> 'matched' and source_status = 'open' and not is_pre_cutover and explained_by is null
        ), 0) as unexplained_amount
    from reconciled
    where entity_key is not null
    group by coalesce(source_currency, 'XXX')
),

erp_counts as (
    select
        coalesce(erp_currency, 'XXX') as currency,
        count(*) filter (where entity_key is not null) as posted,
        count(*) filter (where class = 'missing_in_crm') as missing_in_crm,
        coalesce(sum(erp_amount) filter (where entity_key is not null), 0) as posted_amount
    from reconciled
    where erp_documents > 0
    group by coalesce(erp_currency, 'XXX')
),

billing_counts as (
    select
        currency,
        sum(invoices) as invoices,
        sum(credit_notes) as credit_notes,
        sum(invoiced_amount) as invoiced_amount,
        sum(credited_amount) as credited_amount
    from billing
    group by currency
),

too_many as (
    select coalesce(erp_currency, 'XXX') as currency, erp_documents - 1 as documents from reconciled where class = 'duplicate'
    union all
    select currency, documents_too_many as documents from billing where documents_too_many > 0
),

duplicate_counts as (
    select currency, sum(documents) as duplicates_in_erp from too_many group by currency
),

currencies as (
    select currency from event_counts
    union
    select currency from billing_counts
    union
    select currency from source_counts
    union
    select currency from erp_counts
),

by_currency as (
    select
        currencies.currency,
        {% set counts = ['events', 'events_created', 'events_amended', 'events_cancelled', 'events_post', 'events_hold',
            'events_review', 'events_reject', 'events_ignore', 'orders', 'in_exception', 'held', 'rejected', 'ignored', 'matched',
            'posted', 'duplicates_in_erp', 'missing_in_crm', 'invoices', 'credit_notes'] %}
        {% set amounts = ['source_amount', 'in_exception_amount', 'held_amount', 'matched_amount', 'unexplained_amount',
            'posted_amount', 'invoiced_amount', 'credited_amount'] %}
        {% for name in counts %}
        cast(coalesce({{ name }}, 0) as bigint) as {{ name }},
        {% endfor %}
        {% for name in amounts %}
        cast(coalesce({{ name }}, 0) as decimal(38, 9)) as {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from currencies
    left join event_counts using (currency)
    left join source_counts using (currency)
    left join erp_counts using (currency)
    left join billing_counts using (currency)
    left join duplicate_counts using (currency)
),

rated as (
    select
        *,
        case when orders = 0 then 1 else cast(matched as double) / orders end as parity,
        case when source_amount = 0 then 1 else cast(matched_amount as double) / cast(source_amount as double) end as parity_by_money,
        case when source_amount = 0 then 0 else cast(unexplained_amount as double) / cast(source_amount as double) end as drift_by_money
    from by_currency
),

total as (
    select
        'total' as scope,
        cast(null as varchar) as currency,
        any_value(landed.changes) as landed_changes,
        {% for name in counts %}
        cast(coalesce(sum({{ name }}), 0) as bigint) as {{ name }},
        {% endfor %}
        {% for name in amounts %}
        case when count(rated.currency) <= 1 then cast(coalesce(sum({{ name }}), 0) as decimal(38, 9)) end as {{ name }},
        {% endfor %}
        case when coalesce(sum(orders), 0) = 0 then 1 else cast(sum(matched) as double) / cast(sum(orders) as double) end as parity,
        coalesce(min(parity_by_money), 1) as parity_by_money,
        coalesce(max(drift_by_money), 0) as drift_by_money
    from landed
    left join rated on true
),

final as (
    select * from total
    union all by name
    select 'currency' as scope, * from rated
)

select
    scope,
    currency,
    landed_changes,
    {% for name in counts %}
    {{ name }},
    {% endfor %}
    {% for name in amounts %}
    {{ name }},
    {% endfor %}
    cast(parity as double) as parity,
    cast(parity_by_money as double) as parity_by_money,
    cast(drift_by_money as double) as drift_by_money
from final
