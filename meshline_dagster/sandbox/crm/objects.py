"""The objects that the sandbox CRM has, and their fields as ``describe`` lists them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["OBJECTS", "FieldDef", "ObjectDef"]


@dataclass(frozen=True, slots=True)
class FieldDef:
    """One field.

    Attributes:
        type: Salesforce's word for the type.
        length: of text.
        precision, scale: of numbers.
        picklist: the values of an enumeration.
    """

    name: str
    type: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    picklist: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The members of a describe entry that readers use."""
        return {
            "name": self.name,
            "label": self.name.removesuffix("__c").replace("_", " "),
            "type": self.type,
            "length": self.length,
            "precision": self.precision,
            "scale": self.scale,
            "digits": 0,
            "nillable": self.type not in {"id", "boolean"}
            and self.name not in {"Name", "CreatedDate", "SystemModstamp"},
            "custom": self.name.endswith("__c"),
            "calculated": False,
            "filterable": True,
            "sortable": True,
            "picklistValues": [
                {"active": True, "defaultValue": False, "label": value, "value": value} for value in self.picklist
            ],
            "referenceTo": [],
        }


@dataclass(frozen=True, slots=True)
class ObjectDef:
    """One object: its name, the prefix of its ids, its fields by name."""

    name: str
    prefix: str
    fields: Mapping[str, FieldDef] = field(repr=False)


_STAGES = ("Prospecting", "Engaging", "Closed Won", "Closed Lost", "Won", "Lost", "Cancelled")
_CURRENCIES = ("EUR", "GBP", "JPY", "USD")
_AUDIT = (
    FieldDef("IsDeleted", "boolean"),
    FieldDef("CreatedDate", "datetime"),
    FieldDef("LastModifiedDate", "datetime"),
    FieldDef("SystemModstamp", "datetime"),
)


def _id(name: str = "Id") -> FieldDef:
    return FieldDef(name, "id" if name == "Id" else "reference", length=18)


def _text(name: str, length: int = 255) -> FieldDef:
    return FieldDef(name, "string", length=length)


def _money(name: str) -> FieldDef:
    return FieldDef(name, "currency", precision=18, scale=2)


def _address(use: str) -> tuple[FieldDef, ...]:
    lengths = {"Street": 255, "City": 40, "State": 80, "PostalCode": 20, "Country": 80}
    return tuple(_text(f"{use}{part}", length) for part, length in lengths.items())


def _object(name: str, prefix: str, *fields: FieldDef) -> ObjectDef:
    return ObjectDef(name, prefix, {item.name: item for item in (_id(), *fields, *_AUDIT)})


_CURRENCY = FieldDef("CurrencyIsoCode", "picklist", length=3, picklist=_CURRENCIES)

OBJECTS: dict[str, ObjectDef] = {
    item.name: item
    for item in (
        _object(
            "Account",
            "001",
            *(_text("Name"), _text("Industry", 40), *_address("Billing"), *_address("Shipping"), _CURRENCY),
        ),
        _object(
            "Opportunity",
            "006",
            *(_text("Name", 120), _id("AccountId"), _money("Amount"), _CURRENCY),
            FieldDef("StageName", "picklist", length=255, picklist=_STAGES),
            *(FieldDef("IsWon", "boolean"), FieldDef("IsClosed", "boolean"), FieldDef("CloseDate", "date")),
            FieldDef("Type", "picklist", length=255, picklist=("Amendment", "New Business", "Renewal")),
            *(FieldDef("HasOpportunityLineItem", "boolean"), _id("Original_Opportunity__c")),
            *(_text("PO_Number__c", 40), _text("Payment_Terms__c", 40)),
        ),
        _object(
            "OpportunityLineItem",
            "00k",
            *(_id("OpportunityId"), _id("Product2Id"), _text("ProductCode"), _text("Description")),
            FieldDef("Quantity", "double", precision=12, scale=2),
            *(_money("UnitPrice"), _money("ListPrice"), _money("TotalPrice")),
            FieldDef("Discount", "percent", precision=5, scale=2),
            *(FieldDef("ServiceDate", "date"), FieldDef("End_Date__c", "date"), _CURRENCY),
        ),
        _object(
            "Product2",
            "01t",
            *(_text("ProductCode"), _text("Name"), _text("Family", 40), FieldDef("IsActive", "boolean")),
            *(_text("QuantityUnitOfMeasure", 40), _money("List_Price__c"), _CURRENCY),
        ),
        _object(
            "Quote",
            "0Q0",
            *(_id("OpportunityId"), _text("QuoteNumber", 30)),
            FieldDef("Status", "picklist", length=40, picklist=("Accepted", "Draft", "Presented", "Rejected")),
            *(FieldDef("IsSyncing", "boolean"), FieldDef("ExpirationDate", "date"), _money("GrandTotal"), _CURRENCY),
        ),
    )
}
"""Object name -> definition."""
