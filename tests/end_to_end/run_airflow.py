"""Runs the DAG `drift` once with Airflow's LocalExecutor, which runs tasks at the same time.

Run by tests/end_to_end/test_engines.py in an environment that has Airflow. The tasks of an executor
report to the API server; without an executor, `airflow dags test` runs one task after the other.
"""

from __future__ import annotations

import multiprocessing
import sys

from airflow.__main__ import main


def airflow(*words: str) -> None:
    """Run a command in this process, which has imported Airflow: the import takes seconds."""
    sys.argv = ["airflow", *words]
    main()


port = sys.argv[1]
airflow("db", "migrate")
words = ("api-server", "--apps", "execution", "--port", port)
server = multiprocessing.get_context("fork").Process(target=airflow, args=words)
server.start()
try:
    # The tasks repeat their requests until the server answers.
    airflow("dags", "test", "drift", "--use-executor")
finally:
    server.terminate()
    server.join()
