{{ config(materialized='table', tags=['derive']) }}
-- Grain: one open item for an operator. Key: trace_key = entity_key:main reason; one entity has at most one.
-- Why: what the newest state of an order cannot be posted for. An older state's trouble ends with the state that follows it: if that
-- one can be posted, or waits, or has trouble of its own, that is what counts.
with newest as (
    select *
    from {{ ref('event_dispositions') }}
    qualify row_number() over (partition by entity_key order by position desc) = 1
),

open_items as (
    select *, reasons[1].code as code
    from newest
    where disposition in ('review', 'reject')
),

final as (
    select
        open_items.entity_key || ':' || open_items.code as trace_key,
        open_items.entity_key,
        open_items.event_id,
        open_items.disposition,
        open_items.code,
        list_transform(open_items.reasons, lambda reason: reason.code) as codes,
        codes.title,
        array_to_string(list_transform(open_items.reasons[:5], lambda reason: reason.message), ' ') as detail,
        codes.fix,
        codes.owner,
        codes.priority,
        open_items.reasons[1].field as field,
        open_items.reasons[1].record_id as record_id,
        events.source_document_id,
        events.amount,
        events.currency,
        coalesce(open_items.hold_until, events.time) as opened_at
    from open_items
    inner join {{ ref('canonical_events') }} as events on open_items.event_id = events.id
    inner join {{ ref('int_reason_codes') }} as codes on open_items.code = codes.code
)

select * from final
