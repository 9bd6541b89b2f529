"""The check sensor: a failed asset check becomes an exception and an alert; when the check passes again, the exception is resolved.

It compares states instead of following events: a lost cursor or a missed tick loses no failure.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from meshline_dagster.governance.notify import alert
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.store.exceptions import Finding, open_keys, sync_origin

__all__ = ["check_sensor"]

_FAILED = {
    dg.AssetCheckSeverity.ERROR: "P2",
    dg.AssetCheckSeverity.WARN: "P3",
}


def check_sensor(settings: SyncSettings) -> dg.SensorDefinition:
    """Build the sensor over all checks of the code location."""

    @dg.sensor(
        name=f"{settings.name}_alerts",
        minimum_interval_seconds=max(30, settings.poll_seconds),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Turns failed asset checks into exceptions with an owner, and alerts (log; e-mail and webhooks by MESHLINE_ALERT_URLS).",
    )
    def _sensor(context: dg.SensorEvaluationContext, meshline: MeshlineResource) -> dg.SkipReason:
        assert context.repository_def is not None
        keys = list(context.repository_def.asset_graph.asset_check_keys)
        findings = _failing(context.instance, keys, settings)
        with meshline.store().write() as connection:
            known = open_keys(connection, "check")
            opened, resolved = sync_origin(connection, "check", findings, now=datetime.now(UTC))
        for finding in findings:
            if finding.trace_key not in known:
                alert(finding.title, f"{finding.detail}\n{finding.fix}")
        return dg.SkipReason(f"{len(findings)} checks stand failed, {opened} opened, {resolved} resolved")

    return _sensor


def _failing(instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey], settings: SyncSettings) -> list[Finding]:
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))
    findings = []
    for key, record in latest.items():
        evaluation = record.evaluation if record is not None else None
        if record is None or evaluation is None or evaluation.passed:
            continue
        figures = ", ".join(f"{name} {value.value}" for name, value in sorted(evaluation.metadata.items()))
        findings.append(
            Finding(
                trace_key=f"check:{settings.name}:{key.asset_key.to_user_string()}:{key.name}",
                origin="check",
                code="check_failed",
                title=f"The check {key.name} of {key.asset_key.to_user_string()} failed",
                detail=f"run {record.run_id}: {evaluation.description or figures or 'no details'}"[:2000],
                fix="Open the check in Dagster, correct the cause, and run the checks again; the writer waits if a table's verdict failed.",
                owner="integrations" if key.name in {"schema", "dbt"} else "revops",
                priority=_FAILED[evaluation.severity],
            )
        )
    return findings
