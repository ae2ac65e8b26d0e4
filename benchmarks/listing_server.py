"""A listing that is not the bottleneck: pages made of text, one process of its own.

It speaks what every program of the benchmark needs, and links to itself, since most follow links.
"""

from __future__ import annotations

import argparse
import re
import socketserver
import time

PAGE = 100
NEWEST = 1_772_409_600_000  # epoch milliseconds
TOKEN = re.compile(rb"page_token=(\d*)")


class Listing(socketserver.StreamRequestHandler):
    """One connection: requests in, pages out."""

    wbufsize = -1
    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        """Answer until the client goes away."""
        while request := self.rfile.readline():
            while self.rfile.readline() not in {b"\r\n", b""}:
                pass
            found = TOKEN.search(request)
            body = self.page(int((found and found[1]) or 0)).encode()
            time.sleep(self.server.latency)
            head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
            self.wfile.write(head.format(len(body)).encode() + body)
            self.wfile.flush()

    def page(self, start: int) -> str:
        """The rows from one index on, newest first, and the link to the next."""
        end = min(start + PAGE, self.server.conversations)
        rows = ",".join(
            f'{{"status":"closed","contactId":{9007199254740993 + index},'
            f'"createdAt":{NEWEST - 60_000 * index - 59_123},"id":{4_000_000_000 - index},'
            f'"inboxId":62491,"updatedAt":{NEWEST - 60_000 * index}}}'
            for index in range(start, end)
        )
        url = f"http://127.0.0.1:{self.server.server_address[1]}/conversations/list"
        links = f'"next":"{url}?page_token={end}"' if end < self.server.conversations else ""
        return f'{{"data":[{rows}],"links":{{{links}}}}}'


class Server(socketserver.ThreadingTCPServer):
    """The listing on a free port of loopback."""

    daemon_threads = True

    def __init__(self, conversations: int, latency: float) -> None:
        super().__init__(("127.0.0.1", 0), Listing)
        self.conversations = conversations
        self.latency = latency


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("conversations", type=int)
    parser.add_argument("latency", type=float, help="seconds")
    options = parser.parse_args()
    with Server(options.conversations, options.latency) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()
