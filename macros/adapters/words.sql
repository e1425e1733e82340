{# Words of event logs: lists, hexadecimal digits, whole division. #}

{# An element of a list, counted from 0; NULL where there is none. #}
{% macro list_item(list, place) -%}{{ return(adapter.dispatch('list_item', 'polytrades')(list, place)) }}{%- endmacro %}
{% macro duckdb__list_item(list, place) -%}{{ return(list ~ "[" ~ (place + 1) ~ "]") }}{%- endmacro %}
{% macro bigquery__list_item(list, place) -%}{{ return(list ~ "[safe_offset(" ~ place ~ ")]") }}{%- endmacro %}

{# Whether a text is 0x and so many words of 32 bytes. #}
{% macro looks_like_words(expression, words) -%}
    {{ return(adapter.dispatch('looks_like_hex', 'polytrades')(expression, 64 * words)) }}
{%- endmacro %}

{# At most 16 hexadecimal digits below 2^63 as a number; NULL where they are none. #}
{% macro hex_as_integer(digits) -%}{{ return(try_cast_to("concat('0x', " ~ digits ~ ")", 'bigint')) }}{%- endmacro %}

{# A number from 0 on as JSON-RPC writes it: 0x and hexadecimal digits. #}
{% macro integer_as_hex(expression) -%}
    {{ return(adapter.dispatch('integer_as_hex', 'polytrades')(expression)) }}
{%- endmacro %}
{% macro duckdb__integer_as_hex(expression) -%}{{ return("printf('0x%x', " ~ expression ~ ")") }}{%- endmacro %}
{% macro bigquery__integer_as_hex(expression) -%}{{ return("format('0x%x', " ~ expression ~ ")") }}{%- endmacro %}

{# How often a number goes into another, both from 0 on. #}
{% macro whole_quotient(dividend, divisor) -%}
    {{ return(adapter.dispatch('whole_quotient', 'polytrades')(dividend, divisor)) }}
{%- endmacro %}
{% macro duckdb__whole_quotient(dividend, divisor) -%}{{ return(dividend ~ " // " ~ divisor) }}{%- endmacro %}
{% macro bigquery__whole_quotient(dividend, divisor) -%}
    {{ return("div(" ~ dividend ~ ", " ~ divisor ~ ")") }}
{%- endmacro %}

{# A value as JSON text. #}
{% macro as_json(expression) -%}{{ return(adapter.dispatch('as_json', 'polytrades')(expression)) }}{%- endmacro %}
{% macro duckdb__as_json(expression) -%}{{ return("cast(to_json(" ~ expression ~ ") as varchar)") }}{%- endmacro %}
{% macro bigquery__as_json(expression) -%}{{ return("to_json_string(" ~ expression ~ ")") }}{%- endmacro %}
