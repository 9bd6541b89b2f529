-- Grain: one observation of a line item (source, line_id, changed_at, row_hash); archived ones are observations too, and a line that went
-- with its deal into another one has been observed there when the merge was.
-- Why: renamed and typed. A merge moves the lines' links and not their stamps, so that no later read needs to find it. `amount` is the line's net price, ex tax; a flat discount is one of each unit, and taken off its price.
with observations as (
    select * from {{ source('landing', 'hubspot__line_items') }}
),

archived as (
    select * from {{ source('landing', 'hubspot__line_items_archived') }}
),

renamed as (
    select
        _source as source,
        _id as line_id,
        _stamp as changed_at,
        _observed_at as observed_at,
        _hash as row_hash,
        _is_new as is_new,
        coalesce(_deleted, false) as is_deleted,
        nullif(trim(associated_deal), '') as deal_id,
        nullif(trim(hs_product_id), '') as product_id,
        nullif(trim(hs_sku), '') as product_code,
        nullif(trim(coalesce(description, name)), '') as description,
        quantity,
        -- six places are more than any price has, and fewer than a float is wrong in
        cast(round(price - coalesce(discount, 0), 6) as decimal(38, 9)) as unit_price,
        hs_discount_percentage as discount,
        {{ in_minor_units(
            'coalesce(amount, case when hs_discount_percentage is null then try(cast(quantity * (price - coalesce(discount, 0)) as decimal(38, 9))) end)',
            "coalesce(nullif(trim(hs_line_item_currency_code), ''), portal_currency)"
        ) }} as amount,
        hs_recurring_billing_start_date as start_date,
        hs_recurring_billing_end_date as end_date,
        lower(nullif(trim(recurringbillingfrequency), '')) as billing_frequency
    from observations
),

observed as (
    select * from renamed
    union all by name
    select
        _source as source, _id as line_id, _stamp as changed_at, _observed_at as observed_at, _hash as row_hash, _is_new as is_new,
        true as is_deleted
    from archived
),

-- every line that was ever seen on a merged deal
affected as (
    select distinct
        merges.source, observed.line_id, merges.merged_deal_id, merges.deal_id as into_deal_id, merges.changed_at as merged_at,
        merges.observed_at as merge_observed_at, merges.is_new as is_new_merge
    from {{ ref('stg_hubspot__deal_merges') }} as merges
    inner join observed on merges.source = observed.source and merges.merged_deal_id = observed.deal_id
),

last_before as (
    select observed.*, affected.* exclude (source, line_id)
    from affected
    inner join observed
        on affected.source = observed.source
        and affected.line_id = observed.line_id
        and observed.changed_at < affected.merged_at
    qualify row_number() over (
        partition by affected.source, affected.line_id, affected.merged_deal_id, affected.into_deal_id
        order by observed.changed_at desc, observed.observed_at desc, observed.row_hash desc
    ) = 1
),

-- those that were still there when it was merged
moved as (
    select
        * exclude (merged_deal_id, into_deal_id, merged_at, merge_observed_at, is_new_merge)
        replace (
            into_deal_id as deal_id, merged_at as changed_at, greatest(observed_at, merge_observed_at) as observed_at,
            is_new or is_new_merge as is_new
        )
    from last_before
    where deal_id = merged_deal_id and not is_deleted
),

final as (
    select * from observed
    union all by name
    select * from moved
)

select * from final
