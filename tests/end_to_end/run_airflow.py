"""Runs the DAG `drift` once with Airflow's LocalExecutor, which runs tasks at the same time.

Run by tests/end_to_end/test_engines.py in an environment that has Airflow. The tasks of an executor
report to the API server; without an executor, `airflow dags test` runs one task after the other.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

port = sys.argv[1]
airflow = str(Path(sys.executable).with_name("airflow"))
subprocess.run([airflow, "db", "migrate"], check=True)
with subprocess.Popen(
    [airflow, "api-server", "--apps", "execution", "--port", port],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
) as server:
    try:
        output = server.stdout or ()
        assert any("Uvicorn running" in line for line in output)
        # Read on, or the server would wait for room in the pipe.
        threading.Thread(target=deque, args=(output, 0), daemon=True).start()
        subprocess.run([airflow, "dags", "test", "drift", "--use-executor"], check=True)
    finally:
        server.terminate()
