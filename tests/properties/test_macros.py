"""The SQL macros that enter ids and documents say what the Python functions say."""

from decimal import ROUND_HALF_UP, Decimal, localcontext

import duckdb
import jinja2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshline_dagster.core.identity import external_id
from meshline_dagster.core.money import exponent, to_text
from meshline_dagster.warehouse.dbt import project_dir

_FILES = ("canonical_text", "external_id", "json_text", "money")
_MACROS = "\n".join((project_dir() / "macros" / f"{name}.sql").read_text() for name in _FILES)
_CURRENCIES = ["USD", "EUR", "JPY", "KRW", "XPF", "UYI", "KWD", "TND", "BHD", "CHF", "XXX", "usd", ""]


@pytest.fixture(scope="module")
def evaluate():
    """Evaluate a macro call with bound values: ``evaluate("decimal_text('$1')", value)``."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])

    def _evaluate(call, *values):
        sql = environment.from_string(f"{_MACROS}\n{{{{ {call} }}}}").render().strip()
        [(result,)] = connection.execute(f"SELECT {sql}", list(values)).fetchall()
        return result

    return _evaluate


untimed = settings(deadline=None)
money = st.decimals(min_value=Decimal("-1e14"), max_value=Decimal("1e14"), places=9)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@untimed
@given(money)
@example(Decimal(0))
@example(Decimal("-0.000000001"))
@example(Decimal("1.5"))
@example(Decimal(100))
def test_decimal_text_is_to_text(evaluate, amount):
    assert evaluate("decimal_text('$1')", amount) == to_text(amount)


@untimed
@given(
    st.sampled_from(["sales_order", "customer", "address", "invoice", "payment"]), texts.map("crm/opportunity/".__add__)
)
@example("sales_order", 'crm/opportunity/"\\ \t\n\x00\x1f\x7f/é 😀')
def test_external_id_is_the_one_of_core(evaluate, kind, entity_key):
    assert evaluate("external_id('$1', '$2')", kind, entity_key) == external_id(kind, entity_key)


@pytest.mark.parametrize("currency", _CURRENCIES)
def test_the_minor_unit_is_that_of_core(evaluate, currency):
    assert evaluate("minor_unit('$1')", currency) == Decimal(1).scaleb(-exponent(currency))


def test_a_minor_unit_is_looked_up_without_a_join():
    """As one, dozens of them in a model took most of the time that the model took."""
    connection = duckdb.connect()
    connection.execute("CREATE TABLE orders AS SELECT unnest(['EUR', 'JPY', 'KWD']) AS currency")
    sql = (
        jinja2.Environment(extensions=["jinja2.ext.do"])
        .from_string(f"{_MACROS}\n{{{{ minor_unit('currency') }}}}")
        .render()
    )
    [(_, plan)] = connection.execute(f"EXPLAIN SELECT {sql.strip()} FROM orders").fetchall()
    assert "orders" in plan
    assert "join" not in plan.lower()


@pytest.mark.parametrize("digits", [4, 9])
@untimed
@given(amount=money, quantity=money)
@example(amount=Decimal(1), quantity=Decimal(3))
@example(amount=Decimal("0.00005"), quantity=Decimal(1))
@example(amount=Decimal(0), quantity=Decimal(7))
def test_a_ratio_is_rounded_half_up_or_null(evaluate, digits, amount, quantity):
    found = evaluate(f"ratio('$1::decimal(38,9)', '$2::decimal(38,9)', {digits})", amount, quantity)
    if amount < 0 or quantity <= 0:
        assert found is None
        return
    with localcontext(prec=80):
        expected = (amount / quantity).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    if found is None:
        assert expected > Decimal("1e18")
    else:
        assert found == expected


@untimed
@given(
    st.decimals(0, 10_000, places=4), st.decimals(0, 10_000, places=4), st.integers(-3, 3), st.sampled_from(_CURRENCIES)
)
def test_within_the_minor_unit_means_that_the_product_rounds_to_the_amount(evaluate, quantity, price, more, currency):
    unit = Decimal(1).scaleb(-exponent(currency))
    amount = (quantity * price).quantize(unit) + more * unit / 2
    found = evaluate(
        "is_within_minor_unit('$1::decimal(38,9)', '$2::decimal(38,9)', '$3::decimal(38,9)', '$4')",
        quantity,
        price,
        amount,
        currency,
    )
    assert found is (abs(quantity * price - amount) < unit / 2)


@untimed
@given(st.lists(st.none() | texts, max_size=4), st.lists(st.none() | texts, max_size=4))
def test_different_fields_give_different_texts(evaluate, one, other):
    def text(fields):
        return evaluate(f"canonical_text({[f'${number + 1}::varchar' for number in range(len(fields))]})", *fields)

    if one and other:
        assert (text(one) == text(other)) == (one == other)
