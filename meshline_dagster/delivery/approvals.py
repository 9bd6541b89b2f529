"""Which new ledger rows wait for an approval, and the exceptions that say so.

At the plan two things wait: what a replay planned anew, all of it under one digest; and each restatement candidate under a digest of its
own. Found by the delivery are too many reversals in one run (:mod:`~meshline_dagster.delivery.reversals`), and invoices and credit notes of
closed periods (:mod:`~meshline_dagster.delivery.redating`); the reversal of a document that the ERP holds twice is planned after the
read-back (:mod:`~meshline_dagster.delivery.duplicates`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import orjson
from sqlalchemy import Connection

from meshline_dagster.core.approvals import CANCEL, ApprovalKind, Total, Write, digest, totals
from meshline_dagster.core.postings import RESTATED
from meshline_dagster.core.restatements import difference_text
from meshline_dagster.store.approvals import Approval, request
from meshline_dagster.store.builds import Replay
from meshline_dagster.store.exceptions import Finding, raise_exceptions
from meshline_dagster.store.postings import Posting, last_posted

__all__ = [
    "ReplayScope",
    "approval_of",
    "command",
    "let_wait",
    "money_text",
    "single_amount",
    "standing_amounts",
    "writes_of",
]

_SUBJECT = 300


@dataclass(frozen=True, slots=True)
class ReplayScope:
    """What a build recomputed only because somebody asked for a replay.

    Attributes:
        replay: what was asked for, and by whom.
        entities: the entities that nothing else touches.
    """

    replay: Replay
    entities: frozenset[str]

    def leaves_out(self, entity_key: str, depends_on: frozenset[str]) -> bool:
        """The replay was limited to other entities (and to what they depend on)."""
        only = self.replay.entities
        return only is not None and entity_key in self.entities and entity_key not in only | depends_on


def let_wait(
    connection: Connection,
    rows: Sequence[Posting],
    scope: ReplayScope | None,
    *,
    destination: str,
    actor: str,
    now: datetime,
) -> None:
    """Let the rows that a plan has made sendable wait for an approval, where they need one.

    Args:
        rows: what the plan inserted as planned, or released; in sequence.
        scope: the replay in the plan's build, if its writes have to be approved.
        actor: who plans.
    """
    restated = [row for row in rows if row.cause == RESTATED]
    replayed = [row for row in rows if row.cause != RESTATED and scope is not None and row.entity_key in scope.entities]
    if not restated and not replayed:
        return
    before = last_posted(connection, destination, sorted({row.entity_key for row in [*restated, *replayed]}))
    asked: list[tuple[Approval, list[int]]] = []
    findings: list[Finding] = []
    for row in restated:
        subject = f"restatement of {row.entity_key}"
        one = approval_of(ApprovalKind.RESTATEMENT, subject, [row], authors=actor, now=now)
        asked.append((one, [row.id]))
        findings.append(_restatement_finding(one, row, before[row.entity_key]))
    if replayed and scope is not None:
        subject = f"replay of {scope.replay.first} to {scope.replay.last}"
        authors = ", ".join(scope.replay.requested_by)
        one = approval_of(ApprovalKind.REPLAY, subject, replayed, authors=authors, now=now)
        asked.append((one, [row.id for row in replayed]))
        findings.append(_replay_finding(one, replayed, before))
    request(connection, asked)
    raise_exceptions(connection, findings, now=now)


def approval_of(
    kind: ApprovalKind, subject: str, rows: Sequence[Posting], *, authors: str, now: datetime, role: str | None = None
) -> Approval:
    """What has to be approved for these rows to be sent. ``authors`` may not approve it.

    Args:
        role: whose word it takes; None: whose the kind says.
    """
    key = digest(writes_of(rows))
    return Approval(key, rows[0].destination, kind, role or kind.role, subject[:_SUBJECT], authors, now)


def writes_of(rows: Sequence[Posting]) -> list[Write]:
    """Ledger rows in the words of an approval."""
    return [
        Write(
            key=row.key,
            operation=row.operation,
            fingerprint=row.fingerprint,
            external_id=row.external_id,
            entity_key=row.entity_key,
            amount=row.amount,
            currency=row.currency,
        )
        for row in rows
    ]


def standing_amounts(before: Mapping[str, Posting]) -> dict[str, tuple[Decimal, str | None]]:
    """Entity -> what its last posted state is worth in the ERP."""
    return {key: (Decimal(0) if row.operation == CANCEL else row.amount, row.currency) for key, row in before.items()}


def money_text(found: Mapping[str, Total]) -> str:
    """``1,200.00 -> 900.00 USD (3 entities)`` for each currency."""
    return "; ".join(
        f"{one.before:,.2f} -> {one.after:,.2f} {currency or '(no currency)'} ({one.entities:,} entities)"
        for currency, one in sorted(found.items())
    )


def command(asked: Approval) -> str:
    """What to type."""
    key = asked.digest[:16]
    return f"`meshline approvals approve {key} --reason ...` or `meshline approvals reject {key} --reason ...`"


def single_amount(money: Mapping[str, Decimal]) -> tuple[Decimal | None, str | None]:
    """An exception holds one amount: that of the only currency."""
    named = [(amount, currency) for currency, amount in money.items() if currency]
    return named[0] if len(named) == 1 else (None, None)


def _replay_finding(asked: Approval, rows: Sequence[Posting], before: Mapping[str, Posting]) -> Finding:
    money = totals(writes_of(rows), standing_amounts(before))
    amount, currency = single_amount({name: one.after for name, one in money.items()})
    return Finding(
        trace_key=asked.trace_key,
        origin="approval",
        code="replay_waits_for_approval",
        title=f"{asked.subject}: {len(rows):,} writes to {asked.destination} wait for approval",
        detail=f"Asked for by {asked.requested_by}. Order values in the ERP: {money_text(money)}.",
        fix=f"Compare with `meshline replay --dry-run`, then {command(asked)}.",
        owner=asked.role,
        priority="P2",
        amount=amount,
        currency=currency,
    )


def _restatement_finding(asked: Approval, row: Posting, posted: Posting) -> Finding:
    difference = difference_text(orjson.loads(posted.payload), orjson.loads(row.payload))
    return Finding(
        trace_key=asked.trace_key,
        origin="approval",
        code="restatement_candidate",
        title=f"{row.entity_key} would be posted differently today",
        detail=f"Posted -> derived today:\n{difference}",
        fix=f"If today's derivation is right, it becomes an amendment; else what is posted stands: {command(asked)}.",
        owner=asked.role,
        priority="P3",
        entity_key=row.entity_key,
        event_id=posted.event_id,
        amount=row.amount if row.currency else None,
        currency=row.currency,
    )
