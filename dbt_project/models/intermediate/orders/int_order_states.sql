-- Grain: (entity_key, changed_at), touched entities: the order as it stood at each stamp at which any part of it changed, from the
-- first won state on.
-- Why: parts are polled apart and at different seconds; as-of joins on the version intervals put them together the same way
-- whatever the order of arrival. The digest covers the *source's* business fields, before any mapping or enrichment, so that an
-- operator's decision never changes an event's id. Won amendments' lines are deltas: they are netted into the target state.
with deals as (
    select * from {{ ref('int_deal_versions') }}
),

points as (
    select * from {{ ref('int_order_points') }}
),

won as (
    select * from {{ ref('int_order_deals') }}
),

won_lines as (
    select * from {{ ref('int_order_deal_lines') }}
),

target_lines as (
    select * from {{ ref('int_order_lines') }}
),

line_texts as (
    select
        *,
        {{ canonical_text([
            'product_id', 'product_code', 'description', decimal_text('quantity'), 'uom', decimal_text('unit_price'),
            decimal_text('discount'), decimal_text('amount'), 'charge_type', 'cast(start_date as varchar)',
            'cast(end_date as varchar)', 'billing_frequency'
        ]) }} as line_text
    from target_lines
),

line_sets as (
    select
        entity_key,
        changed_at,
        list(
            struct_pack(
                line_id := line_id, product_id := product_id, product_code := product_code, description := description,
                quantity := cast(quantity as decimal(38, 9)), uom := uom, unit_price := unit_price, discount := discount,
                amount := cast(amount as decimal(38, 9)), charge_type := charge_type, start_date := start_date,
                end_date := end_date, billing_frequency := billing_frequency
            )
            order by line_id, line_text
        ) as lines,
        string_agg({{ text_part('line_text') }}, '' order by line_text) as lines_text
    from line_texts
    group by entity_key, changed_at
),

netted_points as (
    select distinct entity_key, changed_at from won_lines where is_netted
),

-- the header is the root's; of an entity whose root is not there, the won deal with the smallest id speaks for it
headers as (
    select *
    from won
    qualify row_number() over (partition by entity_key, changed_at order by is_root desc, deal_id) = 1
),

sums as (
    select
        won.entity_key,
        won.changed_at,
        case when count(won.amount) = count(*) then sum(won.amount) end as amount,
        coalesce(bool_or(
            not won.is_root
            and won.deal_type in ({% for type in var('cancellation_types') %}'{{ type }}'{{ ', ' if not loop.last }}{% endfor %})
            and coalesce(won.amount, 0) = 0
            and line_counts.deal_id is null
        ), false) as is_called_off
    from won
    left join (select distinct entity_key, changed_at, deal_id from won_lines) as line_counts
        on won.entity_key = line_counts.entity_key
        and won.changed_at = line_counts.changed_at
        and won.deal_id = line_counts.deal_id
    group by won.entity_key, won.changed_at
),

entities as (
    select entity_key, any_value(source) as source, any_value(root_id) as root_id, bool_or(is_resolved) as is_resolved
    from deals
    group by entity_key
),

judged as (
    select
        points.entity_key,
        points.changed_at,
        entities.source,
        entities.root_id,
        entities.is_resolved,
        headers,
        headers.is_root as root_is_won,
        sums.amount,
        coalesce(line_sets.lines, []) as lines,
        coalesce(line_sets.lines_text, '') as lines_text,
        coalesce(bool_or(headers.is_root) over earlier, false) as root_was_won,
        headers.deal_id is not null as has_won_deal,
        netted_points.entity_key is not null as is_netted,
        coalesce(sums.is_called_off, false)
        or (netted_points.entity_key is not null and line_sets.entity_key is null) as is_ended
    from points
    inner join entities on points.entity_key = entities.entity_key
    left join headers on points.entity_key = headers.entity_key and points.changed_at = headers.changed_at
    left join sums on points.entity_key = sums.entity_key and points.changed_at = sums.changed_at
    left join line_sets on points.entity_key = line_sets.entity_key and points.changed_at = line_sets.changed_at
    left join netted_points on points.entity_key = netted_points.entity_key and points.changed_at = netted_points.changed_at
    window earlier as (
        partition by points.entity_key order by points.changed_at rows between unbounded preceding and 1 preceding
    )
),

-- an amendment that is won before its order ever was leaves the order open but not postable; once the order was won and no longer
-- is, its amendments end with it
statuses as (
    select
        *,
        has_won_deal and not is_ended and (root_is_won or not is_resolved or not root_was_won) as is_open
    from judged
),

carried as (
    select
        * exclude (headers),
        last_value(case when is_open then headers end ignore nulls) over (
            partition by entity_key order by changed_at rows between unbounded preceding and current row
        ) as header,
        bool_or(is_open) over (
            partition by entity_key order by changed_at rows between unbounded preceding and current row
        ) as was_open
    from statuses
),

final as (
    select
        entity_key,
        changed_at,
        source,
        root_id,
        is_resolved,
        coalesce(root_is_won or root_was_won, false) as root_was_won,
        case when is_open then 'open' else 'cancelled' end as status,
        header.deal_id as source_document_id,
        header.contract_id as contract_id,
        header.subscription_id as subscription_id,
        header.customer_id as sold_to,
        header.bill_to as bill_to,
        header.ship_to as ship_to,
        header.currency as currency,
        header.payment_terms as payment_terms,
        header.po_number as po_number,
        header.tax_treatment as tax_treatment,
        header.signed_date as signed_date,
        header.booking_date as booking_date,
        header.effective_date as effective_date,
        case when is_open then cast(amount as decimal(38, 9)) else 0 end as amount,
        case when is_open then lines else [] end as lines,
        is_open and is_netted as is_netted,
        sha256(
            case
                when is_open then 'open' || {{ canonical_text([
                    'header.customer_id', 'header.bill_to', 'header.ship_to', 'header.contract_id', 'header.subscription_id',
                    'header.currency', decimal_text('amount'), 'header.payment_terms', 'header.po_number', 'header.tax_treatment',
                    'cast(header.signed_date as varchar)', 'cast(header.booking_date as varchar)',
                    'cast(header.effective_date as varchar)', 'lines_text'
                ]) }}
                else 'cancelled'
            end
        ) as digest
    from carried
    where was_open
)

select * from final
