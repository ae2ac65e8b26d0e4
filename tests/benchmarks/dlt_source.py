"""(d) dlt's rest_api source, extracting only."""

import os
import tempfile

import dlt
from dlt.sources.rest_api import rest_api_source

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
    pipeline = dlt.pipeline("benchmark", pipelines_dir=folder, destination="dummy")
    pipeline.extract(source)
