"""The net price that is posted: quantity times price is the line's amount, to the last digit or rounded to the minor unit."""

import json
from decimal import Decimal

from meshline_dagster.warehouse.records import BuildMode
from tests.integration.warehouse.landed import Project, account, deal, instant, line, product
from tests.integration.warehouse.recorded import MemoryWarehouse

# quantity, price, discount in percent and total of a line -> the net price to post, None where none gives the total
PRICES = [
    (("3", "100", None, "300"), "100"),
    (("3", "33.3333", None, "100"), "33.3333"),  # rounds to the amount: the CRM's own price stands
    (("3", "100", "10", "270"), "90"),
    (("3", "50", "33.33", "100"), "33.3333"),  # no price is exact: four decimals that round to it
    (("16", "1", "90", "0.000016"), "0.000001"),  # exact in nine decimals
    (("30000", "1", "50", "10000"), "0.333333333"),  # four decimals would be a cent off
    (("3", "100", None, "299.99"), None),
    (("3", "100", None, "299.996"), "100"),
    (("0", "100", None, "0"), "100"),
    (("0", "100", "5", "7"), None),
]


def test_quantity_times_net_price_is_the_amount(tmp_path):
    project, warehouse = Project(tmp_path), MemoryWarehouse()
    project.land([account("A1"), product("P1", "SKU-1")])
    for number, (values, _) in enumerate(PRICES):
        quantity, price, discount, total = (None if value is None else Decimal(value) for value in values)
        item = {"quantity": quantity, "price": price, "TotalPrice": total, "Discount": discount}
        project.land([deal(f"D{number}", instant(), amount=total), line(f"L{number}", f"D{number}", instant(), **item)])
    warehouse.build(project.spec(BuildMode.FULL))
    query = "SELECT payload FROM marts.outbox WHERE document_kind = 'sales_order'"
    documents = [json.loads(payload) for (payload,) in warehouse.connection.execute(query).fetchall()]
    warehouse.close()
    assert {one["order_number"]: one["lines"][0]["unit_price"] for one in documents} == {
        f"D{number}": net for number, (_, net) in enumerate(PRICES) if net is not None
    }
