"""What confirms or removes a draft may name its revision and the ERP's ids of other documents, as every other call may."""

import copy
import json

import pytest
from starlette.responses import JSONResponse, Response

from meshline_dagster.core.documents import Outcome
from tests.integration.erp.test_configured_answers import FIRST, SECOND, Erp, changes, post, shown, told
from tests.integration.erp.test_configured_outcomes import TOLD

CUSTOMER = FIRST.payload["customer"]
BODY = {"customer": {"from": "customer", "as": "erp_id"}, "tag": {"from": "revision"}}
STEP = {"headers": {"If-Match": "{revision}"}, "body": BODY}
OK = Response(status_code=204)
REFUSED = JSONResponse({"message": "no"}, 422)


class Drafts(Erp):
    """Makes drafts. Each change of the order gives it another tag; the list is one of customers, too."""

    def __init__(self, rows=(), *, shows=True, customers=1, cancelled=0, **answers):
        super().__init__(rows, list=self._listed, create=self._create, amend=self._amend, **answers)
        self.shows, self.customers, self.cancelled = shows, customers, cancelled

    def _listed(self, request):
        if request.query_params.get("x") == CUSTOMER:
            row = {**shown(erp_id="c9", external_id=CUSTOMER), "id": 9}
            gone = [{**row, "id": 10, "status": "cancelled"}] * self.cancelled
            return JSONResponse({"rows": [*gone, *[row] * self.customers]})
        return JSONResponse({"rows": self.rows})

    def _create(self, _):
        self.rows = [shown("draft")]
        return JSONResponse(self.rows[0] if self.shows else {"id": "7"}, 201)

    def _amend(self, _):
        self.rows = [{**self.rows[0], "tag": "tag of the amended"}]
        return JSONResponse({"id": "7"})

    def steps(self):
        """What was sent to confirm and discard."""
        return [(name, tag, json.loads(body)) for name, tag, body in self.asked if name in {"confirm", "discard"}]


def kind(**more):
    return changes(
        confirm={"path": "/orders/{id}/confirm", **STEP}, discard={"path": "/orders/{id}/discard", **STEP}, **more
    )


def step(name, tag):
    return name, tag, {"customer": 9, "tag": tag}


@pytest.mark.parametrize("shows", [True, False], ids=["shown in the answer", "looked up"])
def test_a_new_draft_is_confirmed_with_its_revision_and_the_customers_id(shows):
    erp = Drafts(shows=shows, confirm=OK)
    with told(erp, kind()) as writer:
        assert post(writer, FIRST).outcome is Outcome.CREATED
    assert erp.steps() == [step("confirm", "tag of draft")]


def test_a_document_is_named_by_the_one_that_stands_beside_a_cancelled_one():
    documents = copy.deepcopy(TOLD["documents"])
    documents["customer"]["shown"]["status"] = {"at": "/status", "map": {"open": "open", "cancelled": "cancelled"}}
    erp = Drafts(cancelled=1, confirm=OK)
    with told(erp, kind(), documents=documents) as writer:
        assert post(writer, FIRST).outcome is Outcome.CREATED
    assert erp.steps() == [step("confirm", "tag of draft")]


@pytest.mark.parametrize("shows", [True, False], ids=["shown in the answer", "looked up"])
def test_a_refused_draft_is_removed_with_its_revision_and_the_customers_id(shows):
    erp = Drafts(shows=shows, confirm=REFUSED, discard=OK)
    with told(erp, kind()) as writer:
        assert post(writer, FIRST).outcome is Outcome.REJECTED
    assert erp.steps() == [step("confirm", "tag of draft"), step("discard", "tag of draft")]


def test_a_draft_of_an_earlier_request_is_confirmed_the_same():
    whole = shown("draft", FIRST.payload["amount"])
    erp = Drafts([whole], confirm=OK)
    with told(erp, kind()) as writer:
        assert post(writer, FIRST).outcome is Outcome.UPDATED
    assert erp.steps() == [step("confirm", "tag of draft")]


@pytest.mark.parametrize("document", [FIRST, SECOND])
def test_what_was_amended_is_confirmed_with_the_revision_that_it_has_then(document):
    erp = Drafts([shown("draft")], confirm=OK)
    with told(erp, kind()) as writer:
        assert post(writer, document).outcome is Outcome.UPDATED
    assert erp.steps() == [step("confirm", "tag of the amended")]


def test_an_id_that_only_the_confirmation_needs_is_looked_up_before_a_draft_is_made():
    erp = Drafts(customers=0, confirm=OK)
    with told(erp, kind()) as writer:
        answer = post(writer, FIRST)
    assert (answer.outcome, answer.field) == (Outcome.REJECTED, "customer")
    assert {name for name, *_ in erp.asked} == {"list"}


def test_a_draft_that_is_not_listed_yet_is_unknown_not_refused():
    erp = Drafts(shows=False, confirm=OK)
    erp.answers["create"] = JSONResponse({"id": "7"}, 201)
    with told(erp, kind()) as writer:
        answer = post(writer, FIRST)
    assert (answer.outcome, answer.erp_id) == (Outcome.UNKNOWN, "7")
    assert erp.steps() == []
