"""Landing views: each object's Parquet files as one relation with the columns that the models rely on.

The columns are declared here, once. A file that lacks one (an older schema) gives null, further columns of a file stay in the
file and in ``_payload``, and a value that does not fit its column becomes null, which the rules then see and report: one bad
row, or one drifting column, never stops a build.
"""

from collections.abc import Mapping, Sequence

import duckdb

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.warehouse.records import SourceFile, SourceFiles

__all__ = ["LANDING_COLUMNS", "create_landing_views"]

_TEXT, _FLAG, _DAY, _INSTANT = "VARCHAR", "BOOLEAN", "DATE", "TIMESTAMPTZ"
_MONEY = "DECIMAL(38,9)"
# Numbers of 10^15 and more are taken for errors, so that sums and products of the others fit into DECIMAL(38, 9).
_BOUND = "DECIMAL(24,9)"

_SYSTEM = {
    "_id": _TEXT,
    "_stamp": _INSTANT,
    "_hash": _TEXT,
    "_deleted": _FLAG,
    "_payload": _TEXT,
    "_run_id": _TEXT,
    "_window_start": _INSTANT,
    "_window_end": _INSTANT,
    "_observed_at": _INSTANT,
    "_schema_hash": _TEXT,
}

_ACCOUNTING = {
    "external_id": _TEXT,
    "number": _TEXT,
    "status": _TEXT,
    "order_external_id": _TEXT,
    "invoice_external_id": _TEXT,
    "customer": _TEXT,
    "currency": _TEXT,
    "amount": _MONEY,
    "document_date": _DAY,
}

LANDING_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "salesforce__opportunity": {
        "Name": _TEXT,
        "AccountId": _TEXT,
        "Amount": _MONEY,
        "CurrencyIsoCode": _TEXT,
        "StageName": _TEXT,
        "IsWon": _FLAG,
        "IsClosed": _FLAG,
        "CloseDate": _DAY,
        "Type": _TEXT,
        "ContractId": _TEXT,
        "Original_Opportunity__c": _TEXT,
        "PO_Number__c": _TEXT,
        "Payment_Terms__c": _TEXT,
        "IsDeleted": _FLAG,
    },
    "salesforce__opportunity_line_item": {
        "OpportunityId": _TEXT,
        "Product2Id": _TEXT,
        "ProductCode": _TEXT,
        "Description": _TEXT,
        "Quantity": _MONEY,
        "UnitPrice": _MONEY,
        "TotalPrice": _MONEY,
        "Discount": _MONEY,
        "ServiceDate": _DAY,
        "End_Date__c": _DAY,
        "IsDeleted": _FLAG,
    },
    "salesforce__account": {
        "Name": _TEXT,
        "BillingStreet": _TEXT,
        "BillingCity": _TEXT,
        "BillingState": _TEXT,
        "BillingPostalCode": _TEXT,
        "BillingCountry": _TEXT,
        "ShippingStreet": _TEXT,
        "ShippingCity": _TEXT,
        "ShippingState": _TEXT,
        "ShippingPostalCode": _TEXT,
        "ShippingCountry": _TEXT,
        "CurrencyIsoCode": _TEXT,
        "IsDeleted": _FLAG,
    },
    "salesforce__product2": {
        "ProductCode": _TEXT,
        "Name": _TEXT,
        "QuantityUnitOfMeasure": _TEXT,
        "List_Price__c": _MONEY,
        "CurrencyIsoCode": _TEXT,
        "IsActive": _FLAG,
        "IsDeleted": _FLAG,
    },
    "salesforce__opportunity_deletes": {},
    "hubspot__deals": {
        "dealname": _TEXT,
        "amount": _MONEY,
        "deal_currency_code": _TEXT,
        "dealtype": _TEXT,
        "closedate": _INSTANT,
        "hs_is_closed_won": _FLAG,
        "hs_merged_object_ids": _TEXT,
        "original_deal_id": _TEXT,
        "po_number": _TEXT,
        "payment_terms": _TEXT,
        "associated_company": _TEXT,
        "portal_currency": _TEXT,
        "portal_time_zone": _TEXT,
    },
    "hubspot__line_items": {
        "associated_deal": _TEXT,
        "hs_product_id": _TEXT,
        "hs_sku": _TEXT,
        "name": _TEXT,
        "description": _TEXT,
        "quantity": _MONEY,
        "price": _MONEY,
        "amount": _MONEY,
        "discount": _MONEY,
        "hs_discount_percentage": _MONEY,
        "hs_line_item_currency_code": _TEXT,
        "hs_recurring_billing_start_date": _DAY,
        "hs_recurring_billing_end_date": _DAY,
        "recurringbillingfrequency": _TEXT,
        "portal_currency": _TEXT,
    },
    "hubspot__companies": {
        "name": _TEXT,
        "address": _TEXT,
        "address2": _TEXT,
        "city": _TEXT,
        "state": _TEXT,
        "zip": _TEXT,
        "country": _TEXT,
    },
    "hubspot__products": {"hs_sku": _TEXT, "name": _TEXT, "price": _MONEY, "hs_status": _TEXT},
    "hubspot__deals_archived": {},
    "hubspot__line_items_archived": {},
    "hubspot__companies_archived": {},
    "hubspot__products_archived": {},
    "erp__sales_order": {
        "external_id": _TEXT,
        "number": _TEXT,
        "status": _TEXT,
        "event_id": _TEXT,
        "customer": _TEXT,
        "currency": _TEXT,
        "amount": _MONEY,
        "document_date": _DAY,
        "lines": _TEXT,
    },
    "erp__invoice": _ACCOUNTING,
    "erp__credit_note": _ACCOUNTING,
}
"""Landing view -> its typed columns (the source's own names). Every view also has the landing zone's own columns,
``_source`` (instance) and ``_is_new`` (landed after the build cursor)."""


def create_landing_views(connection: duckdb.DuckDBPyConnection, files: SourceFiles) -> None:
    """(Re)create the schema ``landing``: one view for each declared object over the files that count now.

    Raises:
        ConfigError: files were given for a view that is not declared.
    """
    unknown = sorted(set(files.views) - set(LANDING_COLUMNS))
    if unknown:
        raise ConfigError(
            f"no landing view is declared for {', '.join(unknown)}; declared are {', '.join(sorted(LANDING_COLUMNS))}"
        )
    connection.execute("CREATE SCHEMA IF NOT EXISTS landing")
    for name, columns in LANDING_COLUMNS.items():
        query = _query(connection, {**_SYSTEM, **columns}, files.views.get(name, ()))
        connection.execute(f'CREATE OR REPLACE VIEW landing."{name}" AS {query}')


def _query(connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str], files: Sequence[SourceFile]) -> str:
    """A UNION ALL with one branch for each instance and age: a filter on ``_is_new`` leaves the other files unread."""
    groups: dict[tuple[str, bool], list[str]] = {}
    for file in files:
        groups.setdefault((file.instance, file.is_new), []).append(file.path)
    branches = [
        _branch(connection, columns, instance, is_new, paths) for (instance, is_new), paths in sorted(groups.items())
    ]
    return " UNION ALL ".join(branches) or _empty(columns)


def _branch(
    connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str], instance: str, is_new: bool, paths: Sequence[str]
) -> str:
    relation = f"read_parquet([{', '.join(map(_literal, paths))}], union_by_name = true)"
    present = {row[0].lower() for row in connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}
    selected = [
        _cast(name, kind) if name.lower() in present else f'NULL::{kind} AS "{name}"' for name, kind in columns.items()
    ]
    selected += [f"{_literal(instance)} AS _source", f"{str(is_new).lower()} AS _is_new"]
    return f"SELECT {', '.join(selected)} FROM {relation}"


def _cast(name: str, kind: str) -> str:
    value = f'TRY_CAST("{name}" AS {_BOUND})::{_MONEY}' if kind == _MONEY else f'TRY_CAST("{name}" AS {kind})'
    return f'{value} AS "{name}"'


def _empty(columns: Mapping[str, str]) -> str:
    typed = [f'NULL::{kind} AS "{name}"' for name, kind in columns.items()]
    return f"SELECT {', '.join(typed)}, NULL::VARCHAR AS _source, NULL::BOOLEAN AS _is_new WHERE false"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
