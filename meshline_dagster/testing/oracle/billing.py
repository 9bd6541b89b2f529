"""Invoices and credit notes, followed through the ERP's journal: never too much, never too early, and in the end what the order says.

Reckoned by item and unit price (by item where lines are billed by periods), from the ERP's own records alone. It knows nothing of the way in
which follow-ups are planned.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from meshline_dagster.core.documents import ACCOUNTING_KINDS, DocumentKind
from meshline_dagster.core.money import quantize
from meshline_dagster.testing.oracle.parts import Parts
from meshline_dagster.testing.oracle.periods import beyond, by_item, is_billed_by_periods, is_due_at_most
from meshline_dagster.testing.oracle.records import Bill, Content, Effect, ErpRecords
from meshline_dagster.testing.oracle.truth import Billing, EntityTruth, Truth
from meshline_dagster.testing.oracle.violations import Violation

__all__ = ["Account", "accounts", "check_billing", "wrongly_billed"]

_Price = tuple[str, Decimal]
_Sums = dict[_Price, tuple[Decimal, Decimal]]
_BILLING = {DocumentKind.SALES_ORDER, *ACCOUNTING_KINDS}
_NIL = Decimal(0)
_NOTHING = (_NIL, _NIL)


@dataclass(slots=True)
class Account:
    """One order, with what was invoiced and credited for it.

    Attributes:
        states: its states in the ERP, oldest first, by event: each as it was first shown.
        invoices: by external id. left: what is left of each line, by invoice and place: quantity and amount.
        documents: external ids of its invoices and credit notes.
        settled: the states that were closed by hand.
        cancelled: how somebody cancelled it in the ERP by hand; None: nobody did, or a newer state was shown since.
    """

    states: dict[str, Effect] = field(default_factory=dict)
    invoices: dict[str, Effect] = field(default_factory=dict)
    left: dict[tuple[str, str], tuple[_Price, Decimal, Decimal]] = field(default_factory=dict)
    documents: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    cancelled: Effect | None = None

    @property
    def shown(self) -> Effect | None:
        """Its newest state; None before there is one."""
        return next(reversed(self.states.values()), None)

    def net(self) -> _Sums:
        """What is invoiced less what is credited, without what is nothing."""
        sums: _Sums = {}
        for price, quantity, amount in self.left.values():
            _add(sums, price, quantity, amount)
        return {price: both for price, both in sums.items() if both != _NOTHING}

    def is_billed(self, entity: EntityTruth, billing: Billing, at: float) -> bool:
        """Whether its newest state, as far as it was due at a virtual second, is what is billed."""
        if self.shown is None:
            return True
        if billing.by_periods:
            return is_billed_by_periods(by_item(self.net()), self.shown, entity, billing, at)
        return self.net() == _wanted(self.shown.content)

    def book(self, effect: Effect) -> Iterator[tuple[str, str]]:
        """Take in what counts. Yields what is wrong with it: check and text."""
        if effect.bill is None:
            self.cancelled = None
            self.states.setdefault(effect.event_id, effect)
            self.settled |= {effect.event_id} if effect.settles else set()
            return
        self.documents.add(effect.external_id)
        if effect.kind is DocumentKind.INVOICE:
            self._invoice(effect, effect.bill)
        else:
            yield from (("over credited", text) for text in self._credit(effect.bill))

    def knows(self, effect: Effect) -> bool:
        """Take in what only says how things stand. False when there is more to an effect: it is to be booked.

        A cancellation that finds its order cancelled by hand is done: what is credited then follows from it.
        """
        is_foreign = effect.foreign and not effect.settles
        if is_foreign:
            self.cancelled = effect if effect.content.status == "cancelled" else None
        elif effect.kind is DocumentKind.CREDIT_NOTE and effect.bill is not None and self.cancelled is not None:
            self.states.setdefault(effect.bill.state, self.cancelled)
        return is_foreign

    def _invoice(self, effect: Effect, bill: Bill) -> None:
        """A second one under one external id counts as well."""
        self.invoices[effect.external_id] = effect
        for place, sku, quantity, price, amount in bill.lines:
            _, have, money = self.left.get((effect.external_id, place), ((sku, price), *_NOTHING))
            self.left[effect.external_id, place] = ((sku, price), have + quantity, money + amount)

    def _credit(self, bill: Bill) -> Iterator[str]:
        for place, sku, quantity, price, amount in bill.lines:
            line = self.left.get((bill.invoice or "", place))
            if line is None or line[0] != (sku, price):
                yield f"line {place} of {bill.invoice} is not one of {sku} at {price}"
                continue
            left, money = line[1] - quantity, line[2] - amount
            self.left[bill.invoice or "", place] = (line[0], left, money)
            if left < 0 or money < 0:
                yield f"line {place} of {bill.invoice} is credited beyond its amount by {-money}"


def accounts(records: ErpRecords) -> dict[str, Account]:
    """Every order's account as it stands in the end, by external id."""
    books: dict[str, Account] = {}
    for effect in _counting(records):
        account = books.setdefault(effect.entity, Account())
        if not account.knows(effect):
            list(account.book(effect))
    return books


def check_billing(records: ErpRecords, truth: Truth) -> Iterator[Violation]:
    """What must not be seen in the books at any time."""
    late = {effect.entity for effect in records.effects if effect.late}
    books: dict[str, Account] = {}
    for effect in _counting(records):
        account, order = books.setdefault(effect.entity, Account()), effect.entity
        if account.knows(effect):
            continue
        refused = _is_refused(records, order, effect.at) or _was_refused_before(records, account, truth, effect)
        found = [
            *_before(account, effect, truth, refused),
            *account.book(effect),
            *_over_billed(account, effect, records, truth),
        ]
        for check, text in found:
            yield Violation(check, order, f"{text} at {effect.at:.2f} s", order in late)


def wrongly_billed(
    account: Account,
    entity: EntityTruth,
    truth: Truth,
    ended: float,
    parts: Parts | None = None,
    *,
    stopped: bool = False,
) -> str | None:
    """What is wrong with an order's bill once everything was delivered; None when it is right.

    Args:
        ended: virtual seconds at which documents may still wait for their day: of the last delivery, or of the order's newest state where a
            person has to decide about another one before anything follows from this one.
        parts: what it is invoiced by, where that is in parts.
        stopped: a person has to decide about the order, or has changed it in the ERP: then what was due of it once may stand.
    """
    if truth.billing is None or account.shown is None or _may_wait(account, entity, truth.billing, ended):
        return None
    newest = max(entity.final, key=lambda one: one.position, default=None)
    if (
        account.cancelled is not None
        and newest is not None
        and newest.content.status == "cancelled"
        and not account.net()
    ):
        return None
    if parts is not None:
        return _wrong_parts(account, account.shown, parts, ended, stopped=stopped)
    if not account.is_billed(entity, truth.billing, ended):
        return f"should be billed {_text(_wanted(account.shown.content))}, is {_text(account.net())}"
    standing = {name for (name, _), (_, quantity, amount) in account.left.items() if quantity or amount}
    if truth.billing.rebills and len(standing) > 1 and not truth.billing.by_periods:
        return f"should be one invoice, is {len(standing)}"
    return None


def _wrong_parts(account: Account, shown: Effect, parts: Parts, ended: float, *, stopped: bool) -> str | None:
    billed, due = by_item(account.net()), parts.due(shown.content, ended)
    if billed == due:
        return None
    ever = parts.dues([one.content for one in account.states.values()], ended)
    if (due is None or stopped) and billed in ever:
        return None
    return f"should be billed {'what once was due' if due is None else due or 'nothing'}, is {billed or 'nothing'}"


def _counting(records: ErpRecords) -> Iterator[Effect]:
    """What orders and accounting documents say once they count; of an accounting document only the first time: it never changes."""
    booked: set[str] = set()
    for effect in records.effects:
        if effect.draft or effect.reversal or effect.kind not in _BILLING or effect.erp_id in booked:
            continue
        if effect.bill is not None:
            booked.add(effect.erp_id)
        yield effect


def _is_refused(records: ErpRecords, order: str, at: float) -> bool:
    """Whether the ERP has refused a document of this order by then."""
    return any(
        one.refused and one.bill is not None and one.entity == order and one.at <= at for one in records.received
    )


def _was_refused_before(records: ErpRecords, account: Account, truth: Truth, effect: Effect) -> bool:
    """Whether the ERP had refused a newer state of the order than it showed until then: before that is decided, nothing is billed."""
    entity = truth.entities.get(effect.entity)
    if entity is None or account.shown is None:
        return False
    shown = entity.position_of(account.shown.event_id)
    refused = {one.event_id for one in records.received if one.refused and one.bill is None and one.at <= effect.at}
    newer = [one.position for one in entity.published if one.event_id in refused]
    return shown is not None and any(position > shown for position in newer)


def _before(account: Account, effect: Effect, truth: Truth, refused: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with an effect, given what was booked before. A document that was refused is planned anew by the order's next state."""
    entity, billing = truth.entities.get(effect.entity), truth.billing
    if billing is None:
        if effect.bill is not None:
            yield "not to be billed", f"{effect.kind.value} {effect.external_id}"
    elif entity is not None:
        if effect.bill is None:
            if refused or entity.entity_key in truth.forged:  # of content that somebody changed nothing is billed
                return
            yield from _left_unbilled(account, effect, entity, billing)
        elif effect.bill is not None:
            yield from _documents(account, effect, effect.bill, entity, billing)


def _over_billed(account: Account, effect: Effect, records: ErpRecords, truth: Truth) -> Iterator[tuple[str, str]]:
    entity, billing = truth.entities.get(effect.entity), truth.billing
    if billing is not None and billing.in_parts:
        contents = [one.content for one in account.states.values()]
        dues = Parts.of(effect.entity, billing, records, truth).dues(contents, effect.at)
        yield from (("over billed", text) for text in beyond(by_item(account.net()), dues))
        return
    if entity is not None and billing is not None and billing.by_periods:
        billed, states = by_item(account.net()), account.states.values()
        yield from (("over billed", text) for text in is_due_at_most(billed, states, entity, billing, effect.at))
        return
    most = _most(account.states.values())
    total, largest = (
        _total(account.net()),
        max((_total(_wanted(one.content)) for one in account.states.values()), default=_NIL),
    )
    if total > largest:
        yield "over billed", f"{total} in all, never more than {largest} was ordered"
    for price, (quantity, amount) in account.net().items():
        allowed = most.get(price, _NOTHING)
        if quantity > allowed[0] or amount > allowed[1]:
            yield (
                "over billed",
                f"{quantity} {price[0]} for {amount}, never more than {allowed[0]} for {allowed[1]} was ordered",
            )


def _left_unbilled(
    account: Account, effect: Effect, entity: EntityTruth, billing: Billing
) -> Iterator[tuple[str, str]]:
    """The state before has to be billed when the next one comes, unless its day had not come yet, or it was closed by hand: then what
    waits behind it may be quicker. Of what is invoiced in parts more may have become due meanwhile.
    """
    shown = account.shown
    if billing.in_parts or shown is None or shown.event_id in account.settled or effect.event_id in account.states:
        return
    if account.is_billed(entity, billing, shown.at):
        return
    if not _may_wait(account, entity, billing, shown.at):
        yield (
            "left unbilled",
            f"{shown.event_id[:8]} is followed by {effect.event_id[:8]} while {_text(account.net())} is billed",
        )


def _documents(
    account: Account, effect: Effect, bill: Bill, entity: EntityTruth, billing: Billing
) -> Iterator[tuple[str, str]]:
    """A document says what its order, or its invoice, says, and is dated as it has to be."""
    state, content = account.states.get(bill.state), effect.content
    if state is None:
        yield "unknown event", f"{effect.external_id} follows {bill.state[:8]}, which was never shown"
        return
    against = account.invoices.get(bill.invoice or "")
    source = state.content if bill.invoice is None or against is None else against.content
    named = (source.customer, source.currency) == (content.customer, content.currency)
    is_own_price = (billing.by_periods or billing.by_milestones) and bill.invoice is None
    if not named or not _adds_up(content, source.lines, is_own_price=is_own_price):
        yield "wrong content", f"{effect.external_id} is {content}"
    first, last = billing.dated(state.at), billing.dated(effect.at)
    if not first <= bill.dated <= last:
        yield "wrong date", f"{effect.external_id} is dated {bill.dated}, not {first} to {last}"
    days = entity.starts_of(bill.state)
    if billing.by_start and not account.invoices and all(_is_after(day, billing.day(effect.at)) for day in days):
        yield "billed early", f"{effect.external_id}, though nothing starts before {min(filter(None, days))}"


def _adds_up(content: Content, lines: tuple[tuple[str, Decimal, Decimal, Decimal], ...], *, is_own_price: bool) -> bool:
    """Positive lines of what is sold, each with its own sum, that make the document's amount; a period's price is its own."""
    known = {(sku, None if is_own_price else price) for sku, _, price, _ in lines}
    amounts = sum((amount for *_, amount in content.lines), Decimal(0))
    return amounts == content.amount and all(
        quantity > 0
        and quantize(quantity * price, content.currency or "") == amount
        and (sku, None if is_own_price else price) in known
        for sku, quantity, price, amount in content.lines
    )


def _may_wait(account: Account, entity: EntityTruth, billing: Billing, at: float) -> bool:
    """An order that was never invoiced, and need not be before a day that had not come then."""
    shown = account.shown
    if shown is None or account.invoices or not billing.by_start:
        return False
    return any(_is_after(day, billing.day(at)) for day in entity.starts_of(shown.event_id))


def _is_after(day: date | None, other: date) -> bool:
    return day is not None and day > other


def _wanted(content: Content) -> _Sums:
    sums: _Sums = {}
    for sku, quantity, price, amount in content.lines if content.status == "open" else ():
        _add(sums, (sku, price), quantity, amount)
    return sums


def _most(states: Iterable[Effect]) -> _Sums:
    """The most that any state asked for."""
    most: _Sums = {}
    for state in states:
        for price, (quantity, amount) in _wanted(state.content).items():
            have, money = most.get(price, _NOTHING)
            most[price] = (max(have, quantity), max(money, amount))
    return most


def _total(sums: _Sums) -> Decimal:
    return sum((amount for _, amount in sums.values()), _NIL)


def _add(sums: _Sums, price: _Price, quantity: Decimal, amount: Decimal) -> None:
    have, money = sums.get(price, _NOTHING)
    sums[price] = (have + quantity, money + amount)


def _text(sums: _Sums) -> str:
    return (
        " + ".join(f"{quantity} {sku} for {amount}" for (sku, _), (quantity, amount) in sorted(sums.items()))
        or "nothing"
    )
