{# The UTC day of an instant, and the first instant of a day as a literal that prunes. #}
{% macro utc_day(column) -%}{{ return(adapter.dispatch('utc_day', 'polytrades')(column)) }}{%- endmacro %}
{% macro duckdb__utc_day(column) -%}{{ return("cast(" ~ column ~ " at time zone 'UTC' as date)") }}{%- endmacro %}
{% macro bigquery__utc_day(column) -%}{{ return("date(" ~ column ~ ")") }}{%- endmacro %}

{% macro utc_midnight(day) -%}{{ return(adapter.dispatch('utc_midnight', 'polytrades')(day)) }}{%- endmacro %}
{% macro duckdb__utc_midnight(day) -%}{{ return("timestamptz '" ~ day ~ " 00:00:00+00'") }}{%- endmacro %}
{% macro bigquery__utc_midnight(day) -%}{{ return("timestamp '" ~ day ~ " 00:00:00+00'") }}{%- endmacro %}

{# A day some days earlier. #}
{% macro days_before(day, days) -%}{{ return(adapter.dispatch('days_before', 'polytrades')(day, days)) }}{%- endmacro %}
{% macro duckdb__days_before(day, days) -%}{{ return("(" ~ day ~ " - " ~ days ~ ")") }}{%- endmacro %}
{% macro bigquery__days_before(day, days) -%}{{ return("date_sub(" ~ day ~ ", interval " ~ days ~ " day)") }}{%- endmacro %}

{# An instant as a literal, from its text; the literal prunes. #}
{% macro instant_literal(text) -%}{{ return(adapter.dispatch('instant_literal', 'polytrades')(text)) }}{%- endmacro %}
{% macro duckdb__instant_literal(text) -%}{{ return("timestamptz '" ~ text ~ "'") }}{%- endmacro %}
{% macro bigquery__instant_literal(text) -%}{{ return("timestamp '" ~ text ~ "'") }}{%- endmacro %}
