{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail', tags=['derive'],
    pre_hook="{{ delete_touched() }}"
) }}
-- Grain: one canonical event. Key: event_id.
-- Why: post, hold, review, reject or ignore, with every reason. Precedence:
--   1. pre_cutover: ignored, whatever else is wrong with it;
--   2. a reject reason; 3. a review reason, or a hold reason whose deadline has passed; 4. a hold reason; 5. post;
--   6. and what came out as hold, review or reject is ignored when a later event of the entity is to be posted: events carry whole
--      target states, so a correction in the CRM heals what was wrong before, and nothing waits behind an unpostable state.
-- Deadlines are judged at the build's `as_of`, never by a clock. A cancellation is judged by the cut-over only: delivery drops it when
-- the order never reached the ERP.
with events as (
    select
        *,
        bool_or(status = 'cancelled') over (
            partition by entity_key order by position rows between unbounded preceding and 1 preceding
        ) as was_cancelled
    from {{ ref('canonical_events') }}
    where entity_key in (select entity_key from {{ ref('int_touched_entities') }})
),

open_events as (
    select * from events where status = 'open'
),

event_lines as (
    select * from {{ ref('int_event_lines') }}
),

line_totals as (
    select event_id, sum(amount) as amount, count(*) as line_count
    from event_lines
    group by event_id
),

customers as (
    select * from {{ ref('int_event_customers') }}
),

policy as (
    select * from {{ source('ops', 'policy') }}
),

build as (
    select * from {{ source('ops', 'build') }}
),

codes as (
    select * from {{ ref('int_reason_codes') }}
),

found as (
    select
        events.id as event_id, 'pre_cutover' as code, 'booking_date' as field, events.source_document_id as record_id,
        'Booked ' || events.booking_date || ', before ' || policy.effective_from || '.' as message,
        cast(null as timestamptz) as deadline
    from events
    cross join policy
    where events.booking_date < policy.effective_from
    union all
    select id, 'amount_negative', 'amount', source_document_id, 'The amount is ' || {{ decimal_text('amount') }} || '.', null
    from open_events
    where amount < 0
    union all
    select
        event_lines.event_id,
        case when open_events.is_netted then 'net_quantity_negative' else 'quantity_negative' end,
        'quantity', event_lines.line_id,
        'The quantity of ' || coalesce(event_lines.source_sku, 'a line') || ' is ' || {{ decimal_text('event_lines.quantity') }} || '.',
        null
    from event_lines
    inner join open_events on event_lines.event_id = open_events.id
    where event_lines.quantity < 0
    union all
    select
        id, 'root_not_found', 'original_deal', source_document_id,
        'It amends ' || case when source_document_id = order_id then 'a deal that it does not name' else order_id end
        || ', which is not landed.',
        null
    from open_events
    where not is_resolved
    union all
    select
        id, 'root_not_won', 'original_deal', source_document_id, 'It amends ' || order_id || ', which has not been won.', null
    from open_events
    where is_resolved and not root_was_won
    union all
    select id, 'reopened', 'status', source_document_id, 'The order was cancelled before ' || time || '.', null
    from open_events
    where was_cancelled
    union all
    select id, 'customer_missing', 'customer_id', source_document_id, 'The deal has no customer.', null
    from open_events
    where sold_to is null
    union all
    select
        open_events.id, 'customer_not_landed', 'customer_id', customers.customer_id,
        'Customer ' || customers.customer_id || ' has not arrived from ' || open_events.source || '.',
        open_events.time + to_seconds(policy.customer_limit)
    from open_events
    inner join customers on open_events.id = customers.event_id
    cross join policy
    where not customers.is_landed
    union all
    select id, 'currency_missing', 'currency', source_document_id, 'The deal has no currency.', null
    from open_events
    where currency is null
    union all
    select id, 'currency_invalid', 'currency', source_document_id, 'The currency is ' || currency || '.', null
    from open_events
    where not regexp_full_match(currency, '[A-Z]{3}')
    union all
    select id, 'amount_missing', 'amount', source_document_id, 'The deal has no amount.', null
    from open_events
    where amount is null
    union all
    select id, 'booking_date_missing', 'booking_date', source_document_id, 'The deal has no close date.', null
    from open_events
    where booking_date is null
    union all
    select
        event_id, 'product_' || product_state, 'product_code', line_id,
        case
            when source_sku is null then 'A line names no product.'
            when product_state = 'inactive' then 'Product ' || source_sku || ' was retired before the order.'
            when mapped_sku is not null
                then 'Product ' || source_sku || ' is mapped to ' || mapped_sku || ', and neither is in the catalog.'
            else 'Product ' || source_sku || ' is not in the catalog.'
        end,
        null
    from event_lines
    where product_state <> 'active'
    union all
    select
        event_id, 'line_amount_mismatch', 'amount', line_id,
        'The line of ' || coalesce(source_sku, 'a product') || ' is worth ' || coalesce({{ decimal_text('amount') }}, 'nothing known')
        || ', which its quantity and price do not give.',
        null
    from event_lines
    where net_unit_price is null and (quantity >= 0 or quantity is null)
    union all
    select open_events.id, 'lines_missing', 'lines', source_document_id, 'The order has no lines and no amount.', null
    from open_events
    left join line_totals on open_events.id = line_totals.event_id
    where open_events.amount = 0 and line_totals.event_id is null
    union all
    select
        open_events.id, 'lines_incomplete', 'amount', source_document_id,
        'The amount is ' || {{ decimal_text('open_events.amount') }} || ', the lines sum up to '
        || coalesce({{ decimal_text('line_totals.amount') }}, '0') || '.',
        open_events.time + to_seconds(policy.lines_limit)
    from open_events
    left join line_totals on open_events.id = line_totals.event_id
    cross join policy
    where open_events.amount is distinct from coalesce(line_totals.amount, 0) and open_events.amount is not null
),

ranked as (
    select
        found.*,
        codes.precedence,
        codes.fix,
        codes.owner,
        case when codes.severity = 'hold' and found.deadline <= build.as_of then 'review' else codes.severity end as severity,
        codes.severity = 'hold' as may_wait
    from found
    inner join codes on found.code = codes.code
    cross join build
),

-- a pre-cutover event has no other reason
kept as (
    select *
    from ranked
    qualify severity = 'ignore' or not bool_or(severity = 'ignore') over (partition by event_id)
),

summed as (
    select
        event_id,
        list(
            struct_pack(code := code, field := field, record_id := record_id, message := message, fix := fix, owner := owner)
            order by precedence, field, record_id, message
        ) as reasons,
        case
            when bool_or(severity = 'ignore') then 'ignore'
            when bool_or(severity = 'reject') then 'reject'
            when bool_or(severity = 'review') then 'review'
            else 'hold'
        end as disposition,
        case when bool_and(may_wait) then min(deadline) end as hold_until
    from kept
    group by event_id
),

judged as (
    select
        events.id as event_id,
        events.entity_key,
        events.document_kind,
        events.position,
        coalesce(summed.disposition, 'post') as disposition,
        coalesce(summed.reasons, []) as reasons,
        summed.hold_until
    from events
    left join summed on events.id = summed.event_id
),

healed as (
    select
        *,
        disposition in ('hold', 'review', 'reject')
        and coalesce(bool_or(disposition = 'post') over (
            partition by entity_key order by position rows between 1 following and unbounded following
        ), false) as is_corrected
    from judged
),

correction as (
    select
        struct_pack(
            code := code, field := cast(null as varchar), record_id := cast(null as varchar), message := title || '.', fix := fix,
            owner := owner
        ) as reason
    from codes
    where code = 'corrected_by_later_version'
),

final as (
    select
        healed.event_id,
        healed.entity_key,
        healed.document_kind,
        healed.position,
        case when healed.is_corrected then 'ignore' else healed.disposition end as disposition,
        case
            when healed.is_corrected then list_prepend(correction.reason, healed.reasons)
            else healed.reasons
        end as reasons,
        case when not healed.is_corrected then healed.hold_until end as hold_until
    from healed
    cross join correction
)

select * from final
