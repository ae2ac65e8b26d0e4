"""(d) dlt's rest_api source; extracts without normalizing or loading.

Reads conversations, and also their messages if TAP_DRIFT_CONCURRENCY is set.
"""

import os
import tempfile

import dlt
from dlt.sources.rest_api import rest_api_source
from dlt_listing import CLIENT, CONVERSATIONS

MESSAGES = {
    "name": "messages",
    "primary_key": "id",
    "parallelized": True,
    "endpoint": {
        "path": "conversations/{resources.conversations.id}/messages",
        "data_selector": "data.messages",
        "paginator": {"type": "cursor", "cursor_path": "pagination.next", "cursor_param": "next"},
    },
}
concurrency = os.environ.get("TAP_DRIFT_CONCURRENCY")
if concurrency:
    os.environ["EXTRACT__WORKERS"] = concurrency
    # The default of 5 attempts is too few under a rate limit.
    os.environ["RUNTIME__REQUEST_MAX_ATTEMPTS"] = "20"
source = rest_api_source(
    {"client": CLIENT, "resources": [CONVERSATIONS, *([MESSAGES] if concurrency else [])]}
)
with tempfile.TemporaryDirectory() as folder:
    pipeline = dlt.pipeline("benchmark", pipelines_dir=folder, destination="dummy")
    pipeline.extract(source)
