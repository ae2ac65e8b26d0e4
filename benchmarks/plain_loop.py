"""(b) A loop with requests and json that prints each row."""

import json
import os

import requests

session = requests.Session()
session.headers["Authorization"] = "Bearer token"
url = f"{os.environ['TAP_DRIFT_API_URL']}/conversations/list?limit=100&page_token="
while url:
    page = session.get(url, timeout=60).json()
    for row in page["data"]:
        print(json.dumps(row))
    url = page["links"].get("next")
