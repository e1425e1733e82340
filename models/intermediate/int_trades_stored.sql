{{ config(meta={'built_from_pending_batches': true}) }}

-- What production already has of the transactions in the batch: the batch's rows are compared with these, so that
-- an old record replayed later changes nothing. Read by day, like the merge itself. Not refs: the marts are built
-- after this model, from it.
with touched as (
    select distinct
        wallet_address,
        tx_hash
    from {{ ref('int_trades_batched') }}
)

{% for mart in ['trades', 'trade_collisions'] %}
select
    {{ stored_columns(mart, 'trades') }},
    {{ stored_columns(mart, 'trade_collisions', ['is_removed']) }},
    '{{ mart }}' as mart
from {{ production_relation(mart) or 'touched' }} as stored
inner join touched
    on
        stored.wallet_address = touched.wallet_address
        and stored.tx_hash = touched.tx_hash
where {{ merge_window([ref('int_trades_batched')], 'timestamp', 'stored') if production_relation(mart) else 'false' }}
{{ 'union all' if not loop.last }}
{% endfor %}
