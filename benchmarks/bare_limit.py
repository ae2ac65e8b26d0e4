"""(c) The minimum: a loop with urllib3 and msgspec that prints each row."""

import os
import sys

import msgspec
import urllib3

pool = urllib3.PoolManager(headers={"Authorization": "Bearer token"})
url = f"{os.environ['TAP_DRIFT_API_URL']}/conversations/list?limit=100&page_token="
out = sys.stdout.buffer
while url:
    page = msgspec.json.decode(pool.request("GET", url).data)
    for row in page["data"]:
        out.write(msgspec.json.encode(row) + b"\n")
    url = page["links"].get("next")
