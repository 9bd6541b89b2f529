{{ config(materialized='table', tags=['reconcile']) }}
-- Grain: an order that the ERP holds, where orders are invoiced as they are delivered; else empty. Key: external_id.
-- Why: what of it has to be on invoices: of each line the delivered quantity's share of the amount. The same as core/invoice_delivery.py, in SQL: a
-- line of which the ERP tells nothing counts once everything that it tells of is delivered. Lines and deliveries are of one document here; there a
-- state of the order is only billed by the word of a document that has its lines.
with orders as (
    select erp_orders.*
    from {{ ref('int_erp_orders') }} as erp_orders
    cross join {{ source('ops', 'billing_terms') }} as terms
    where terms.invoice_trigger = 'delivery' and erp_orders.external_id is not null
),

order_lines as (
    select
        external_id,
        currency,
        unnest(from_json(
            lines,
            '[{"quantity": "DECIMAL(38,9)", "amount": "DECIMAL(38,9)", "delivered": "DECIMAL(38,9)"}]'
        ), recursive := true)
    from orders
),

measured as (
    select
        *,
        case
            when delivered is null then null
            when quantity >= 0 then greatest(0, least(delivered, quantity))
            else least(0, greatest(delivered, quantity))
        end as counted
    from order_lines
),

complete as (
    select external_id, coalesce(bool_and(counted = quantity) filter (where counted is not null), false) as is_complete
    from measured
    group by external_id
),

due as (
    select
        measured.external_id,
        case
            when counted is null then case when is_complete then amount else 0 end
            when counted = quantity then amount
            else {{ share('amount', 'abs(counted) * 1000000000', 'abs(quantity) * 1000000000', 'currency') }}
        end as due_amount
    from measured
    inner join complete on measured.external_id = complete.external_id
),

final as (
    select external_id, cast(sum(due_amount) as decimal(38, 9)) as due_amount
    from due
    group by external_id
)

select * from final
