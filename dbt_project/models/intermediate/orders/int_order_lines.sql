{{ config(materialized='view') }}
-- Grain: (entity_key, changed_at, line_id): the lines of an order as they were at each of its stamps, amendments netted in.
-- Why: an event carries the whole target state. Without an amendment the lines are the deal's own, one by one; with one, lines of a
-- product at a price are added up, and what comes to nothing is left out.
with won_lines as (
    select * from {{ ref('int_order_deal_lines') }}
),

-- lines of one product, price and term are one
summed_lines as (
    select
        entity_key, changed_at, min(line_id) as line_id, product_id, product_code, min(description) as description,
        sum(quantity) as quantity, uom, unit_price, discount, sum(amount) as amount, charge_type, start_date, end_date, billing_frequency
    from won_lines
    where is_netted
    group by
        entity_key, changed_at, product_id, product_code, uom, unit_price, discount, charge_type, start_date, end_date,
        billing_frequency
),

terms as (
    select
        *,
        coalesce(bool_or(quantity < 0) over (
            partition by
                entity_key, changed_at, product_id, product_code, uom, unit_price, discount, charge_type, billing_frequency
        ), false) as is_reduced
    from summed_lines
),

-- a reduction starts later than what it reduces: there the terms of product and price are one too
netted_lines as (
    select * exclude (is_reduced) from terms where not is_reduced and quantity is distinct from 0
    union all by name
    select
        entity_key, changed_at, min(line_id) as line_id, product_id, product_code, min(description) as description,
        sum(quantity) as quantity, uom, unit_price, discount, sum(amount) as amount, charge_type, min(start_date) as start_date,
        max(end_date) as end_date, billing_frequency
    from terms
    where is_reduced
    group by entity_key, changed_at, product_id, product_code, uom, unit_price, discount, charge_type, billing_frequency
    having sum(quantity) <> 0
),

final as (
    select
        entity_key, changed_at, line_id, product_id, product_code, description, quantity, uom, unit_price, discount, amount,
        charge_type, start_date, end_date, billing_frequency
    from won_lines
    where not is_netted
    union all by name
    select * from netted_lines
)

select * from final
