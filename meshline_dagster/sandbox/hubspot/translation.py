"""A Salesforce-shaped world as HubSpot would hold it: the same deals, changes and ground truth, under HubSpot's names and numbers.

With what HubSpot does to values: amounts are texts with the digits of a float, and a close date is an instant. Half of them are midnight
UTC, as integrations write a day; the others an evening in the portal's time zone, when it is tomorrow already in UTC.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from meshline_dagster.sandbox.crm.records import Version
from meshline_dagster.sandbox.crm.world import World
from meshline_dagster.sandbox.hubspot.state import LINKED, TIME_ZONE, stamp_text

__all__ = ["empty_portal", "hubspot_id", "hubspot_world"]

_NAMES = {"Account": "companies", "Product2": "products", "Opportunity": "deals", "OpportunityLineItem": "line_items"}
_EVENING = time(21, 30)
_DIGITS = (10**11, 10**12)


def empty_portal(now: datetime) -> World:
    """A world without records, whose clock starts at ``now``."""
    return World("empty", {}, now)


def hubspot_id(record_id: str) -> str:
    """The number that a Salesforce-shaped id always gets; numbers are of different lengths."""
    digest = int.from_bytes(sha256(record_id.encode()).digest()[:8])
    return str(digest % _DIGITS[digest % 2])


def hubspot_world(world: World, *, time_zone: str = TIME_ZONE) -> World:
    """Translate a world; records that HubSpot has no object for here (quotes) are left out.

    Raises:
        ValueError: two records would get one number.
    """
    versions = {}
    for here, there in _NAMES.items():
        before = world.versions.get(here, ())
        versions[there] = _versions(here, before, ZoneInfo(time_zone))
        if len({one.id for one in versions[there]}) != len({one.id for one in before}):
            raise ValueError(f"two {there} would get one number; choose another seed")
    return World(f"hubspot-{world.name}", versions, world.now, _truth(world.ground_truth))


def _versions(object_name: str, versions: Sequence[Version], zone: ZoneInfo) -> list[Version]:
    """In the order given, which is that of time for each record. Archiving moves no change stamp."""
    changed: dict[str, int] = {}
    found = []
    for one in versions:
        changed[one.id] = changed.get(one.id, one.stamp) if one.deleted else one.stamp
        found.append(_version(object_name, one, changed[one.id], zone))
    return found


def _version(object_name: str, version: Version, changed: int, zone: ZoneInfo) -> Version:
    own = hubspot_id(version.id)
    values = _VALUES[object_name](version.values, zone) | {"hs_object_id": own}
    created = datetime.fromisoformat(version.values["CreatedDate"])
    values |= {"createdate": stamp_text(round(created.timestamp() * 1000))}
    values |= {"hs_lastmodifieddate": stamp_text(changed), "IsDeleted": version.values["IsDeleted"]}
    return Version(own, version.stamp, values, version.purged)


def _company(values: Mapping[str, Any], _: ZoneInfo) -> dict[str, Any]:
    renamed = {"address": "Street", "city": "City", "state": "State", "zip": "PostalCode", "country": "Country"}
    address = {name: values[f"Billing{part}"] for name, part in renamed.items()}
    return {"name": values["Name"], "industry": values["Industry"], **address}


def _product(values: Mapping[str, Any], _: ZoneInfo) -> dict[str, Any]:
    return {
        "name": values["Name"],
        "hs_sku": values["ProductCode"],
        "price": _float_text(values["List_Price__c"]),
        "hs_status": "active" if values["IsActive"] else "inactive",
    }


def _deal(values: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    stage = "closedwon" if values["IsWon"] else "closedlost" if values["IsClosed"] else "appointmentscheduled"
    root, account = values["Original_Opportunity__c"], values["AccountId"]
    return {
        "dealname": values["Name"],
        "amount": _float_text(values["Amount"]),
        "deal_currency_code": values["CurrencyIsoCode"],
        "dealstage": stage,
        "pipeline": "default",
        "dealtype": str(values["Type"]).lower().replace(" ", "") if values["Type"] else "",
        "closedate": _close_date(values["CloseDate"], values["Id"], zone),
        "hs_is_closed": str(values["IsClosed"]).lower(),
        "hs_is_closed_won": str(values["IsWon"]).lower(),
        "original_deal_id": hubspot_id(root) if root else None,
        "po_number": values["PO_Number__c"],
        "payment_terms": values["Payment_Terms__c"],
        LINKED: (hubspot_id(account),) if account else (),
    }


def _line(values: Mapping[str, Any], _: ZoneInfo) -> dict[str, Any]:
    product = values["Product2Id"]
    return {
        "name": values["ProductCode"],
        "hs_product_id": hubspot_id(product) if product else None,
        "hs_sku": values["ProductCode"],
        "quantity": _plain(values["Quantity"]),
        "price": _float_text(values["UnitPrice"]),
        "amount": _float_text(values["TotalPrice"]),
        "hs_line_item_currency_code": values["CurrencyIsoCode"],
        "hs_recurring_billing_start_date": values["ServiceDate"],
        "hs_recurring_billing_end_date": values["End_Date__c"],
        LINKED: (hubspot_id(values["OpportunityId"]),),
    }


_VALUES = {"Account": _company, "Product2": _product, "Opportunity": _deal, "OpportunityLineItem": _line}


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def _float_text(value: Decimal | None) -> str | None:
    """All digits of the float next to it: ``0.1`` is ``0.1000000000000000055511151231257827021181583404541015625``."""
    return None if value is None else format(Decimal(float(value)), "f")


def _close_date(day: str | None, record_id: str, zone: ZoneInfo) -> str | None:
    if day is None:
        return None
    if int(hubspot_id(record_id)) % 2:
        return f"{day}T00:00:00Z"
    evening = datetime.combine(date.fromisoformat(day), _EVENING, tzinfo=zone)
    return stamp_text(round(evening.astimezone(UTC).timestamp() * 1000))


def _truth(truth: Mapping[str, Any]) -> dict[str, Any]:
    """The same expectations by HubSpot's numbers."""
    orders = {}
    for record_id, order in truth.get("orders", {}).items():
        customer = order["customer"]
        amendments = sorted(map(hubspot_id, order["amendments"]))
        more = {"customer": hubspot_id(customer) if customer else None, "amendments": amendments}
        orders[hubspot_id(record_id)] = order | more
    return {**truth, "orders": orders}
