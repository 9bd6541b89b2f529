-- Grain: event_id, events of touched entities that name a customer.
-- Why: the customer that an order is for, an operator's mapping (two records, one customer) applied, with its name at the event, or
-- the first one known later: a customer that is renamed does not change what was posted before. Of its addresses it is told which it
-- had then; goods go where bills go unless the account says otherwise.
with events as (
    select *
    from {{ ref('canonical_events') }}
    where entity_key in (select entity_key from {{ ref('int_touched_entities') }})
),

mappings as (
    select source_value, max_by(target_value, seq) as target_value
    from {{ source('ops', 'mapping') }}
    where kind = 'customer'
    group by source_value
),

resolved as (
    select
        events.id as event_id,
        events.source,
        events.time,
        coalesce(mappings.target_value, events.sold_to) as customer_id
    from events
    left join mappings on events.sold_to = mappings.source_value
    where events.sold_to is not null
),

named as (
    select
        resolved.event_id,
        resolved.customer_id,
        {{ entity_key('resolved.source', 'account', 'resolved.customer_id') }} as customer_key,
        versions.customer_id is not null as is_landed,
        versions.name,
        case
            when versions.billing_address is not null
                then {{ entity_key('resolved.source', 'billing_address', 'resolved.customer_id') }}
        end as billing_key,
        case
            when versions.shipping_address is distinct from versions.billing_address and versions.shipping_address is not null
                then {{ entity_key('resolved.source', 'shipping_address', 'resolved.customer_id') }}
        end as shipping_key
    from resolved
    left join {{ ref('int_customer_versions') }} as versions
        on resolved.source = versions.source and resolved.customer_id = versions.customer_id
    qualify row_number() over (
        partition by resolved.event_id
        order by
            versions.valid_to > resolved.time desc nulls last,
            case when versions.valid_to > resolved.time then versions.valid_from end,
            versions.valid_from desc
    ) = 1
),

final as (
    select * from named
)

select * from final
