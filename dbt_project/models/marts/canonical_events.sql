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

typed as (
    select
        *,
        case
            when status = 'cancelled' then 'order.cancelled'
            when position = 1 then 'order.created'
            else 'order.amended'
        end as type
    from numbered
),

final as (
    select
        typed.id,
        typed.source,
        typed.type,
        typed.source_document_id as subject,
        typed.changed_at as time,
        '1.0' as specversion,
        'application/json' as datacontenttype,
        typed.entity_key,
        typed.document_kind,
        typed.position,
        {{ contract_version('typed.type') }} as contract_version,
        typed.digest,
        typed.root_id as order_id,
        typed.contract_id,
        typed.subscription_id,
        typed.source_document_id,
        typed.sold_to,
        typed.bill_to,
        typed.ship_to,
        policy.selling_entity,
        coalesce(typed.currency, policy.default_currency) as currency,
        typed.payment_terms,
        typed.po_number,
        typed.tax_treatment,
        typed.signed_date,
        typed.booking_date,
        typed.effective_date,
        typed.status,
        typed.amount,
        coalesce(line_sets.lines, []) as lines,
        typed.is_resolved,
        typed.root_was_won,
        typed.is_netted
    from typed
    cross join policy
    left join line_sets on typed.id = line_sets.id
)

select * from final
