{# The exact size of a fill from the doubles of records that have no integers, in units of 1e-6. #}

{% macro shares_in_units(shares_normalized) -%}
    {{ try_cast_to('round(' ~ shares_normalized ~ ' * 1000000)', 'bigint') }}
{%- endmacro %}

{# price is usdc / shares as a double, so the product is a whole number up to rounding. A price of 1 is taken apart
   because the largest sizes do not survive the way through a double. #}
{% macro usdc_in_units(price, shares_raw) -%}
    case
        when {{ price }} = 1 then {{ shares_raw }}
        else {{ try_cast_to('round(' ~ price ~ ' * ' ~ shares_raw ~ ')', 'bigint') }}
    end
{%- endmacro %}
