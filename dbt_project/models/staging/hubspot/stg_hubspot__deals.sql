-- Grain: one observation of a deal (source, deal_id, changed_at, row_hash); archived and merged ones are observations too.
-- Why: renamed and typed. What was archived, and what another deal says that it has taken in, is a tombstone: nothing but the end is known.
-- A deal that amends a merged one amends the deal that this one is in now, in all its versions: its own property is not changed by the merge, and an
-- amendment that ends with what it amended would be money lost.
with recursive
observations as (
    select * from {{ source('landing', 'hubspot__deals') }}
),

archived as (
    select * from {{ source('landing', 'hubspot__deals_archived') }}
),

merges as (
    select * from {{ ref('stg_hubspot__deal_merges') }}
),

-- a merged deal with every deal that it has gone into, also by way of others; the set union ends the walk in any case
paths (source, merged_deal_id, deal_id) as (
    select source, merged_deal_id, deal_id from merges
    union
    select paths.source, paths.merged_deal_id, merges.deal_id
    from paths
    inner join merges on paths.source = merges.source and paths.deal_id = merges.merged_deal_id
),

-- the one that has gone into no other
successors as (
    select paths.source, paths.merged_deal_id, max(paths.deal_id) as deal_id
    from paths
    anti join merges on paths.source = merges.source and paths.deal_id = merges.merged_deal_id
    group by paths.source, paths.merged_deal_id
),

renamed as (
    select
        _source as source,
        _id as deal_id,
        _stamp as changed_at,
        _observed_at as observed_at,
        _hash as row_hash,
        _is_new as is_new,
        false as is_tombstone,
        coalesce(_deleted, false) as is_deleted,
        coalesce(hs_is_closed_won, false) as is_won,
        lower(nullif(trim(dealtype), '')) as deal_type,
        nullif(trim(original_deal_id), '') as original_deal_id,
        nullif(trim(associated_company), '') as customer_id,
        {{ in_minor_units('amount', "coalesce(nullif(trim(deal_currency_code), ''), portal_currency)") }} as amount,
        coalesce(nullif(trim(deal_currency_code), ''), portal_currency) as currency,
        {{ business_day('closedate', 'portal_time_zone') }} as booking_date,
        nullif(trim(po_number), '') as po_number,
        nullif(trim(payment_terms), '') as payment_terms
    from observations
),

tombstones as (
    select _source as source, _id as deal_id, _stamp as changed_at, _observed_at as observed_at, _hash as row_hash, _is_new as is_new
    from archived
    union all
    select source, merged_deal_id, changed_at, observed_at, row_hash, is_new from merges
),

followed as (
    select renamed.* replace (coalesce(successors.deal_id, renamed.original_deal_id) as original_deal_id)
    from renamed
    left join successors on renamed.source = successors.source and renamed.original_deal_id = successors.merged_deal_id
),

final as (
    select * from followed
    union all by name
    select *, true as is_tombstone, true as is_deleted, false as is_won from tombstones
)

select * from final
