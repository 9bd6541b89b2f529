"""Whether an answer to a list call may have been cut: what it does not show is then not known to be absent."""

from collections.abc import Mapping
from typing import Any

from meshline_dagster.erp.configured_requests import Find, ListRequest

__all__ = ["asked_limit", "says_more", "says_total"]

_LINKS = ("@odata.nextLink", "odata.nextLink", "__next", "next", "nextLink", "next_link", "next_url", "nextUrl")
_MARKS = ("next_page", "nextPage", "next_cursor", "nextCursor", "next_page_token", "nextPageToken", "$skiptoken")
_TRUTHS = ("has_more", "hasMore", "has_next", "hasNext", "hasNextPage", "more", "truncated", "is_truncated")
_WORDS = (*_LINKS, *_MARKS, *_TRUTHS)
_TOTALS = ("@odata.count", "total_count", "totalCount", "totalSize")
_WITHIN = ("", "d", "data", "meta", "paging", "pagination", "page", "links", "_links", "result")
_LIMITS = frozenset(
    [
        "limit",
        "$top",
        "top",
        "per_page",
        "perpage",
        "page_size",
        "pagesize",
        "$pagesize",
        "page[size]",
        "limit_page_length",
        "size",
        "max_results",
        "maxresults",
    ]
)
_NOTHING_MORE = ("", "false", "0", "null", "none")


def says_more(body: Any, headers: Mapping[str, str]) -> str | None:
    """Where an answer says that there are more rows than it shows, in the words that are usual for it; None: nowhere."""
    if 'rel="next"' in (link := headers.get("Link", "").lower()) or "rel=next" in link:
        return "its header Link"
    for part in _WITHIN:
        inside = body if not part else body.get(part) if isinstance(body, dict) else None
        if isinstance(inside, dict):
            found = next((word for word in _WORDS if _is_said(inside.get(word))), None)
            if found is not None:
                return f"/{part}/{found}" if part else f"/{found}"
    return None


def says_total(body: Any, shown: int) -> str | None:
    """Where an answer counts more rows than it shows; None: nowhere."""
    if not isinstance(body, dict):
        return None
    return next((f"/{word}" for word in _TOTALS if isinstance(body.get(word), int) and body[word] > shown), None)


def asked_limit(request: ListRequest) -> int | None:
    """How many rows an unpaged answer may have at most, as far as its configuration says so; None: it says nothing."""
    told: list[Any] = [value for name, value in request.query.items() if name.lower() in _LIMITS]
    if isinstance(request, Find) and request.body is not None:
        told += [value for name, value in request.body.items() if name.lower() in _LIMITS]
    limits = [int(value) for value in map(str, told) if value.isdecimal() and int(value)]
    return min([*limits, *([request.paging.page_size] if request.paging.page_size else [])], default=None)


def _is_said(value: Any) -> bool:
    if isinstance(value, dict):
        return _is_said(value.get("href", value.get("url")))
    return str(value).strip().lower() not in _NOTHING_MORE if isinstance(value, (str, int)) else False
