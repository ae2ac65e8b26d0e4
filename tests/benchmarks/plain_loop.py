"""(b) A loop with requests and json that prints each row."""

import json
import sys

import requests

session = requests.Session()
session.headers["Authorization"] = "Bearer token"
url = f"{sys.argv[1]}/conversations/list?limit=100&page_token="
while url:
    page = session.get(url, timeout=60).json()
    for row in page["data"]:
        print(json.dumps(row))
    url = page["links"].get("next")
