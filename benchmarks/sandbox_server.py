"""The sandbox as a separate process, for benchmarks.

Links point to the sandbox itself, because most of the compared programs follow links. Prints its
URL. When standard input is closed, prints its CPU seconds and the time and status of each answer.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from tap_drift.sandbox.data.account import Account
from tap_drift.sandbox.server import Answer, SandboxHandler, SandboxServer

ANSWERS: list[tuple[float, int]] = []
"""Time (monotonic, in seconds) and HTTP status of each answer."""


class RecordingHandler(SandboxHandler):
    """Records each answer in ANSWERS and rewrites its links."""

    def answer(self) -> Answer:
        answer = super().answer()
        ANSWERS.append((time.monotonic(), answer.status))
        if "links" in answer.body:
            links = answer.body["links"]
            for name, link in links.items():
                links[name] = link.replace("https://api.drift.com", self.server.url)
        return answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("conversations", type=int)
    parser.add_argument("latency", type=float, help="seconds before each answer")
    parser.add_argument(
        "--rate-limit", type=int, default=0, help="requests per second; 0: no limit"
    )
    parser.add_argument("--retry-after", action="store_true", help="send Retry-After with a 429")
    options = parser.parse_args()
    with SandboxServer(
        Account.from_seed(options.conversations, seed=1),
        token="token",
        latency=options.latency,
        rate_limit=options.rate_limit,
        retry_after=options.retry_after,
        handler=RecordingHandler,
    ) as server:
        print(server.url, flush=True)
        sys.stdin.read()
    print(json.dumps({"cpu": time.process_time(), "answers": ANSWERS}))
