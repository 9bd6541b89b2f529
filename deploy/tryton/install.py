"""Create ``.venv-tryton`` beside the project: Tryton, its own interpreter and its pinned packages. Runs once.

    python deploy/tryton/install.py [--force]

Only the standard library is used. A second run does nothing until the pins or the module's metadata change.
"""

import argparse
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_TARGET = _HERE.parents[1] / ".venv-tryton"
_REQUIREMENTS = _HERE / "requirements.txt"
_MODULE = _HERE / "module"


def main() -> None:
    """Install, unless that is done already."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--force", action="store_true", help="install again")
    force = parser.parse_args().force
    stamp = _TARGET / ".installed"
    wanted = _digest()
    if not force and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        sys.stdout.write(f"{_TARGET} is up to date\n")
        return
    venv.create(_TARGET, clear=force, with_pip=True)
    python = _TARGET / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    _run([*pip, "--requirement", str(_REQUIREMENTS)])
    _run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(_MODULE)])
    stamp.write_text(wanted, encoding="utf-8")
    sys.stdout.write(f"installed {_TARGET}\n")


def _digest() -> str:
    sources = (_REQUIREMENTS, _MODULE / "pyproject.toml")
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)  # noqa: S603 - our own arguments


if __name__ == "__main__":
    main()
