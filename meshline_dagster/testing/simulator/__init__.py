"""The fault simulator: seeded schedules of failures for the real delivery code, on a virtual clock, judged by an independent oracle.

``python -m meshline_dagster.testing.simulator --seeds 0:1000 --profile all`` runs many; a schedule that fails prints itself, and
``--seed N --profile P -v`` replays it.
"""

from meshline_dagster.testing.simulator.points import crash_points
from meshline_dagster.testing.simulator.run import Outcome, run_schedule
from meshline_dagster.testing.simulator.schedule import Schedule, draw_schedule
from meshline_dagster.testing.simulator.server import Profile

__all__ = ["Outcome", "Profile", "Schedule", "crash_points", "draw_schedule", "run_schedule"]
