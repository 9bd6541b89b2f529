"""Where the stores are, when nobody says otherwise: everything local lies under ``MESHLINE_HOME``."""

import os
from pathlib import Path

__all__ = ["home", "landing_location", "published_path", "store_url", "warehouse_path"]


def home() -> Path:
    """``MESHLINE_HOME``, by default ``.meshline`` in the working directory."""
    return Path(os.environ.get("MESHLINE_HOME", ".meshline")).resolve()


def store_url() -> str:
    """The ops store: ``MESHLINE_STORE_URL``, by default an SQLite file."""
    return os.environ.get("MESHLINE_STORE_URL") or f"sqlite:///{home() / 'ops.db'}"


def landing_location() -> str:
    """The landing zone: ``MESHLINE_LANDING`` (folder or fsspec URL), by default a folder."""
    return os.environ.get("MESHLINE_LANDING") or str(home() / "landing")


def warehouse_path() -> Path:
    """The warehouse: ``MESHLINE_WAREHOUSE``, by default a DuckDB file."""
    return Path(os.environ.get("MESHLINE_WAREHOUSE") or home() / "warehouse.duckdb")


def published_path() -> Path:
    """The folder of published Parquet, beside the warehouse."""
    return warehouse_path().parent / "published"
