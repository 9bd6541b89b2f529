{# Within each group `number` runs from 1 upwards without gaps, in the order of `order_by`. Finds the rows that are numbered otherwise. #}
{% test numbered_without_gap(model, group_by, number, order_by) %}
select {{ group_by }}, {{ number }}
from {{ model }}
qualify {{ number }} <> row_number() over (partition by {{ group_by }} order by {{ order_by }})
{% endtest %}
