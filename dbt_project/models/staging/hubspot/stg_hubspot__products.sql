-- Grain: one observation of a product (source, product_id, changed_at, row_hash); archived ones are observations too.
-- Why: renamed and typed.
with observations as (
    select * from {{ source('landing', 'hubspot__products') }}
),

archived as (
    select * from {{ source('landing', 'hubspot__products_archived') }}
),

renamed as (
    select
        _source as source,
        _id as product_id,
        _stamp as changed_at,
        _observed_at as observed_at,
        _hash as row_hash,
        _is_new as is_new,
        coalesce(_deleted, false) as is_deleted,
        coalesce(lower(trim(hs_status)) <> 'inactive', true) as is_active,
        nullif(trim(hs_sku), '') as product_code,
        nullif(trim(name), '') as name,
        cast(round(price, 6) as decimal(38, 9)) as list_price
    from observations
),

final as (
    select * from renamed
    union all by name
    select
        _source as source, _id as product_id, _stamp as changed_at, _observed_at as observed_at, _hash as row_hash, _is_new as is_new,
        true as is_deleted, false as is_active
    from archived
)

select * from final
