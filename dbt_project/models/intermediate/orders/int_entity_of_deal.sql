-- Grain: (source, deal_id), deals of touched entities.
-- Key: entity_key = <source>/opportunity/<root deal>.
-- Why: an amendment, renewal or cancellation belongs to the order that it changes, found by following the original links of the
-- newest versions to the root. A root that is not landed still names the entity, so that nothing is renamed when it arrives;
-- until then the entity is unresolved, and never an order.
with recursive
touched as (
    select source, root_id from {{ ref('int_touched_entities') }} where document_kind = 'sales_order'
),

-- everything that ever hung below a touched entity
candidates (source, deal_id) as (
    select source, root_id from touched
    union
    select links.source, links.deal_id
    from candidates
    inner join {{ ref('int_deal_links') }} as links
        on candidates.source = links.source and candidates.deal_id = links.original_deal_id
),

newest as (
    select deals.source, deals.deal_id, deals.deal_type, deals.original_deal_id
    from {{ ref('int_deal_changes') }} as deals
    semi join candidates on deals.source = candidates.source and deals.deal_id = candidates.deal_id
    where not deals.is_tombstone
    qualify row_number() over (
        partition by deals.source, deals.deal_id
        order by deals.changed_at desc, deals.observed_at desc, deals.row_hash desc
    ) = 1
),

parents as (
    select
        source,
        deal_id,
        nullif(original_deal_id, deal_id) as parent_id,
        nullif(original_deal_id, deal_id) is null
        and coalesce(
            deal_type in ({% for type in var('amendment_types') %}'{{ type }}'{{ ', ' if not loop.last }}{% endfor %}), false
        ) as is_orphan
    from newest
),

-- every deal with all its ancestors; the set union ends the walk also where links run in a circle
climb (source, deal_id, ancestor_id) as (
    select source, deal_id, deal_id from parents
    union
    select climb.source, climb.deal_id, parents.parent_id
    from climb
    inner join parents on climb.source = parents.source and climb.ancestor_id = parents.deal_id
    where parents.parent_id is not null
),

ends as (
    select climb.source, climb.deal_id, climb.ancestor_id as root_id, parents.deal_id is not null and not parents.is_orphan as is_resolved
    from climb
    left join parents on climb.source = parents.source and climb.ancestor_id = parents.deal_id
    where parents.parent_id is null
),

-- deals whose links never end: the entity takes the smallest id of the circle
circles as (
    select climb.source, climb.deal_id, min(climb.ancestor_id) as root_id, false as is_resolved
    from climb
    inner join parents on climb.source = parents.source and climb.ancestor_id = parents.deal_id
    inner join climb as back
        on climb.source = back.source and parents.parent_id = back.deal_id and climb.ancestor_id = back.ancestor_id
    anti join ends on climb.source = ends.source and climb.deal_id = ends.deal_id
    group by climb.source, climb.deal_id
),

roots as (
    select * from ends
    union all
    select * from circles
),

final as (
    select
        roots.source,
        roots.deal_id,
        roots.root_id,
        {{ entity_key('roots.source', 'opportunity', 'roots.root_id') }} as entity_key,
        roots.deal_id = roots.root_id as is_root,
        roots.is_resolved
    from roots
    semi join touched on roots.source = touched.source and roots.root_id = touched.root_id
)

select * from final
