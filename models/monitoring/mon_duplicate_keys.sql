{{ config(alias='mon_duplicate_keys' ~ window_suffix()) }}

-- The whole table, because a merge bounded by days cannot see a second copy on a far day. Reads the three key columns.
-- Counted are 64-bit fingerprints, which stay small at a hundred million keys; only keys whose fingerprint stands
-- twice are then compared in full.
{% if is_production() %}

with fills as (
    select
        wallet_address,
        tx_hash,
        order_hash,
        {{ fingerprint_64(['wallet_address', 'tx_hash', 'order_hash']) }} as fingerprint
    from {{ ref('trades') }}
    where {{ checked_window('timestamp') }}
),

suspects as (
    select fingerprint
    from fills
    group by fingerprint
    having count(*) > 1
)

select
    wallet_address,
    tx_hash,
    order_hash,
    count(*) as copies
from fills
where
    fingerprint in (select suspects.fingerprint from suspects)
    or wallet_address is null
    or tx_hash is null
    or order_hash is null
group by wallet_address, tx_hash, order_hash
having
    count(*) > 1
    or wallet_address is null
    or tx_hash is null
    or order_hash is null

{% else %}

-- Whoever builds into a schema of their own reads production's own findings there, and not all of `trades` again.
-- depends_on: {{ ref('trades') }}
select
    wallet_address,
    tx_hash,
    order_hash,
    0 as copies
from {{ ref('int_trades_deduplicated') }}
where false

{% endif %}
