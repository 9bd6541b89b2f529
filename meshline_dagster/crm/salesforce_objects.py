"""What we read of each Salesforce object unless told otherwise.

Custom fields of these lists, ``CurrencyIsoCode`` (which single-currency orgs lack) and ``QuantityUnitOfMeasure`` are optional: an org without
them still syncs, with null columns in their place.
"""

import re

from meshline_dagster.crm.protocol import FieldType

__all__ = [
    "ADDRESS_FIELDS",
    "DEFAULT_FIELDS",
    "FIELD_TYPES",
    "ITEM_FIELDS",
    "TEXT_TYPES",
    "field_type",
    "is_optional",
    "optional_type",
    "snake_case",
]

_AUDIT = ("IsDeleted", "CreatedDate", "SystemModstamp")

DEFAULT_FIELDS: dict[str, tuple[str, ...]] = {
    "Opportunity": (
        *(
            "Id",
            "Name",
            "AccountId",
            "Amount",
            "CurrencyIsoCode",
            "StageName",
            "IsWon",
            "IsClosed",
            "CloseDate",
            "Type",
        ),
        *("HasOpportunityLineItem", "Original_Opportunity__c", "PO_Number__c", "Payment_Terms__c"),
        *("LastModifiedDate", *_AUDIT),
    ),
    "OpportunityLineItem": (
        *("Id", "OpportunityId", "Product2Id", "ProductCode", "Description", "Quantity", "UnitPrice", "ListPrice"),
        *("TotalPrice", "Discount", "ServiceDate", "End_Date__c", "CurrencyIsoCode", *_AUDIT),
    ),
    "Account": ("Id", "Name", "Industry", "BillingCountry", "CurrencyIsoCode", *_AUDIT),
    "Product2": ("Id", "ProductCode", "Name", "Family", "IsActive", *_AUDIT),
    "Quote": (
        *("Id", "OpportunityId", "QuoteNumber", "Status", "IsSyncing", "ExpirationDate", "GrandTotal"),
        *("CurrencyIsoCode", *_AUDIT),
    ),
}
"""Object name -> the fields that a feed asks for by default."""

ADDRESS_FIELDS = tuple(
    f"{use}{part}" for use in ("Billing", "Shipping") for part in ("Street", "City", "State", "PostalCode", "Country")
)
"""What is read of an account besides, where a sync keeps addresses."""

ITEM_FIELDS = ("QuantityUnitOfMeasure", "List_Price__c", "CurrencyIsoCode")
"""What is read of a product besides, where a sync keeps items."""

FIELD_TYPES: dict[str, FieldType] = {
    "boolean": FieldType.BOOLEAN,
    "int": FieldType.INTEGER,
    "long": FieldType.INTEGER,
    "currency": FieldType.DECIMAL,
    "double": FieldType.DECIMAL,
    "percent": FieldType.DECIMAL,
    "date": FieldType.DATE,
    "datetime": FieldType.TIMESTAMP,
}
"""Salesforce's field types that are more than text; every other type lands as text."""

TEXT_TYPES = frozenset(
    {
        *(
            "base64",
            "combobox",
            "datacategorygroupreference",
            "email",
            "encryptedstring",
            "id",
            "multipicklist",
            "phone",
        ),
        *("picklist", "reference", "string", "textarea", "time", "url"),
    }
)
"""The types whose values are JSON strings; those in neither list (``address``, ``anyType``) may hold anything."""

_OPTIONAL_TYPES = {"End_Date__c": FieldType.DATE, "List_Price__c": FieldType.DECIMAL}


def field_type(source_type: str) -> FieldType:
    """The landed type of a field that ``describe`` calls ``source_type``."""
    return FIELD_TYPES.get(source_type, FieldType.STRING)


def is_optional(object_name: str, field: str) -> bool:
    """Tell whether an org may lack the field without that being an error."""
    custom = field.endswith("__c") and field in (*DEFAULT_FIELDS.get(object_name, ()), *ITEM_FIELDS)
    return custom or field in {"CurrencyIsoCode", "QuantityUnitOfMeasure"}


def optional_type(field: str) -> FieldType:
    """The type of the null column that stands for an optional field while the org lacks it."""
    return _OPTIONAL_TYPES.get(field, FieldType.STRING)


def snake_case(object_name: str) -> str:
    """The feed's name of an object: ``OpportunityLineItem`` -> ``opportunity_line_item``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", object_name).lower()
