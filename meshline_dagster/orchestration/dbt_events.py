"""dbt in this process, with Dagster's own events.

``DbtCliResource`` starts two dbt processes for each invocation, which costs more than ten seconds. Here dbt runs in the run's own process, and
each event it reports is handed to dagster-dbt's own class, so that materializations and check results are the same (a test compares
both). dagster-dbt keeps that class semi-private: it is imported here and nowhere else.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage
from google.protobuf.json_format import MessageToDict

__all__ = ["dagster_events"]


def dagster_events(
    events: list[Any],
    *,
    context: dg.AssetExecutionContext,
    manifest: Mapping[str, Any],
    translator: DagsterDbtTranslator,
    target_path: Path,
) -> Iterator[Any]:
    """Turn collected dbt events into Dagster's.

    Args:
        events: dbt's ``EventMsg`` protobufs in the order of the run.
        manifest: the parsed ``manifest.json``.
        target_path: where dbt wrote ``run_results.json``.
    """
    for event in events:
        message = DbtCoreCliEventMessage(
            raw_event=MessageToDict(event, preserving_proto_field_name=True), event_history_metadata={}
        )
        if message.is_result_event:
            yield from message.to_default_asset_events(
                manifest=manifest, dagster_dbt_translator=translator, context=context, target_path=target_path
            )
