"""The data calls of the sandbox portal: lists, searches, links, properties, the account.

Every property is a text, whatever its type. What is asked for and has no value is null.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshline_dagster.sandbox.crm.records import Version
from meshline_dagster.sandbox.hubspot.objects import LINKS, OBJECTS
from meshline_dagster.sandbox.hubspot.search import InvalidSearchError, search
from meshline_dagster.sandbox.hubspot.state import HubSpotSandbox, milliseconds_of, stamp_text

__all__ = ["data_routes", "refusal"]

_ALWAYS = ("createdate", "hs_lastmodifieddate", "hs_object_id")

_Answer = Callable[[HubSpotSandbox, Request, dict[str, Any]], Response]


def refusal(status: int, category: str, words: str, **more: Any) -> Response:
    """An error as HubSpot words it."""
    body = {"status": "error", "message": words, "correlationId": "sandbox", "category": category}
    return JSONResponse(body | more, status)


def data_routes() -> list[Route]:
    """The routes of the API."""
    return [
        Route("/account-info/v3/details", _locked(_account)),
        Route("/crm/v3/properties/{object}", _locked(_properties)),
        Route("/crm/v3/objects/{object}", _locked(_list)),
        Route("/crm/v3/objects/{object}/search", _locked(_search), methods=["POST"]),
        Route("/crm/v4/associations/{object}/{to}/batch/read", _locked(_links), methods=["POST"]),
    ]


def _locked(answer: _Answer) -> Callable[[Request], Any]:
    """Run a call under the sandbox's lock, with HubSpot's words for what it cannot do."""

    async def call(request: Request) -> Response:
        sandbox: HubSpotSandbox = request.app.state.sandbox
        named = request.path_params.get("object")
        if named is not None and named not in OBJECTS:
            return refusal(404, "OBJECT_NOT_FOUND", f"Unable to infer object type from: {named}")
        text = await request.body()
        with sandbox.lock:
            try:
                return answer(sandbox, request, json.loads(text) if text else {})
            except InvalidSearchError as error:
                return refusal(400, "VALIDATION_ERROR", str(error))
            except (ValueError, KeyError, TypeError) as error:
                return refusal(400, "VALIDATION_ERROR", f"Invalid input JSON: {error}")

    return call


def _account(sandbox: HubSpotSandbox, _: Request, __: dict[str, Any]) -> Response:
    settings = sandbox.settings
    return JSONResponse(
        {
            "portalId": 147893286,
            "accountType": "STANDARD",
            "timeZone": settings.time_zone,
            "companyCurrency": settings.currency,
            "additionalCurrencies": list(settings.more_currencies),
        }
    )


def _properties(sandbox: HubSpotSandbox, request: Request, _: dict[str, Any]) -> Response:
    name = request.path_params["object"]
    visible = [one.as_json() for one in OBJECTS[name].values() if f"{name}.{one.name}" not in sandbox.settings.hidden]
    return JSONResponse({"results": visible})


def _list(sandbox: HubSpotSandbox, request: Request, _: dict[str, Any]) -> Response:
    """All records by id, or all archived ones; the cursor is the id of the next."""
    given, name = request.query_params, request.path_params["object"]
    limit = int(given.get("limit", "10"))
    if not 0 < limit <= sandbox.settings.list_rows:
        return refusal(400, "VALIDATION_ERROR", f"limit {limit} is not allowed")
    archived = given.get("archived", "false") == "true"
    oldest = milliseconds_of(sandbox.clock.now() - sandbox.settings.archived_kept)
    versions = [
        one
        for one in sandbox.table(name).between(None, None)
        if one.deleted == archived and not (archived and one.stamp < oldest)
    ]
    versions.sort(key=lambda one: int(one.id))
    start = int(given.get("after") or 0)
    page = [one for one in versions if int(one.id) >= start]
    names = list(filter(None, given.get("properties", "").split(",")))
    body: dict[str, Any] = {"results": [_record(one, names) for one in page[:limit]]}
    if len(page) > limit:
        body["paging"] = {"next": {"after": page[limit].id, "link": f"{request.url}&after={page[limit].id}"}}
    return JSONResponse(body)


def _search(sandbox: HubSpotSandbox, request: Request, body: dict[str, Any]) -> Response:
    total, page, after = search(sandbox, request.path_params["object"], body)
    answer: dict[str, Any] = {"total": total, "results": [_record(one, body.get("properties") or []) for one in page]}
    if after is not None:
        answer["paging"] = {"next": {"after": after}}
    return JSONResponse(answer)


def _links(sandbox: HubSpotSandbox, request: Request, body: dict[str, Any]) -> Response:
    """The links of some records; one without any is an error of its own kind in an answer that is otherwise right."""
    name, to = request.path_params["object"], request.path_params["to"]
    if (name, to) not in LINKS:
        return refusal(400, "VALIDATION_ERROR", f"no associations from {name} to {to}")
    results, errors = [], []
    for given in body["inputs"]:
        version = sandbox.table(name).get(given["id"])
        linked = sandbox.links_of(name, version) if version is not None else ()
        if not linked:
            words = f"No {to} is associated with {name} {given['id']}."
            kind = "crm.associations.NO_ASSOCIATIONS_FOUND"
            errors.append({"status": "error", "category": "OBJECT_NOT_FOUND", "subCategory": kind, "message": words})
            continue
        results.append(_linked(sandbox, (name, to), given, linked))
    answer: dict[str, Any] = {"status": "COMPLETE", "results": results}
    if errors:
        answer |= {"numErrors": len(errors), "errors": errors}
    return JSONResponse(answer, 207 if errors else 200)


def _linked(
    sandbox: HubSpotSandbox, link: tuple[str, str], given: dict[str, Any], linked: Sequence[str]
) -> dict[str, Any]:
    plain, primary = LINKS[link]
    start, size = int(given.get("after") or 0), sandbox.settings.links_per_page
    targets = []
    for place, one in list(enumerate(linked))[start : start + size]:
        types = [plain] if primary is None or place else [primary, plain]
        kinds = [{"category": "HUBSPOT_DEFINED", "typeId": kind, "label": None} for kind in types]
        if place and sandbox.settings.own_label is not None:
            kinds.append({"category": "USER_DEFINED", "typeId": sandbox.settings.own_label, "label": "ours"})
        targets.append({"toObjectId": int(one), "associationTypes": kinds})
    result: dict[str, Any] = {"from": {"id": given["id"]}, "to": targets}
    if start + size < len(linked):
        result["paging"] = {"next": {"after": str(start + size)}}
    return result


def _record(version: Version, names: Sequence[str]) -> dict[str, Any]:
    values = version.values
    record: dict[str, Any] = {
        "id": version.id,
        "properties": {name: values.get(name) for name in dict.fromkeys([*_ALWAYS, *names])},
        "createdAt": values["createdate"],
        "updatedAt": values["hs_lastmodifieddate"],
        "archived": version.deleted,
    }
    if version.deleted:
        record["archivedAt"] = stamp_text(version.stamp)
    return record
