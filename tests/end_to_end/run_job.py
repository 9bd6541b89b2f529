"""Run the sync of the reference code location once, in a process that a test can kill: ``python run_job.py MODE FIRST LAST``.

``MESHLINE_TEST_REQUEST_SECONDS`` says how long a request to the ERP may take. A dead run holds its orders for twice that and ten seconds.
``MESHLINE_TEST_STORE_SECONDS`` says how long the writer's step waits for an ops store that is away before it asks again.
"""

import os
import sys
from functools import partial

import dagster as dg

from assets.definitions import defs
from meshline_dagster.orchestration import connect, writer

if __name__ == "__main__":
    mode, first, last = sys.argv[1:4]
    seconds = float(os.environ.get("MESHLINE_TEST_REQUEST_SECONDS", "30"))
    connect.RestErpWriter = partial(connect.RestErpWriter, request_timeout=seconds)
    writer._STORE_SECONDS = float(os.environ.get("MESHLINE_TEST_STORE_SECONDS", writer._STORE_SECONDS))
    tags = {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
        "meshline/mode": mode,
    }
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    with dg.DagsterInstance.get() as instance:
        job = defs().get_repository_def().get_job("crm_to_erp_sync")
        done = job.execute_in_process(run_config=quiet, instance=instance, tags=tags, raise_on_error=False)
    sys.exit(0 if done.success else 1)
