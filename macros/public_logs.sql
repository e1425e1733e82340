{# Event logs as a table of BigQuery's public data has them, read as the runner reads those of a node. #}

{#
  OrderFilled logs of the known exchanges in `relation` in the form of landing.trades, with the first rule that each
  breaks, and its text as a node would give it.

  All versions of the event have the amounts in the same place: given, received and fee are the words 2 to 4. The first
  word is 0 for a purchase: the asset given (collateral) in version 1, the side since. A token id has up to 78 digits,
  which no number type holds: it is put together from eight limbs of 32 bits in portions of eight decimal digits.
#}
{% macro logs_as_fills(relation) -%}
{%- set zero = "'" ~ '0' * 64 ~ "'" -%}
{%- set one = "'" ~ '0' * 63 ~ "1'" -%}
{%- set portions = 10 -%}
with found as (
    select
        exchanges.order_filled_version as version,
        logs.block_number,
        logs.block_timestamp,
        logs.log_index,
        {{ hex_key('logs.address') }} as contract_address,
        {{ hex_key('logs.transaction_hash') }} as tx_hash,
        {{ hex_key(list_item('logs.topics', 1)) }} as order_hash,
        {{ hex_key(list_item('logs.topics', 2)) }} as maker,
        {{ hex_key(list_item('logs.topics', 3)) }} as taker,
        {{ hex_key('logs.data') }} as data,
        {{ log_as_json('logs') }} as record
    from {{ relation }} as logs
    inner join {{ ref('exchange_contracts') }} as exchanges
        on
            {{ hex_key('logs.address') }} = exchanges.contract_address
            and {{ hex_key(list_item('logs.topics', 0)) }} = exchanges.topic
),

worded as (
    select
        *,
        {% for number in range(7) %}
        substr(data, {{ 3 + 64 * number }}, 64) as word_{{ number }},
        {% endfor %}
        case when version = 1 then {{ looks_like_words('data', 5) }} else {{ looks_like_words('data', 7) }} end
            as is_framed
    from found
),

valued as (
    select
        *,
        word_0 = {{ zero }} as is_buy,
        case when version = 1 and word_0 > word_1 then word_0 else word_1 end as token_word,
        {{ word_as_integer('word_2') }} as given,
        {{ word_as_integer('word_3') }} as received,
        {{ word_as_integer('word_4') }} as fee_raw
    from worded
),

sized as (
    select
        *,
        case when is_buy then received else given end as shares_raw,
        case when is_buy then given else received end as usdc_raw,
        {% for limb in range(8) %}
        {{ hex_as_integer('substr(token_word, ' ~ (57 - 8 * limb) ~ ', 8)') }} as limb_{{ limb }},
        {% endfor %}
        case
            when taker is null or not is_framed then 'bad_log'
            when given is null or received is null or fee_raw is null then 'bad_size'
            when version = 1 and is_buy = (word_1 = {{ zero }}) then 'bad_log'
            when version > 1 and word_0 not in ({{ zero }}, {{ one }}) then 'bad_log'
        end as broken_frame
    from valued
),

portioned as (
    select
        *,
        {% for portion in range(portions) %}
        {% set products = [] %}
        {% for limb in range(8) %}
        {% set factor = (2 ** (32 * limb)) // (10 ** (8 * portion)) % (10 ** 8) %}
        {% if factor %}{% do products.append('limb_' ~ limb ~ ' * ' ~ factor) %}{% endif %}
        {% endfor %}
        {{ products | join(' + ') or '0' }} as portion_{{ portion }}{{ ',' if not loop.last }}
        {% endfor %}
    from sized
),

carried_0 as (
    select
        *,
        portion_0 as total_0
    from portioned
),

{% for portion in range(1, portions) %}
carried_{{ portion }} as (
    select
        *,
        portion_{{ portion }} + {{ whole_quotient('total_' ~ (portion - 1), 10 ** 8) }} as total_{{ portion }}
    from carried_{{ portion - 1 }}
),

{% endfor %}
{% set digits = [] %}
{% for portion in range(portions - 1, -1, -1) %}
{% do digits.append("lpad(cast(mod(total_" ~ portion ~ ", " ~ 10 ** 8 ~ ") as " ~ dbt.type_string() ~ "), 8, '0')") %}
{% endfor %}
numbered as (
    select
        *,
        coalesce(nullif(ltrim({{ digits | join(' || ') }}, '0'), ''), '0') as token_id
    from carried_{{ portions - 1 }}
)

select
    '0x' || substr(maker, 27) as wallet_address,
    tx_hash,
    order_hash,
    cast(null as {{ dbt.type_string() }}) as record_id,
    block_timestamp as traded_at,
    case when is_buy then 'BUY' else 'SELL' end as side,
    token_id,
    -- The nearest double to the quotient, as long as both are below 2^53: nine billion dollars.
    cast(usdc_raw as {{ column_type('float64') }}) / nullif(shares_raw, 0) as price,
    cast(shares_raw as {{ column_type('float64') }}) / 1000000 as shares_normalized,
    shares_raw,
    usdc_raw,
    cast(null as {{ dbt.type_string() }}) as condition_id,
    cast(null as {{ dbt.type_string() }}) as token_label,
    '0x' || substr(taker, 27) as taker,
    cast(null as {{ dbt.type_string() }}) as market_slug,
    cast(null as {{ dbt.type_string() }}) as title,
    log_index,
    block_number,
    contract_address,
    -- The oldest head at which it can have been read: the word of a node, who says at which it was, counts more.
    block_number as upstream_version,
    false as is_removed,
    fee_raw,
    case when version = 1 and is_buy then 'shares' else 'usdc' end as fee_unit,
    case
        when version = 1 or (word_5 = {{ zero }} and word_6 = {{ zero }}) then cast(null as {{ dbt.type_string() }})
        when word_6 = {{ zero }} then '{"builder":"0x' || word_5 || '"}'
        when word_5 = {{ zero }} then '{"metadata":"0x' || word_6 || '"}'
        else '{"builder":"0x' || word_5 || '","metadata":"0x' || word_6 || '"}'
    end as extra_fields,
    record,
    case
        when broken_frame is not null then broken_frame
        when shares_raw < 1 then 'bad_size'
        when usdc_raw > shares_raw then 'bad_price'
        when not {{ looks_like_hash('order_hash') }} or not {{ looks_like_hash('tx_hash') }} then 'bad_log'
        when not {{ looks_like_padded_address('maker') }} or not {{ looks_like_padded_address('taker') }} then 'bad_log'
    end as broken_rule
from numbered
{%- endmacro %}

{# An address in a word of 32 bytes: 0x, 24 zeros, 40 digits. #}
{% macro looks_like_padded_address(expression) -%}
    ({{ looks_like_hash(expression) }} and substr({{ expression }}, 3, 24) = '{{ '0' * 24 }}')
{%- endmacro %}

{# The integer in a word of 64 hexadecimal digits; NULL where it is 2^63 or more, or the word is none. #}
{% macro word_as_integer(word) -%}
    case
        when substr({{ word }}, 1, 48) = '{{ '0' * 48 }}' and substr({{ word }}, 49, 1) < '8'
            then {{ hex_as_integer('substr(' ~ word ~ ', 49)') }}
    end
{%- endmacro %}

{# A log as `eth_getLogs` would give it, as far as the table has it. #}
{% macro log_as_json(alias) -%}
    '{"address":' || {{ as_json(alias ~ '.address') }}
    || ',"topics":' || {{ as_json(alias ~ '.topics') }}
    || ',"data":' || {{ as_json(alias ~ '.data') }}
    || ',"blockNumber":"' || {{ integer_as_hex(alias ~ '.block_number') }}
    || '","transactionHash":' || {{ as_json(alias ~ '.transaction_hash') }}
    || ',"logIndex":"' || {{ integer_as_hex(alias ~ '.log_index') }}
    || '"}'
{%- endmacro %}
