"""The oracle: says from the ERP's own records and the ground truth whether delivery kept its promises. It never reads our ledger."""

from meshline_dagster.testing.oracle.liveness import check_liveness
from meshline_dagster.testing.oracle.records import Bill, Content, Effect, ErpRecords, Held, Look, Received, Shipped
from meshline_dagster.testing.oracle.safety import check_safety
from meshline_dagster.testing.oracle.truth import Billing, Decided, Derivation, EntityTruth, Hold, Share, Truth
from meshline_dagster.testing.oracle.violations import Violation

__all__ = [
    "Bill",
    "Billing",
    "Content",
    "Decided",
    "Derivation",
    "Effect",
    "EntityTruth",
    "ErpRecords",
    "Held",
    "Hold",
    "Look",
    "Received",
    "Share",
    "Shipped",
    "Truth",
    "Violation",
    "check_liveness",
    "check_safety",
]
