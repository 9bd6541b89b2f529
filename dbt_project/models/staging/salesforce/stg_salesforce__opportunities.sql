-- Grain: one observation of an opportunity (source, deal_id, changed_at, row_hash); deletions are observations too.
-- Why: renamed and typed, nothing decided. A deletion from the deletes feed carries no fields: it is a tombstone.
with observations as (
    select * from {{ source('landing', 'salesforce__opportunity') }}
),

deletions as (
    select * from {{ source('landing', 'salesforce__opportunity_deletes') }}
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
        coalesce(_deleted, false) or coalesce("IsDeleted", false) as is_deleted,
        coalesce("IsWon", false) as is_won,
        lower(nullif(trim("Type"), '')) as deal_type,
        nullif(trim("Original_Opportunity__c"), '') as original_deal_id,
        nullif(trim("AccountId"), '') as customer_id,
        nullif(trim("ContractId"), '') as contract_id,
        "Amount" as amount,
        nullif(trim("CurrencyIsoCode"), '') as currency,
        "CloseDate" as booking_date,
        nullif(trim("PO_Number__c"), '') as po_number,
        nullif(trim("Payment_Terms__c"), '') as payment_terms
    from observations
),

tombstones as (
    select
        _source as source,
        _id as deal_id,
        _stamp as changed_at,
        _observed_at as observed_at,
        _hash as row_hash,
        _is_new as is_new,
        true as is_tombstone,
        true as is_deleted,
        false as is_won
    from deletions
),

final as (
    select * from renamed
    union all by name
    select * from tombstones
)

select * from final
