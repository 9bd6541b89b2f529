"""The sandbox CRM and ERP as processes, and the environment that a sync finds them by."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Sandbox", "sales_data", "sandbox_servers"]

_BESIDE_THE_PROJECT = Path("../shared/data")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Two running servers.

    Attributes:
        world: what the CRM holds, in words.
        alias: a product code that is not in its catalog, and the catalog's code for it.
        environment: the variables that the reference code location reads.
    """

    world: str
    alias: tuple[str, str]
    environment: Mapping[str, str]


def sales_data() -> Path | None:
    """The folder of the crm_sales records, where it is: below ``MESHLINE_SHARED_DATA``, by default ``../shared/data``."""
    root = Path(os.environ.get("MESHLINE_SHARED_DATA") or _BESIDE_THE_PROJECT)
    folder = root / "crm_sales"
    return folder.resolve() if folder.is_dir() else None


@contextmanager
def sandbox_servers(
    erp_store: Path, *, data: Path | None, crm_port: int = 0, erp_port: int = 0, running: bool = False
) -> Iterator[Sandbox]:
    """Run both servers while the context lasts.

    Args:
        erp_store: the ERP's SQLite file; it keeps its documents from one start to the next.
        data: the crm_sales folder; None serves generated records.
        running: whether the CRM's clock goes on by itself.
    """
    from meshline_dagster.sandbox.serve import serve_process

    world = (
        ["--world", "generator", "--seed", "7", "--deals", "400"]
        if data is None
        else ["--world", "crm_sales", "--data", str(data)]
    )
    clock = ["--running"] if running else ["--standing"]
    crm = ["-m", "meshline_dagster.sandbox.crm", *world, *clock, "--port", str(crm_port)]
    erp = ["-m", "meshline_dagster.sandbox.erp", "--store", str(erp_store), "--port", str(erp_port)]
    with ExitStack() as stack:
        crm_url, _ = stack.enter_context(serve_process(crm))
        erp_url, _ = stack.enter_context(serve_process(erp))
        yield Sandbox(
            "400 generated deals (the recorded data is not there)"
            if data is None
            else f"the recorded pipeline in {data}",
            ("SENSOR111", "SENSOR-111") if data is None else ("GTXPro", "GTX Pro"),
            {
                "MESHLINE_CRM_URL": crm_url,
                "MESHLINE_CRM_CLIENT_ID": "sandbox-client",
                "MESHLINE_CRM_CLIENT_SECRET": "sandbox-secret",
                "MESHLINE_ERP_URL": erp_url,
                "MESHLINE_ERP_TOKEN": os.environ.get("MESHLINE_ERP_TOKEN", "sandbox"),
            },
        )
