"""dlt's rest_api source, loading conversations into DuckDB.

Takes the path of the database and the format of the load files, or `default`.
"""

import os
import sys
import tempfile

import dlt
from dlt.sources.rest_api import rest_api_source

database, file_format = sys.argv[1:]
source = rest_api_source(
    {
        "client": {
            "base_url": os.environ["TAP_DRIFT_API_URL"],
            "auth": {"type": "bearer", "token": "token"},
            "paginator": {"type": "json_link", "next_url_path": "links.next"},
        },
        "resources": [
            {
                "name": "conversations",
                "primary_key": "id",
                "write_disposition": "merge",
                "endpoint": {
                    "path": "conversations/list",
                    "params": {"limit": 100, "page_token": ""},
                    "data_selector": "data",
                },
            }
        ],
    }
)
with tempfile.TemporaryDirectory() as folder:
    pipeline = dlt.pipeline(
        "benchmark",
        pipelines_dir=folder,
        destination=dlt.destinations.duckdb(database),
        dataset_name="drift",
    )
    formats = {} if file_format == "default" else {"loader_file_format": file_format}
    pipeline.run(source, **formats)
