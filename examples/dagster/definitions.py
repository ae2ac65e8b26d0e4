"""Dagster definitions: an asset per stream, which all shards load at the same time.

Each shard runs `meltano el`, whose `--state-id` gives it a state and a run folder of its own. The
states are in a state backend, because a worker's disk may not outlive the run. No run installs
plugins: `meltano install` in the project comes first.

    pip install 'dagster~=1.13.29' dagster-webserver
    export DRIFT_PROJECT=/path/to/the/meltano/project
    export MELTANO_STATE_BACKEND_URI=s3://bucket/meltano
    dagster dev -f definitions.py        # or, without the web interface:
    dagster job execute -f definitions.py -j drift

With the dagster.yaml beside this file in DAGSTER_HOME, one run waits for the other.
"""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

STREAMS = ["conversations", "messages", "contacts"]
SHARDS = 4
REQUESTS = 32
"""Number of simultaneous requests of all shards together; each has an equal part."""

POOL = "drift"
RETRIES = dg.RetryPolicy(max_retries=3, delay=60)


class Meltano(dg.ConfigurableResource):
    """A Meltano project with tap-drift and target-postgres."""

    project: str
    state_backend: str

    def load(
        self, log: dg.DagsterLogManager, part: str, *options: str, **settings: str
    ) -> Counter[str]:
        """Run `meltano el`; return how many rows of each stream the target loaded."""
        command = ["meltano", "el", "--no-install", "tap-drift", "target-postgres"]
        state_id = f"--state-id=prod:tap-drift-to-target-postgres:{part}"
        environment = {
            "MELTANO_CLI_LOG_FORMAT": "json",
            "MELTANO_STATE_BACKEND_URI": self.state_backend,
            "TAP_DRIFT__SELECT": json.dumps([f"{stream}.*" for stream in STREAMS]),
            "TAP_DRIFT_CONCURRENCY": str(REQUESTS // SHARDS),
            **settings,
        }
        rows = Counter[str]()
        with subprocess.Popen(
            [*command, state_id, *options],
            cwd=self.project,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as meltano:
            try:
                for line in meltano.stdout or ():
                    entry = parse(line)
                    log.info(entry.get("event"))
                    rows += loaded_rows(entry)
            except BaseException:
                meltano.terminate()  # a cancelled run must not go on loading
                raise
        if meltano.returncode:
            raise dg.Failure(f"`meltano el` of {part} failed: the log above has the reason.")
        return rows


def parse(line: str) -> dict[str, Any]:
    """Parse a line of Meltano's log; its first one can be text."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    return entry if isinstance(entry, dict) else {"event": line.rstrip()}


def loaded_rows(entry: dict[str, Any]) -> Counter[str]:
    """Return the rows that an entry of Meltano's log counts: the target's, by stream."""
    metric = entry.get("metric_info") or {}
    if entry.get("cmd_type") != "loader" or metric.get("metric") != "record_count":
        return Counter()
    return Counter({metric["tags"]["stream"]: metric["value"]})


@dg.op(out=dg.DynamicOut(int), retry_policy=RETRIES, pool=POOL)
def create_tables(
    context: dg.OpExecutionContext, meltano: Meltano
) -> Iterator[dg.DynamicOutput[int]]:
    """Create the tables; shards that created them at the same time would fail."""
    # Nothing has been updated since now: the target gets no row.
    now = datetime.now(UTC).isoformat(timespec="seconds")
    meltano.load(context.log, "tables", "--full-refresh", TAP_DRIFT_START_DATE=now)
    for index in range(SHARDS):
        yield dg.DynamicOutput(index, mapping_key=str(index))


@dg.op(retry_policy=RETRIES, pool=POOL)
def load_shard(context: dg.OpExecutionContext, meltano: Meltano, index: int) -> dict[str, int]:
    """Load one shard; a retry resumes from its last state."""
    shard = {"TAP_DRIFT_SHARD_COUNT": str(SHARDS), "TAP_DRIFT_SHARD_INDEX": str(index)}
    return dict(meltano.load(context.log, f"shard-{index}-of-{SHARDS}", **shard))


@dg.op(out={stream: dg.Out(dg.Nothing) for stream in STREAMS})
def materialize(loaded: list[dict[str, int]]) -> Iterator[dg.Output[None]]:
    """Report the streams as materialized, with the number of rows that all shards loaded."""
    for stream in STREAMS:
        rows = sum(shard.get(stream, 0) for shard in loaded)
        yield dg.Output(None, stream, metadata={"rows_loaded": rows})


@dg.graph_multi_asset(
    outs={stream: dg.AssetOut(key_prefix="drift", dagster_type=dg.Nothing) for stream in STREAMS}
)
def streams() -> dict[str, Any]:
    """Load what has changed in Drift since the last run."""
    outputs = materialize(create_tables().map(load_shard).collect())
    return {stream: getattr(outputs, stream) for stream in STREAMS}


job = dg.define_asset_job(
    "drift",
    selection=[streams],
    executor_def=dg.multiprocess_executor.configured(
        {
            "max_concurrent": SHARDS,
            # Steps are forked from a process that has imported Dagster; by default, each step takes
            # seconds to import it again.
            "start_method": {"forkserver": {}},
        }
    ),
    tags={"dagster/max_runtime": int(timedelta(hours=6).total_seconds())},
)
definitions = dg.Definitions(
    assets=[streams],
    jobs=[job],
    schedules=[dg.ScheduleDefinition(job=job, cron_schedule="@hourly")],
    resources={
        "meltano": Meltano(
            project=dg.EnvVar("DRIFT_PROJECT"),
            state_backend=dg.EnvVar("MELTANO_STATE_BACKEND_URI"),
        )
    },
)
