{# A fill lives in `trades` or in `trade_collisions`, and moves between them with the winner of its key. Two statements
   cannot be one, so the order is: first it stands in both, then it leaves the old place. `fills` counts it once. #}

{# Post-hook of `trades`, in the transaction of its merge: what is now the winner, or is known to be another fill's
   record, leaves `trade_collisions`. #}
{% macro settle_collisions() -%}
    {%- set decided = ref('int_trade_collisions') -%}
    {%- set collisions = ref('trade_collisions') -%}
    {%- if execute and is_production() and not flags.EMPTY and was_built_from_pending_batches() -%}
        delete from {{ collisions }} as settled
        where
            {{ merge_window(batch_relations(), 'timestamp', 'settled') }}
            and exists (
                select 1
                from {{ decided }} as decided
                where
                    decided.key_quality = 'retired'
                    and decided.wallet_address = settled.wallet_address
                    and decided.tx_hash = settled.tx_hash
                    and decided.order_hash = settled.order_hash
                    and decided.collision_id = settled.collision_id
            )
    {%- endif -%}
{%- endmacro %}
