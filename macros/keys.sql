{# The key of a fill, written once: every model and the migration call these. #}

{# Addresses and hashes are compared in lower case; upstreams and people use both. #}
{% macro hex_key(column) -%}
    lower({{ column }})
{%- endmacro %}

{# The order hash, or the one an older writer kept in `id`; NULL where neither looks like a hash.
   `id` was also filled with the transaction hash, which identifies no order. #}
{% macro repaired_order_hash(order_hash, id, tx_hash) -%}
    case
        when {{ looks_like_hash(hex_key(order_hash)) }} then {{ hex_key(order_hash) }}
        when {{ looks_like_hash(hex_key(id)) }} and {{ hex_key(id) }} <> {{ hex_key(tx_hash) }} then {{ hex_key(id) }}
    end
{%- endmacro %}

{# What stands in a key whose order hash nobody knows: `missing-` and a hash of what identifies the
   fill otherwise (`distinct`), or one constant (`collapse`). Only fields that every form of a record has. #}
{% macro stand_in_order_hash(wallet_address, tx_hash, token_id, side, shares_raw, usdc_raw) -%}
    {%- if missing_order_hash_policy() == 'distinct' -%}
        'missing-' || {{ fingerprint([wallet_address, tx_hash, token_id, side, shares_raw, usdc_raw]) }}
    {%- else -%}
        'missing'
    {%- endif -%}
{%- endmacro %}

{% macro key_quality(order_hash, repaired_order_hash) -%}
    case
        when {{ looks_like_hash(hex_key(order_hash)) }} then 'exact'
        when {{ repaired_order_hash }} is not null then 'repaired'
        else '{{ 'stand_in' if missing_order_hash_policy() == 'distinct' else 'collapsed' }}'
    end
{%- endmacro %}

{# Which of the fills under one key: what tells them apart. `alias` is the relation with its columns, if they need one. #}
{% macro collision_id(alias=none) -%}
    {%- set prefix = alias ~ '.' if alias else '' -%}
    {{ fingerprint([
        prefix ~ 'token_id', prefix ~ 'side', prefix ~ 'shares_raw', prefix ~ 'usdc_raw', prefix ~ 'log_index'
    ]) }}
{%- endmacro %}

{% macro missing_order_hash_policy() -%}
    {%- set policy = var('missing_order_hash') -%}
    {%- if policy not in ['distinct', 'collapse'] -%}
        {{ exceptions.raise_compiler_error(
            "The var missing_order_hash is '" ~ policy ~ "'; it must be 'distinct' (each different fill kept) or "
            ~ "'collapse' (one per wallet and transaction)."
        ) }}
    {%- endif -%}
    {{ return(policy) }}
{%- endmacro %}
