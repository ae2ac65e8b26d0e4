"""The listing of conversations, as dlt's rest_api source declares it."""

import os
from typing import Any

CLIENT: dict[str, Any] = {
    "base_url": os.environ["TAP_DRIFT_API_URL"],
    "auth": {"type": "bearer", "token": "token"},
    "paginator": {"type": "json_link", "next_url_path": "links.next"},
}

CONVERSATIONS: dict[str, Any] = {
    "name": "conversations",
    "primary_key": "id",
    "endpoint": {
        "path": "conversations/list",
        "params": {"limit": 100, "page_token": ""},
        "data_selector": "data",
    },
}
