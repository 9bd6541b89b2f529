-- Grain: (event_id, line_number), lines of the open events of touched entities.
-- Why: what enrichment makes of a line: the sku to post, whether the catalog knows it, and a net unit price such that quantity times
-- price is the line's amount. An operator's mapping goes before the line's own code. A product counts as active when it was active
-- at the event or at any moment since: what could be posted once does not become unpostable when the product is retired.
with events as (
    select *
    from {{ ref('canonical_events') }}
    where entity_key in (select entity_key from {{ ref('int_touched_entities') }})
),

catalog as (
    select
        source,
        product_code,
        coalesce(max(valid_to) filter (where is_active), timestamptz '1970-01-01 00:00:00+00') as active_until
    from {{ ref('int_product_versions') }}
    where product_code is not null
    group by source, product_code
),

mappings as (
    select source_value, max_by(target_value, seq) as target_value
    from {{ source('ops', 'mapping') }}
    where kind = 'product'
    group by source_value
),

exploded as (
    select
        id as event_id,
        source,
        time,
        currency,
        unnest(range(1, len(lines) + 1)) as line_number,
        unnest(lines) as line
    from events
),

matched as (
    select
        exploded.event_id,
        cast(exploded.line_number as integer) as line_number,
        exploded.line,
        exploded.currency,
        exploded.line.quantity as quantity,
        exploded.line.unit_price as unit_price,
        exploded.line.amount as amount,
        coalesce(exploded.line.discount, 0) <> 0 or exploded.line.unit_price is null as is_discounted,
        mappings.target_value as mapped_sku,
        own.product_code as own_sku,
        mapped.product_code is not null as is_mapped_to_catalog,
        coalesce(mapped.active_until > exploded.time, false) as is_mapped_active,
        coalesce(own.active_until > exploded.time, false) as is_own_active
    from exploded
    left join mappings on exploded.line.source_sku = mappings.source_value
    left join catalog as mapped on exploded.source = mapped.source and mappings.target_value = mapped.product_code
    left join catalog as own on exploded.source = own.source and exploded.line.source_sku = own.product_code
),

priced as (
    select
        *,
        {{ ratio('amount', 'quantity', 9) }} as price_9,
        {{ ratio('amount', 'quantity', 4) }} as price_4
    from matched
),

final as (
    select
        event_id,
        line_number,
        line.line_id as line_id,
        line.source_sku as source_sku,
        case
            when is_mapped_active then mapped_sku
            when is_own_active then own_sku
            when is_mapped_to_catalog then mapped_sku
            else own_sku
        end as sku,
        case
            when is_mapped_active or is_own_active then 'active'
            when is_mapped_to_catalog or own_sku is not null then 'inactive'
            else 'unmapped'
        end as product_state,
        mapped_sku,
        line.description as description,
        quantity,
        line.uom as uom,
        amount,
        -- exact where the source allows; else the price whose product rounds to the amount; else none
        case
            when {{ is_exact('quantity', 'unit_price', 'amount') }} then unit_price
            when not is_discounted and {{ is_within_minor_unit('quantity', 'unit_price', 'amount', 'currency') }} then unit_price
            when not is_discounted then null
            when {{ is_exact('quantity', 'price_9', 'amount') }} then price_9
            when {{ is_within_minor_unit('quantity', 'price_4', 'amount', 'currency') }} then price_4
            when {{ is_within_minor_unit('quantity', 'price_9', 'amount', 'currency') }} then price_9
        end as net_unit_price,
        line.start_date as start_date,
        line.end_date as end_date
    from priced
)

select * from final
