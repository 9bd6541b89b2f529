"""Operators' mappings: a source value means a target value. Data, not code: extracted like a feed and never edited."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, or_, select, update

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.store import audit
from meshline_dagster.store.counters import current_value, next_values
from meshline_dagster.store.tables import mapping

__all__ = ["KINDS", "Mapping", "active_mappings", "add_mapping", "changed_values", "mapping_seq", "revoke_mapping"]

KINDS = ("product", "customer", "party", "payment_term", "tax")
"""``customer``: two CRM records are one customer. ``party``: a CRM customer is this party of the ERP, by its code there."""

_CODE_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Mapping:
    """One decision in force."""

    seq: int
    kind: str
    source_value: str
    target_value: str
    actor: str
    reason: str
    created_at: datetime


def mapping_seq(connection: Connection) -> int:
    """The number of the last decision or revocation."""
    return current_value(connection, "mapping")


def active_mappings(connection: Connection, kind: str | None = None) -> list[Mapping]:
    """All decisions in force, oldest first."""
    query = select(*[mapping.c[name] for name in Mapping.__dataclass_fields__]).where(mapping.c.revoked_seq.is_(None))
    if kind is not None:
        query = query.where(mapping.c.kind == kind)
    return [Mapping(*row) for row in connection.execute(query.order_by(mapping.c.seq))]


def changed_values(connection: Connection, after: int, up_to: int) -> list[tuple[str, str]]:
    """``(kind, source value)`` of everything decided or revoked with ``after < seq <= up_to``."""
    query = (
        select(mapping.c.kind, mapping.c.source_value)
        .where(or_(mapping.c.seq.between(after + 1, up_to), mapping.c.revoked_seq.between(after + 1, up_to)))
        .distinct()
    )
    return [(row.kind, row.source_value) for row in connection.execute(query)]


def add_mapping(
    connection: Connection, kind: str, source_value: str, target_value: str, *, actor: str, reason: str, now: datetime
) -> int:
    """Decide that ``source_value`` means ``target_value``; an earlier decision on the same value is revoked first.

    Raises:
        ConfigError: an unknown kind, an empty value, or a party's code that is too long for the ledger.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown kind of mapping {kind!r}: use one of {', '.join(KINDS)}")
    if not source_value.strip() or not target_value.strip():
        raise ConfigError("a mapping needs a source value and a target value")
    if kind == "party" and len(target_value) > _CODE_CHARACTERS:
        raise ConfigError(f"a party's code has at most {_CODE_CHARACTERS} characters", got=len(target_value))
    revoke_mapping(connection, kind, source_value, actor=actor, now=now)
    (seq,) = next_values(connection, "mapping")
    connection.execute(
        insert(mapping).values(
            seq=seq,
            kind=kind,
            source_value=source_value,
            target_value=target_value,
            actor=actor,
            reason=reason,
            created_at=now,
        )
    )
    detail = {"kind": kind, "source_value": source_value, "target_value": target_value, "reason": reason}
    audit.append(connection, [audit.Entry(actor, "mapping.added", f"mapping:{seq}", detail)], at=now)
    return seq


def revoke_mapping(connection: Connection, kind: str, source_value: str, *, actor: str, now: datetime) -> bool:
    """Take a decision back. False when none is in force."""
    row = connection.execute(
        select(mapping.c.seq).where(
            mapping.c.kind == kind, mapping.c.source_value == source_value, mapping.c.revoked_seq.is_(None)
        )
    ).one_or_none()
    if row is None:
        return False
    (seq,) = next_values(connection, "mapping")
    connection.execute(
        update(mapping).where(mapping.c.seq == row.seq).values(revoked_seq=seq, revoked_at=now, revoked_by=actor)
    )
    detail = {"kind": kind, "source_value": source_value}
    audit.append(connection, [audit.Entry(actor, "mapping.revoked", f"mapping:{row.seq}", detail)], at=now)
    return True
