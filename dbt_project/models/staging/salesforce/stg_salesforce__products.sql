-- Grain: one observation of a product (source, product_id, changed_at, row_hash).
-- Why: renamed and typed.
with observations as (
    select * from {{ source('landing', 'salesforce__product2') }}
),

final as (
    select
        _source as source,
        _id as product_id,
        _stamp as changed_at,
        _observed_at as observed_at,
        _hash as row_hash,
        _is_new as is_new,
        coalesce(_deleted, false) or coalesce("IsDeleted", false) as is_deleted,
        coalesce("IsActive", true) as is_active,
        nullif(trim("ProductCode"), '') as product_code,
        nullif(trim("Name"), '') as name,
        nullif(trim("QuantityUnitOfMeasure"), '') as uom,
        "List_Price__c" as list_price,
        nullif(trim("CurrencyIsoCode"), '') as currency
    from observations
)

select * from final
