"""How one workflow delivers to one destination."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from meshline_dagster.core.backlog import NO_LIMITS, BacklogLimits
from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.followups import BillingPolicy
from meshline_dagster.core.ownership import Ownership
from meshline_dagster.core.partials import PartialPolicy
from meshline_dagster.core.pauses import Freeze
from meshline_dagster.core.reversals import NO_REVERSAL_LIMITS, ReversalLimits

__all__ = ["DeliveryOptions", "MissingMaster", "Mode"]

_DEFAULT_OWNERS = Ownership()


class Mode(StrEnum):
    """What the writer may do. In shadow everything is planned and compared, nothing is sent."""

    SHADOW = "shadow"
    LIVE = "live"


class MissingMaster(StrEnum):
    """What happens to a master that the ERP does not have: it is created, or a person is asked and its orders wait."""

    CREATE = "create"
    EXCEPTION = "exception"


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """Settings of a delivery.

    Attributes:
        destination: the name under which postings are kept; never reuse one for another ERP.
        sandbox: the destination is a throw-away system, so no cut-over date is needed.
        company: the ERP company id that posts are pinned to.
        effective_from: deals booked earlier are pre-cutover and never posted.
        missing_customer: whether customers are created. One that goes by a code of the ERP's own is asked for first either way.
        missing_address: the same for addresses; None: orders name none.
        missing_item: the same for items; None: items are none of our business, and orders wait for none.
        billing: how posted orders are invoiced; None posts orders only.
        ownership: whose word each field of a document is.
        redated: currency -> what an invoice or credit note may be worth that is re-dated because its period is closed, without an approval;
            a currency that is not named has no limit.
        partial: what becomes of a document that is in the ERP in part, where nothing else is; everything else is escalated.
        shards: how many leases the entities are spread over; fixed for the life of a ledger.
        max_attempts: refusals "for now" until a posting is dead.
        coalesce: of an order's states that were never sent only the newest is; the earlier become superseded.
        failures: rounds of requests without an answer, in a row, that make an outage: nothing is sent until a probe gets through.
        at_most: postings to take in one delivery; None: all.
        rate_per_second: requests that all runs together may start in a second; None: no limit.
        burst: requests that may start at once after a pause; None: a second's.
        backlog: above these limits, what is open waits for an operator's release.
        freezes: the close calendar: times in which nothing is posted.
        approve_replays: whether the writes that a replay plans anew wait for an approval.
        reversals: what one delivery takes back of what the ERP holds without an approval.
        patience: seconds to wait in one run for retries, unsettled answers and shards held by other runs.
    """

    destination: str
    company: str
    mode: Mode = Mode.SHADOW
    sandbox: bool = False
    effective_from: date | None = None
    missing_customer: MissingMaster = MissingMaster.CREATE
    missing_address: MissingMaster | None = None
    missing_item: MissingMaster | None = None
    billing: BillingPolicy | None = None
    ownership: Ownership = _DEFAULT_OWNERS
    redated: Mapping[str, Decimal] = field(default_factory=dict)
    partial: PartialPolicy = PartialPolicy.COMPLETE
    shards: int = 16
    max_attempts: int = 8
    patience: float = 90.0
    coalesce: bool = False
    failures: int = 5
    at_most: int | None = None
    rate_per_second: float | None = None
    burst: int | None = None
    backlog: BacklogLimits = NO_LIMITS
    freezes: tuple[Freeze, ...] = ()
    approve_replays: bool = True
    reversals: ReversalLimits = NO_REVERSAL_LIMITS

    @property
    def masters(self) -> Mapping[DocumentKind, MissingMaster]:
        """What happens to missing masters, by kind; kinds that the workflow does not keep are left out."""
        given = {
            DocumentKind.CUSTOMER: self.missing_customer,
            DocumentKind.ADDRESS: self.missing_address,
            DocumentKind.ITEM: self.missing_item,
        }
        return {kind: missing for kind, missing in given.items() if missing is not None}

    def missing(self, kind: DocumentKind) -> MissingMaster | None:
        """What happens to a missing record of this kind; None for what is no master, or none that the workflow keeps."""
        return self.masters.get(kind)
