"""The sandbox in a process of its own; its links name itself, since most programs follow links.

At the end of its input it says how it was used: its CPU seconds, and each answer's time and status.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from tap_drift.sandbox.data.account import Account
from tap_drift.sandbox.server import Answer, SandboxHandler, SandboxServer

ANSWERS: list[tuple[float, int]] = []


class Handler(SandboxHandler):
    """Answers, and keeps account of it."""

    def answer(self) -> Answer:
        answer = super().answer()
        ANSWERS.append((time.monotonic(), answer.status))
        if "links" in answer.body:
            links = answer.body["links"]
            for name, link in links.items():
                links[name] = link.replace("https://api.drift.com", self.server.url)
        return answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("conversations", type=int)
    parser.add_argument("latency", type=float, help="seconds")
    parser.add_argument("--rate-limit", type=int, default=0)
    parser.add_argument("--retry-after", action="store_true")
    options = parser.parse_args()
    with SandboxServer(
        Account.from_seed(options.conversations, seed=1),
        token="token",
        latency=options.latency,
        rate_limit=options.rate_limit,
        retry_after=options.retry_after,
        handler=Handler,
    ) as server:
        print(server.url, flush=True)
        sys.stdin.read()
    print(json.dumps({"cpu": time.process_time(), "answers": ANSWERS}))
