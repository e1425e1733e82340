{# True for the newest row of a group, in a `qualify` clause. The order must be total: end it in a content hash. #}
{% macro is_newest(partition_by, newest_first) -%}
    row_number() over (
        partition by {{ partition_by | join(', ') }}
        order by {{ newest_first | join(' desc, ') }} desc
    ) = 1
{%- endmacro %}
