"""Events of orders. Each carries the whole state that the order was in: header and lines, amendments netted in.

An event says what the CRM says, right or wrong: a missing currency is an event without one, which is not posted but reviewed. So only
that is required which every state of an order has.
"""

from typing import Annotated, Literal

from pydantic import Field

from meshline_dagster.core.events.event import TYPE, VERSION, Event, Record
from meshline_dagster.core.events.fields import Amount, Count, Day, Flag, Nothing, Text, meaning

__all__ = ["OrderAmendedV1", "OrderCancelledV1", "OrderCreatedV1", "OrderLine"]

_STATUS = meaning("`open` or `cancelled`.", owner="revops")
_POSITION = meaning("1 for the entity's first event, in the order of time. A label.", owner="integrations")
_WORTH = "What the order is worth in this state, ex tax: root and amendments together. Null when a deal that counts has no amount."
_AMOUNT = meaning(_WORTH, owner="finance", unit="currency", example="1200.5")
_NO_AMOUNT = meaning(_WORTH, owner="finance", unit="currency", example="0")
_LINES = meaning("The lines of this state, amendments netted in.", owner="revops")


class OrderLine(Record):
    """One line of an order."""

    line_id: Annotated[
        Text,
        meaning(
            "The CRM's line; of several that were netted the smallest.", owner="revops", example="00kQz000001AbcDIAS"
        ),
    ]
    source_sku: Annotated[
        Text | None,
        meaning("The product code as the CRM has it, before any mapping.", owner="revops", example="GTX-PRO"),
    ] = None
    description: Annotated[
        Text | None, meaning("What is sold, in the CRM's words.", owner="revops", example="GTX Pro, one year")
    ] = None
    quantity: Annotated[
        Amount | None,
        meaning("How many; below zero only where a line takes back.", owner="revops", unit="uom", example="3"),
    ] = None
    uom: Annotated[Text | None, meaning("Unit of measure of the quantity.", owner="revops", example="unit")] = None
    unit_price: Annotated[
        Amount | None,
        meaning(
            "Price of one unit as the CRM has it, ex tax, before the discount.",
            owner="finance",
            unit="currency",
            example="400.166666667",
        ),
    ] = None
    discount: Annotated[Amount | None, meaning("As the CRM has it.", owner="finance", unit="percent", example="0")] = (
        None
    )
    amount: Annotated[
        Amount | None,
        meaning(
            "What the line is worth, ex tax, after the discount.", owner="finance", unit="currency", example="1200.5"
        ),
    ] = None
    charge_type: Annotated[
        Text | None,
        meaning(
            "Whether it is charged once or again and again, as the CRM writes it.", owner="finance", example="recurring"
        ),
    ] = None
    start_date: Annotated[
        Day | None, meaning("First day of the line's term.", owner="revops", example="2026-04-01")
    ] = None
    end_date: Annotated[Day | None, meaning("Last day of the line's term.", owner="revops", example="2027-03-31")] = (
        None
    )
    billing_frequency: Annotated[
        Text | None, meaning("How often it is billed, as the CRM writes it.", owner="finance", example="monthly")
    ] = None


class _OrderV1(Event):
    document_kind: Annotated[
        Literal["sales_order"], meaning("The kind of ERP document that the entity becomes.", owner="finance")
    ]
    order_id: Annotated[Text, meaning("The root deal.", owner="revops", example="006Qz000001LmAqIAK")]
    contract_id: Annotated[
        Text | None, meaning("The CRM's contract.", owner="revops", example="800Qz000000XyZaIAK")
    ] = None
    subscription_id: Annotated[
        Text | None, meaning("The CRM's subscription.", owner="revops", example="a0BQz000000Sub1MAC")
    ] = None
    source_document_id: Annotated[
        Text | None, meaning("The deal that the header was taken from.", owner="revops", example="006Qz000001LmAqIAK")
    ] = None
    sold_to: Annotated[
        Text | None, meaning("The customer that the deal names.", owner="revops", example="001Qz000000CusTIAU")
    ] = None
    bill_to: Annotated[Text | None, meaning("Who gets the invoice.", owner="finance", example="001Qz000000CusTIAU")] = (
        None
    )
    ship_to: Annotated[Text | None, meaning("Who gets the goods.", owner="revops", example="001Qz000000CusTIAU")] = None
    selling_entity: Annotated[
        Text | None, meaning("Our company that sells, from the policy.", owner="finance", example="main")
    ] = None
    currency: Annotated[
        Text | None,
        meaning(
            "The deal's currency, or the policy's default one. An order whose currency is no ISO 4217 code is reviewed, not posted.",
            owner="finance",
            example="USD",
        ),
    ] = None
    payment_terms: Annotated[Text | None, meaning("As the CRM writes them.", owner="finance", example="NET30")] = None
    po_number: Annotated[Text | None, meaning("The customer's order number.", owner="revops", example="PO-7")] = None
    tax_treatment: Annotated[Text | None, meaning("As the CRM writes it.", owner="finance", example="standard")] = None
    signed_date: Annotated[Day | None, meaning("When it was signed.", owner="revops", example="2026-02-27")] = None
    booking_date: Annotated[
        Day | None, meaning("When it was booked; the cut-over is judged by it.", owner="finance", example="2026-03-02")
    ] = None
    effective_date: Annotated[Day | None, meaning("From when it holds.", owner="revops", example="2026-04-01")] = None
    status: Annotated[Literal["open", "cancelled"], _STATUS]
    amount: Annotated[Amount | None, _AMOUNT] = None
    lines: Annotated[list[OrderLine], _LINES]
    is_resolved: Annotated[
        Flag,
        meaning(
            "The original links end at a landed deal that may be an order of its own.",
            owner="integrations",
            example=True,
        ),
    ]
    root_was_won: Annotated[
        Flag, meaning("The root deal was won in this state or in an earlier one.", owner="revops", example=True)
    ]
    is_netted: Annotated[Flag, meaning("Amendments are part of this state.", owner="revops", example=False)]


class OrderCreatedV1(_OrderV1):
    """An order is there: its first won state."""

    type: Annotated[Literal["order.created"], TYPE]
    position: Annotated[Literal[1], _POSITION]
    contract_version: Annotated[Literal["1.0.0"], VERSION]
    status: Annotated[Literal["open"], _STATUS]


class OrderAmendedV1(_OrderV1):
    """An order is in another state than before, and still open."""

    type: Annotated[Literal["order.amended"], TYPE]
    position: Annotated[Count, Field(ge=2), _POSITION]
    contract_version: Annotated[Literal["1.0.0"], VERSION]
    status: Annotated[Literal["open"], _STATUS]


class OrderCancelledV1(_OrderV1):
    """An order is no more: it is worth nothing and has no lines."""

    type: Annotated[Literal["order.cancelled"], TYPE]
    contract_version: Annotated[Literal["1.0.0"], VERSION]
    status: Annotated[Literal["cancelled"], _STATUS]
    amount: Annotated[Nothing, _NO_AMOUNT]
    lines: Annotated[list[OrderLine], Field(max_length=0), _LINES]
