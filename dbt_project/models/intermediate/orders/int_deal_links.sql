{{ config(materialized='view') }}
-- Grain: (source, deal_id, original_deal_id): a deal has been seen with this original, in any version.
-- Why: also links that no longer hold lead to entities that a change concerns.
select distinct
    source,
    deal_id,
    original_deal_id
from {{ ref('int_deal_changes') }}
where original_deal_id is not null and original_deal_id <> deal_id
