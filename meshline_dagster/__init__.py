"""The operating layer between CRM and ERP, as a Dagster plugin."""

__all__ = ["__version__"]

__version__ = "0.1.0"
