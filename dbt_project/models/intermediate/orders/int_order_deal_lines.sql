{{ config(materialized='view') }}
-- Grain: (entity_key, changed_at, line_id): the lines of an order's won deals as they were at each of its stamps.
-- Why: `is_netted` tells the stamps at which an amendment counts; its lines are deltas.
select
    won.changed_at,
    lines.*,
    max(case when won.is_root then 0 else 1 end) over (partition by won.entity_key, won.changed_at) = 1 as is_netted
from {{ ref('int_order_deals') }} as won
inner join {{ ref('int_deal_line_versions') }} as lines
    on won.source = lines.source
    and won.deal_id = lines.deal_id
    and lines.valid_from <= won.changed_at
    and won.changed_at < lines.valid_to
