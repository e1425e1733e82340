-- Keys and rows by month and by what their repeats are.
with judged as (
    select
        *,
        {{ micros_between('first_at', 'last_at') }} as micros
    from {{ work_table('keys') }}
)

select
    {{ utc_month('last_at') }} as month,
    id_kind,
    key_quality,
    case
        when row_count = 1 then 'single'
        when fill_from <> fill_to then 'other size or token'
        when content_from <> content_to then 'other label or market'
        when micros = 0 then 'exact copy'
        when mod(micros, 900000000) = 0 and micros <= 50400000000 then 'local time'
        else 'other time'
    end as nature,
    count(*) as keys,
    sum(row_count) as row_count,
    sum(broken_rows) as broken_rows,
    max(row_count) as most
from judged
group by 1, 2, 3, 4
order by 1, 2, 3, 4
