"""Locate recorded data that is not part of the project; tests that need it skip where it is absent."""

import os
from pathlib import Path

import pytest

_BESIDE_THE_PROJECT = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """The folder or file ``name`` below ``MESHLINE_SHARED_DATA`` (default: ``../shared/data`` from the project)."""
    root = Path(os.environ.get("MESHLINE_SHARED_DATA") or _BESIDE_THE_PROJECT)
    path = root / name
    if not path.exists():
        pytest.skip(f"recorded data {name} is not at {root}; set MESHLINE_SHARED_DATA to where it is")
    return path
