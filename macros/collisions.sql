{# A fill lives in `trades` or in `trade_collisions`, and moves between them with the winner of its key. Two statements
   cannot be one, so the order is: first it stands in both, then it leaves the old place. `fills` counts it once. #}

{# Keys of the batch with a fill that should stand in `trade_collisions` and does not yet. #}
{% macro unsettled_keys() -%}
    select distinct
        decided.wallet_address,
        decided.tx_hash,
        decided.order_hash
    from {{ ref('int_trade_collisions') }} as decided
    left join {{ ref('trade_collisions') }} as settled
        on
            decided.wallet_address = settled.wallet_address
            and decided.tx_hash = settled.tx_hash
            and decided.order_hash = settled.order_hash
            and decided.collision_id = settled.collision_id
    where
        decided.key_quality <> 'retired'
        and settled.collision_id is null
{%- endmacro %}

{# Post-hook of `trades`, in the transaction of its merge: what is now the winner, or is known to be another fill's
   record, leaves `trade_collisions`. #}
{% macro settle_collisions() -%}
    {%- set decided = ref('int_trade_collisions') -%}
    {%- set collisions = ref('trade_collisions') -%}
    {%- set unsettled = unsettled_keys() -%}
    {%- if execute and is_production() and not flags.EMPTY -%}
        delete from {{ collisions }} as settled
        where
            {{ merge_window(decided, 'timestamp', 'settled') }}
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
            and not exists (
                select 1
                from ({{ unsettled }}) as unsettled
                where
                    unsettled.wallet_address = settled.wallet_address
                    and unsettled.tx_hash = settled.tx_hash
                    and unsettled.order_hash = settled.order_hash
            )
    {%- endif -%}
{%- endmacro %}
