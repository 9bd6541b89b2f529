"""``meshline replay``: derive and deliver a range of change days again, or say what that would send."""

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from meshline_dagster.cli.location import QUIET, REFERENCE
from meshline_dagster.cli.stores import actor, now, opened_store

__all__ = ["replay"]


def replay(
    *,
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First change day (UTC).")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last change day (UTC).")],
    entity: Annotated[
        list[str] | None, typer.Option(help="Only this order, by its entity key; may be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would send.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    sync: Annotated[str, typer.Option(help="The sync's name.")] = "crm_to_erp",
    location: Annotated[str, typer.Option(help="The module with the code location's `defs`.")] = REFERENCE,
) -> None:
    """Recompute the orders that changed on these days, and deliver what is missing: a Dagster backfill. What is posted is never sent again.

    What it plans anew waits until somebody else approves its digest. The dry run asks for nothing, and needs neither CRM nor ERP.
    """
    from meshline_dagster.core.errors import ConfigError

    if last < first:
        raise ConfigError(f"the replay would end before it begins: --from {first:%Y-%m-%d} --to {last:%Y-%m-%d}")
    with opened_store():
        pass  # a wrong folder is told before seconds of imports
    days = (f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}")
    found = _preview(location, sync, days, entity or []) if dry_run else _launch(location, sync, days, entity or [])
    if as_json:
        typer.echo(json.dumps(found))
    elif dry_run:
        typer.echo(_preview_text(found))
    else:
        typer.echo(_launched_text(found))
    if not dry_run and not found["success"]:
        raise typer.Exit(1)


def _preview(location: str, sync: str, days: tuple[str, str], entities: list[str]) -> dict[str, Any]:
    from dagster import DagsterInstance

    from meshline_dagster.cli.location import job_of

    op = f"{sync}_preview"
    config = {"first_day": days[0], "last_day": days[1], "entities": entities}
    with DagsterInstance.ephemeral() as instance:
        done = job_of(location, f"{sync}_replay_preview").execute_in_process(
            run_config={"ops": {op: {"config": config}}} | QUIET, instance=instance
        )
        found: dict[str, Any] = done.output_for_node(op)
    return found


def _launch(location: str, sync: str, days: tuple[str, str], entities: list[str]) -> dict[str, Any]:
    """The run that a backfill of the sync's job would start, in this process."""
    from meshline_dagster.cli.location import dagster_storage, job_of
    from meshline_dagster.orchestration.modes import AUTHOR_TAG, ENTITIES_TAG, MODE_TAG, RunMode
    from meshline_dagster.store.approvals import approvals

    tags = {MODE_TAG: RunMode.REPLAY.value, AUTHOR_TAG: actor()}
    tags |= {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[1]}
    if entities:
        tags[ENTITIES_TAG] = json.dumps(sorted(entities))
    job, began = job_of(location, f"{sync}_sync"), now()
    with dagster_storage() as instance:
        done = job.execute_in_process(run_config=QUIET, instance=instance, tags=tags, raise_on_error=False)
    with opened_store() as store, store.read() as connection:
        asked = [one for one in approvals(connection) if one.requested_at >= began]
    return {
        "run_id": done.run_id,
        "success": done.success,
        "approvals": [{"digest": one.digest, "kind": one.kind.value, "subject": one.subject} for one in asked],
    }


def _preview_text(found: dict[str, Any]) -> str:
    from meshline_dagster.cli.money_text import change_text

    operations = ", ".join(f"{count:,} {name}" for name, count in found["operations"].items())
    lines = [
        f"replay of {found['from']} to {found['to']}: {found['entities']:,} orders and customers are derived again",
        f"would send: {found['writes']:,} writes{f' ({operations})' if operations else ''}",
    ]
    if found["money"]:
        lines.append(f"in the ERP: {change_text(found['money'])}")
    if found["digest"] is not None:
        lines.append(f"digest: {found['digest']}")
    lines += [f"restatement candidate: {key}, digest {one}" for key, one in found["restatements"].items()]
    if found["superseded"]:
        lines.append(f"no longer to be sent: {found['superseded']:,} planned writes")
    if found["others"]:
        lines.append(f"planned by the next run in any case: {found['others']:,} writes")
    return "\n".join(lines)


def _launched_text(found: dict[str, Any]) -> str:
    if not found["success"]:
        return f"the run {found['run_id']} failed; its log is above"
    lines = [f"replayed by the run {found['run_id']}"]
    lines += [f"waits for approval: {one['subject']}, digest {one['digest']}" for one in found["approvals"]]
    if found["approvals"]:
        lines.append(
            "somebody else decides: `meshline approvals list`, `meshline approvals approve DIGEST --reason ...`"
        )
    return "\n".join(lines)
