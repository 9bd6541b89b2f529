"""Sensors and schedules of the reference code location, from the library's builders."""

from pathlib import Path

import dagster as dg

from meshline_dagster.orchestration.components import load_settings
from meshline_dagster.orchestration.sync import build_automation

__all__ = ["automation"]


def automation(declaration: Path) -> dg.Definitions:
    """What starts the sync that a ``defs.yaml`` declares."""
    return build_automation(load_settings(declaration))
