"""What a run of the tests makes once, whichever of its processes needs it first."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["FOLDER", "made_once", "parsed_project"]

FOLDER = "MESHLINE_TESTS_SHARE"
"""The variable that names the folder of a run; set where pytest starts, and so known to the workers that it starts."""


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The file or folder of that name: ``make`` writes it to the path that it gets, and who comes meanwhile waits."""
    path = Path(os.environ[FOLDER]) / name
    with path.with_name(f"{name}.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            unfinished = path.with_name(f"{name}.unfinished")
            make(unfinished)
            unfinished.rename(path)
    return path


def parsed_project() -> Path:
    """The folder that dbt's target has after the project was parsed: copied to where dbt is to run, it spares ten seconds."""

    def parse(home: Path) -> None:
        from meshline_dagster.orchestration.manifest import manifest

        before = dict(os.environ)
        os.environ["MESHLINE_HOME"] = str(home)
        os.environ.pop("MESHLINE_WAREHOUSE", None)  # a warehouse of another name is parsed for itself
        try:
            manifest()
        finally:
            os.environ.clear()
            os.environ.update(before)

    [folder] = (made_once("parsed", parse) / "dbt").iterdir()
    return folder
