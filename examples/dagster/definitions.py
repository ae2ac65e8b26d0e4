"""Dagster definitions: one asset per stream, one partition per shard of the conversations.

Each partition runs `meltano run` with a separate state. All load into the same database.

    pip install 'dagster~=1.13.29' dagster-webserver
    export DRIFT_PROJECT=path/to/the/meltano/project
    dagster dev -f definitions.py        # or, for one shard without the web interface:
    dagster asset materialize -f definitions.py --select '*' --partition 0
"""

import json
import os
import subprocess
from collections.abc import Iterator

import dagster as dg

STREAMS = ["conversations", "messages"]
SHARDS = int(os.environ.get("DRIFT_SHARDS", "4"))


@dg.multi_asset(
    specs=[dg.AssetSpec(["drift", stream]) for stream in STREAMS],
    partitions_def=dg.StaticPartitionsDefinition([str(index) for index in range(SHARDS)]),
    retry_policy=dg.RetryPolicy(max_retries=3, delay=60),
)
def drift(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Extract one shard; a retried shard resumes from its last state."""
    shard = context.partition_key
    command = ["meltano", "run", f"--state-id-suffix=shard-{shard}-of-{SHARDS}"]
    settings = {
        "TAP_DRIFT__SELECT": json.dumps([f"{stream}.*" for stream in STREAMS]),
        "TAP_DRIFT_SHARD_COUNT": str(SHARDS),
        "TAP_DRIFT_SHARD_INDEX": shard,
    }
    subprocess.run(
        [*command, "tap-drift", "target-postgres"],
        cwd=os.environ["DRIFT_PROJECT"],
        env=os.environ | settings,
        check=True,
    )
    for stream in STREAMS:
        yield dg.MaterializeResult(asset_key=["drift", stream])


definitions = dg.Definitions(assets=[drift])
