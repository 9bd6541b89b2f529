"""Identity: canonical JSON, content hashes, event ids, fingerprints, external ids.

Canonical JSON is RFC 8785; money enters as strings because the RFC's numbers are doubles.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import rfc8785

__all__ = [
    "canonical_json",
    "canonical_texts",
    "external_id",
    "fingerprint",
    "follow_up_id",
    "is_our_name",
    "posting_key",
    "sha256_hex",
    "shard_of",
]

_EXTERNAL_ID_DIGITS = 20
_PREFIXES = {
    "customer": "MLC",
    "address": "MLA",
    "sales_order": "MLO",
    "invoice": "MLI",
    "credit_note": "MLN",
    "payment": "MLP",
}


def canonical_json(value: Any) -> bytes:
    """RFC 8785 bytes of ``value``.

    Raises:
        rfc8785.CanonicalizationError: a Decimal, or an integer beyond 2^53, is inside: pass it as text.
    """
    return rfc8785.dumps(value)


def canonical_texts(values: Sequence[str | int]) -> bytes:
    """:func:`canonical_json` of an array of texts and whole numbers, which orjson writes alike and much faster.

    Raises:
        TypeError: a lone surrogate is inside.
    """
    return orjson.dumps(values)


def sha256_hex(data: bytes) -> str:
    """SHA-256 of ``data`` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(payload: Mapping[str, Any]) -> str:
    """The identity of what is about to be sent: SHA-256 over the canonical JSON of the payload."""
    return sha256_hex(canonical_json(payload))


def posting_key(destination: str, event_id: str, revision: int) -> str:
    """The idempotency key of one revision of one event for one destination. It never expires."""
    return sha256_hex(canonical_texts([destination, event_id, revision]))


def external_id(document_kind: str, entity_key: str, event_id: str | None = None) -> str:
    """The name that a document of ours carries in the ERP, at most 30 characters.

    It is a function of entity and document kind, and of the event for what an entity has many of (invoices, credit notes, payments): no
    revision, so that a look-up after any failure finds the one document that may exist.
    """
    digest = sha256_hex(canonical_json([document_kind, entity_key, *([] if event_id is None else [event_id])]))
    return f"{_PREFIXES.get(document_kind, 'MLX')}-{digest[:_EXTERNAL_ID_DIGITS]}"


def is_our_name(document_kind: str, name: str) -> bool:
    """Whether an external id is one that we give, so that no record under it can be somebody else's. An item has its sku, a customer
    may have the code of a party.
    """
    prefix, _, digits = name.partition("-")
    return prefix == _PREFIXES.get(document_kind) and len(digits) == _EXTERNAL_ID_DIGITS


def follow_up_id(order_event_id: str, document_kind: str, against: str | None, number: int) -> str:
    """The event id of an accounting document that follows from an order event: same ledger, same id, so that it is planned once.

    Args:
        against: the external id of the invoice that a credit note reverses.
        number: how many such documents of this event there are already; 0 but for what an operator had planned anew.
    """
    return sha256_hex(canonical_json([order_event_id, document_kind, against, number]))


def shard_of(entity_key: str, shards: int) -> int:
    """The shard (0 .. shards-1) whose lease guards the postings of an entity."""
    return int(sha256_hex(entity_key.encode())[:8], 16) % shards
