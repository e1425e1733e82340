{# Every row of a monitoring model is a finding. #}
{% test is_empty(model) %}
select * from {{ model }}
{% endtest %}
