-- Grain: one observation of an account (source, customer_id, changed_at, row_hash).
-- Why: renamed and typed.
with observations as (
    select * from {{ source('landing', 'salesforce__account') }}
),

final as (
    select
        _source as source,
        _id as customer_id,
        _stamp as changed_at,
        _observed_at as observed_at,
        _hash as row_hash,
        _is_new as is_new,
        coalesce(_deleted, false) or coalesce("IsDeleted", false) as is_deleted,
        nullif(trim("Name"), '') as name,
        nullif(trim("BillingCountry"), '') as country,
        nullif(trim("CurrencyIsoCode"), '') as currency,
        {{ postal_address('Billing') }} as billing_address,
        {{ postal_address('Shipping') }} as shipping_address
    from observations
)

select * from final
