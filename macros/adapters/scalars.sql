{# Expressions that the warehouses spell differently. Both forms stand together, so that one sees what differs. #}

{# 0x and 40 lower-case hexadecimal digits; NULL is none. #}
{% macro looks_like_address(expression) -%}
    {{ return(adapter.dispatch('looks_like_hex', 'polytrades')(expression, 40)) }}
{%- endmacro %}

{# 0x and 64 lower-case hexadecimal digits; NULL is none. #}
{% macro looks_like_hash(expression) -%}
    {{ return(adapter.dispatch('looks_like_hex', 'polytrades')(expression, 64)) }}
{%- endmacro %}
{# The length apart: a counted repetition takes RE2 three times as long. #}
{% macro duckdb__looks_like_hex(expression, digits) -%}
    {{ return(
        "coalesce(length(" ~ expression ~ ") = " ~ (digits + 2) ~ " and regexp_full_match(" ~ expression
        ~ ", '0x[0-9a-f]+'), false)"
    ) }}
{%- endmacro %}
{% macro bigquery__looks_like_hex(expression, digits) -%}
    {{ return("coalesce(regexp_contains(" ~ expression ~ ", r'^0x[0-9a-f]{" ~ digits ~ "}$'), false)") }}
{%- endmacro %}

{# SHA-256 of a text as 64 hexadecimal digits. #}
{% macro sha256_hex(expression) -%}
    {{ return(adapter.dispatch('sha256_hex', 'polytrades')(expression)) }}
{%- endmacro %}
{% macro duckdb__sha256_hex(expression) -%}{{ return("sha256(" ~ expression ~ ")") }}{%- endmacro %}
{% macro bigquery__sha256_hex(expression) -%}{{ return("to_hex(sha256(" ~ expression ~ "))") }}{%- endmacro %}

{# A fast 64-bit hash of several texts, to find rows that may be equal. Two different rows can share it; never a key.
   NULL where a text is NULL on BigQuery, a hash of that on DuckDB: treat NULLs apart. #}
{% macro fingerprint_64(columns) -%}
    {{ return(adapter.dispatch('fingerprint_64', 'polytrades')(columns)) }}
{%- endmacro %}
{% macro duckdb__fingerprint_64(columns) -%}{{ return("hash(" ~ columns | join(', ') ~ ")") }}{%- endmacro %}
{% macro bigquery__fingerprint_64(columns) -%}
    {{ return("farm_fingerprint(concat(" ~ columns | join(", '|', ") ~ "))") }}
{%- endmacro %}

{# Aggregate: the value in the row with the greatest order, NULL if it is NULL there. #}
{% macro value_at_greatest(value, order) -%}
    {{ return(adapter.dispatch('value_at_greatest', 'polytrades')(value, order)) }}
{%- endmacro %}
{% macro duckdb__value_at_greatest(value, order) -%}
    {{ return("arg_max_null(" ~ value ~ ", " ~ order ~ ")") }}
{%- endmacro %}
{% macro bigquery__value_at_greatest(value, order) -%}
    {{ return("any_value(" ~ value ~ " having max " ~ order ~ ")") }}
{%- endmacro %}

{# A double as text that gives the same bits back (17 significant digits). #}
{% macro float_text(expression) -%}
    {{ return(adapter.dispatch('float_text', 'polytrades')(expression)) }}
{%- endmacro %}
{% macro duckdb__float_text(expression) -%}{{ return("printf('%.17g', " ~ expression ~ ")") }}{%- endmacro %}
{% macro bigquery__float_text(expression) -%}{{ return("format('%.17g', " ~ expression ~ ")") }}{%- endmacro %}

{# Microseconds since 1970 of an instant. #}
{% macro epoch_micros(expression) -%}
    {{ return(adapter.dispatch('epoch_micros', 'polytrades')(expression)) }}
{%- endmacro %}
{% macro duckdb__epoch_micros(expression) -%}{{ return("epoch_us(" ~ expression ~ ")") }}{%- endmacro %}
{% macro bigquery__epoch_micros(expression) -%}{{ return("unix_micros(" ~ expression ~ ")") }}{%- endmacro %}

{# The first group of a regular expression, NULL where it does not match. #}
{% macro regexp_group(expression, pattern) -%}
    {{ return(adapter.dispatch('regexp_group', 'polytrades')(expression, pattern)) }}
{%- endmacro %}
{% macro duckdb__regexp_group(expression, pattern) -%}
    {{ return("nullif(regexp_extract(" ~ expression ~ ", '" ~ pattern ~ "', 1), '')") }}
{%- endmacro %}
{% macro bigquery__regexp_group(expression, pattern) -%}
    {{ return("regexp_extract(" ~ expression ~ ", r'" ~ pattern ~ "')") }}
{%- endmacro %}

{# A scalar of a JSON text as text; NULL where the path is absent or null, or the text is no JSON. #}
{% macro json_text(json, path) -%}
    {{ return(adapter.dispatch('json_text', 'polytrades')(json, path)) }}
{%- endmacro %}
{% macro duckdb__json_text(json, path) -%}
    {{ return("json_extract_string(try_cast(" ~ json ~ " as json), '" ~ path ~ "')") }}
{%- endmacro %}
{% macro bigquery__json_text(json, path) -%}{{ return("json_value(" ~ json ~ ", '" ~ path ~ "')") }}{%- endmacro %}

{# An object or list inside a JSON text, as JSON text. #}
{% macro json_part(json, path) -%}
    {{ return(adapter.dispatch('json_part', 'polytrades')(json, path)) }}
{%- endmacro %}
{% macro duckdb__json_part(json, path) -%}
    {{ return(
        "nullif(cast(json_extract(try_cast(" ~ json ~ " as json), '" ~ path ~ "') as varchar), 'null')"
    ) }}
{%- endmacro %}
{% macro bigquery__json_part(json, path) -%}
    {{ return("nullif(cast(json_query(" ~ json ~ ", '" ~ path ~ "') as string), 'null')") }}
{%- endmacro %}

{# The texts of a JSON list, as a JSON list again: `path` is the list, `item` where the text stands in an element. #}
{% macro json_text_list(json, path, item) -%}
    {{ return(adapter.dispatch('json_text_list', 'polytrades')(json, path, item)) }}
{%- endmacro %}
{% macro duckdb__json_text_list(json, path, item) -%}
    {{ return(
        "cast(to_json(json_extract_string(try_cast(" ~ json ~ " as json), '" ~ path ~ "[*]" ~ item ~ "')) as varchar)"
    ) }}
{%- endmacro %}
{% macro bigquery__json_text_list(json, path, item) -%}
    {{ return(
        "cast(to_json_string(array(select json_value(element, '$" ~ item ~ "') from unnest(json_query_array(" ~ json
        ~ ", '" ~ path ~ "')) as element)) as string)"
    ) }}
{%- endmacro %}

{# A cast that gives NULL where the text is no such value. #}
{% macro try_cast_to(expression, type) -%}
    {{ return(adapter.dispatch('try_cast_to', 'polytrades')(expression, type)) }}
{%- endmacro %}
{% macro duckdb__try_cast_to(expression, type) -%}
    {{ return("try_cast(" ~ expression ~ " as " ~ type ~ ")") }}
{%- endmacro %}
{% macro bigquery__try_cast_to(expression, type) -%}
    {{ return("safe_cast(" ~ expression ~ " as " ~ column_type(type) ~ ")") }}
{%- endmacro %}

{# An instant from text: ISO with Z, `2026-03-19 23:20:15+00`, up to nine decimals (six are kept). #}
{% macro text_to_instant(expression) -%}
    {{ return(try_cast_to(adapter.dispatch('six_decimals', 'polytrades')(expression), column_type('timestamp'))) }}
{%- endmacro %}
{% macro duckdb__six_decimals(expression) -%}
    {{ return("regexp_replace(" ~ expression ~ ", '([.][0-9]{6})[0-9]+', '\\1')") }}
{%- endmacro %}
{% macro bigquery__six_decimals(expression) -%}
    {{ return("regexp_replace(" ~ expression ~ ", r'([.][0-9]{6})[0-9]+', r'\\1')") }}
{%- endmacro %}

{# An instant from whole seconds since 1970. #}
{% macro seconds_to_instant(expression) -%}
    {{ return(adapter.dispatch('seconds_to_instant', 'polytrades')(expression)) }}
{%- endmacro %}
{% macro duckdb__seconds_to_instant(expression) -%}{{ return("to_timestamp(" ~ expression ~ ")") }}{%- endmacro %}
{% macro bigquery__seconds_to_instant(expression) -%}{{ return("timestamp_seconds(" ~ expression ~ ")") }}{%- endmacro %}

{# Now, as an instant. #}
{% macro now() -%}{{ return(adapter.dispatch('now', 'polytrades')()) }}{%- endmacro %}
{% macro duckdb__now() -%}{{ return("now()") }}{%- endmacro %}
{% macro bigquery__now() -%}{{ return("current_timestamp()") }}{%- endmacro %}

{# The name of a column type of ours (`timestamp` is an instant in UTC, `float64` a double). #}
{% macro column_type(name) -%}
    {{ return(adapter.dispatch('column_type', 'polytrades')(name)) }}
{%- endmacro %}
{% macro duckdb__column_type(name) -%}
    {{ return({'timestamp': 'timestamptz', 'float64': 'double', 'string': 'varchar'}.get(name, name)) }}
{%- endmacro %}
{% macro bigquery__column_type(name) -%}
    {{ return({'bigint': 'int64', 'boolean': 'bool'}.get(name, name)) }}
{%- endmacro %}

{% macro duckdb__default_production_schema() -%}{{ return('main') }}{%- endmacro %}
{% macro bigquery__default_production_schema() -%}{{ return('polytrades') }}{%- endmacro %}

{# An expression that ends the statement with a message when it is evaluated; its type is boolean. #}
{% macro raised(message) -%}{{ return(adapter.dispatch('raised', 'polytrades')(message)) }}{%- endmacro %}
{% macro duckdb__raised(message) -%}{{ return("cast(error(" ~ message ~ ") as boolean)") }}{%- endmacro %}
{% macro bigquery__raised(message) -%}{{ return("error(" ~ message ~ ")") }}{%- endmacro %}

{# An instant some minutes later. #}
{% macro after_minutes(instant, minutes) -%}
    {{ return(adapter.dispatch('after_minutes', 'polytrades')(instant, minutes)) }}
{%- endmacro %}
{% macro duckdb__after_minutes(instant, minutes) -%}
    {{ return(instant ~ " + interval " ~ minutes ~ " minute") }}
{%- endmacro %}
{% macro bigquery__after_minutes(instant, minutes) -%}
    {{ return("timestamp_add(" ~ instant ~ ", interval " ~ minutes ~ " minute)") }}
{%- endmacro %}

{# A further condition under which the lease's holder is known to be gone. On DuckDB dbt keeps the file to itself: if
   another build's name stands there and we could open the file, that build was killed. #}
{% macro abandoned_lease() -%}{{ return(adapter.dispatch('abandoned_lease', 'polytrades')()) }}{%- endmacro %}
{% macro duckdb__abandoned_lease() -%}{{ return("or pid is null") }}{%- endmacro %}
{% macro bigquery__abandoned_lease() -%}{{ return("") }}{%- endmacro %}
