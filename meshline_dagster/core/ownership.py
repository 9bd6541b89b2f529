"""Who owns a field of a document: the CRM, the ERP, or the CRM until the document is created. Pure.

What orders are reconciled and invoiced by (status, customer, currency, amount, and of each line item, quantity and money) is always the
CRM's: an order in which that belonged to somebody else could be neither compared nor billed. It is what a look-up shows, so it is compared
before it is overwritten: see :mod:`~meshline_dagster.core.foreign`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from meshline_dagster.core.documents import ACCOUNTING_KINDS, DocumentKind

__all__ = [
    "CUSTOMER_FIELDS",
    "CUSTOMER_OWNERS",
    "HEADER_FIELDS",
    "LINE_FIELDS",
    "Owner",
    "Ownership",
]


class Owner(StrEnum):
    """Whose word a field is."""

    CRM = "crm"
    ERP = "erp"
    CREATE_ONLY = "create_only"


HEADER_FIELDS: Mapping[str, bool] = MappingProxyType(
    {
        **dict.fromkeys(("order_number", "customer", "currency", "status", "amount", "lines"), False),
        **dict.fromkeys(("customer_name", "order_date", "po_number", "payment_terms", "bill_to", "ship_to"), True),
    }
)
"""The fields of a sales order; true where somebody else than the CRM may own it."""

LINE_FIELDS: Mapping[str, bool] = MappingProxyType(
    {
        **dict.fromkeys(("line", "sku", "quantity", "uom", "unit_price", "amount"), False),
        **dict.fromkeys(("description", "tax_code", "start", "end"), True),
    }
)
"""The same for the fields of its lines."""

CUSTOMER_OWNERS: Mapping[str, Owner] = MappingProxyType(
    {
        **dict.fromkeys(("code", "name", "country", "currency"), Owner.CREATE_ONLY),
        **dict.fromkeys(("payment_terms", "credit_limit", "credit_terms", "tax_id", "tax_ids"), Owner.ERP),
    }
)
"""Who owns a customer's fields where nobody says otherwise: it is created once, and what finance grants or has checked is the ERP's."""

CUSTOMER_FIELDS: Mapping[str, bool] = MappingProxyType({name: name not in {"code", "name"} for name in CUSTOMER_OWNERS})
"""The fields of a customer; true where the owner can be chosen. Without code and name no ERP makes one."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """The owners that a workflow has chosen. What is not named is the CRM's, but for :data:`CUSTOMER_OWNERS`.

    Attributes:
        sales_order: of header fields; lines: of the fields of lines. Invoices and credit notes, which repeat both, go by them, too; addresses, items
            and payments do not.
        customer: of customers' fields.
    """

    sales_order: Mapping[str, Owner] = field(default_factory=dict)
    lines: Mapping[str, Owner] = field(default_factory=dict)
    customer: Mapping[str, Owner] = field(default_factory=dict)

    def sent(self, kind: DocumentKind, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The payload without the members that are not ours to send with this operation: an ERP keeps what it has there."""
        is_new = operation == "create"
        if kind is DocumentKind.CUSTOMER:  # created once, and never amended
            return _left({**CUSTOMER_OWNERS, **self.customer}, payload, is_new=True)
        if kind is not DocumentKind.SALES_ORDER and kind not in ACCOUNTING_KINDS:
            return dict(payload)  # an address, an item or a payment: made once, of what nobody can give away
        is_new = is_new or kind in ACCOUNTING_KINDS
        sent = _left(self.sales_order, payload, is_new=is_new)
        if self.lines and "lines" in sent:
            sent["lines"] = [_left(self.lines, line, is_new=is_new) for line in sent["lines"]]
        return sent


def _left(owners: Mapping[str, Owner], fields: Mapping[str, Any], *, is_new: bool) -> dict[str, Any]:
    if not owners:
        return dict(fields)
    ours = {Owner.CRM, Owner.CREATE_ONLY} if is_new else {Owner.CRM}
    return {name: value for name, value in fields.items() if owners.get(name, Owner.CRM) in ours}
