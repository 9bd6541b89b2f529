"""The links of records, which a search does not tell: read in batches beside every page.

Source: HubSpot Associations API v4, "batch/read". Records without a link are left out of the results, and may be named as errors of one
kind; any other error means that links are missing from the answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from meshline_dagster.core.errors import SourceError, TransientError
from meshline_dagster.crm.hubspot_objects import Association
from meshline_dagster.crm.hubspot_session import HubSpotSession

__all__ = ["Links", "linked_id", "read_links"]

_IDS_PER_REQUEST = 1_000
_HUBSPOTS = "HUBSPOT_DEFINED"
_NONE_FOUND = "NO_ASSOCIATIONS_FOUND"

Links = dict[str, dict[str, list[int]]]
"""Record -> linked record -> the numbers of the link's types, of those that HubSpot itself defines.

A label that the portal's users or an app have made counts in numbers of its own, which may be the same ones.
"""


def read_links(session: HubSpotSession, object_name: str, to: str, ids: Sequence[str]) -> Links:
    """The links of these records to the other object; a record without any has an empty entry.

    Raises:
        TransientError: HubSpot could not tell the links of some.
        SourceError: the answer has not the form of one.
    """
    found: Links = {one: {} for one in ids}
    waiting: list[dict[str, str]] = [{"id": one} for one in ids]
    path = f"/crm/v4/associations/{object_name}/{to}/batch/read"
    while waiting:
        batch, waiting = waiting[:_IDS_PER_REQUEST], waiting[_IDS_PER_REQUEST:]
        body = session.post(path, {"inputs": batch})
        _check(path, body)
        try:
            waiting += [more for result in body["results"] if (more := _note(found, result)) is not None]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SourceError(f"{path} answered {str(body)[:200]}") from error
    return found


def linked_id(links: Mapping[str, Sequence[int]], link: Association) -> str | None:
    """The primary one, else the only one; None where there is none, or which of several counts is not said."""
    primary = sorted(one for one, types in links.items() if link.primary in types)
    candidates = primary or list(links)
    return candidates[0] if len(candidates) == 1 else None


def _note(found: Links, result: Mapping[str, Any]) -> dict[str, str] | None:
    """Keep one record's links; what to ask for when it has more."""
    one = str(result["from"]["id"])
    for target in result["to"]:
        kinds = target.get("associationTypes") or ()
        types = [int(kind["typeId"]) for kind in kinds if kind["category"] == _HUBSPOTS]
        found[one].setdefault(str(target["toObjectId"]), []).extend(types)
    after = ((result.get("paging") or {}).get("next") or {}).get("after")
    return None if after is None else {"id": one, "after": str(after)}


def _check(path: str, body: Mapping[str, Any]) -> None:
    errors = [one for one in body.get("errors") or () if _NONE_FOUND not in str(one.get("subCategory", ""))]
    if errors:
        raise TransientError(f"{path}: the links of some records are missing: {str(errors[0])[:300]}")
    if body.get("status") not in {None, "COMPLETE"}:
        raise TransientError(f"{path}: the answer is not complete: status {body.get('status')!r}")
