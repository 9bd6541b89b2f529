-- Grain: one observation of a line item (source, line_id, changed_at, row_hash); archived ones are observations too.
-- Why: renamed and typed. `amount` is the line's net price, ex tax; a flat discount is one of each unit, and taken off its price.
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
            'hs_line_item_currency_code'
        ) }} as amount,
        hs_recurring_billing_start_date as start_date,
        hs_recurring_billing_end_date as end_date,
        lower(nullif(trim(recurringbillingfrequency), '')) as billing_frequency
    from observations
),

final as (
    select * from renamed
    union all by name
    select
        _source as source, _id as line_id, _stamp as changed_at, _observed_at as observed_at, _hash as row_hash, _is_new as is_new,
        true as is_deleted
    from archived
)

select * from final
