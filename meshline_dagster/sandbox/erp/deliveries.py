"""What the sandbox ERP has delivered of its sales orders: each line says how much, once anything of its order was delivered."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from meshline_dagster.sandbox.erp.bodies import Refused
from meshline_dagster.sandbox.erp.database import Database

__all__ = ["deliver", "with_deliveries"]


def deliver(database: Database, external_id: str, quantities: Mapping[str, str]) -> dict[str, Any]:
    """Say how much of some lines, by number, is delivered in all, less what came back. Answers the order. Raises ``Refused``."""
    orders = [one for one in database.of("sales_order", [external_id]) if one["status"] != "cancelled"]
    if not orders:
        raise Refused(404, "not_found", f"there is no open sales order {external_id}", field="external_id")
    row = database.by_id("sales_order", orders[0]["id"])
    if row is None:
        raise Refused(404, "not_found", f"there is no sales order {external_id}", field="external_id")
    body = json.loads(row["body"])
    unknown = sorted(quantities.keys() - {str(line.get("line")) for line in body["lines"]})
    if unknown:
        raise Refused(422, "unknown_line", f"{row['external_id']} has no line {', '.join(unknown)}", field="lines")
    if any(Decimal(quantity) < 0 for quantity in quantities.values()):
        raise Refused(422, "invalid", "what is delivered is never less than nothing", field="lines")
    lines = [
        {**line, "delivered": quantities.get(str(line.get("line")), line.get("delivered", "0"))}
        for line in body["lines"]
    ]
    body = {**body, "lines": lines}
    return database.write("deliver", "sales_order", body, status=row["status"], request_key=None, seq=row["seq"])


def with_deliveries(body: dict[str, Any], have: Mapping[str, Any]) -> dict[str, Any]:
    """A replacing body: of an order that was delivered in part, lines that it did not have say that nothing of them is."""
    if not any("delivered" in line for line in have.get("lines", ())):
        return body
    return {**body, "lines": [{"delivered": "0", **line} for line in body["lines"]]}
