-- Grain: (source, merged_deal_id, deal_id): a deal has been taken into another one, as that was first observed.
-- Why: HubSpot tells a merge by the record that is left (or made) by it, names there all that ever went into it, and nowhere else.
with observations as (
    select * from {{ source('landing', 'hubspot__deals') }}
),

named as (
    select
        _source as source,
        trim(unnest(string_split(hs_merged_object_ids, ';'))) as merged_deal_id,
        _id as deal_id,
        _stamp as changed_at,
        _observed_at as observed_at,
        _hash as row_hash,
        _is_new as is_new
    from observations
    where hs_merged_object_ids is not null
),

final as (
    select *
    from named
    where merged_deal_id not in ('', deal_id)
    qualify row_number() over (
        partition by source, merged_deal_id, deal_id order by changed_at, observed_at, row_hash
    ) = 1
)

select * from final
