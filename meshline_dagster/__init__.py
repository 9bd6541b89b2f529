"""The operating layer between CRM and ERP, as a Dagster plugin."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshline_dagster.orchestration.components import CrmToErpSync

__all__ = ["CrmToErpSync", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The component is imported when it is asked for: the command line starts without Dagster."""
    if name == "CrmToErpSync":
        from meshline_dagster.orchestration.components import CrmToErpSync  # noqa: PLC0415 - see above

        return CrmToErpSync
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
