{# Each `parent` of a touched entity's row is the `key` of some row of the table. Finds the parents that are not. #}
{% test parents_exist(model, key, parent, touched) %}
select distinct children.{{ parent }}
from {{ model }} as children
anti join {{ model }} as parents on children.{{ parent }} = parents.{{ key }}
where children.{{ parent }} is not null
  and children.entity_key in (select entity_key from {{ touched }})
{% endtest %}
