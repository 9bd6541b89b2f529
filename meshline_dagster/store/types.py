"""Column types that mean the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect
from sqlalchemy.types import TypeDecorator

__all__ = ["Amount", "UtcDateTime"]

_MICRO = Decimal(1_000_000)


class UtcDateTime(TypeDecorator[datetime]):
    """A UTC instant with microseconds; naive values are refused."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - fixed by SQLAlchemy
        """Store as naive UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot enter the ops store: give it a time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - fixed by SQLAlchemy
        """Give the time zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class Amount(TypeDecorator[Decimal]):
    """Money as a whole number of millionths, so that sums are exact on every database (up to 9.2 * 10^12)."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - fixed by SQLAlchemy
        """Scale up; a finer amount than a millionth is refused rather than rounded."""
        if value is None:
            return None
        scaled = value * _MICRO
        if scaled != scaled.to_integral_value():
            raise ValueError(f"{value} has more than six decimal places")
        return int(scaled)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - fixed by SQLAlchemy
        """Scale down. PostgreSQL sums bigint as numeric, so whole Decimals arrive too."""
        return None if value is None else Decimal(int(value)) / _MICRO
