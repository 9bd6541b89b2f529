"""Invoices and credit notes enter the ledger in the very transaction that records their order as posted."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, Self

from sqlalchemy import Connection

from meshline_dagster.core.documents import ACCOUNTING_KINDS
from meshline_dagster.core.errors import GateError
from meshline_dagster.core.followups import (
    BillingPolicy,
    BillingRow,
    InvoiceTrigger,
    plan_follow_ups,
    rows_that_count,
)
from meshline_dagster.core.identity import shard_of
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.delivery.findings import billing_trace_key, changed_finding, negative_finding
from meshline_dagster.delivery.findings_milestones import incomplete_finding
from meshline_dagster.delivery.options import DeliveryOptions
from meshline_dagster.delivery.redating import let_redated_wait
from meshline_dagster.erp.protocol import Capabilities
from meshline_dagster.store.billing import billing_rows, kept_back, not_approved, put_off, refused_follow_ups
from meshline_dagster.store.deliveries import deliveries_of
from meshline_dagster.store.exceptions import raise_exceptions, resolve
from meshline_dagster.store.ledger_writes import Change, change_states, insert_postings
from meshline_dagster.store.milestones import milestones_of

__all__ = ["Billing", "billing_of", "check_billing", "plan_billing", "reopen_refused"]


class Billing(NamedTuple):
    """Orders of which to plan what follows, and how: plain data, for whoever writes the group.

    Attributes:
        entity_keys: the orders.
        shards: how many leases the entities are spread over.
        redated: what a re-dated document may be worth without an approval, by currency.
    """

    destination: str
    shards: int
    policy: BillingPolicy
    entity_keys: Sequence[str] = ()
    redated: Mapping[str, Decimal] = {}

    def of(self, entity_keys: Sequence[str]) -> Self:
        """The same for some orders."""
        return self._replace(entity_keys=list(entity_keys))

    def shards_of_orders(self) -> set[int]:
        """The shards whose leases this must be written under."""
        return {shard_of(key, self.shards) for key in self.entity_keys}


def billing_of(options: DeliveryOptions) -> Billing | None:
    """How a workflow bills; None when it posts orders only."""
    if options.billing is None:
        return None
    return Billing(options.destination, options.shards, options.billing, redated=options.redated)


def check_billing(options: DeliveryOptions, capabilities: Capabilities) -> None:
    """Raise unless the ERP can make every document that the workflow's policy may ask for.

    Raises:
        GateError: naming what it cannot make.
    """
    if options.billing is None:
        return
    wanted = {(kind, "create") for kind in ACCOUNTING_KINDS}
    missing = sorted(kind.value for kind, _ in wanted - capabilities.operations)
    if missing:
        raise GateError(
            f"{options.destination} cannot create {' or '.join(missing)} documents, which the policy "
            "`documents: order_and_invoice` needs: use `order_only`, or a writer that declares them"
        )
    if options.billing.trigger is InvoiceTrigger.DELIVERY and not capabilities.tells_deliveries:
        raise GateError(
            f"{options.destination} does not tell what is delivered, which `invoice_trigger: delivery` needs: use booking, start or schedule, "
            "or a writer that declares `tells_deliveries`"
        )


def plan_billing(connection: Connection, billings: Sequence[Billing], *, actor: str, now: datetime) -> None:
    """Plan what follows from these orders, inside the caller's transaction, which holds the leases of their shards.

    An order whose newest state is held or in review, or whose content was changed, is looked at again on the next day.

    Args:
        billings: of one workflow.
        now: its day, where the books are kept, becomes the documents' accounting date.
    """
    if not billings:
        return
    to, shards, policy, _, redated = billings[0]
    today = policy.day(now)
    keys = list(dict.fromkeys(key for one in billings for key in one.entity_keys))
    put_off(connection, to, keys, [])  # before anything is read: what is told or decided from now on asks again
    rows = billing_rows(connection, to, keys)
    changed = {key: row for key in keys if (row := _changed(rows[key])) is not None}
    left_alone = changed.keys() | kept_back(connection, keys)
    told = deliveries_of(connection, to, keys) if policy.trigger is InvoiceTrigger.DELIVERY else {}
    reached = milestones_of(connection, keys, policy.day) if policy.trigger is InvoiceTrigger.MILESTONE else {}
    plans = {
        key: plan_follow_ups(
            key, rows[key], policy, today=today, delivered=told.get(key), milestones=reached.get(key, ())
        )
        for key in keys
        if key not in left_alone
    }
    fresh = [new for plan in plans.values() for new in plan.insert]
    insert_postings(connection, to, fresh, shards=shards, actor=actor, now=now)
    let_redated_wait(connection, to, fresh, redated, actor=actor, now=now)
    waiting = [(key, shard_of(key, shards), plan.due_on) for key, plan in plans.items() if plan.due_on]
    waiting += [(key, shard_of(key, shards), today + timedelta(days=1)) for key in left_alone]
    put_off(connection, to, [], waiting)
    findings = [changed_finding(to, key, row.event_id) for key, row in changed.items()]
    negative = {key: order for key, plan in plans.items() if plan.negative and (order := rows_that_count(rows[key])[0])}
    findings += [negative_finding(to, key, order) for key, order in negative.items()]
    incomplete = {
        key: order for key, plan in plans.items() if plan.incomplete and (order := rows_that_count(rows[key])[0])
    }
    findings += [incomplete_finding(to, key, order, reached.get(key, ())) for key, order in incomplete.items()]
    raise_exceptions(connection, findings, now=now)
    left = negative.keys() | incomplete.keys()
    mended = [billing_trace_key(to, key) for key in plans if key not in left]
    resolve(connection, mended, resolution="billing does not stop at it any more", now=now)


def _changed(rows: Sequence[BillingRow]) -> BillingRow | None:
    """The first row that billing goes by and that somebody changed behind our back: its content is never billed."""
    order, standing = rows_that_count(rows)
    return next((row for row in (order, *standing) if row is not None and not row.is_intact), None)


def reopen_refused(
    connection: Connection, entity_keys: Sequence[str], options: DeliveryOptions, *, actor: str, now: datetime
) -> None:
    """Have what the ERP refused, or finance did not approve, planned anew, with today's accounting date, now that somebody has come back to its order.

    The refused row, and what waits behind it, is superseded; the next delivery plans the next revision from the ledger. Until then a
    document that was refused holds its order.
    """
    if options.billing is None:
        return
    rows = refused_follow_ups(connection, options.destination, entity_keys)
    superseded = PostingState.SUPERSEDED
    changes = [Change.of(row, superseded, row.lease_token or 0, cause="planned_anew") for row in rows]
    change_states(connection, changes, actor=actor, now=now)
    taken_back = not_approved(connection, options.destination, entity_keys)
    found = list(dict.fromkeys([*(row.entity_key for row in rows), *taken_back]))
    if found:
        due = [(key, shard_of(key, options.shards), options.billing.day(now)) for key in found]
        put_off(connection, options.destination, found, due)
