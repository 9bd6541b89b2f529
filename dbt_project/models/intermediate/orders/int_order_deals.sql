{{ config(materialized='view') }}
-- Grain: (entity_key, changed_at, deal_id): the won deals of an order as they were at each of its stamps.
-- Why: what the state at that stamp is made of.
select points.changed_at, deals.*
from {{ ref('int_order_points') }} as points
inner join {{ ref('int_deal_versions') }} as deals
    on points.entity_key = deals.entity_key
    and deals.valid_from <= points.changed_at
    and points.changed_at < deals.valid_to
where deals.is_won and not deals.is_deleted
