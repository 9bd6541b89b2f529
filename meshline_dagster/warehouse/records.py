"""What a build is given: files, policy, operators' mappings, and the instant as of which it looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

__all__ = ["BillingTerms", "BuildMode", "BuildSpec", "MappingEntry", "Policy", "SourceFile", "SourceFiles"]


class BuildMode(StrEnum):
    """Which entities a build recomputes."""

    INCREMENTAL = "incremental"
    REPLAY = "replay"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One landed Parquet file.

    Attributes:
        instance: which CRM instance, or ERP destination, it came from.
        path: local path or fsspec URL.
        is_new: it was landed after the build cursor.
    """

    instance: str
    path: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """All landed files by landing view, e.g. ``{"salesforce__opportunity": [...]}``; absent views are empty.

    A row that stands in two files (a new file and the compacted one that took its place) counts once.
    """

    views: Mapping[str, Sequence[SourceFile]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the rules may assume. A change of it makes the next build a full one.

    Attributes:
        effective_from: deals booked before this day are pre-cutover; None: there is no cut-over.
        lines_limit: how long an order waits for its lines before a person is asked.
        customer_limit: the same for its customer.
        items: orders wait for the items that they name.
        addresses: orders name the addresses of their customer, and wait for them.
        default_currency: fills a missing currency; None: a missing currency goes to review.
    """

    effective_from: date | None = None
    lines_limit: timedelta = timedelta(hours=4)
    customer_limit: timedelta = timedelta(hours=4)
    default_currency: str | None = None
    tax_code: str = "standard"
    selling_entity: str = "main"
    items: bool = False
    addresses: bool = False


@dataclass(frozen=True, slots=True)
class BillingTerms:
    """What the comparison with the ERP has to know of invoices. A change of it recomputes nothing else.

    Attributes:
        today: where the books are kept.
        invoice_trigger: ``booking``, ``start``, ``schedule``, ``delivery`` or ``milestone``; None: the sync makes no invoices.
        invoices_from: orders booked before this day are invoiced elsewhere; None: none is.
        months: how long a period of the schedule is; None: lines are not billed by periods.
        in_arrears: a period is invoiced on the day after its last; else on its first.
    """

    today: date
    invoice_trigger: str | None = None
    invoices_from: date | None = None
    months: int | None = None
    in_arrears: bool = False


@dataclass(frozen=True, slots=True)
class MilestoneEntry:
    """One milestone in force: a percentage of its order, or an amount in its currency; ``reached_on`` is None until it is reached."""

    entity_key: str
    percent: Decimal | None
    amount: Decimal | None
    reached_on: date | None


@dataclass(frozen=True, slots=True)
class MappingEntry:
    """One operator's decision in force. ``kind`` is product, customer, party, payment_term or tax."""

    kind: str
    source_value: str
    target_value: str
    seq: int


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """One build.

    Attributes:
        as_of: the instant at which deadlines are judged, UTC; never read from a clock inside.
        replay: first and last change day (UTC) whose entities are recomputed besides the touched ones.
        mappings: every decision in force.
        changed_mappings: ``(kind, source value)`` decided or revoked since the build cursor.
        billing: what the sync invoices; None: nothing. milestones: those of all orders, where they are invoiced by them.
        after: the build whose end is the build cursor, where known: when this warehouse has not applied it (it was restored
            from elsewhere, or is new), the build becomes a full one.
    """

    build_id: str
    as_of: datetime
    mode: BuildMode
    files: SourceFiles
    policy: Policy = Policy()
    mappings: Sequence[MappingEntry] = ()
    changed_mappings: Sequence[tuple[str, str]] = ()
    replay: tuple[date, date] | None = None
    after: str | None = None
    billing: BillingTerms | None = None
    milestones: Sequence[MilestoneEntry] = ()

    def __post_init__(self) -> None:
        if self.as_of.tzinfo is None:
            raise ValueError("as_of needs a time zone (UTC)")
        if (self.mode is BuildMode.REPLAY) != (self.replay is not None):
            raise ValueError("a replay, and only a replay, names a range of change days")
