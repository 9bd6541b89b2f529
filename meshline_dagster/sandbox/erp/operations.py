"""What the sandbox ERP does: create, replace, cancel, with the guarantees of its profile.

Profiles: ``idempotent`` remembers the Idempotency-Key and repeats its first answer; ``unique`` refuses a second document with one
external id; ``lookup_only`` does neither, so that a second request makes a second document.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from meshline_dagster.sandbox.erp.accounting import ACCOUNTING, check_document
from meshline_dagster.sandbox.erp.bodies import Refused, check_address, check_customer, check_item, check_order
from meshline_dagster.sandbox.erp.database import Database, document
from meshline_dagster.sandbox.erp.deliveries import with_deliveries

__all__ = ["Call", "Operations", "Profile", "Reply"]

_SURROGATE = rb"\ud"


class Profile(StrEnum):
    """How the ERP protects itself from a second request."""

    IDEMPOTENT = "idempotent"
    UNIQUE = "unique"
    LOOKUP_ONLY = "lookup_only"


@dataclass(frozen=True, slots=True)
class Call:
    """One writing request.

    Attributes:
        operation: ``create``, ``replace`` or ``cancel``.
        document_id: the ERP's id from the path, for what is not a creation.
        raw: the body as it came; its hash tells a repetition from another request under the same key.
    """

    operation: str
    kind: str
    document_id: str | None
    key: str | None
    raw: bytes

    @property
    def hash(self) -> str:
        """SHA-256 of what is asked for."""
        head = f"{self.operation} {self.kind} {self.document_id}\n"
        return hashlib.sha256(head.encode() + self.raw).hexdigest()

    def body(self) -> dict[str, Any]:
        """The body as an object."""
        try:
            parsed = json.loads(self.raw or b"{}")
        except ValueError as error:
            raise Refused(400, "bad_json", "the body is no JSON") from error
        if not isinstance(parsed, dict):
            raise Refused(400, "bad_json", "the body is no JSON object")
        if _SURROGATE in self.raw.lower() and not _is_unicode(parsed):
            raise Refused(400, "bad_json", "the body has half a character (a lone surrogate)")
        return parsed


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request is answered with. ``replayed``: it is the first answer to this key once more."""

    status: int
    body: Mapping[str, Any]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Operations:
    """The ERP's behaviour.

    Args:
        knows_items: it refuses lines of items that it does not hold; else it takes any sku.
    """

    profile: Profile
    knows_items: bool

    def run(self, database: Database, call: Call) -> Reply:
        """Bring one request about. Raises ``Refused``; then nothing was written, and the key is not used up."""
        key = call.key if self.profile is Profile.IDEMPOTENT else None
        if key is not None:
            repeated = _first_answer(database, key, call.hash)
            if repeated is not None:
                return repeated
        reply = {"create": self._create, "replace": self._replace, "cancel": self._cancel}[call.operation](
            database, call
        )
        if key is not None:
            database.remember(key, call.hash, reply.status, reply.body)
        return reply

    def _create(self, database: Database, call: Call) -> Reply:
        body = call.body()
        self._check(database, call.kind, body)
        if self.profile is Profile.UNIQUE:
            have = database.of(call.kind, [body["external_id"]])
            if have:
                raise Refused(
                    409,
                    "exists",
                    f"{have[0]['number']} has this external id",
                    field="external_id",
                    more={"id": have[0]["id"], "existing": have[0]},
                )
        made = database.write("create", call.kind, body, status=_status(call.kind, body), request_key=call.key)
        return Reply(201, made)

    def _replace(self, database: Database, call: Call) -> Reply:
        row = _existing(database, call)
        body = _with_the_rest(call.body(), json.loads(row["body"]))
        self._check(database, call.kind, body)
        if body["external_id"] != row["external_id"]:
            raise Refused(422, "invalid", "an external id never changes", field="external_id")
        body = with_deliveries(body, json.loads(row["body"]))
        status = _status(call.kind, body)
        return Reply(
            200, database.write("replace", call.kind, body, status=status, request_key=call.key, seq=row["seq"])
        )

    def _cancel(self, database: Database, call: Call) -> Reply:
        row = _existing(database, call)
        if row["status"] == "cancelled":
            return Reply(200, document(row))
        body = {**json.loads(row["body"]), "status": "cancelled", "event_id": call.body().get("event_id")}
        made = database.write("cancel", call.kind, body, status="cancelled", request_key=call.key, seq=row["seq"])
        return Reply(200, made)

    def _check(self, database: Database, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "customer":
            check_customer(body)
            return
        if kind == "item":
            check_item(body)
            return
        skus = "select external_id from document where kind = 'item'"
        items = frozenset(row["external_id"] for row in database.rows(skus)) if self.knows_items else None
        if kind in ACCOUNTING.values():
            check_document(database, kind, body, items)
            return
        if kind == "address":
            check_address(body)
        else:
            check_order(body, items)
            _check_addresses(database, body)
        if not database.knows("customer", body["customer"]):
            raise Refused(422, "unknown_customer", f"unknown customer {body['customer']}", field="customer")


def _with_the_rest(given: Mapping[str, Any], have: Mapping[str, Any]) -> dict[str, Any]:
    """A replacing body with the members that it leaves out; those of a line come from the line of the same number and item."""
    body = {**have, **given}
    lines = {(line.get("line"), line.get("sku")): line for line in have.get("lines", ())}
    if isinstance(given.get("lines"), list):
        body["lines"] = [
            {**lines.get((line.get("line"), line.get("sku")), {}), **line} if isinstance(line, Mapping) else line
            for line in given["lines"]
        ]
    return body


def _check_addresses(database: Database, body: Mapping[str, Any]) -> None:
    """An order may name addresses of its customer."""
    for use in ("bill_to", "ship_to"):
        name = body.get(use)
        if name is not None and all(one["customer"] != body["customer"] for one in database.of("address", [str(name)])):
            raise Refused(422, "unknown_address", f"{name} is no address of {body['customer']}", field=use)


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _status(kind: str, body: Mapping[str, Any]) -> str:
    return "open" if kind != "sales_order" else str(body.get("status", "open"))


def _existing(database: Database, call: Call) -> Any:
    row = database.by_id(call.kind, call.document_id or "")
    if row is None:
        raise Refused(404, "not_found", f"there is no {call.kind} {call.document_id}", field="id")
    return row


def _first_answer(database: Database, key: str, request_hash: str) -> Reply | None:
    found = database.rows("select * from answer where request_key = ?", [key])
    if not found:
        return None
    if found[0]["request_hash"] != request_hash:
        raise Refused(422, "idempotency_mismatch", "this key came with another request before", field="Idempotency-Key")
    return Reply(found[0]["status"], json.loads(found[0]["body"]), replayed=True)
