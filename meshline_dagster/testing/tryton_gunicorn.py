"""What gunicorn does for Tryton beside its options; gunicorn reads it in Tryton's own environment.

Tryton's registry of models is hundreds of thousands of objects that never end, and a request makes many that do: with Python's own
thresholds a fifth of its processor time goes into looking for cycles.
"""

import gc

__all__ = ["post_worker_init"]

_THRESHOLDS = (50_000, 50, 50)


def post_worker_init(_worker: object) -> None:
    """Look for cycles among what requests make, and seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
