{{ config(materialized='ephemeral') }}

{{ legacy_rows(legacy_relation()) }}
