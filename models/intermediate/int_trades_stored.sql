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
    {% set relation = production_relation(mart) %}
    {% set present = adapter.get_columns_in_relation(relation) | map(attribute='name') | list if relation else [] %}
    select
        {% for column in contract_columns('trades') %}
            {% if column.name in present %}
                stored.{{ column.name }},
            {% else %}
                cast(null as {{ column.data_type }}) as {{ column.name }},
            {% endif %}
        {% endfor %}
        '{{ mart }}' as mart
    {% if relation %}
        from {{ relation }} as stored
        inner join touched
            on
                stored.wallet_address = touched.wallet_address
                and stored.tx_hash = touched.tx_hash
        where {{ merge_window(ref('int_trades_batched'), 'timestamp', 'stored') }}
    {% else %}
        from touched
        where false
    {% endif %}
    {{ 'union all' if not loop.last }}
{% endfor %}
