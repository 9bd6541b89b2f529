-- Grain: (source, product_id, valid_from): one version of a product and the interval in which it held.
-- Why: the catalog over time. Within a stamp the last observed wins.
with winners as (
    select *
    from {{ ref('int_product_changes') }}
    qualify row_number() over (
        partition by source, product_id, changed_at
        order by observed_at desc, row_hash desc
    ) = 1
),

final as (
    select
        source,
        product_id,
        product_code,
        name,
        uom,
        list_price,
        currency,
        is_active and not is_deleted as is_active,
        changed_at as valid_from,
        lead(changed_at, 1, timestamptz '9999-12-31 00:00:00+00') over (
            partition by source, product_id order by changed_at
        ) as valid_to
    from winners
)

select * from final
