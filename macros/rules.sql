{# What keeps a row out of `trades`: the first rule that it breaks, or NULL. The runner looks for more at the door; these
   are for rows that came past it, and for the table before this one. #}

{# Rules about the parts of a key: all rows of a key keep or break them together. #}
{% macro broken_key_rule(wallet_address, tx_hash) -%}
    case
        when {{ wallet_address }} is null then 'missing_wallet'
        when not {{ looks_like_address(wallet_address) }} then 'bad_wallet'
        when {{ tx_hash }} is null then 'missing_tx_hash'
        when not {{ looks_like_hash(tx_hash) }} then 'bad_tx_hash'
    end
{%- endmacro %}

{# Rules about a row's values. #}
{% macro broken_value_rule(timestamp, token_id, side, price, shares_raw, usdc_raw) -%}
    case
        when {{ timestamp }} is null then 'missing_timestamp'
        when {{ token_id }} is null then 'missing_token_id'
        when {{ side }} is null or {{ side }} not in ('BUY', 'SELL') then 'bad_side'
        when {{ price }} is null or not {{ price }} between 0 and 1 then 'bad_price'
        when {{ shares_raw }} is null or {{ shares_raw }} < 1 then 'bad_size'
        when {{ usdc_raw }} is null or {{ usdc_raw }} < 0 then 'bad_size'
    end
{%- endmacro %}
