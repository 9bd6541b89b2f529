"""The id of an event, as the warehouse computes it (`dbt_project/macros/canonical_text.sql`)."""

from datetime import UTC, datetime, timedelta

from meshline_dagster.core.identity import sha256_hex

__all__ = ["event_id"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_id(source: str, entity_key: str, document_kind: str, time: datetime, digest: str) -> str:
    """SHA-256 over five netstrings (length in characters, colon, text); the instant as microseconds since 1970.

    Nothing else enters it: type and position are labels, and what is enriched stands outside the digest.
    """
    stamp = str((time - _EPOCH) // timedelta(microseconds=1))
    parts = (source, entity_key, document_kind, stamp, digest)
    return sha256_hex("".join(f"{len(part)}:{part}" for part in parts).encode())
