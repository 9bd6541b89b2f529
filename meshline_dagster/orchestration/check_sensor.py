"""The check sensor: a failed asset check becomes an exception and an alert; when the check passes again, the exception is resolved.

It alerts of these and of everything else of priority P1, such as a dead posting, and says when an outage of the destination is over.

It compares states instead of following events: a lost cursor or a missed tick loses no failure. An alert channel that takes nothing
fails the tick, after everything else is done; the next tick tries it again.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from meshline_dagster.core.errors import TransientError
from meshline_dagster.delivery.outage import OUTAGE
from meshline_dagster.governance.alerts import send_alerts
from meshline_dagster.governance.notify import channels
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.store.exceptions import Finding, open_keys, raise_exceptions, resolve

__all__ = ["check_sensor"]

_ORIGIN = "check"
_PRIORITY = {
    dg.AssetCheckSeverity.ERROR: "P2",
    dg.AssetCheckSeverity.WARN: "P3",
}


def check_sensor(settings: SyncSettings) -> dg.SensorDefinition:
    """Build the sensor over all checks of the code location."""

    @dg.sensor(
        name=f"{settings.name}_alerts",
        minimum_interval_seconds=max(30, settings.poll_seconds),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Turns failed asset checks into exceptions with an owner; alerts of them and of every exception of priority P1 (log; e-mail "
        "and webhooks by MESHLINE_ALERT_URLS).",
    )
    def _sensor(context: dg.SensorEvaluationContext, meshline: MeshlineResource) -> dg.SkipReason:
        assert context.repository_def is not None
        keys = list(context.repository_def.asset_graph.asset_check_keys)
        findings, undecided = _failing(context.instance, keys, settings)
        failing = {finding.trace_key for finding in findings}
        now = datetime.now(UTC)
        with meshline.store().write() as connection:
            known = open_keys(connection, _ORIGIN)
            opened = raise_exceptions(connection, findings, now=now)
            resolved = resolve(connection, known - failing - undecided, resolution="the check passes again", now=now)
        report = send_alerts(meshline.store(), channels(), origin=_ORIGIN, ends=OUTAGE, now=now)
        if report.waiting:
            raise TransientError(
                "alert channels of MESHLINE_ALERT_URLS took nothing. The exceptions are in the queue (`meshline exceptions list`), and "
                "the next tick tries again; look into the log for what a channel answered",
                **report.waiting,
            )
        told = f", {report.sent} alerts sent" if report.sent else ""
        return dg.SkipReason(f"{len(findings)} checks stand failed, {opened} opened, {resolved} resolved{told}")

    return _sensor


def _failing(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey], settings: SyncSettings
) -> tuple[list[Finding], set[str]]:
    """The checks whose last evaluation failed, and the trace keys of those that are being evaluated just now."""
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))
    findings, undecided = [], set()
    for key, record in latest.items():
        trace_key = f"check:{settings.name}:{key.asset_key.to_user_string()}:{key.name}"
        evaluation = record.evaluation if record is not None else None
        if not isinstance(evaluation, dg.AssetCheckEvaluation):
            undecided.add(trace_key)
        elif record is not None and not evaluation.passed:
            findings.append(_finding(trace_key, key, evaluation, record.run_id))
    return findings, undecided


def _finding(trace_key: str, key: dg.AssetCheckKey, evaluation: dg.AssetCheckEvaluation, run_id: str) -> Finding:
    figures = ", ".join(f"{name} {value.value}" for name, value in sorted(evaluation.metadata.items()))
    return Finding(
        trace_key=trace_key,
        origin=_ORIGIN,
        code="check_failed",
        title=f"The check {key.name} of {key.asset_key.to_user_string()} failed",
        detail=f"run {run_id}: {evaluation.description or figures or 'no details'}"[:2000],
        fix="Open the check in Dagster, correct the cause, and run the checks again; the writer waits if a table's verdict failed.",
        owner="integrations" if key.name == "schema" else "revops",
        priority=_PRIORITY[evaluation.severity],
    )
