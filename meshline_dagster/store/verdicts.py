"""Verdicts of table-level checks. The writer refuses while one stands failed; Dagster only displays them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from meshline_dagster.store import audit
from meshline_dagster.store.tables import verdict

__all__ = ["Verdict", "failed_verdicts", "record_verdict", "verdicts"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check last said about a table."""

    subject: str
    check_name: str
    passed: bool
    detail: str
    decided_at: datetime


_COLUMNS = [verdict.c[name] for name in Verdict.__dataclass_fields__]
_FAILED = select(*_COLUMNS).where(verdict.c.passed.is_(False)).order_by(verdict.c.subject, verdict.c.check_name)


def record_verdict(
    connection: Connection,
    subject: str,
    check_name: str,
    *,
    passed: bool,
    detail: str,
    build_id: str | None,
    now: datetime,
) -> None:
    """Replace the check's verdict; a change of mind is audited."""
    where = (verdict.c.subject == subject, verdict.c.check_name == check_name)
    before = connection.execute(select(verdict.c.passed).where(*where).with_for_update()).scalar_one_or_none()
    values = {"passed": passed, "detail": detail, "build_id": build_id, "decided_at": now}
    if before is None:
        connection.execute(insert(verdict).values(subject=subject, check_name=check_name, **values))
    else:
        connection.execute(update(verdict).where(*where).values(**values))
    if before is None and passed:
        return
    if before != passed:
        entry = audit.Entry(
            "checks", "verdict.passed" if passed else "verdict.failed", f"{subject}/{check_name}", {"detail": detail}
        )
        audit.append(connection, [entry], at=now)


def failed_verdicts(connection: Connection) -> list[Verdict]:
    """Everything that stands failed now."""
    return [Verdict(*row) for row in connection.execute(_FAILED)]


def verdicts(connection: Connection) -> list[Verdict]:
    """All verdicts."""
    return [Verdict(*row) for row in connection.execute(select(*_COLUMNS).order_by(verdict.c.subject))]
