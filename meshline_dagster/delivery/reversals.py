"""The blast radius, at the writer: one delivery takes back no more of what the ERP holds than goes without an approval.

What is too much waits as a whole, instead of sending the first few and stopping then; everything else goes on. A new invoice waits with the
credit note before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from meshline_dagster.core.approvals import ApprovalKind
from meshline_dagster.core.reversals import NOTHING_HELD, Reversal, biggest, excess, needs_held, sums
from meshline_dagster.delivery.approvals import approval_of, command, single_amount
from meshline_dagster.delivery.gates import plan_number
from meshline_dagster.delivery.session import Session
from meshline_dagster.store.approvals import Approval, request
from meshline_dagster.store.counters import next_values
from meshline_dagster.store.exceptions import Finding, raise_exceptions
from meshline_dagster.store.postings import postings_of
from meshline_dagster.store.reversals import (
    follow_ups_behind,
    held_by_erp,
    invoiced_by_erp,
    planned_credits,
    planned_reversals,
)

__all__ = ["Excess", "ReversalGuard"]


@dataclass(frozen=True, slots=True)
class Excess:
    """Reversals that would be too many, and why."""

    reversals: Sequence[Reversal]
    problem: str


class ReversalGuard:
    """Counts what one delivery takes back without an approval."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._let_through: dict[int, Reversal] = {}
        self._number: int | None = None

    def check(self, connection: Connection) -> Excess | None:
        """Look at what a pass could take back; None lets it. Only a plan brings about more cancellations: under the same plan these cost
        nothing. Credit notes follow from what the run itself posts.
        """
        options = self._session.options
        number = plan_number(connection, options)
        if not options.reversals.is_set or (number == self._number and options.billing is None):
            return None
        found = self._planned(connection) if number != self._number else self._credits(connection)
        fresh = [one for one in found if one.posting_id not in self._let_through]
        all_of_run = [*self._let_through.values(), *fresh]
        problem = self._excess(connection, all_of_run) if fresh else None
        if problem is not None:
            return Excess(fresh, problem)
        self._let_through |= {one.posting_id: one for one in fresh}
        self._number = number
        return None

    def _excess(self, connection: Connection, reversals: Sequence[Reversal]) -> str | None:
        """Cancellations are judged by what is open in the ERP, credit notes by what is invoiced there."""
        to, limits = self._session.options.destination, self._session.options.reversals
        credited = [one for one in reversals if one.is_credit]
        cancelled = [one for one in reversals if not one.is_credit]
        held = held_by_erp(connection, to) if needs_held(cancelled, limits) else NOTHING_HELD
        invoiced = invoiced_by_erp(connection, to) if needs_held(credited, limits) else NOTHING_HELD
        return excess(reversals, held, limits, invoiced)

    def _planned(self, connection: Connection) -> list[Reversal]:
        return planned_reversals(connection, self._session.options.destination) + self._credits(connection)

    def _credits(self, connection: Connection) -> list[Reversal]:
        options = self._session.options
        return [] if options.billing is None else planned_credits(connection, options.destination)

    def hold(self, found: Excess) -> None:
        """Let them wait for an approval."""
        session = self._session
        destination, now = session.options.destination, session.clock()
        with session.store.write() as connection:
            next_values(connection, f"plan:{destination}")  # whatever was read before is stale now
            wanted = {one.posting_id for one in found.reversals}
            reversals = [one for one in self._planned(connection) if one.posting_id in wanted]
            if not reversals:
                return
            ids = [one.posting_id for one in reversals]
            ids += [one for one in follow_ups_behind(connection, destination, ids) if one not in wanted]
            rows = postings_of(connection, ids)
            subject = f"{len(reversals)} reversals in one run: {found.problem}"
            asked = approval_of(ApprovalKind.REVERSALS, subject, rows, authors=session.actor, now=now)
            request(connection, [(asked, ids)])
            raise_exceptions(connection, [_finding(asked, reversals, found.problem)], now=now)


def _finding(asked: Approval, reversals: Sequence[Reversal], problem: str) -> Finding:
    money = sums(reversals)
    amount, currency = single_amount(money)
    total = ", ".join(f"{value:,.2f} {name or '(no currency)'}" for name, value in sorted(money.items()))
    largest = "; ".join(
        f"{one.entity_key} {one.amount:,.2f} {one.currency or ''}".strip() for one in biggest(reversals)
    )
    return Finding(
        trace_key=asked.trace_key,
        origin="approval",
        code="too_many_reversals",
        title=f"{len(reversals):,} documents would be reversed in {asked.destination}: they wait for approval",
        detail=f"In one run, {problem}. Reversed: {total}. The biggest: {largest}.",
        fix=f"Find out what cancels, or credits, so many orders; then {command(asked)}.",
        owner=asked.role,
        priority="P1",
        amount=amount,
        currency=currency,
    )
