"""An answer to a look-up that the ERP's page size has cut says nothing about what it does not show."""

import asyncio
import json

import pytest
from pydantic import ValidationError
from starlette.responses import JSONResponse

from meshline_dagster.core.documents import DocumentKind, Outcome
from meshline_dagster.core.errors import ConfigError
from meshline_dagster.orchestration.settings import SyncSettings
from tests.integration.erp.test_configured_answers import SECOND, TOLD, Erp, changes, post, shown, told

ORDER = DocumentKind.SALES_ORDER
IDS = [f"MLO-{number:03}" for number in range(100)]
ROWS = [shown(erp_id=str(number), external_id=name) for number, name in enumerate(IDS)]


class Paged(Erp):
    """Shows the first rows of what is asked for and says nothing of the rest; an ERP's own page size."""

    def __init__(self, rows, size, *, fold=False):
        super().__init__(rows, list=self._listed)
        self.size, self.fold = size, fold

    def _listed(self, request):
        alike = str.casefold if self.fold else str
        asked = {alike(one) for one in request.query_params.get("x", "").split(",")}
        found = [row for row in self.rows if alike(row["x"]) in asked]
        return JSONResponse({"rows": found[: self.size]})


def find(writer, ids):
    async def inside():
        await writer.open()
        try:
            found = await writer.find(ORDER, ids)
            return {name: [one.erp_id for one in documents] for name, documents in found.items()}
        finally:
            await writer.aclose()

    return asyncio.run(inside())


def read(writer):
    async def inside():
        await writer.open()
        try:
            return [one.erp_id async for page in writer.read(ORDER, None) for one in page]
        finally:
            await writer.aclose()

    return asyncio.run(inside())


def listing(paging, **more):
    return changes(find={"paging": paging, **more})


@pytest.mark.parametrize("size", [1, 3, 20, 49, 50, 51])
@pytest.mark.parametrize(
    "paging",
    [
        {"type": "single"},
        {"type": "cursor", "at": "/misspelt", "parameter": "c"},
        {"type": "next_link", "at": "/misspelt"},
    ],
    ids=lambda paging: paging["type"],
)
def test_what_a_cut_answer_does_not_show_is_asked_for_again(size, paging):
    there = ROWS[::2]
    with told(Paged(there, size), listing(paging)) as writer:
        assert find(writer, IDS) == {row["x"]: [row["id"]] for row in there}


def test_rows_of_others_never_keep_a_look_up_from_ending():
    others = [shown(erp_id="9", external_id="mlo-003")]
    erp = Paged(others, 20, fold=True)
    with told(erp) as writer:
        assert find(writer, IDS[:5]) == {}
    assert len(erp.asked) == 6


@pytest.mark.parametrize("rows", [19, 20])
def test_an_answer_that_reaches_the_asked_limit_is_not_believed(rows):
    kind = changes(find={"query": {"x": "{external_ids}", "limit": "20"}, "at_once": 19})
    same = [shown(erp_id=str(number)) for number in range(rows)]
    with told(Erp(same), kind) as writer:
        if rows == 20:
            with pytest.raises(ConfigError, match=r"20 rows.*documents\.sales_order\.find\.paging"):
                find(writer, [SECOND.external_id])
            assert post(writer, SECOND).outcome is Outcome.RETRY
        else:
            assert len(find(writer, [SECOND.external_id])[SECOND.external_id]) == rows


@pytest.mark.parametrize(
    ("more", "headers", "where"),
    [
        ({"@odata.nextLink": "/orders?$skiptoken=2"}, {}, "/@odata.nextLink"),
        ({"next": {"href": "/orders?page=2"}}, {}, "/next"),
        ({"paging": {"next_cursor": "abc"}}, {}, "/paging/next_cursor"),
        ({"_links": {"next": {"href": "/orders?page=2"}}}, {}, "/_links/next"),
        ({"meta": {"has_more": True}}, {}, "/meta/has_more"),
        ({"@odata.count": 3}, {}, "/@odata.count"),
        ({}, {"Link": '</orders?page=2>; rel="next"'}, "header Link"),
    ],
)
@pytest.mark.parametrize("ask", [lambda writer: find(writer, IDS[:3]), read], ids=["find", "read"])
def test_an_answer_that_says_that_there_is_more_is_a_configuration_error(ask, more, headers, where):
    answer = JSONResponse({"rows": ROWS[:2], **more}, headers=headers)
    kind = changes()
    kind["read"] = {**kind["read"], "paging": {"type": "single"}}
    with (
        told(Erp(list=answer), kind) as writer,
        pytest.raises(ConfigError, match=r"set documents\.sales_order\.(find|read)") as said,
    ):
        ask(writer)
    assert where in str(said.value)


@pytest.mark.parametrize(
    "more",
    [
        {"next": None, "has_more": False, "@odata.count": 2},
        {"_links": {"self": {"href": "/orders"}, "next": {}}, "data": []},
        {"meta": {"next_cursor": "", "next_page": 0}, "totalCount": 1},
    ],
)
def test_an_answer_that_says_that_this_is_all_is_believed(more):
    with told(Erp(list=JSONResponse({"rows": ROWS[:2], **more}))) as writer:
        assert set(find(writer, IDS[:2])) == set(IDS[:2])


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        (
            {"query": {"x": "{external_ids}", "limit": "{page_size}"}, "paging": {"type": "single", "page_size": 50}},
            True,
        ),
        ({"query": {"x": "{external_ids}", "$top": "50"}}, True),
        ({"paging": {"type": "single", "page_size": 20}}, True),
        ({"query": {}, "method": "POST", "body": {"ids": {"from": "external_ids"}, "limit": 50}}, True),
        ({"query": {"x": "{external_ids}", "$top": "51"}}, False),
        ({"query": {"x": "{external_ids}", "limit_page_length": "0"}}, False),
        ({"paging": {"type": "single", "page_size": 20}, "at_once": 19}, False),
    ],
)
def test_more_ids_at_once_than_one_answer_can_show_are_refused_when_the_sync_is_loaded(asked, refused):
    if not refused:
        assert settings(asked)
        return
    with pytest.raises(
        ValidationError, match=r"documents\.sales_order\.find\.at_once: 50 documents.*set at_once below"
    ):
        settings(asked)


def settings(find_call):
    api = json.loads(json.dumps({**TOLD, "documents": {**TOLD["documents"], "sales_order": changes(find=find_call)}}))
    destination = {"type": "configured", "name": "erp", "base_url": "env:ERP_URL", "company": "1", "sandbox": True}
    destination |= {"auth": {"type": "bearer", "token": "env:ERP_TOKEN"}, "api": api}
    return SyncSettings.model_validate(
        {"origin": "2026-01-01", "sources": [{"type": "salesforce"}], "destination": destination}
    )
