-- Grain: (destination, erp_id): an ERP sales order as it stands, unless deleted or cancelled there.
-- Why: the newest version that was read back, with its lines as one comparable text.
with newest as (
    select *
    from {{ ref('stg_erp__sales_orders') }}
    qualify row_number() over (
        partition by destination, erp_id order by changed_at desc, observed_at desc, row_hash desc
    ) = 1
),

final as (
    select
        destination,
        erp_id,
        external_id,
        erp_number,
        changed_at,
        status,
        event_id,
        currency,
        amount,
        lines,
        {{ lines_text('lines') }} as lines_text
    from newest
    where not is_deleted and status <> 'cancelled'
)

select * from final
