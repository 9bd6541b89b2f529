-- Grain: one observation of a company (source, customer_id, changed_at, row_hash); archived ones are observations too.
-- Why: renamed and typed. A company has one address, which is where bills go.
with observations as (
    select * from {{ source('landing', 'hubspot__companies') }}
),

archived as (
    select * from {{ source('landing', 'hubspot__companies_archived') }}
),

renamed as (
    select
        _source as source,
        _id as customer_id,
        _stamp as changed_at,
        _observed_at as observed_at,
        _hash as row_hash,
        _is_new as is_new,
        coalesce(_deleted, false) as is_deleted,
        nullif(trim(name), '') as name,
        nullif(trim(country), '') as country,
        -- a country alone reaches nobody
        case
            when coalesce(nullif(trim(address), ''), nullif(trim(city), ''), nullif(trim(zip), '')) is not null
                then struct_pack(
                    street := nullif(trim(concat_ws(chr(10), nullif(trim(address), ''), nullif(trim(address2), ''))), ''),
                    city := nullif(trim(city), ''),
                    region := nullif(trim(state), ''),
                    postal_code := nullif(trim(zip), ''),
                    country := nullif(trim(country), '')
                )
        end as billing_address
    from observations
),

final as (
    select * from renamed
    union all by name
    select
        _source as source, _id as customer_id, _stamp as changed_at, _observed_at as observed_at, _hash as row_hash, _is_new as is_new,
        true as is_deleted
    from archived
)

select * from final
