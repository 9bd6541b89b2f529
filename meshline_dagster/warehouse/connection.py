"""The one way into the warehouse.

While one process has a DuckDB file open for writing no other can open it, not even to read, and the error says little. So an
OS file lock stands in front: who comes second waits, and is told what to do when the wait is over.

dbt-duckdb runs in this process against the same file. DuckDB gives one instance per path and process as long as both ask
with the same configuration; ours is the empty one, as dbt's is. dbt keeps its connection after a run, so closing is ours too.
"""

import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import duckdb

from meshline_dagster.core.errors import LeaseHeldError

__all__ = ["held_warehouse", "open_warehouse"]

_POLL_SECONDS = 0.05


@contextmanager
def open_warehouse(path: Path, *, timeout: float = 60.0, filesystem: Any = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Hold the warehouse: nobody else has it open until the block ends.

    Args:
        path: the DuckDB file; created, with its folder, when absent.
        timeout: seconds to wait for another holder.
        filesystem: an fsspec file system that landing paths refer to by URL (``s3://``, ``memory://``); also seen by dbt.

    Yields:
        A connection whose time zone is UTC. dbt may run in this process meanwhile.

    Raises:
        LeaseHeldError: another process or thread held the warehouse for all of ``timeout``.
    """
    path = path.resolve()
    with held_warehouse(path, timeout=timeout):
        connection = _connect(path)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            if filesystem is not None:
                connection.register_filesystem(filesystem)
            yield connection
        finally:
            connection.close()
            _close_dbt()


@contextmanager
def held_warehouse(path: Path, *, timeout: float = 60.0) -> Iterator[None]:
    """Hold the warehouse without opening it, e.g. to copy its file.

    Raises:
        LeaseHeldError: as :func:`open_warehouse`.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("a+") as lock:
        _acquire(lock, path, timeout)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)


def _acquire(lock: IO[str], path: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LeaseHeldError(
                    f"the warehouse {path} is held by another run. Wait until that build is done and run again; a higher "
                    "limit for the pool `warehouse` does not help, one build at a time is the rule",
                    waited_seconds=round(timeout, 1),
                ) from None
            time.sleep(_POLL_SECONDS)
        else:
            return


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(str(path))
    except duckdb.IOException as error:
        if "lock" not in str(error):
            raise
        raise LeaseHeldError(
            f"the warehouse {path} is open in a program that does not take its lock (a DuckDB shell, a notebook). Close it "
            "there, or look at the published Parquet files instead"
        ) from error


def _close_dbt() -> None:
    """Close what dbt-duckdb keeps open; dbt is not imported for it."""
    module = sys.modules.get("dbt.adapters.duckdb.connections")
    if module is None:
        return
    manager = module.DuckDBConnectionManager
    with manager._LOCK:  # noqa: SLF001 - dbt-duckdb offers no public way to close the file, only to forget it
        environment = manager._ENV  # noqa: SLF001
        manager.close_all_connections()
        if environment is not None:
            environment.close()
