"""(f) Threads with requests and json: conversations and the messages of each, rows printed."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from requests.adapters import HTTPAdapter

api_url, concurrency = os.environ["TAP_DRIFT_API_URL"], int(os.environ["TAP_DRIFT_CONCURRENCY"])
session = requests.Session()
session.headers["Authorization"] = "Bearer token"
session.mount("http://", HTTPAdapter(pool_maxsize=concurrency))


def messages_of(conversation: dict[str, Any]) -> list[dict[str, Any]]:
    """Request the first page of a conversation's messages."""
    url = f"{api_url}/conversations/{conversation['id']}/messages?next="
    found: list[dict[str, Any]] = session.get(url, timeout=60).json()["data"]["messages"]
    return found


with ThreadPoolExecutor(concurrency) as executor:
    url = f"{api_url}/conversations/list?limit=100&page_token="
    while url:
        page = session.get(url, timeout=60).json()
        for row, messages in zip(
            page["data"], executor.map(messages_of, page["data"]), strict=True
        ):
            print(json.dumps(row))
            for message in messages:
                print(json.dumps(message))
        url = page["links"].get("next")
