"""The code location that the command line runs jobs of, in this process."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagster import DagsterInstance, JobDefinition

__all__ = ["QUIET", "REFERENCE", "dagster_storage", "job_of"]

REFERENCE = "assets.definitions"
"""The reference code location of the project."""

QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
"""Run configuration: only errors on the terminal."""


def job_of(module: str, name: str) -> "JobDefinition":
    """A job of the code location whose ``defs`` stand in a module.

    Raises:
        ConfigError: there is no such module here, or it has no such job.
    """
    from dagster import DagsterInvariantViolationError

    from meshline_dagster.core.errors import ConfigError

    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"there is no module {module} here ({error}): run this in a clone of the project, or name your code location"
        ) from error
    definitions = found.defs() if callable(found.defs) else found.defs
    try:
        job: JobDefinition = definitions.get_repository_def().get_job(name)
    except DagsterInvariantViolationError as error:
        raise ConfigError(f"{module} has no job {name}: name the sync as its settings do") from error
    return job


def dagster_storage() -> "DagsterInstance":
    """Dagster's own storage: ``DAGSTER_HOME``, or the folder that demo and UI use."""
    import dagster as dg

    from meshline_dagster.cli.demo import dagster_home
    from meshline_dagster.store.location import home

    if "DAGSTER_HOME" not in os.environ:
        os.environ["DAGSTER_HOME"] = str(dagster_home(home() / "dagster").resolve())
    return dg.DagsterInstance.get()
