-- Grain: one observation of an opportunity line item (source, line_id, changed_at, row_hash).
-- Why: renamed and typed. `amount` is the line's total after discount, ex tax; where the org does not land it, quantity times price.
with observations as (
    select * from {{ source('landing', 'salesforce__opportunity_line_item') }}
),

final as (
    select
        _source as source,
        _id as line_id,
        _stamp as changed_at,
        _observed_at as observed_at,
        _hash as row_hash,
        _is_new as is_new,
        coalesce(_deleted, false) or coalesce("IsDeleted", false) as is_deleted,
        nullif(trim("OpportunityId"), '') as deal_id,
        nullif(trim("Product2Id"), '') as product_id,
        nullif(trim("ProductCode"), '') as product_code,
        nullif(trim("Description"), '') as description,
        "Quantity" as quantity,
        "UnitPrice" as unit_price,
        "Discount" as discount,
        coalesce("TotalPrice", try(cast("Quantity" * "UnitPrice" as decimal(38, 9)))) as amount,
        "ServiceDate" as start_date,
        "End_Date__c" as end_date
    from observations
)

select * from final
