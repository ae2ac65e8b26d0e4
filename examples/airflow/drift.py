"""Airflow DAG: creates the tables, then loads all shards of the account at the same time.

Each task runs `meltano el`, whose `--state-id` gives it a state and a run folder of its own. The
states are in a state backend, because a worker's disk may not outlive the task. No task installs
plugins: `meltano install` in the project comes first.

    pip install 'apache-airflow~=3.3.2'
    airflow variables set drift_project /path/to/the/meltano/project
    airflow variables set drift_state_backend s3://bucket/meltano
    airflow dags test drift              # with this file in Airflow's DAGs folder
"""

import json
from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag

STREAMS = ["conversations", "messages", "contacts"]
SHARDS = 4
REQUESTS = 32
"""Number of simultaneous requests of all shards together; each has an equal part."""

ENVIRONMENT = {
    "MELTANO_STATE_BACKEND_URI": "{{ var.value.drift_state_backend }}",
    "TAP_DRIFT__SELECT": json.dumps([f"{stream}.*" for stream in STREAMS]),
    "TAP_DRIFT_CONCURRENCY": str(REQUESTS // SHARDS),
}
RUN = (
    "meltano el --no-install tap-drift target-postgres "
    "--state-id=prod:tap-drift-to-target-postgres:"
)


@dag(
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,  # two runs would have twice as many requests, and write the same states
    default_args={
        "append_env": True,
        "cwd": "{{ var.value.drift_project }}",
        "execution_timeout": timedelta(hours=6),  # the retry resumes from the last state
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
    },
)
def drift() -> None:
    """Load what has changed in Drift since the last run."""
    # Nothing has been updated since now: the target gets no row, and creates the tables. Shards
    # that created them at the same time would fail.
    create_tables = BashOperator(
        task_id="create_tables",
        bash_command=f"TAP_DRIFT_START_DATE=$(date -u +%FT%TZ) {RUN}tables --full-refresh",
        env=ENVIRONMENT,
    )
    load_shard = BashOperator.partial(
        task_id="load_shard",
        bash_command=f"{RUN}shard-$TAP_DRIFT_SHARD_INDEX-of-$TAP_DRIFT_SHARD_COUNT",
        map_index_template="shard {{ task.env['TAP_DRIFT_SHARD_INDEX'] }}",
        max_active_tis_per_dag=SHARDS,
    ).expand(
        env=[
            {
                **ENVIRONMENT,
                "TAP_DRIFT_SHARD_COUNT": str(SHARDS),
                "TAP_DRIFT_SHARD_INDEX": str(index),
            }
            for index in range(SHARDS)
        ]
    )
    create_tables >> load_shard


drift()
