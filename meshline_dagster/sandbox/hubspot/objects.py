"""The objects that the sandbox portal has, and their properties as the properties API lists them."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["LINKS", "OBJECTS", "PropertyDef"]


@dataclass(frozen=True, slots=True)
class PropertyDef:
    """One property.

    Attributes:
        type: HubSpot's word for the type.
        field_type: how people enter it.
        options: the values of an enumeration.
    """

    name: str
    type: str = "string"
    field_type: str = "text"
    options: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The members of an entry that readers use."""
        options = [
            {"label": one, "value": one, "displayOrder": place, "hidden": False}
            for place, one in enumerate(self.options)
        ]
        return {
            "name": self.name,
            "label": self.name.replace("_", " "),
            "type": self.type,
            "fieldType": self.field_type,
            "options": options,
            "archived": False,
            "hidden": False,
            "calculated": self.field_type == "calculation_equation",
        }


def _number(name: str) -> PropertyDef:
    return PropertyDef(name, "number", "number")


def _choice(name: str, *options: str) -> PropertyDef:
    return PropertyDef(name, "enumeration", "select", options)


def _flag(name: str) -> PropertyDef:
    return PropertyDef(name, "bool", "calculation_equation")


def _object(*properties: PropertyDef) -> Mapping[str, PropertyDef]:
    common = (
        _number("hs_object_id"),
        PropertyDef("createdate", "datetime", "date"),
        PropertyDef("hs_lastmodifieddate", "datetime", "date"),
        PropertyDef("hs_merged_object_ids", "enumeration", "checkbox"),
    )
    return {one.name: one for one in (*properties, *common)}


_STAGES = ("appointmentscheduled", "closedwon", "closedlost")
_CURRENCIES = ("EUR", "GBP", "JPY", "USD")

OBJECTS: Mapping[str, Mapping[str, PropertyDef]] = {
    "companies": _object(
        *map(PropertyDef, ("name", "industry", "address", "address2", "city", "state", "zip", "country"))
    ),
    "products": _object(
        *map(PropertyDef, ("name", "description", "hs_sku")),
        *(_number("price"), _choice("hs_status", "active", "inactive")),
    ),
    "deals": _object(
        *(PropertyDef("dealname"), _number("amount"), _choice("deal_currency_code", *_CURRENCIES)),
        *(_choice("dealstage", *_STAGES), _choice("pipeline", "default"), PropertyDef("closedate", "datetime", "date")),
        _choice("dealtype", "newbusiness", "existingbusiness", "amendment", "renewal"),
        *(_flag("hs_is_closed"), _flag("hs_is_closed_won"), _number("hs_num_of_associated_line_items")),
        *map(PropertyDef, ("original_deal_id", "po_number", "payment_terms")),
    ),
    "line_items": _object(
        *map(PropertyDef, ("name", "description", "hs_sku")),
        *map(_number, ("hs_product_id", "quantity", "price", "amount", "discount", "hs_discount_percentage")),
        *(_choice("hs_line_item_currency_code", *_CURRENCIES), _choice("recurringbillingfrequency", "annually")),
        PropertyDef("hs_recurring_billing_start_date", "date", "date"),
        PropertyDef("hs_recurring_billing_end_date", "date", "date"),
    ),
}
"""Object -> property -> definition."""

LINKS: Mapping[tuple[str, str], tuple[int, int | None]] = {
    ("deals", "companies"): (341, 5),
    ("line_items", "deals"): (20, None),
}
"""The links there are, from the object that keeps them: their type, and the type of the primary one."""
