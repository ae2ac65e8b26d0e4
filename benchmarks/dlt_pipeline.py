"""dlt's rest_api source, loading conversations into DuckDB.

Takes the path of the database and the format of the load files, or `default`.
"""

import sys
import tempfile

import dlt
from dlt.sources.rest_api import rest_api_source
from dlt_listing import CLIENT, CONVERSATIONS

database, file_format = sys.argv[1:]
source = rest_api_source(
    {"client": CLIENT, "resources": [CONVERSATIONS | {"write_disposition": "merge"}]}
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
