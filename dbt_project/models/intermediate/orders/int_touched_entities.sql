-- Grain: entity_key. Computed once per build; everything downstream recomputes these entities, whole, and no others.
-- Touched is: what new rows, new decisions or the clock concern; in a replay also what changed in its days; in a full build
-- everything; and what a build that did not end was about to recompute. Too many is only slower, one too few would be wrong:
-- so links, products, items and customers count in every version ever observed, also those that have lost against another.
-- `by_replay` says that nothing but a replay's range touches the entity: what is planned for it waits for an approval, where one is needed.
with recursive
build as (
    select * from {{ source('ops', 'build') }}
),

deals as (
    select * from {{ ref('int_deal_changes') }}
),

lines as (
    select * from {{ ref('int_deal_line_changes') }}
),

new_products as (
    select distinct source, product_id from {{ ref('int_product_changes') }} where is_new
),

-- every code that a new or changed product ever had
new_codes as (
    select distinct products.source, products.product_code
    from {{ ref('int_product_changes') }} as products
    semi join new_products on products.source = new_products.source and products.product_id = new_products.product_id
    where products.product_code is not null
),

-- line codes that mean something else now: decided or revoked, or mapped to a product that is new or changed
changed_codes as (
    select source, product_code from new_codes
    union
    select sources.source, mapping_new.source_value
    from {{ source('ops', 'mapping_new') }} as mapping_new
    cross join (select distinct source from {{ ref('int_product_changes') }} union select distinct source from lines) as sources
    where mapping_new.kind = 'product'
    union
    select new_codes.source, mapping.source_value
    from {{ source('ops', 'mapping') }} as mapping
    inner join new_codes on mapping.target_value = new_codes.product_code
    where mapping.kind = 'product'
),

changed_products as (
    select source, product_id from new_products
    union
    select products.source, products.product_id
    from {{ ref('int_product_changes') }} as products
    semi join changed_codes
        on products.source = changed_codes.source and products.product_code = changed_codes.product_code
),

new_customers as (
    select distinct source, customer_id from {{ ref('int_customer_changes') }} where is_new
),

-- customers that are another party of the ERP now, by a decision or its revocation
changed_parties as (
    select customers.source, customers.customer_id
    from (select distinct source, customer_id from {{ ref('int_customer_changes') }}) as customers
    inner join {{ source('ops', 'mapping_new') }} as mapping_new
        on mapping_new.kind = 'party' and mapping_new.source_value = customers.customer_id
),

changed_customers as (
    select source, customer_id from new_customers
    union
    select source, customer_id from changed_parties
    union
    select changed.source, mapping.source_value
    from {{ source('ops', 'mapping') }} as mapping
    inner join (select * from new_customers union select * from changed_parties) as changed
        on mapping.target_value = changed.customer_id
    where mapping.kind = 'customer'
),

new_lines as (
    select source, line_id, false as by_replay from lines where is_new
    union
    select lines.source, lines.line_id, true
    from lines
    cross join build
    where build.mode = 'replay'
      and cast(lines.changed_at at time zone 'UTC' as date) between build.replay_from and build.replay_to
),

touched_deals as (
    select source, deal_id, false as by_replay from deals where is_new
    union
    -- a replay that has to be a full build is still a replay
    select deals.source, deals.deal_id, build.replay_from is not null from deals cross join build where build.mode = 'full'
    union
    select deals.source, deals.deal_id, true
    from deals
    cross join build
    where build.mode = 'replay'
      and cast(deals.changed_at at time zone 'UTC' as date) between build.replay_from and build.replay_to
    union
    select lines.source, lines.deal_id, new_lines.by_replay
    from lines
    inner join new_lines on lines.source = new_lines.source and lines.line_id = new_lines.line_id
    where lines.deal_id is not null
    union
    select lines.source, lines.deal_id, false
    from lines
    semi join changed_codes on lines.source = changed_codes.source and lines.product_code = changed_codes.product_code
    where lines.deal_id is not null
    union
    select lines.source, lines.deal_id, false
    from lines
    semi join changed_products on lines.source = changed_products.source and lines.product_id = changed_products.product_id
    where lines.deal_id is not null
    union
    select deals.source, deals.deal_id, false
    from deals
    semi join changed_customers
        on deals.source = changed_customers.source and deals.customer_id = changed_customers.customer_id
    union
    select deals.source, deals.deal_id, false
    from deals
    inner join {{ source('ops', 'mapping_new') }} as mapping_new
        on (mapping_new.kind = 'customer' and mapping_new.source_value = deals.customer_id)
        or (mapping_new.kind = 'payment_term' and mapping_new.source_value = deals.payment_terms)
        or (mapping_new.kind = 'tax' and mapping_new.source_value = deals.tax_treatment)
),

-- a deal's entity, as of now or of any earlier build, is among the deals that its links lead to
reachable (source, deal_id, by_replay) as (
    select source, deal_id, by_replay from touched_deals
    union
    select links.source, links.original_deal_id, reachable.by_replay
    from reachable
    inner join {{ ref('int_deal_links') }} as links
        on reachable.source = links.source and reachable.deal_id = links.deal_id
),

-- holds whose deadline lies on the other side of this build's instant
overdue as (
    select dispositions.entity_key
    from {{ previous('marts', 'event_dispositions', {'entity_key': 'varchar', 'disposition': 'varchar', 'hold_until': 'timestamptz'}) }} as dispositions
    cross join build
    where (dispositions.disposition = 'hold' and dispositions.hold_until <= build.as_of)
       or (dispositions.disposition = 'review' and dispositions.hold_until > build.as_of)
),

touched_orders as (
    select {{ entity_key('source', 'opportunity', 'deal_id') }} as entity_key, 'sales_order' as document_kind, source, deal_id as root_id, by_replay
    from reachable
    union
    select overdue.entity_key, 'sales_order', {{ entity_source('overdue.entity_key') }}, {{ entity_id('overdue.entity_key') }}, false
    from overdue
    union
    select entity_key, document_kind, source, root_id, by_replay
    from {{ source('ops', 'unfinished_entity') }}
    where document_kind = 'sales_order'
),

-- what touched orders waited for when the last build ended
named_before as (
    select unnest(outbox.depends_on) as entity_key, touched_orders.by_replay
    from {{ previous('marts', 'outbox', {'entity_key': 'varchar', 'depends_on': 'varchar[]'}) }} as outbox
    inner join touched_orders on outbox.entity_key = touched_orders.entity_key
),

-- customers: changed ones, and those that touched orders refer to, or referred to when the last build ended
touched_customers as (
    select source, customer_id, false as by_replay from changed_customers
    union
    select customers.source, customers.customer_id, build.replay_from is not null
    from {{ ref('int_customer_changes') }} as customers
    cross join build
    where build.mode = 'full'
    union
    select deals.source, deals.customer_id, touched_orders.by_replay
    from deals
    inner join touched_orders on deals.source = touched_orders.source and deals.deal_id = touched_orders.root_id
    where deals.customer_id is not null
    union
    select {{ entity_source('entity_key') }}, {{ entity_id('entity_key') }}, by_replay
    from named_before
    where {{ entity_object('entity_key') }} = 'account'
    union
    select deals.source, mapping.target_value, touched_orders.by_replay
    from {{ source('ops', 'mapping') }} as mapping
    inner join deals on mapping.source_value = deals.customer_id
    inner join touched_orders on deals.source = touched_orders.source and deals.deal_id = touched_orders.root_id
    where mapping.kind = 'customer'
),

-- items, where they are wanted: changed ones, and every code that a line of a touched order may come to
order_deals (source, deal_id, by_replay) as (
    select touched_orders.source, touched_orders.root_id, touched_orders.by_replay
    from touched_orders
    cross join {{ source('ops', 'policy') }} as policy
    where policy.items
    union
    select links.source, links.deal_id, order_deals.by_replay
    from order_deals
    inner join {{ ref('int_deal_links') }} as links
        on order_deals.source = links.source and order_deals.deal_id = links.original_deal_id
),

order_lines as (
    select distinct lines.source, lines.product_id, lines.product_code, order_deals.by_replay
    from lines
    inner join order_deals on lines.source = order_deals.source and lines.deal_id = order_deals.deal_id
),

line_codes as (
    select product_code, by_replay from order_lines where product_code is not null
    union
    select products.product_code, order_lines.by_replay
    from order_lines
    inner join {{ ref('int_product_changes') }} as products
        on order_lines.source = products.source and order_lines.product_id = products.product_id
    where products.product_code is not null
),

touched_items as (
    select new_codes.product_code as sku, false as by_replay
    from new_codes
    cross join {{ source('ops', 'policy') }} as policy
    where policy.items
    union
    select products.product_code, build.replay_from is not null
    from {{ ref('int_product_changes') }} as products
    cross join {{ source('ops', 'policy') }} as policy
    cross join build
    where policy.items and build.mode = 'full' and products.product_code is not null
    union
    select product_code, by_replay from line_codes
    union
    select mapping.target_value, line_codes.by_replay
    from {{ source('ops', 'mapping') }} as mapping
    inner join line_codes on mapping.source_value = line_codes.product_code
    where mapping.kind = 'product'
    union
    select {{ entity_id('entity_key') }}, by_replay from named_before where {{ entity_object('entity_key') }} = 'item'
),

every_reason as (
    select entity_key, document_kind, source, root_id, by_replay from touched_orders
    union all
    select {{ entity_key('source', 'account', 'customer_id') }}, 'customer', source, customer_id, by_replay from touched_customers
    union all
    select {{ entity_key('touched_customers.source', 'billing_address', 'customer_id') }}, 'address', touched_customers.source, customer_id, by_replay
    from touched_customers
    cross join {{ source('ops', 'policy') }} as policy
    where policy.addresses
    union all
    select {{ entity_key('touched_customers.source', 'shipping_address', 'customer_id') }}, 'address', touched_customers.source, customer_id, by_replay
    from touched_customers
    cross join {{ source('ops', 'policy') }} as policy
    where policy.addresses
    union all
    select {{ item_key('sku') }}, 'item', 'catalog', sku, by_replay from touched_items
    union all
    select entity_key, document_kind, source, root_id, by_replay
    from {{ source('ops', 'unfinished_entity') }}
    where document_kind <> 'sales_order'
),

final as (
    select entity_key, document_kind, source, root_id, bool_and(by_replay) as by_replay
    from every_reason
    group by entity_key, document_kind, source, root_id
)

select * from final
