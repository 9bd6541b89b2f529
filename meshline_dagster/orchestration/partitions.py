"""Change days: one partition for each UTC day from the origin, today included."""

from datetime import UTC, date, datetime

import dagster as dg

__all__ = ["change_days", "partition_range", "today"]


def change_days(origin: date) -> dg.DailyPartitionsDefinition:
    """The partitions of a sync. ``end_offset=1`` includes today, whose changes are already coming in."""
    return dg.DailyPartitionsDefinition(start_date=origin.isoformat(), timezone="UTC", end_offset=1)


def partition_range(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """First and last change day of this run; a single partition is a range of one."""
    keys = context.partition_key_range
    return date.fromisoformat(keys.start), date.fromisoformat(keys.end)


def today() -> str:
    """The partition of now."""
    return datetime.now(UTC).date().isoformat()
