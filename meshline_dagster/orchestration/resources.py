"""The Dagster resource that gives assets, checks and sensors the three stores."""

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.orchestration.references import resolve
from meshline_dagster.store import location
from meshline_dagster.store.engine import Store, open_store

__all__ = ["MeshlineResource"]


class MeshlineResource(dg.ConfigurableResource[Any]):
    """Where the stores are.

    Each field may be ``env:NAME``. Left empty, the ops store is ``MESHLINE_STORE_URL`` or SQLite, the landing zone is
    ``MESHLINE_LANDING`` or a folder, the warehouse is ``MESHLINE_WAREHOUSE`` or a DuckDB file, all under ``MESHLINE_HOME``.
    """

    store_url: str = Field(default="", description="SQLAlchemy URL of the ops store")
    landing: str = Field(default="", description="folder or fsspec URL of the landing zone")
    warehouse: str = Field(default="", description="path of the DuckDB file")

    _store: Store | None = PrivateAttr(default=None)

    def store(self) -> Store:
        """The ops store, opened once in a process."""
        if self._store is None:
            self._store = open_store(resolve(self.store_url) if self.store_url else location.store_url())
        return self._store

    def zone(self) -> LandingZone:
        """The landing zone."""
        return LandingZone(resolve(self.landing) if self.landing else location.landing_location(), self.store())

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file."""
        return Path(resolve(self.warehouse)) if self.warehouse else location.warehouse_path()

    @property
    def published_path(self) -> Path:
        """The folder of published Parquet, beside the warehouse."""
        return self.warehouse_path.parent / "published"
