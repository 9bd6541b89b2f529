{# Each of a touched entity's `parent`s (an array) is the `key` of some row of the table. Finds the parents that are not. #}
{% test parents_exist(model, key, parent, touched) %}
with children as (
    select distinct unnest({{ parent }}) as parent_key
    from {{ model }}
    where entity_key in (select entity_key from {{ touched }})
)

select children.parent_key
from children
anti join {{ model }} as parents on children.parent_key = parents.{{ key }}
{% endtest %}
