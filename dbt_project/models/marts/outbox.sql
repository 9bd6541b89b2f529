{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail', tags=['derive'],
    pre_hook="{{ delete_touched() }}"
) }}
-- Grain: one event to be posted: of an order, or the creation of a master (customer, address, item) that such an order names. Key: event_id.
-- Why: what delivery plans from. The payload is the target state as JSON text; every number is a string, so that it can be
-- fingerprinted as it stands. Masters are created once: their id covers what they look like *now*, and delivery lets a second id for
-- a master that is under way or posted rest. A customer that an operator said to be a party of the ERP goes by that party's code. Addresses
-- and items are there where the policy wants them: an item once for each sku, whichever CRM names it.
-- `operation` is a label; delivery derives its own from what it last posted.
with touched as (
    select * from {{ ref('int_touched_entities') }}
),

events as (
    select events.*
    from {{ ref('canonical_events') }} as events
    inner join {{ ref('event_dispositions') }} as dispositions on events.id = dispositions.event_id
    where dispositions.disposition = 'post'
      and events.entity_key in (select entity_key from touched)
),

policy as (
    select * from {{ source('ops', 'policy') }}
),

mappings as (
    select kind, source_value, max_by(target_value, seq) as target_value
    from {{ source('ops', 'mapping') }}
    group by kind, source_value
),

line_sets as (
    select
        event_lines.event_id,
        list(
            struct_pack(
                line := cast(event_lines.line_number as varchar),
                sku := event_lines.sku,
                description := event_lines.description,
                quantity := {{ decimal_text('event_lines.quantity') }},
                uom := event_lines.uom,
                unit_price := {{ decimal_text('event_lines.net_unit_price') }},
                amount := {{ decimal_text('event_lines.amount') }},
                tax_code := coalesce(taxes.target_value, policy.tax_code),
                "start" := cast(event_lines.start_date as varchar),
                "end" := cast(event_lines.end_date as varchar)
            )
            order by event_lines.line_number
        ) as lines,
        case
            when bool_and(policy.items) then list(distinct {{ item_key('event_lines.sku') }} order by {{ item_key('event_lines.sku') }})
            else []
        end as items
    from {{ ref('int_event_lines') }} as event_lines
    inner join events on event_lines.event_id = events.id
    left join mappings as taxes on taxes.kind = 'tax' and events.tax_treatment = taxes.source_value
    cross join policy
    group by event_lines.event_id
),

order_contents as (
    select
        events.id as event_id,
        events.entity_key,
        events.document_kind,
        {{ external_id('events.document_kind', 'events.entity_key') }} as external_id,
        events.position,
        events.time as event_time,
        case
            when events.status = 'cancelled' then 'cancel'
            when row_number() over (partition by events.entity_key order by events.position) = 1 then 'create'
            else 'amend'
        end as operation,
        case
            when events.status = 'open' then list_filter(
                list_concat(
                    [customers.customer_key],
                    case when policy.addresses then [customers.billing_key, customers.shipping_key] else [] end,
                    coalesce(line_sets.items, [])
                ),
                lambda one: one is not null
            )
            else cast([] as varchar[])
        end as depends_on,
        events.selling_entity,
        customers.customer_key,
        events.amount,
        events.currency,
        events.booking_date as document_date,
        struct_pack(
            order_number := events.source_document_id,
            customer := coalesce(parties.target_value, {{ external_id("'customer'", 'customers.customer_key') }}),
            customer_name := coalesce(customers.name, customers.customer_id),
            currency := events.currency,
            order_date := cast(events.booking_date as varchar),
            po_number := events.po_number,
            payment_terms := coalesce(terms.target_value, events.payment_terms),
            status := events.status,
            amount := {{ decimal_text('events.amount') }},
            lines := coalesce(line_sets.lines, [])
        ) as content,
        policy.addresses,
        {{ external_id("'address'", 'customers.billing_key') }} as bill_to,
        coalesce({{ external_id("'address'", 'customers.shipping_key') }}, {{ external_id("'address'", 'customers.billing_key') }}) as ship_to
    from events
    cross join policy
    left join {{ ref('int_event_customers') }} as customers on events.id = customers.event_id
    left join line_sets on events.id = line_sets.event_id
    left join mappings as parties on parties.kind = 'party' and customers.customer_id = parties.source_value
    left join mappings as terms on terms.kind = 'payment_term' and events.payment_terms = terms.source_value
),

orders as (
    select
        * exclude (content, addresses, bill_to, ship_to),
        case
            when addresses then cast(to_json(struct_insert(content, bill_to := bill_to, ship_to := ship_to)) as varchar)
            else cast(to_json(content) as varchar)
        end as payload
    from order_contents
),

-- masters that any order to be posted names, also orders that this build leaves alone
named as (
    select distinct unnest(depends_on) as entity_key from orders
    {% if is_incremental() %}
    union
    select distinct unnest(depends_on) from {{ this }}
    {% endif %}
),

customer_states as (
    select
        touched.entity_key,
        touched.source,
        touched.root_id as customer_id,
        min(versions.valid_from) as first_seen,
        max_by(struct_pack(name := versions.name, country := versions.country, currency := versions.currency), versions.valid_from) as newest
    from touched
    inner join named on touched.entity_key = named.entity_key
    inner join {{ ref('int_customer_versions') }} as versions
        on touched.source = versions.source and touched.root_id = versions.customer_id
    where touched.document_kind = 'customer'
    group by touched.entity_key, touched.source, touched.root_id
),

customers as (
    select
        sha256({{ canonical_text([
            'states.source', 'states.entity_key', "'customer'", 'states.newest.name', 'states.newest.country',
            'states.newest.currency'
        ]) }}) as event_id,
        states.entity_key,
        'customer' as document_kind,
        coalesce(parties.target_value, {{ external_id("'customer'", 'states.entity_key') }}) as external_id,
        cast(1 as integer) as position,
        states.first_seen as event_time,
        'create' as operation,
        cast([] as varchar[]) as depends_on,
        cast(null as varchar) as selling_entity,
        states.entity_key as customer_key,
        cast(0 as decimal(38, 9)) as amount,
        coalesce(states.newest.currency, policy.default_currency) as currency,
        cast(null as date) as document_date,
        cast(to_json(struct_pack(
            code := coalesce(parties.target_value, {{ external_id("'customer'", 'states.entity_key') }}),
            name := coalesce(states.newest.name, states.customer_id),
            country := states.newest.country,
            currency := coalesce(states.newest.currency, policy.default_currency)
        )) as varchar) as payload
    from customer_states as states
    cross join policy
    left join mappings as parties on parties.kind = 'party' and states.customer_id = parties.source_value
),

address_states as (
    select
        touched.entity_key,
        touched.source,
        touched.root_id as customer_id,
        {{ entity_object('touched.entity_key') }} = 'billing_address' as is_billing,
        {{ entity_key('touched.source', 'account', 'touched.root_id') }} as customer_key,
        min(versions.valid_from) as first_seen,
        max_by(struct_pack(name := versions.name, address := versions.address), versions.valid_from) as newest
    from touched
    inner join named on touched.entity_key = named.entity_key
    inner join (
        select source, customer_id, name, valid_from, 'billing_address' as object, billing_address as address
        from {{ ref('int_customer_versions') }}
        union all
        select source, customer_id, name, valid_from, 'shipping_address', shipping_address
        from {{ ref('int_customer_versions') }}
    ) as versions
        on touched.source = versions.source
        and touched.root_id = versions.customer_id
        and {{ entity_object('touched.entity_key') }} = versions.object
    where touched.document_kind = 'address' and versions.address is not null
    group by touched.entity_key, touched.source, touched.root_id
),

addresses as (
    select
        sha256({{ canonical_text([
            'states.source', 'states.entity_key', "'address'", 'states.newest.name', 'states.newest.address.street',
            'states.newest.address.city', 'states.newest.address.region', 'states.newest.address.postal_code',
            'states.newest.address.country'
        ]) }}) as event_id,
        states.entity_key,
        'address' as document_kind,
        {{ external_id("'address'", 'states.entity_key') }} as external_id,
        cast(1 as integer) as position,
        states.first_seen as event_time,
        'create' as operation,
        [states.customer_key] as depends_on,
        cast(null as varchar) as selling_entity,
        states.customer_key,
        cast(0 as decimal(38, 9)) as amount,
        cast(null as varchar) as currency,
        cast(null as date) as document_date,
        cast(to_json(struct_pack(
            code := {{ external_id("'address'", 'states.entity_key') }},
            customer := coalesce(parties.target_value, {{ external_id("'customer'", 'states.customer_key') }}),
            name := coalesce(states.newest.name, states.customer_id),
            "use" := case when states.is_billing then 'bill_to' else 'ship_to' end,
            street := states.newest.address.street,
            city := states.newest.address.city,
            region := states.newest.address.region,
            postal_code := states.newest.address.postal_code,
            country := states.newest.address.country
        )) as varchar) as payload
    from address_states as states
    left join mappings as parties on parties.kind = 'party' and states.customer_id = parties.source_value
),

item_states as (
    select
        touched.entity_key,
        touched.root_id as sku,
        min(versions.valid_from) as first_seen,
        max_by(
            struct_pack(name := versions.name, uom := versions.uom, list_price := versions.list_price, currency := versions.currency),
            struct_pack(stamp := versions.valid_from, source := versions.source, product := versions.product_id)
        ) as newest
    from touched
    inner join named on touched.entity_key = named.entity_key
    inner join {{ ref('int_product_versions') }} as versions on touched.root_id = versions.product_code
    where touched.document_kind = 'item'
    group by touched.entity_key, touched.root_id
),

items as (
    select
        sha256({{ canonical_text([
            'states.entity_key', "'item'", 'states.newest.name', 'states.newest.uom', decimal_text('states.newest.list_price'),
            'states.newest.currency'
        ]) }}) as event_id,
        states.entity_key,
        'item' as document_kind,
        states.sku as external_id,
        cast(1 as integer) as position,
        states.first_seen as event_time,
        'create' as operation,
        cast([] as varchar[]) as depends_on,
        cast(null as varchar) as selling_entity,
        cast(null as varchar) as customer_key,
        cast(0 as decimal(38, 9)) as amount,
        cast(null as varchar) as currency,
        cast(null as date) as document_date,
        cast(to_json(struct_pack(
            sku := states.sku,
            name := coalesce(states.newest.name, states.sku),
            uom := coalesce(states.newest.uom, 'unit'),
            list_price := {{ decimal_text('states.newest.list_price') }},
            currency := case
                when states.newest.list_price is not null then coalesce(states.newest.currency, policy.default_currency)
            end
        )) as varchar) as payload
    from item_states as states
    cross join policy
),

final as (
    select * from orders
    union all by name
    select * from customers
    union all by name
    select * from addresses
    union all by name
    select * from items
)

select * from final
