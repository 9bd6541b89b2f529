"""``meshline demo``: one sync of the reference code location against the sandbox, from CRM records to reconciled ERP orders."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from meshline_dagster.cli.stores import opened_store

if TYPE_CHECKING:
    from rich.console import Console

    from meshline_dagster.store.engine import Store

__all__ = ["dagster_home", "demo"]

_JOB = "crm_to_erp_sync"
_DESTINATION = "sandbox"

_EVENTS_AT_ONCE = "1000"
_DAGSTER_SETTINGS = """\
telemetry:
  enabled: false
nux:
  enabled: false
event_log_storage:
  module: meshline_dagster.orchestration.event_log
  class: LocalEventLogStorage
"""


def demo() -> None:
    """Run the whole sync once against the sandbox CRM and ERP, and show what came of it. Run it again: nothing is posted twice."""
    from rich.console import Console

    from meshline_dagster.cli.servers import sales_data, sandbox_servers
    from meshline_dagster.cli.status import obstacles, print_figures, print_obstacles
    from meshline_dagster.governance.figures import read_figures
    from meshline_dagster.store.location import home, published_path

    console = Console(highlight=False)
    started = time.monotonic()
    instance_folder = dagster_home(home() / "dagster")
    with sandbox_servers(home() / "sandbox-erp.db", data=sales_data()) as sandbox:
        os.environ.update(sandbox.environment, DAGSTER_HOME=str(instance_folder))
        console.print(f"The sandbox CRM serves {sandbox.world}.")
        with opened_store(create=True) as store:
            before = _orders_posted(store)
        result = _run(console)
    if not result.success:
        console.print("[red]The run failed; its log is above.[/red]")
        raise typer.Exit(1)
    with opened_store() as store:
        figures, state = read_figures(store, published_path(), _DESTINATION), obstacles(store)
        new = _orders_posted(store) - before
    print_figures(figures)
    orders = "1 order is" if new == 1 else f"{new:,} orders are"
    seconds = time.monotonic() - started
    console.print(f"{orders} new in the ERP. {seconds:.0f} s, Dagster run {result.run_id}.", soft_wrap=True)
    print_obstacles(state)
    if figures.in_exception:
        _show_exceptions(console, sandbox.alias)
    programs = "Figures for programs: [bold].venv/bin/meshline status --json[/bold]."
    console.print(f"See it in Dagster: [bold]make up[/bold]. {programs}", soft_wrap=True)


def _orders_posted(store: "Store") -> int:
    from meshline_dagster.store.ledger_reports import orders_posted

    with store.read() as connection:
        return orders_posted(connection, _DESTINATION)


def dagster_home(folder: Path) -> Path:
    """A folder for Dagster's own storage, with telemetry off, where events that come together are written together."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_DAGSTER_SETTINGS)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", _EVENTS_AT_ONCE)
    return folder


def _run(console: "Console") -> Any:
    """Execute the job of the reference code location in this process, with a bar while it posts."""
    console.print("Loading the code location ...")
    from meshline_dagster.cli.location import QUIET, REFERENCE, dagster_storage, job_of
    from meshline_dagster.orchestration.modes import MODE_TAG, RunMode
    from meshline_dagster.orchestration.partitions import today

    job = job_of(REFERENCE, _JOB)
    with dagster_storage() as instance, _progress(console):
        return job.execute_in_process(
            run_config=QUIET,
            instance=instance,
            partition_key=today(),
            tags={MODE_TAG: RunMode.POLL.value},
            raise_on_error=False,
        )


@contextmanager
def _progress(console: "Console") -> Iterator[None]:
    """A bar of the ledger's open postings, refreshed by a thread while the job works."""
    from threading import Event, Thread

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from meshline_dagster.store.ledger_reports import ledger_counts

    done = Event()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress, opened_store() as store:
        task = progress.add_task("polling and deriving", total=None)

        def watch() -> None:
            start: int | None = None
            while not done.wait(0.3):
                with store.read() as connection:
                    settled, left = ledger_counts(connection, _DESTINATION)
                start = settled if start is None else start
                if left:
                    progress.update(
                        task, description="posting", completed=settled - start, total=settled - start + left
                    )
                elif progress.tasks[0].total is not None:
                    progress.update(task, description="reading back and reconciling", total=None)

        thread = Thread(target=watch, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _show_exceptions(console: "Console", alias: tuple[str, str]) -> None:
    """How many wait for what, the most urgent one in full, and what to try."""
    from meshline_dagster.store.exceptions import exceptions, open_codes

    with opened_store() as store, store.read() as connection:
        items, codes = exceptions(connection), open_codes(connection)
    reasons = ", ".join(f"{count:,} {code}" for code, count in codes.items())
    console.print(f"\n{sum(codes.values()):,} exceptions wait ({reasons}), for example:", soft_wrap=True)
    unmapped = next((item for item in items if alias[0] in item.detail), None)
    item = unmapped or items[0]
    console.print(f"  {item.title}\n    {item.detail}\n    -> {item.fix}", markup=False, soft_wrap=True)
    if unmapped is not None:
        source, target = alias
        command = f'.venv/bin/meshline catalog map "{source}" "{target}"'
        console.print(f"Try: [bold]{command}[/bold], then [bold]make demo[/bold] again.", soft_wrap=True)
    console.print("All of them: [bold].venv/bin/meshline exceptions list[/bold].", soft_wrap=True)
