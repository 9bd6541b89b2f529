"""What a run is for, told by its tag ``meshline/mode``.

A run without the tag is a replay: it recomputes and re-delivers its partitions from what is landed, calls no CRM, and is always safe.
"""

from enum import StrEnum

import dagster as dg

__all__ = ["AUTHOR_TAG", "ENTITIES_TAG", "MODE_TAG", "SYNC_TAG", "RunMode", "run_mode"]

AUTHOR_TAG = "meshline/requested_by"
"""Who asked for this replay, as far as whoever launched it says."""

ENTITIES_TAG = "meshline/entities"
"""A JSON list of the entities that delivery may plan anew because of this replay; without it, all."""

MODE_TAG = "meshline/mode"
SYNC_TAG = "meshline/sync"


class RunMode(StrEnum):
    """Poll reads what is new; replay recomputes a date range; re-extract reads a date range from the CRM again; drain delivers what is due."""

    POLL = "poll"
    REPLAY = "replay"
    RE_EXTRACT = "re_extract"
    DRAIN = "drain"


def run_mode(context: dg.AssetExecutionContext) -> RunMode:
    """The mode of this run.

    Raises:
        dg.Failure: the tag holds an unknown word.
    """
    word = context.run.tags.get(MODE_TAG, RunMode.REPLAY.value)
    try:
        return RunMode(word)
    except ValueError:
        allowed = ", ".join(mode.value for mode in RunMode)
        raise dg.Failure(f"the run's tag {MODE_TAG} is {word!r}: use one of {allowed}, or leave it out") from None
