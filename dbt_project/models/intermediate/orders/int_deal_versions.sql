-- Grain: (source, deal_id, valid_from), deals of touched entities: one version and the interval in which it held.
-- Why: exact repetitions are gone, and within a stamp the last observed wins (ties by content hash, so that the order of arrival
-- never counts); a deletion wins over whatever else its second holds.
with members as (
    select * from {{ ref('int_entity_of_deal') }}
),

observations as (
    select changes.*, members.entity_key, members.root_id, members.is_root, members.is_resolved
    from {{ ref('int_deal_changes') }} as changes
    inner join members on changes.source = members.source and changes.deal_id = members.deal_id
),

winners as (
    select *
    from observations
    qualify row_number() over (
        partition by source, deal_id, changed_at
        order by is_tombstone desc, observed_at desc, row_hash desc
    ) = 1
),

final as (
    select
        * exclude (changed_at, observed_at, row_hash, is_new, is_tombstone),
        changed_at as valid_from,
        lead(changed_at, 1, timestamptz '9999-12-31 00:00:00+00') over (
            partition by source, deal_id order by changed_at
        ) as valid_to
    from winners
)

select * from final
