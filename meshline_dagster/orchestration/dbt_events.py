"""dbt in this process, with Dagster's own events.

``DbtCliResource`` starts two dbt processes for each invocation, which costs more than ten seconds. Here dbt runs in the run's own process, and
each event it reports is handed to dagster-dbt's own class, so that materializations and check results are the same (a test compares
both). dagster-dbt keeps that class semi-private: it is imported here and nowhere else.
"""

from collections.abc import Iterable, Iterator, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage
from dbt_common.events.functions import msg_to_dict

from meshline_dagster.orchestration.manifest import dbt_target_path, manifest
from meshline_dagster.orchestration.translator import MeshlineDbtTranslator
from meshline_dagster.warehouse.dbt import run_dbt

__all__ = ["DbtStep"]

_KEPT = "a view, as the last full build wrote it"
_RESULTS = frozenset({"LogModelResult", "LogTestResult", "LogSeedResult", "LogSnapshotResult"})
"""What dbt says of the outcome of a node; of a command's hundreds of events, the others say nothing to Dagster."""


class DbtStep:
    """One dbt command of a step: run while the warehouse is held, reported after it.

    Attributes:
        result: how the nodes fared.
    """

    def __init__(self, arguments: Sequence[str], warehouse: Path) -> None:
        self._events: list[Any] = []
        self.result = run_dbt(
            arguments, warehouse=warehouse, target_path=dbt_target_path(), on_event=self._events.append
        )

    def report(self, context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Materializations and check results of the whole step.

        Raises:
            PermanentError: a node failed; its checks are reported first.
        """
        yield from _whole_step(context, _dagster_events(self._events, context), succeeded=self.result.success)
        self.result.raise_for_failure()


def _dagster_events(events: Sequence[Any], context: dg.AssetExecutionContext) -> Iterator[Any]:
    """Dbt's ``EventMsg`` protobufs, in the order of the run, as Dagster's events: by way of what dbt writes to its JSON log."""
    parsed, target = manifest(), dbt_target_path()  # each look at them reads all of the project's files
    translator = MeshlineDbtTranslator()  # one for all: it remembers what it has made of a model
    for event in events:
        if event.info.name not in _RESULTS:
            continue
        message = DbtCoreCliEventMessage(raw_event=msg_to_dict(event), event_history_metadata={})
        if message.is_result_event:
            yield from message.to_default_asset_events(
                manifest=parsed,
                dagster_dbt_translator=translator,
                context=context,
                target_path=target,
            )


def _whole_step(context: dg.AssetExecutionContext, events: Iterable[Any], *, succeeded: bool) -> Iterator[Any]:
    """The events of a step that makes all of its assets or none, in an order that Dagster takes.

    Args:
        events: what dbt reported. It leaves out views that it had no need to write again: they are reported here, as kept.
        succeeded: of a failed step only the checks are reported.
    """
    outputs, others = {}, []
    for event in events:
        if isinstance(event, dg.Output):
            outputs[context.assets_def.keys_by_output_name[event.output_name]] = event
        else:
            others.append(event)
    if succeeded:
        for key in _in_order(context.assets_def):
            yield outputs.get(key) or dg.MaterializeResult(asset_key=key, metadata={"status": _KEPT})
    yield from others


def _in_order(assets: dg.AssetsDefinition) -> Iterable[dg.AssetKey]:
    """Upstream first."""
    keys = assets.keys
    return TopologicalSorter({key: assets.asset_deps[key] & keys for key in sorted(keys)}).static_order()
