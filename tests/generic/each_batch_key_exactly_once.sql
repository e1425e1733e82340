{# Keys of the batch that the mart does not have exactly once. Reads only the days that the merge could touch. #}
{% test each_batch_key_exactly_once(model, batch, day_of, columns, condition) %}
with expected as (
    select {{ columns | join(', ') }}
    from {{ batch }}
    where key_quality <> 'retired'
),

found as (
    select
        {{ columns | join(', ') }},
        count(*) as copies
    from {{ model }} as mart
    where
        {{ merge_window(batch, day_of, 'mart') }}
        and {{ condition }}
    group by {{ columns | join(', ') }}
)

select
    {% for column in columns %}expected.{{ column }}, {% endfor %}
    coalesce(found.copies, 0) as copies
from expected
left join found
    on {% for column in columns %}expected.{{ column }} = found.{{ column }}{{ ' and ' if not loop.last }}{% endfor %}
where coalesce(found.copies, 0) <> 1
{% endtest %}
