"""Whose word a field is: what is sent with a creation and with an amendment, and what a sync's YAML may say."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from meshline_dagster.core.documents import DocumentKind, ErpDocument, ErpLine
from meshline_dagster.core.foreign import erp_state, foreign_changes
from meshline_dagster.core.ownership import HEADER_FIELDS, Owner, Ownership
from meshline_dagster.erp.tryton_amendments import amendment_lines
from meshline_dagster.erp.tryton_values import WantedLine, WantedSale
from meshline_dagster.orchestration.ownership_settings import OwnershipSettings
from meshline_dagster.orchestration.settings import SyncSettings

ORDER = DocumentKind.SALES_ORDER


def payload(amount="10", **changes):
    line = {"sku": "A", "quantity": "1", "amount": amount, "tax_code": "standard"}
    return {"status": "open", "customer": "C", "currency": "USD", "amount": amount, "lines": [line], **changes}


def shown(amount="10", **changes):
    number = Decimal(amount)
    there = ErpDocument(
        *(ORDER, "7", "MLO-1", "SO7", "open", datetime(2017, 4, 1, tzinfo=UTC)),
        customer="C",
        currency="USD",
        amount=number,
        lines=(ErpLine("A", Decimal(1), number, number),),
    )
    return replace(there, **changes)


def fields(there, wanted=None):
    return [one.field for one in foreign_changes(payload(), wanted or payload("20"), there)]


@pytest.mark.parametrize(
    ("there", "changed"),
    [
        (shown(), []),
        (shown("20"), []),
        (shown("12"), ["amount", "lines"]),
        (shown(amount=Decimal("10.00")), []),
        (shown(customer="D"), ["customer"]),
        (shown(customer=None, currency=None, lines=()), []),
        (shown(currency="EUR"), ["currency"]),
        (shown(status="cancelled", amount=Decimal(0), lines=()), ["status"]),
        (shown(status="partial"), ["status"]),
    ],
)
def test_what_is_neither_as_posted_nor_as_wanted_is_a_change(there, changed):
    assert fields(there) == changed


DETAILS = {"order_number": "7", "po_number": "P1", "order_date": "2017-04-01"}


@pytest.mark.parametrize(
    ("there", "posted", "wanted", "changed"),
    [
        (("P1", date(2017, 4, 1)), {}, {"po_number": "P2", "order_date": "2017-04-02"}, []),
        (("P2", date(2017, 4, 2)), {}, {"po_number": "P2", "order_date": "2017-04-02"}, []),
        (("P9", date(2017, 4, 9)), {}, {}, ["po_number", "order_date"]),
        (("", date(2017, 4, 1)), {}, {}, ["po_number"]),
        ((None, None), {}, {}, []),
        (
            ("7", date(2017, 4, 9)),
            dict.fromkeys(("po_number", "order_date")),
            dict.fromkeys(("po_number", "order_date")),
            [],
        ),
        (("7", None), {}, {}, ["po_number"]),
    ],
)
def test_numbers_and_dates_are_compared_where_the_erp_shows_them(there, posted, wanted, changed):
    po_number, order_date = there
    document = shown(po_number=po_number, order_date=order_date)
    before, after = payload(**DETAILS | posted), payload("20", **DETAILS | wanted)
    assert [one.field for one in foreign_changes(before, after, document)] == changed
    assert foreign_changes(before, after | {"status": "cancelled"}, document) == ()


def test_numbers_and_dates_that_are_the_erps_are_not_compared():
    before, document = payload(**DETAILS), shown(po_number="P9", order_date=date(2017, 4, 9))
    for owner in (Owner.ERP, Owner.CREATE_ONLY):
        owners = Ownership(dict.fromkeys(("po_number", "order_date"), owner))
        assert foreign_changes(before, owners.sent(ORDER, "amend", payload("20", **DETAILS)), document) == ()


def test_a_cancellation_overwrites_everything_but_a_cancellation():
    cancelled = payload(status="cancelled")
    assert fields(shown(), cancelled) == []
    assert fields(shown("12"), cancelled) == ["amount", "lines"]
    assert fields(shown(status="cancelled"), cancelled) == []


def test_an_order_that_stood_cancelled_and_was_reopened_is_compared_as_it_is_now():
    before = payload(status="cancelled")
    assert foreign_changes(before, payload(), shown(status="cancelled", amount=Decimal(0), lines=())) == ()
    assert [one.field for one in foreign_changes(before, before, shown())] == ["status"]


def test_the_identity_of_what_the_erp_shows_goes_by_what_is_compared():
    assert erp_state(shown()) == erp_state(shown(amount=Decimal("10.0"), number="other", event_id="e"))
    assert len({erp_state(one) for one in (shown(), shown("12"), shown(customer="D"), shown(po_number=""))}) == 4


def test_what_nobody_has_given_away_is_sent_whole():
    for operation in ("create", "amend", "cancel"):
        assert Ownership().sent(ORDER, operation, payload()) == payload()


def test_invoices_leave_out_what_is_the_erps_and_keep_what_only_amendments_leave_out():
    owners = Ownership({"po_number": Owner.CREATE_ONLY, "payment_terms": Owner.ERP}, {"tax_code": Owner.ERP})
    sent = owners.sent(DocumentKind.INVOICE, "create", payload(po_number="P", payment_terms="N"))
    assert (sent["po_number"], "payment_terms" in sent, "tax_code" in sent["lines"][0]) == ("P", False, False)


def test_addresses_can_be_the_erps():
    owners = OwnershipSettings.model_validate({"sales_order": {"bill_to": "erp", "ship_to": "create_only"}}).owners
    sent = [owners.sent(ORDER, operation, payload(bill_to="A", ship_to="B")) for operation in ("create", "amend")]
    assert [(one.get("bill_to"), one.get("ship_to")) for one in sent] == [(None, "B"), (None, None)]


@pytest.mark.parametrize("kind", [DocumentKind.ADDRESS, DocumentKind.ITEM, DocumentKind.PAYMENT])
def test_the_owners_of_an_orders_fields_are_no_owners_of_other_documents(kind):
    """What has the same name there is another field."""
    names = [name for name, free in HEADER_FIELDS.items() if free]
    owners = Ownership(dict.fromkeys(names, Owner.ERP), {"description": Owner.ERP})
    content = {**dict.fromkeys(names, "ours"), "lines": [{"description": "ours"}]}
    assert owners.sent(kind, "create", content) == content


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sales_order": {"terms": "erp"}}, "there is no such field"),
        ({"sales_order": {"amount": "erp"}}, "it is always crm"),
        ({"lines": {"quantity": "create_only"}}, "it is always crm"),
        ({"customer": {"name": "erp"}}, "it is always create_only"),
        ({"customer": {"country": "crm"}}, "created once and never amended"),
        ({"sales_order": {"po_number": "finance"}}, "create_only"),
        ({"invoice": {}}, "invoice"),
    ],
)
def test_an_ownership_that_cannot_be_kept_is_refused_when_it_is_loaded(given, told):
    with pytest.raises(ValidationError, match=told):
        OwnershipSettings.model_validate(given)


def test_a_syncs_owners_reach_delivery():
    sync = SyncSettings.model_validate(
        {
            "sources": [{"type": "salesforce"}],
            "destination": {"type": "rest", "sandbox": True},
            "origin": "2017-01-01",
            "ownership": {"sales_order": {"payment_terms": "erp"}, "lines": {"description": "create_only"}},
        }
    )
    assert sync.delivery().ownership == Ownership({"payment_terms": Owner.ERP}, {"description": Owner.CREATE_ONLY}, {})


@pytest.mark.parametrize(
    ("not_ours", "told"),
    [
        (frozenset({"tax_code", "description"}), [("line", 2, "as the ERP has it")]),
        (frozenset({"tax_code"}), [("line", 2, "ours")]),
        (frozenset(), [("add", 2, "ours"), ("line", 0, None)]),
    ],
)
def test_an_amendment_in_tryton_keeps_texts_and_taxes_of_a_line_that_are_not_ours(not_ours, told):
    line = WantedLine(5, 1, Decimal(2), Decimal(10), (3,), "ours", None, not_ours)
    have = {"id": 8, "type": "line", "product.": {"id": 5}, "unit": 1, "quantity": 1.0, "unit_price": Decimal(10)}
    row = {"party.": {"id": 4}, "lines.": [have | {"taxes": [9], "description": "as the ERP has it"}]}
    changes = amendment_lines(row, WantedSale({"party": 4}, (line,)))
    assert [(one["action"], one["quantity"], one["description"]) for one in changes] == told
