{{ config(materialized='view') }}
-- Grain: (entity_key, changed_at), touched entities: each stamp at which any part of the order changed, from the first won state on.
-- Why: parts are polled apart and at different seconds; whatever the order of arrival, the same stamps come out.
with deals as (
    select * from {{ ref('int_deal_versions') }}
),

lines as (
    select * from {{ ref('int_deal_line_versions') }}
),

first_won as (
    select entity_key, min(valid_from) as changed_at from deals where is_won and not is_deleted group by entity_key
),

stamps as (
    select entity_key, valid_from as changed_at from deals
    union
    select entity_key, valid_from from lines
    union
    select entity_key, valid_to from lines where valid_to < timestamptz '9999-12-31 00:00:00+00'
),

final as (
    select stamps.entity_key, stamps.changed_at
    from stamps
    inner join first_won on stamps.entity_key = first_won.entity_key and stamps.changed_at >= first_won.changed_at
)

select * from final
