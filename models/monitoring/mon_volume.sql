{{ config(materialized='view') }}

-- Each day against the days before it, never against itself: their median, and how far they usually are from it (the
-- median of the distances, times 1.4826, which is the standard deviation where there is no outlier; at least a tenth of
-- the median). Only whole days are judged, those before the newest checkpoint; the last of them also if nothing came.
with counted as (
    select
        day,
        fills
    from {{ ref('mon_daily_fills') }}
),

newest as (
    select {{ days_before(utc_day('max(fetched_until)'), 1) }} as day
    from {{ ref('mon_wallets') }}
),

days as (
    select counted.* from counted
    inner join newest on counted.day <= newest.day
    union all
    select
        newest.day,
        0 as fills
    from newest
    where
        newest.day is not null
        and newest.day not in (select counted.day from counted)
        and newest.day > (select min(counted.day) from counted)
),

compared as (
    select
        days.day,
        days.fills,
        earlier.day as earlier_day,
        earlier.fills as usual,
        count(*) over (partition by days.day) as known_days,
        row_number() over (partition by days.day order by earlier.fills, earlier.day) as place
    from days
    inner join counted as earlier
        on
            days.day > earlier.day
            and earlier.day >= {{ days_before('days.day', var('volume_days')) }}
),

medians as (
    select
        day,
        avg(usual) as median_fills
    from compared
    where 2 * place between known_days and known_days + 2
    group by day
),

distances as (
    select
        compared.day,
        compared.fills,
        compared.known_days,
        medians.median_fills,
        abs(compared.usual - medians.median_fills) as distance,
        row_number() over (
            partition by compared.day
            order by abs(compared.usual - medians.median_fills), compared.earlier_day
        ) as place
    from compared
    inner join medians on compared.day = medians.day
),

spreads as (
    select
        day,
        fills,
        known_days,
        median_fills,
        greatest(1.4826 * avg(distance), 0.1 * median_fills, 1) as spread
    from distances
    where 2 * place between known_days and known_days + 2
    group by day, fills, known_days, median_fills
)

select
    day,
    fills,
    known_days,
    median_fills,
    spread,
    (fills - median_fills) / spread as deviation,
    known_days >= 7 and median_fills >= {{ var('volume_minimum') }} as is_judged
from spreads
