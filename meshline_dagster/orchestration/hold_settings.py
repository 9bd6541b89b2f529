"""What holds postings back, in a sync's YAML: the close calendar, how large a backlog may be, what takes an approval, how fast
requests may follow.
"""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

__all__ = ["ApprovalSettings", "BacklogSettings", "FreezeSettings", "LimitSettings"]


_Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


def _instant(value: Any, *, last: bool) -> Any:
    """A day's beginning, or for ``last`` its end, UTC; an instant as it is."""
    if isinstance(value, str) and len(value) == len("2026-12-31"):
        value = date.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value + timedelta(days=last), time(), tzinfo=UTC)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError(f"{value} has no time zone: write e.g. 2026-12-31T18:00Z, or a day")
    return value.astimezone(UTC) if isinstance(value, datetime) else value


class FreezeSettings(BaseModel):
    """One freeze: ``from`` and ``to`` are days (UTC, both included) or instants with their time zone.

    Attributes:
        selling_entity: only what this company of ours sells; left out, everything.
        reason: shown to whoever meets the freeze.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    start: Annotated[datetime, BeforeValidator(lambda value: _instant(value, last=False))] = Field(alias="from")
    end: Annotated[datetime, BeforeValidator(lambda value: _instant(value, last=True))] = Field(alias="to")
    selling_entity: str | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"a freeze ends after it began: from {self.start} to {self.end}")
        return self


class BacklogSettings(BaseModel):
    """What is posted without anybody's release. More than this waits, all of it, until `meshline release`.

    Attributes:
        count: open postings; null: any number.
        amounts: currency -> what the open orders may be worth.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int | None = Field(10_000, gt=0)
    amounts: dict[str, Decimal] = {}


class ApprovalSettings(BaseModel):
    """What waits until somebody approves it: see `meshline approvals`. Restatements always do.

    Attributes:
        replays: whether the writes that a replay plans anew wait.
        max_reversals: orders of the ERP that one run may cancel, and credit notes of other orders that it may make, without an approval;
            null: any number.
        max_reversal_share: the part that cancellations may be of the orders that are open in the ERP, and credit notes of what is invoiced
            there and not credited, by count and by the money of each currency, in [0, 1]; judged from ten of each on. null: any part.
        redated: currency -> what an invoice or credit note may be worth, ex tax, that gets another accounting date because its period is
            closed; one of more waits. A currency that is not named has no limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    replays: bool = True
    max_reversals: int | None = Field(50, ge=0)
    max_reversal_share: Decimal | None = Field(Decimal("0.05"), ge=0, le=1)
    redated: dict[_Currency, Annotated[Decimal, Field(ge=0)]] = {}


class LimitSettings(BaseModel):
    """How requests to the destination are limited, over all runs.

    Attributes:
        rate_per_second: requests that may start in a second; null: no limit.
        burst: requests that may start at once after a pause; null: a second's.
        failures: rounds of requests in a row without an answer that make an outage.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate_per_second: float | None = Field(None, gt=0)
    burst: int | None = Field(None, gt=0)
    failures: int = Field(5, gt=0)
