{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail', tags=['derive'],
    pre_hook="{{ delete_touched() }}"
) }}
-- Grain: one canonical event of an order. Key: id.
-- Why: a pure function of all landed changes of an entity. Equal neighbouring states are one event, that of the first of them; the
-- id covers source, entity, document kind, stamp and digest, so a version that surfaces late may change type and position, which
-- are labels, and no id. What is enriched (currency by policy, skus by the catalog) stands outside the digest.
-- depends_on: {{ ref('int_touched_entities') }} (its pre-hook reads it)
with states as (
    select * from {{ ref('int_order_states') }}
),

policy as (
    select * from {{ source('ops', 'policy') }}
),

changed as (
    select *
    from states
    qualify digest is distinct from lag(digest) over (partition by entity_key order by changed_at)
),

identified as (
    select
        *,
        'sales_order' as document_kind,
        sha256({{ canonical_text(['source', 'entity_key', "'sales_order'", instant_text('changed_at'), 'digest']) }}) as id
    from changed
),

numbered as (
    select
        *,
        cast(row_number() over (partition by entity_key order by changed_at, id) as integer) as position
    from identified
),

-- a line without a product code takes the code that its product had at the event, or the first one known later
exploded as (
    select id, source, changed_at, unnest(range(1, len(lines) + 1)) as line_number, unnest(lines) as line
    from numbered
),

coded as (
    select
        exploded.*,
        coalesce(exploded.line.product_code, products.product_code) as source_sku
    from exploded
    left join {{ ref('int_product_versions') }} as products
        on exploded.source = products.source
        and exploded.line.product_id = products.product_id
        and products.valid_to > exploded.changed_at
        and products.product_code is not null
    qualify row_number() over (partition by exploded.id, exploded.line_number order by products.valid_from nulls last) = 1
),

line_sets as (
    select
        id,
        list(
            struct_pack(
                line_id := line.line_id,
                source_sku := source_sku,
                description := line.description,
                quantity := line.quantity,
                uom := line.uom,
                unit_price := line.unit_price,
                discount := line.discount,
                amount := line.amount,
                charge_type := line.charge_type,
                start_date := line.start_date,
                end_date := line.end_date,
                billing_frequency := line.billing_frequency
            )
            order by line_number
        ) as lines
    from coded
    group by id
),

final as (
    select
        numbered.id,
        numbered.source,
        case
            when numbered.status = 'cancelled' then 'order.cancelled'
            when numbered.position = 1 then 'order.created'
            else 'order.amended'
        end as type,
        numbered.source_document_id as subject,
        numbered.changed_at as time,
        '1.0' as specversion,
        'application/json' as datacontenttype,
        numbered.entity_key,
        numbered.document_kind,
        numbered.position,
        '1.0.0' as contract_version,
        numbered.digest,
        numbered.root_id as order_id,
        numbered.contract_id,
        numbered.subscription_id,
        numbered.source_document_id,
        numbered.sold_to,
        numbered.bill_to,
        numbered.ship_to,
        policy.selling_entity,
        coalesce(numbered.currency, policy.default_currency) as currency,
        numbered.payment_terms,
        numbered.po_number,
        numbered.tax_treatment,
        numbered.signed_date,
        numbered.booking_date,
        numbered.effective_date,
        numbered.status,
        numbered.amount,
        coalesce(line_sets.lines, []) as lines,
        numbered.is_resolved,
        numbered.root_was_won,
        numbered.is_netted
    from numbered
    cross join policy
    left join line_sets on numbered.id = line_sets.id
)

select * from final
