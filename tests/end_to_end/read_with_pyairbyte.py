"""Use `source-drift` with PyAirbyte: validate, discover, read twice, check a wrong token.

Run by test_pyairbyte.py with two arguments, the path of `source-drift` and a folder. Writes the
results to `outcome.json` in the folder. One process for all: to import PyAirbyte takes 10 s.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import airbyte
from airbyte.cli.pyab import validate

executable, folder = sys.argv[1:]
config: dict[str, Any] = {
    "credentials": {
        "auth_type": "access_token",
        "access_token": os.environ["TAP_DRIFT_ACCESS_TOKEN"],
    },
    "api_url": os.environ["TAP_DRIFT_API_URL"],
}
# The command `pyairbyte validate`; it checks the connection as well.
validate(connector=executable, config=json.dumps(config))
source = airbyte.get_source("source-drift", config=config, local_executable=executable)
streams = source.get_available_streams()
source.select_streams(["conversations", "messages", "users"])
cache = airbyte.new_local_cache("drift", cache_dir=folder, cleanup=False)
reads = []
for _ in range(2):
    result = source.read(cache)
    rows = {name: len(list(dataset)) for name, dataset in result.streams.items()}
    reads.append({"processed": result.processed_records, "rows": rows})

config["credentials"]["access_token"] = "wrong"
source = airbyte.get_source("source-drift", config=config, local_executable=executable)
try:
    source.check()
except airbyte.exceptions.AirbyteConnectorCheckFailedError as error:
    check_error = str(error)
else:
    check_error = ""
outcome = {"streams": streams, "reads": reads, "check_error": check_error}
Path(folder, "outcome.json").write_text(json.dumps(outcome))
