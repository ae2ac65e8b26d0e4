"""PyAirbyte with `source-drift`, loading conversations into its DuckDB cache.

Takes the path of `source-drift` and a folder.
"""

import os
import sys

import airbyte

executable, folder = sys.argv[1:]
config = {
    "credentials": {"auth_type": "access_token", "access_token": "token"},
    "api_url": os.environ["TAP_DRIFT_API_URL"],
}
source = airbyte.get_source("source-drift", config=config, local_executable=executable)
source.select_streams(["conversations"])
source.read(airbyte.new_local_cache("drift", cache_dir=folder, cleanup=False))
