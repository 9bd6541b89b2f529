"""What the sandbox ERP delivers of an order, as its operators say, and what its lines say of that afterwards."""

import pytest

from tests.integration.erp.test_sandbox_erp import LINE, order

TWO = {"amount": "20.20", "lines": [LINE, {**LINE, "line": "2", "sku": "B"}]}


def deliver(client, **lines):
    return client.post("/control/deliveries", json={"external_id": "O1", "lines": lines})


def told(document):
    return [line.get("delivered") for line in document["lines"]]


def test_lines_say_nothing_until_something_is_delivered_and_an_amendment_keeps_what_is(erp):
    with erp() as client:
        made = client.post("/v1/sales-orders", json=order(**TWO)).json()
        assert told(made) == [None, None]
        shown = deliver(client, **{"2": "1.50"}).json()
        assert told(shown) == ["0", "1.5"]
        assert shown["updated_at"] > made["updated_at"]
        assert told(deliver(client, **{"1": "2"}).json()) == ["2", "1.5"]
        more = {"amount": "30.30", "lines": [*TWO["lines"], {**LINE, "line": "3", "sku": "C"}]}
        amended = client.put(f"/v1/sales-orders/{made['id']}", json=order(event_id="e2", **more))
        assert told(amended.json()) == ["2", "1.5", "0"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"external_id": "O2", "lines": {"1": "1"}}, 404),
        ({"external_id": "O1", "lines": {"7": "1"}}, 422),
        ({"external_id": "O1", "lines": {"1": "-1"}}, 422),
        ({"external_id": "O1", "lines": {"1": "many"}}, 400),
        ({"external_id": "O1"}, 400),
    ],
)
def test_what_cannot_be_delivered_is_refused_and_changes_nothing(erp, asked, status):
    with erp() as client:
        made = client.post("/v1/sales-orders", json=order()).json()
        assert client.post("/control/deliveries", json=asked).status_code == status
        assert client.get(f"/v1/sales-orders/{made['id']}").json() == made
