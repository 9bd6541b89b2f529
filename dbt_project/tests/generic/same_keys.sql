{# Both tables have the same keys, each once, among touched entities. Finds the keys that one of them lacks or has twice. #}
{% test same_keys(model, key, to, to_key, touched) %}
with here as (
    select {{ key }} as key, count(*) as times
    from {{ model }}
    where entity_key in (select entity_key from {{ touched }})
    group by {{ key }}
),

there as (
    select {{ to_key }} as key, count(*) as times
    from {{ to }}
    where entity_key in (select entity_key from {{ touched }})
    group by {{ to_key }}
)

select coalesce(here.key, there.key) as key, here.times, there.times as times_there
from here
full join there on here.key = there.key
where here.times is distinct from 1 or there.times is distinct from 1
{% endtest %}
