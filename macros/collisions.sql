{# A fill lives in `trades` or in `trade_collisions`, and moves between them with the winner of its key. `trade_collisions`
   is merged first; what comes in there counts only once `trades` has been merged too (`is_arriving`), and what `trades`
   takes over leaves in the same transaction. So `fills` has each fill once at every moment, without looking it up. #}

{# Post-hook of `trades`, in the transaction of its merge. Empty where the batch has nothing beside its key. #}
{% macro settle_collisions() -%}
    {%- set decided = ref('int_trade_collisions') -%}
    {%- set collisions = ref('trade_collisions') -%}
    {%- if execute and is_production() and not flags.EMPTY and was_built_from_pending_batches()
        and run_query('select count(*) from ' ~ decided).columns[0].values()[0] > 0 -%}
        {%- set window = merge_window(batch_relations(), 'timestamp', 'settled') -%}
        delete from {{ collisions }} as settled
        where
            {{ window }}
            and {{ holds_lease() }}
            and exists (
                select 1
                from {{ decided }} as decided
                where
                    decided.key_quality = 'retired'
                    and decided.wallet_address = settled.wallet_address
                    and decided.tx_hash = settled.tx_hash
                    and decided.order_hash = settled.order_hash
                    and decided.collision_id = settled.collision_id
            );
        update {{ collisions }} as settled
        set is_arriving = false
        where
            {{ window }}
            and coalesce(settled.is_arriving, true)
            and {{ holds_lease() }}
    {%- endif -%}
{%- endmacro %}
