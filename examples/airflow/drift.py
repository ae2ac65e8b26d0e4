"""Airflow DAG: one mapped task per shard of the conversations.

Each task runs `meltano run` with a separate state. All tasks load into the same database.

    pip install 'apache-airflow~=3.3.2'
    export DRIFT_PROJECT=path/to/the/meltano/project
    airflow dags test drift              # with this file in Airflow's DAGs folder
"""

import json
import os
from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag

STREAMS = ["conversations", "messages"]
SHARDS = int(os.environ.get("DRIFT_SHARDS", "4"))


@dag(
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
)
def drift() -> None:
    """Extract all shards; a retried shard resumes from its last state."""
    BashOperator.partial(
        task_id="shard",
        bash_command=(
            "meltano run --state-id-suffix=shard-$TAP_DRIFT_SHARD_INDEX-of-$TAP_DRIFT_SHARD_COUNT "
            "tap-drift target-postgres"
        ),
        cwd=os.environ["DRIFT_PROJECT"],
        append_env=True,
    ).expand(
        env=[
            {
                "TAP_DRIFT__SELECT": json.dumps([f"{stream}.*" for stream in STREAMS]),
                "TAP_DRIFT_SHARD_COUNT": str(SHARDS),
                "TAP_DRIFT_SHARD_INDEX": str(index),
            }
            for index in range(SHARDS)
        ]
    )


drift()
