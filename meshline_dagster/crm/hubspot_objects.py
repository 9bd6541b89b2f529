"""What we read of each HubSpot object unless told otherwise, and what its associations tell.

Properties that a portal may lack without that being an error (those that HubSpot adds with a subscription, and our custom ones)
are null columns while it lacks them.
"""

from dataclasses import dataclass

from meshline_dagster.crm.protocol import FieldType

__all__ = [
    "ASSOCIATIONS",
    "DEFAULT_PROPERTIES",
    "MERGED",
    "PORTAL_FIELDS",
    "STAMP",
    "Association",
    "field_type",
    "optional_type",
    "stamp_of",
]

STAMP = "hs_lastmodifieddate"
MERGED = "hs_merged_object_ids"

DEFAULT_PROPERTIES: dict[str, tuple[str, ...]] = {
    "deals": (
        *("dealname", "amount", "deal_currency_code", "dealstage", "pipeline", "dealtype", "closedate"),
        *("hs_is_closed", "hs_is_closed_won", MERGED, "original_deal_id", "po_number", "payment_terms"),
    ),
    "line_items": (
        *("name", "description", "hs_product_id", "hs_sku", "quantity", "price", "amount", "discount"),
        *("hs_discount_percentage", "hs_line_item_currency_code", "hs_recurring_billing_start_date"),
        *("hs_recurring_billing_end_date", "recurringbillingfrequency"),
    ),
    "companies": ("name", "address", "address2", "city", "state", "zip", "country", MERGED),
    "products": ("name", "description", "hs_sku", "price", "hs_status"),
}
"""Object -> the properties that a feed asks for by default."""

PORTAL_FIELDS: dict[str, tuple[str, ...]] = {
    "deals": ("portal_currency", "portal_time_zone"),
    "line_items": ("portal_currency",),
}
"""Object -> what its rows say of the portal: its only currency (null where it has several), and the time zone of its dates."""

_OPTIONAL = {
    "deal_currency_code": FieldType.STRING,
    "hs_discount_percentage": FieldType.DECIMAL,
    "hs_line_item_currency_code": FieldType.STRING,
    MERGED: FieldType.STRING,
    "hs_recurring_billing_end_date": FieldType.DATE,
    "hs_recurring_billing_start_date": FieldType.DATE,
    "hs_status": FieldType.STRING,
    "original_deal_id": FieldType.STRING,
    "payment_terms": FieldType.STRING,
    "po_number": FieldType.STRING,
    "recurringbillingfrequency": FieldType.STRING,
}

_TYPES = {
    "bool": FieldType.BOOLEAN,
    "number": FieldType.DECIMAL,
    "date": FieldType.DATE,
    "datetime": FieldType.TIMESTAMP,
}
_NUMBERED = frozenset({"hs_object_id", "hs_product_id", "original_deal_id", "payment_terms", "po_number"})


@dataclass(frozen=True, slots=True)
class Association:
    """A link that a row of the object carries.

    Attributes:
        to: the other object.
        field: the column of its id: the primary one, or the only one; null where there is none, or several of which none is primary.
        primary: HubSpot's type number of the primary link; None where links have no such type.
    """

    to: str
    field: str
    primary: int | None = None


ASSOCIATIONS: dict[str, Association] = {
    "deals": Association("companies", "associated_company", primary=5),
    "line_items": Association("deals", "associated_deal"),
}
"""Object -> the link that is read with every row of it."""


def field_type(name: str, source_type: str) -> FieldType:
    """The landed type of a property; what only looks like a number (ids, order numbers) is a text, whatever HubSpot calls it."""
    return FieldType.STRING if name in _NUMBERED else _TYPES.get(source_type, FieldType.STRING)


def optional_type(name: str) -> FieldType | None:
    """The type of the null column that stands for a property which the portal lacks; None where it must have it."""
    return _OPTIONAL.get(name)


def stamp_of(object_name: str) -> str:
    """The property that a change moves."""
    return "lastmodifieddate" if object_name == "contacts" else STAMP
