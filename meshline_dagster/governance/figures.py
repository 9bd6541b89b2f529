"""The figures of a sync: what landed, what became of it, what the ERP holds. Read from published Parquet and the ops store."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from meshline_dagster.core.money import to_text
from meshline_dagster.store.engine import Store
from meshline_dagster.store.exceptions import entities_in_exception, exception_amounts
from meshline_dagster.store.ledger_reports import order_states, waiting_visibly
from meshline_dagster.store.manifest import rows_total
from meshline_dagster.warehouse.publish import Published, published

__all__ = ["CLASSES", "Figures", "read_figures"]

CLASSES = ("posted", "superseded", "pending", "rejected", "dead", "held", "review", "ignored", "shadowed")
"""Every event is in exactly one of these."""

_AMOUNTS = (
    *("source_amount", "matched_amount", "unexplained_amount", "posted_amount", "in_exception_amount"),
    *("invoiced_amount", "credited_amount"),
)
_OF_STATE = {
    "planned": "pending",
    "sending": "pending",
    "retry_due": "pending",
    "unknown": "pending",
    "partial": "pending",
}
_OF_DISPOSITION = {"hold": "held", "review": "review", "reject": "rejected", "ignore": "ignored"}


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts, ratios in [0, 1], and money per currency.

    Attributes:
        landed: rows that the CRM's feeds brought.
        classes: class -> how many events are in it.
        unaccounted: events that may be posted and that the ledger does not know.
        orders: orders that should be in the ERP, explained or not.
        matched: of these, orders that the ERP holds exactly.
        unexplained: of these, orders that are neither matched nor explained by an open exception or a hold.
        posted: orders of ours that the ERP holds, by its own words.
        invoices, credit_notes: what the ERP holds of them, by its own words; ``invoiced_amount`` and ``credited_amount`` in money.
        not_invoiced: orders that are to be invoiced here, since a day that has passed, and of which nothing is.
        wrongly_billed: orders of which something else is invoiced, less what is credited, than they are worth.
        billing_unexplained: orders of these two that no open exception, hold or posting on its way explains.
        parity: matched orders among all orders; ``parity_by_money`` in money, of the worst currency.
        drift_by_money: unexplained money in all of the source's money, of the worst currency.
    """

    landed: int = 0
    events: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    unaccounted: int = 0
    orders: int = 0
    matched: int = 0
    posted: int = 0
    held: int = 0
    in_exception: int = 0
    rejected: int = 0
    duplicates_in_erp: int = 0
    missing_in_crm: int = 0
    invoices: int = 0
    credit_notes: int = 0
    unexplained: int = 0
    not_invoiced: int = 0
    wrongly_billed: int = 0
    billing_unexplained: int = 0
    parity: float = 1.0
    parity_by_money: float = 1.0
    drift_by_money: float = 0.0
    source_amount: Mapping[str, Decimal] = field(default_factory=dict)
    matched_amount: Mapping[str, Decimal] = field(default_factory=dict)
    unexplained_amount: Mapping[str, Decimal] = field(default_factory=dict)
    posted_amount: Mapping[str, Decimal] = field(default_factory=dict)
    in_exception_amount: Mapping[str, Decimal] = field(default_factory=dict)
    invoiced_amount: Mapping[str, Decimal] = field(default_factory=dict)
    credited_amount: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def drift(self) -> float:
        """Unexplained orders among all orders."""
        return self.unexplained / self.orders if self.orders else 0.0

    @property
    def parity_excluding_explained(self) -> float:
        """Matched orders among those that nothing explains: what no person knows of yet shows here, what waits visibly does not."""
        known = self.matched + self.unexplained
        return self.matched / known if known else 1.0

    @property
    def parity_excluding_explained_by_money(self) -> float:
        """The same in money, of the worst currency."""
        ratios = []
        for currency in {*self.matched_amount, *self.unexplained_amount}:
            matched = self.matched_amount.get(currency, Decimal(0))
            known = matched + self.unexplained_amount.get(currency, Decimal(0))
            ratios.append(float(matched / known) if known else 1.0)
        return min(ratios, default=1.0)

    def as_json(self) -> dict[str, Any]:
        """One flat object; money as decimal strings by currency."""
        names = (
            *("landed", "events", "orders", "matched", "posted", "held", "in_exception", "rejected"),
            *("duplicates_in_erp", "missing_in_crm", "invoices", "credit_notes", "unexplained", "unaccounted"),
            *("not_invoiced", "wrongly_billed", "billing_unexplained"),
            *("parity", "parity_by_money", "parity_excluding_explained", "parity_excluding_explained_by_money"),
            *("drift", "drift_by_money"),
        )
        flat: dict[str, Any] = {name: getattr(self, name) for name in names}
        for name in _AMOUNTS:
            flat[name] = {currency: to_text(amount) for currency, amount in sorted(getattr(self, name).items())}
        return flat | {"classes": dict(self.classes)}


def read_figures(store: Store, published_root: Path, destination: str) -> Figures:
    """The figures as of the last publication; all zero before the first."""
    with store.read() as connection:
        landed = sum(rows for feed, rows in rows_total(connection).items() if not feed.startswith(f"{destination}/"))
        in_exception, amounts = entities_in_exception(connection), exception_amounts(connection)
        states = order_states(connection, destination)
    current = published(published_root)
    if current is None:
        return Figures(landed=landed, in_exception=in_exception, in_exception_amount=amounts)
    classes, unaccounted = _classes(current.path("events"), states)
    known = Figures(
        landed=landed,
        events=sum(classes.values()) + unaccounted,
        classes=classes,
        unaccounted=unaccounted,
        held=classes["held"],
        rejected=classes["rejected"],
        in_exception=in_exception,
        in_exception_amount=amounts,
    )
    if "status" not in current.rows:
        return known
    return _with_billing(
        _with_reconciliation(known, current.path("status"), current.path("reconciliation")), store, current, destination
    )


def _classes(events: Path, states: Mapping[str, str]) -> tuple[dict[str, int], int]:
    """The ledger speaks first: what is posted stays posted, whatever the rules say of it today."""
    classes = dict.fromkeys(CLASSES, 0)
    unaccounted = 0
    with duckdb.connect() as connection:
        rows = connection.execute("SELECT id, disposition FROM read_parquet(?)", [str(events)])
        while batch := rows.fetchmany(50_000):
            for event_id, disposition in batch:
                state = states.get(event_id)
                name = _OF_DISPOSITION.get(disposition) if state is None else _OF_STATE.get(state, state)
                if name is None:
                    unaccounted += 1
                else:
                    classes[name] += 1
    return classes, unaccounted


_BILLING = "SELECT * FROM read_parquet(?) WHERE class IN ('not_invoiced', 'differs')"


def _with_billing(known: Figures, store: Store, current: Published, destination: str) -> Figures:
    """An order counts once, whatever currencies it was invoiced in."""
    if "billing" not in current.rows:
        return known
    with duckdb.connect() as connection:
        cursor = connection.execute(_BILLING, [str(current.path("billing"))])
        names = [column[0] for column in cursor.description or []]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    rows = [row for row in found if row.get("is_billed_here")]  # a publication of an older version does not say
    by_class = {
        name: {row["entity_key"] for row in rows if row["class"] == name} for name in ("not_invoiced", "differs")
    }
    open_rows = {row["entity_key"] for row in rows if row["explained_by"] is None}
    with store.read() as connection:
        explained = waiting_visibly(connection, destination, sorted(open_rows))
    return replace(
        known,
        not_invoiced=len(by_class["not_invoiced"]),
        wrongly_billed=len(by_class["differs"]),
        billing_unexplained=len(open_rows - explained),
    )


_UNEXPLAINED = """
SELECT count(*) FROM read_parquet(?)
WHERE entity_key IS NOT NULL AND class <> 'matched' AND source_status = 'open' AND NOT is_pre_cutover AND explained_by IS NULL
"""


def _with_reconciliation(known: Figures, status: Path, reconciliation: Path) -> Figures:
    with duckdb.connect() as connection:
        ((unexplained,),) = connection.execute(_UNEXPLAINED, [str(reconciliation)]).fetchall()
        cursor = connection.execute("SELECT * FROM read_parquet(?)", [str(status)])
        names = [column[0] for column in cursor.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    total = next(row for row in rows if row["scope"] == "total")
    currencies = [row for row in rows if row["scope"] == "currency"]

    def money(name: str) -> dict[str, Decimal]:
        return {row["currency"]: row[name] for row in currencies if row.get(name)}

    values = {name: getattr(known, name) for name in Figures.__dataclass_fields__} | {"unexplained": int(unexplained)}
    for name in ("orders", "matched", "posted", "duplicates_in_erp", "missing_in_crm", "invoices", "credit_notes"):
        values[name] = int(total.get(name, 0))  # a publication of an older version has no invoices
    for name in ("parity", "parity_by_money", "drift_by_money"):
        values[name] = float(total[name])
    return Figures(**values | {name: money(name) for name in _AMOUNTS if name != "in_exception_amount"})
