"""The faults that the sandbox ERP commits when it is told to."""

import time

import httpx
import pytest

from tests.integration.erp.test_sandbox_erp import oracle, order


def plan(client, *rules):
    client.post("/control/faults", json={"plan": rules}).raise_for_status()


def test_a_planned_refusal_strikes_the_nth_write_only(erp):
    with erp() as client:
        plan(client, {"fault": "refuse", "status": 429, "retry_after": 3, "at": [2]})
        client.get("/v1/company").raise_for_status()
        calls = [client.post("/v1/sales-orders", json=order(f"O{number}")) for number in range(3)]
        assert [call.status_code for call in calls] == [201, 429, 201]
        assert calls[1].headers["retry-after"] == "3"
        assert client.get("/control/faults").json() == [{"fault": "refuse", "struck": 1}]
        client.delete("/control/faults")
        assert client.get("/control/faults").json() == []


def test_a_seed_makes_the_same_requests_fail_again(erp):
    def struck(client):
        plan(client, {"fault": "refuse", "probability": 0.3, "seed": 5, "times": 6})
        return [client.post("/v1/sales-orders", json=order(f"O{number}")).status_code for number in range(40)]

    with erp("lookup_only") as client:
        first = struck(client)
        assert first == struck(client)
        assert first.count(503) == 6


@pytest.mark.parametrize(("fault", "documents"), [("reset_before", 0), ("reset_after", 1)])
def test_a_reset_breaks_the_connection_before_or_after_the_work(erp, fault, documents):
    with erp() as client:
        plan(client, {"fault": fault, "at": [1]})
        with pytest.raises(httpx.TransportError):
            client.post("/v1/sales-orders", json=order())
        assert oracle(client)["documents"].get("sales_order open", 0) == documents
        assert client.post("/v1/sales-orders", json=order("O2")).status_code == 201


def test_a_late_commit_appears_after_its_time(erp):
    with erp() as client:
        plan(client, {"fault": "late_commit", "seconds": 0.5, "at": [1]})
        with pytest.raises(httpx.TransportError):
            client.post("/v1/sales-orders", json=order())
        assert "sales_order open" not in oracle(client)["documents"]
        deadline = time.monotonic() + 30
        while "sales_order open" not in oracle(client)["documents"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_slow_answer_has_been_done_before_it_comes(erp):
    with erp() as client:
        plan(client, {"fault": "slow", "seconds": 30, "at": [1]})
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/sales-orders", json=order(), timeout=0.5)
        assert oracle(client)["documents"]["sales_order open"] == 1


@pytest.mark.parametrize(
    "body", ["{}", '{"plan": [{"fault": "earthquake"}]}', '{"plan": [{"fault": "slow", "on": "x"}]}', "x"]
)
def test_a_plan_that_is_none_is_refused(erp, body):
    with erp() as client:
        assert client.post("/control/faults", content=body).status_code == 400
