{{ config(materialized='table', tags=['reconcile']) }}
-- Grain: one state of an order that is to be posted, where lines are billed by periods; else empty. Key: event_id.
-- Why: what of the order has to be on invoices by today, and by yesterday: what becomes due today is invoiced in the course of the day. The
-- same as core/invoice_schedule.py, in SQL: a term is cut into periods from its first day on, the last one ends with it and weighs its days
-- in those that it would have. A line without a term is whole, and due on the order's date.
with terms as (
    select * from {{ source('ops', 'billing_terms') }} where months is not null
),

states as (
    select
        outbox.event_id,
        outbox.currency,
        coalesce(outbox.document_date, date '1900-01-01') as booked_on,
        terms.today,
        terms.months,
        terms.in_arrears,
        unnest(from_json(outbox.payload ->> '$.lines', '[{"amount": "DECIMAL(38,9)", "start": "DATE", "end": "DATE"}]')) as line
    from {{ ref('outbox') }} as outbox
    cross join terms
    where outbox.document_kind = 'sales_order'
),

order_lines as (
    select
        * exclude (line),
        line.amount as amount,
        line."start" as first_day,
        line."end" as last_day,
        coalesce(line."start" <= line."end", false) as has_term
    from states
),

-- the first days of all periods, and of the one after the last
days_of_terms as (
    select
        *,
        case
            when has_term then list_transform(
                range(datediff('month', first_day, last_day) // months + 3),
                lambda period: cast(first_day + to_months(cast(period * months as integer)) as date)
            )
        end as days
    from order_lines
),

whole_periods as (
    select *, case when has_term then len(list_filter(days, lambda day: day <= last_day + 1)) - 1 else 1 end as full_periods
    from days_of_terms
),

weights as (
    select
        *,
        case when has_term then last_day + 1 - days[full_periods + 1] else 0 end as days_cut,
        case when has_term then days[full_periods + 2] - days[full_periods + 1] else 1 end as days_full
    from whole_periods
),

dated as (
    select
        * exclude (days),
        case
            when not has_term then [booked_on]
            when in_arrears
                then list_transform(days[2:full_periods + 1 + if(days_cut > 0, 1, 0)], lambda day: least(day, last_day + 1))
            else days[1:full_periods + if(days_cut > 0, 1, 0)]
        end as due_days
    from weights
),

counted as (
    select
        *,
        full_periods * days_full + days_cut as weight,
        len(due_days) as periods,
        len(list_filter(due_days, lambda day: day <= today)) as due,
        len(list_filter(due_days, lambda day: day < today)) as due_before,
        list_min(list_filter(due_days, lambda day: day > today)) as next_due_on
    from dated
),

shares as (
    select
        *,
        case when due >= periods then amount else {{ share('amount', 'due * days_full', 'weight', 'currency') }} end as due_amount,
        case
            when due_before >= periods then amount else {{ share('amount', 'due_before * days_full', 'weight', 'currency') }}
        end as due_before_amount
    from counted
),

final as (
    select
        event_id,
        nullif(min(due_days[1]), date '1900-01-01') as due_on,
        min(next_due_on) as next_due_on,
        cast(sum(due_amount) as decimal(38, 9)) as due_amount,
        cast(sum(due_before_amount) as decimal(38, 9)) as due_before_amount
    from shares
    group by event_id
)

select * from final
