"""The reference code location: what the components in ``defs/`` declare, and what ``sensors/`` starts them with."""

from pathlib import Path

import dagster as dg

from sensors import automation


@dg.definitions
def defs() -> dg.Definitions:
    """Everything in the location."""
    root = Path(__file__).resolve().parent
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=root), automation(root / "defs" / "crm_to_erp" / "defs.yaml")
    )
