-- Grain: (source, line_id, valid_from), lines that ever belonged to a deal of a touched entity.
-- Why: as int_deal_versions. A line may move to another deal; all its versions are read wherever one of them belongs here.
with members as (
    select * from {{ ref('int_entity_of_deal') }}
),

line_ids as (
    select distinct changes.source, changes.line_id
    from {{ ref('int_deal_line_changes') }} as changes
    semi join members on changes.source = members.source and changes.deal_id = members.deal_id
),

winners as (
    select changes.*
    from {{ ref('int_deal_line_changes') }} as changes
    semi join line_ids on changes.source = line_ids.source and changes.line_id = line_ids.line_id
    qualify row_number() over (
        partition by changes.source, changes.line_id, changes.changed_at
        order by changes.observed_at desc, changes.row_hash desc
    ) = 1
),

intervals as (
    select
        * exclude (changed_at, observed_at, row_hash, is_new),
        changed_at as valid_from,
        lead(changed_at, 1, timestamptz '9999-12-31 00:00:00+00') over (
            partition by source, line_id order by changed_at
        ) as valid_to
    from winners
),

final as (
    select intervals.*, members.entity_key, members.is_root
    from intervals
    inner join members on intervals.source = members.source and intervals.deal_id = members.deal_id
    where not intervals.is_deleted
)

select * from final
