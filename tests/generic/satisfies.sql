{# Rows for which the condition is false or NULL. #}
{% test satisfies(model, condition) %}
select * from {{ model }}
where not coalesce({{ condition }}, false)
{% endtest %}
