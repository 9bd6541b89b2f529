"""The sandbox ERP over HTTP: what it takes, refuses, remembers and breaks."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from meshline_dagster.sandbox.serve import serve_process
from tests.integration.erp.conftest import CUSTOMER

LINE = {
    "line": "1",
    "sku": "A",
    "description": "字",
    "quantity": "2",
    "uom": "unit",
    "unit_price": "5.05",
    "amount": "10.10",
}


def order(external_id="O1", **changes):
    body = {"external_id": external_id, "event_id": "e1", "customer": "C1", "currency": "EUR", "status": "open"}
    return {**body, "amount": "10.10", "lines": [LINE], **changes}


def oracle(client):
    return client.get("/control/oracle").json()


@pytest.mark.parametrize("headers", [{"Authorization": ""}, {"Authorization": "Bearer sandboxx"}])
def test_data_calls_need_the_token(erp, headers):
    with erp() as client:
        for call in (client.get("/v1/company", headers=headers), client.post("/v1/sales-orders", headers=headers)):
            assert (call.status_code, call.json()["error"]["code"]) == (401, "unauthorized")


def test_an_order_comes_back_as_it_was_sent(erp):
    with erp() as client:
        made = client.post("/v1/sales-orders", json=order())
        assert made.status_code == 201
        found = client.get("/v1/sales-orders", params={"external_id": ["O1", "O2"]}).json()["documents"]
        assert found == [made.json()] == [client.get(f"/v1/sales-orders/{made.json()['id']}").json()]
        assert found[0]["lines"] == [LINE]
        assert found[0]["number"] == "SO-000002"


def test_the_idempotent_profile_repeats_its_first_answer(erp):
    with erp("idempotent") as client:
        key = {"Idempotency-Key": "k1"}
        first, again = [client.post("/v1/sales-orders", json=order(), headers=key) for _ in range(2)]
        assert (first.status_code, first.content) == (again.status_code, again.content)
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        other = client.post("/v1/sales-orders", json=order(event_id="e2"), headers=key)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
        assert oracle(client)["journal"] == {"customer create": 1, "sales_order create": 1}


def test_a_refusal_does_not_use_the_key_up(erp):
    with erp("idempotent") as client:
        key, body = {"Idempotency-Key": "k1"}, order(customer="C2")
        assert client.post("/v1/sales-orders", json=body, headers=key).status_code == 422
        client.post("/v1/customers", json={**CUSTOMER, "external_id": "C2"}).raise_for_status()
        assert client.post("/v1/sales-orders", json=body, headers=key).status_code == 201


def test_the_unique_profile_names_the_document_that_has_the_external_id(erp):
    with erp("unique") as client:
        first = client.post("/v1/sales-orders", json=order()).json()
        again = client.post("/v1/sales-orders", json=order(event_id="e2"))
        assert (again.status_code, again.json()["error"]["code"]) == (409, "exists")
        assert (again.json()["id"], again.json()["existing"]) == (first["id"], first)


def test_the_lookup_only_profile_makes_a_second_document_and_the_oracle_tells(erp):
    with erp("lookup_only") as client:
        key = {"Idempotency-Key": "k1"}
        ids = {client.post("/v1/sales-orders", json=order(), headers=key).json()["id"] for _ in range(2)}
        assert len(ids) == 2
        counted = oracle(client)
        assert counted["duplicates"] == [{"kind": "sales_order", "external_id": "O1", "n": 2}]
        assert counted["amounts"] == {"EUR open": "20.2"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"customer": "nobody"}, "customer"),
        ({"customer": None}, "customer"),
        ({"external_id": ""}, "external_id"),
        ({"external_id": "x" * 65}, "external_id"),
        ({"event_id": 5}, "event_id"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "EURO"}, "currency"),
        ({"status": "done"}, "status"),
        ({"amount": "10.11"}, "amount"),
        ({"amount": 10.1}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"lines": []}, "lines"),
        ({"lines": [LINE, "line"]}, "lines[1]"),
        ({"lines": [{**LINE, "sku": "B"}]}, "lines[0].sku"),
        ({"lines": [{**LINE, "sku": None}]}, "lines[0].sku"),
        ({"lines": [{**LINE, "quantity": "two"}]}, "lines[0].quantity"),
        ({"lines": [{**LINE, "unit_price": None}]}, "lines[0].unit_price"),
    ],
)
def test_a_wrong_order_is_refused_with_its_field_and_leaves_nothing(erp, changes, field):
    with erp(items={"A"}) as client:
        call = client.post("/v1/sales-orders", json=order(**changes))
        assert (call.status_code, call.json()["error"]["field"]) == (422, field)
        assert call.json()["error"]["message"]
        assert oracle(client)["documents"] == {"customer open": 1, "item open": 1}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b'{"external_id": "\\ud800"}', b"\xff"])
def test_what_is_no_json_object_is_refused(erp, body):
    with erp() as client:
        call = client.post("/v1/sales-orders", content=body)
        assert call.status_code in {400, 422}
        assert call.json()["error"]["message"]


def test_a_put_replaces_everything_and_may_reopen(erp):
    with erp() as client:
        made = client.post("/v1/sales-orders", json=order()).json()
        path = f"/v1/sales-orders/{made['id']}"
        assert client.post(f"{path}/cancel", json={"event_id": "e2"}).json()["status"] == "cancelled"
        again = client.post(f"{path}/cancel", json={"event_id": "e2"}).json()
        assert again["event_id"] == "e2"
        line = {**LINE, "quantity": "1", "amount": "5.05"}
        put = client.put(path, json=order(event_id="e3", amount="5.05", lines=[line])).json()
        assert (put["status"], put["lines"], put["event_id"], put["id"]) == ("open", [line], "e3", made["id"])
        assert put["updated_at"] > made["updated_at"]
        assert client.put(path, json=order("O2")).json()["error"]["field"] == "external_id"
        counted = oracle(client)
        assert counted["journal"] == {
            "customer create": 1,
            "sales_order create": 1,
            "sales_order cancel": 1,
            "sales_order replace": 1,
        }
        assert [row["event_id"] for row in client.get("/control/journal").json()] == ["e0", "e1", "e2", "e3"]


@pytest.mark.parametrize("document_id", ["o99", "2", "o", "c1", "o1", "ox", "o٣"])
def test_another_id_is_not_found(erp, document_id):
    with erp() as client:
        assert client.put(f"/v1/sales-orders/{document_id}", json=order()).status_code == 404
        assert client.get(f"/v1/sales-orders/{document_id}").status_code == 404


def test_pages_hold_every_document_once_in_the_order_of_change(erp):
    with erp() as client:
        made = [client.post("/v1/sales-orders", json=order(f"O{n}")).json() for n in range(7)]
        client.put(f"/v1/sales-orders/{made[0]['id']}", json=order("O0", event_id="e2")).raise_for_status()
        asked, pages = {"limit": "3"}, []
        while True:
            page = client.get("/v1/sales-orders", params=asked).json()
            pages.append([one["external_id"] for one in page["documents"]])
            if page["next_cursor"] is None:
                break
            asked["cursor"] = page["next_cursor"]
        assert pages == [["O1", "O2", "O3"], ["O4", "O5", "O6"], ["O0"]]
        since = {"updated_since": made[5]["updated_at"]}
        later = client.get("/v1/sales-orders", params=since).json()["documents"]
        assert [one["external_id"] for one in later] == ["O5", "O6", "O0"]


def test_one_more_page_is_promised_only_when_there_is_one(erp):
    with erp() as client:
        for number in range(2):
            client.post("/v1/sales-orders", json=order(f"O{number}"))
        assert client.get("/v1/sales-orders", params={"limit": "2"}).json()["next_cursor"] is None


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": "0"},
        {"limit": "x"},
        {"cursor": "x"},
        {"updated_since": "yesterday"},
        {"updated_since": "2017-04-01T00:00:00"},
    ],
)
def test_a_wrong_question_is_refused(erp, asked):
    with erp() as client:
        call = client.get("/v1/sales-orders", params=asked)
        assert (call.status_code, call.json()["error"]["field"]) == (400, next(iter(asked)))


def test_hundreds_of_ids_are_looked_up_at_once(erp):
    with erp() as client:
        client.post("/v1/sales-orders", json=order("O7"))
        asked = {"external_ids": [f"O{number}" for number in range(900)]}
        found = client.post("/v1/sales-orders/lookup", json=asked).json()["documents"]
        assert [one["external_id"] for one in found] == ["O7"]
        assert client.post("/v1/sales-orders/lookup", json={"external_ids": ["x"] * 1001}).status_code == 400


def test_its_items_are_shown_and_another_is_taken_once_it_is_made(erp):
    with erp(items={"B", "A"}) as client:
        assert [one["sku"] for one in client.get("/v1/items").json()["documents"]] == ["A", "B"]
        body = order(lines=[{**LINE, "sku": "C"}])
        assert client.post("/v1/sales-orders", json=body).status_code == 422
        made = {"external_id": "C", "sku": "C", "name": "Probe", "uom": "unit", "list_price": "1.5", "currency": "EUR"}
        for wrong in ({"sku": "D"}, {"name": ""}, {"uom": None}, {"currency": None}, {"list_price": 1.5}):
            assert client.post("/v1/items", json=made | wrong).status_code == 422, wrong
        assert client.post("/v1/items", json=made).status_code == 201
        assert client.put("/v1/items/t1", json=made).status_code == 405
        assert client.post("/v1/sales-orders", json=body).status_code == 201


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"customer": "C2"}, "customer"),
        ({"use": "home"}, "use"),
        ({"city": None}, "street"),
        ({"external_id": None}, "external_id"),
    ],
)
def test_a_wrong_address_is_refused_with_its_field(erp, changes, field):
    with erp() as client:
        body = {"external_id": "A1", "customer": "C1", "use": "bill_to", "city": "Rome"}
        call = client.post("/v1/addresses", json=body | changes)
        assert (call.status_code, call.json()["error"]["field"]) == (422, field)


def test_an_order_names_addresses_of_its_own_customer_only(erp):
    with erp() as client:
        client.post("/v1/customers", json=CUSTOMER | {"external_id": "C2"})
        client.post("/v1/addresses", json={"external_id": "A1", "customer": "C2", "use": "bill_to", "city": "Rome"})
        call = client.post("/v1/sales-orders", json=order(ship_to="A1"))
        assert (call.status_code, call.json()["error"]["field"]) == (422, "ship_to")
        assert client.post("/v1/sales-orders", json=order(customer="C2", ship_to="A1")).status_code == 201


def test_requests_are_counted(erp):
    with erp() as client:
        client.get("/v1/company")
        client.get("/v1/company", headers={"Authorization": "x"})
        assert client.get("/control/requests").json() == {"POST": 1, "GET": 2, "total": 3}


def test_writes_that_come_together_are_all_kept(erp):
    with erp("unique") as client:

        def post(number):
            return client.post("/v1/sales-orders", json=order(f"O{number % 50}")).status_code

        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(post, range(200)))
        assert (statuses.count(201), statuses.count(409)) == (50, 150)
        assert oracle(client)["documents"]["sales_order open"] == 50


def test_a_killed_server_kept_everything_that_it_answered(tmp_path, monkeypatch):
    monkeypatch.setenv("MESHLINE_ERP_TOKEN", "from the environment")
    arguments = ["-m", "meshline_dagster.sandbox.erp", "--store", str(tmp_path / "erp" / "erp.db"), "--item", "A"]
    headers = {"Authorization": "Bearer from the environment"}
    with serve_process(arguments) as (url, pid):
        httpx.post(f"{url}/v1/customers", json=CUSTOMER, headers=headers).raise_for_status()
        made = httpx.post(f"{url}/v1/sales-orders", json=order(), headers=headers).json()
        os.kill(pid, signal.SIGKILL)
    with serve_process([*arguments, "--profile", "unique", "--company", "2"]) as (url, _):
        again = httpx.post(f"{url}/v1/sales-orders", json=order(), headers=headers)
        assert (again.status_code, again.json()["id"]) == (409, made["id"])
        company = httpx.get(f"{url}/v1/company", headers=headers).json()
        assert (company["id"], company["profile"]) == ("2", "unique")


def accounting(external_id, **changes):
    return {**order(external_id), "order": "O1", "invoice_date": "2026-03-02", **changes}


def credit(external_id="N1", quantity="1", amount="5.05", **changes):
    line = {**LINE, "quantity": quantity, "amount": amount, "invoice_line": "1"}
    return accounting(external_id, amount=amount, lines=[line], **{"invoice": "I1", **changes})


def invoiced(client):
    for path, body in (("sales-orders", order()), ("invoices", accounting("I1"))):
        assert client.post(f"/v1/{path}", json=body).status_code == 201


def test_what_is_invoiced_and_credited_is_told_for_each_order(erp):
    with erp() as client:
        invoiced(client)
        made = client.post("/v1/credit-notes", json=credit())
        assert made.status_code == 201
        assert oracle(client)["billed"] == {"O1": {"invoiced": "10.1", "credited": "5.05"}}
        assert client.get(f"/v1/credit-notes/{made.json()['id']}").json()["number"] == "CN-000004"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("invoices", accounting("I2", order="O2"), "order"),
        ("invoices", accounting("I2", customer="C2"), "customer"),
        ("invoices", accounting("I2", invoice_date="soon"), "invoice_date"),
        ("invoices", accounting("I2", amount="10.11"), "amount"),
        (
            "invoices",
            accounting("I2", amount="-1", lines=[{**LINE, "quantity": "-1", "unit_price": "1", "amount": "-1"}]),
            "amount",
        ),
        ("credit-notes", credit(invoice="I9"), "invoice"),
        ("credit-notes", credit(currency="USD"), "currency"),
        ("credit-notes", credit(quantity="3", amount="15.15"), "lines[0]"),
        ("credit-notes", credit(quantity="2", amount="10.11"), "lines[0]"),
    ],
)
def test_what_does_not_belong_in_the_books_is_refused_and_leaves_nothing(erp, path, body, field):
    with erp() as client:
        invoiced(client)
        before = oracle(client)["journal"]
        answer = client.post(f"/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
        assert oracle(client)["journal"] == before


def test_what_is_in_the_books_cannot_be_replaced_nor_an_order_invoiced_after_its_cancellation(erp):
    with erp() as client:
        invoiced(client)
        [invoice] = client.get("/v1/invoices").json()["documents"]
        assert client.put(f"/v1/invoices/{invoice['id']}", json=accounting("I1")).status_code == 405
        [found] = client.get("/v1/sales-orders").json()["documents"]
        client.post(f"/v1/sales-orders/{found['id']}/cancel", json={"event_id": "e2"})
        answer = client.post("/v1/invoices", json=accounting("I2"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "order_cancelled")
        assert client.post("/v1/credit-notes", json=credit(quantity="2", amount="10.10")).status_code == 201
