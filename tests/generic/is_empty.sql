{# Every row of a monitoring model is a finding. It depends on the checks too, because dbt skips what is downstream of a
   failed test: what tells of a finding must not be skipped for it. #}
{% test is_empty(model) %}
-- depends_on: {{ ref('mon_checks') }}
select * from {{ model }}
{% endtest %}
