-- Grain: (source, customer_id, valid_from), customers that touched entities are or name: one version and when it held.
-- Why: a deleted customer ends the interval and has no version of its own. Within a stamp the last observed wins.
with named as (
    select source, root_id as customer_id from {{ ref('int_touched_entities') }} where document_kind = 'customer'
    union
    select source, customer_id from {{ ref('int_deal_versions') }} where customer_id is not null
),

customers as (
    select source, customer_id from named
    union
    select named.source, mapping.target_value
    from {{ source('ops', 'mapping') }} as mapping
    inner join named on mapping.source_value = named.customer_id
    where mapping.kind = 'customer'
),

winners as (
    select changes.*
    from {{ ref('int_customer_changes') }} as changes
    semi join customers on changes.source = customers.source and changes.customer_id = customers.customer_id
    qualify row_number() over (
        partition by changes.source, changes.customer_id, changes.changed_at
        order by changes.observed_at desc, changes.row_hash desc
    ) = 1
),

intervals as (
    select
        *,
        changed_at as valid_from,
        lead(changed_at, 1, timestamptz '9999-12-31 00:00:00+00') over (
            partition by source, customer_id order by changed_at
        ) as valid_to
    from winners
),

final as (
    select source, customer_id, name, country, currency, billing_address, shipping_address, valid_from, valid_to
    from intervals
    where not is_deleted
)

select * from final
