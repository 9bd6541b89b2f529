"""The sandbox ERP's ASGI application."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount

from meshline_dagster.sandbox.erp.api import Erp, data_routes
from meshline_dagster.sandbox.erp.control import control_routes
from meshline_dagster.sandbox.erp.database import Database
from meshline_dagster.sandbox.erp.frappe import frappe_routes
from meshline_dagster.sandbox.erp.odata import odata_routes
from meshline_dagster.sandbox.erp.operations import Operations, Profile

__all__ = ["SHAPES", "create_app"]

SHAPES = ("plain", "frappe", "odata")
"""How its interface can look: of its own below ``/v1``, as ERPNext's, or as Business Central's."""


def create_app(
    store_path: Path | str,
    *,
    profile: Profile | str = Profile.IDEMPOTENT,
    token: str = "sandbox",  # noqa: S107 - a throw-away server on loopback
    company: str = "1",
    items: Iterable[str] | None = None,
    shape: str = "plain",
    ignores_case: bool = False,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Starlette:
    """An ERP on the SQLite file ``store_path``, which may hold the documents of an earlier server.

    Args:
        profile: how it protects itself from a second request.
        token: the bearer token that data calls need.
        items: the skus of the items that it holds from the start; it refuses others until they are created. None accepts any.
        shape: one of :data:`SHAPES`; ``frappe`` and ``odata`` have customers and sales orders only.
        ignores_case: look-ups by external id take upper and lower case for the same, as many databases do.
        clock: UTC now, for its documents' stamps.
    """
    database = Database(store_path, clock, ignores_case=ignores_case)
    database.stock(items or ())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        for task in app.state.erp.late:
            task.cancel()
        database.close()

    shapes: dict[str, list[BaseRoute]] = {
        "plain": [Mount("/v1", routes=data_routes())],
        "frappe": [*frappe_routes()],
        "odata": [*odata_routes()],
    }
    app = Starlette(routes=[Mount("/control", routes=control_routes()), *shapes[shape]], lifespan=lifespan)
    app.state.erp = Erp(database, Operations(Profile(profile), items is not None), token, company)
    return app
