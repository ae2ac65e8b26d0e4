"""HTTP server with a conversation listing, for benchmarks.

Builds each page with string formatting, so that the server is not the bottleneck. Links point to
the server itself, because most of the compared programs follow links. Prints its URL.
"""

from __future__ import annotations

import argparse
import re
import socketserver
import time

PAGE_SIZE = 100
NEWEST = 1_772_409_600_000  # epoch milliseconds
PAGE_TOKEN = re.compile(rb"page_token=(\d*)")


class ListingHandler(socketserver.StreamRequestHandler):
    """Answers the requests of one connection; the page token is the index of the first row."""

    wbufsize = -1
    disable_nagle_algorithm = True
    server: ListingServer

    def handle(self) -> None:
        """Answer until the client closes the connection."""
        while request := self.rfile.readline():
            while self.rfile.readline() not in {b"\r\n", b""}:
                pass
            answer_at = time.monotonic() + self.server.latency
            match = PAGE_TOKEN.search(request)
            body = self.page(int((match and match[1]) or 0)).encode()
            time.sleep(max(answer_at - time.monotonic(), 0.0))
            head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
            self.wfile.write(head.format(len(body)).encode() + body)
            self.wfile.flush()

    def page(self, start: int) -> str:
        """Build the page that starts at an index, newest conversation first."""
        end = min(start + PAGE_SIZE, self.server.conversations)
        rows = ",".join(
            f'{{"status":"closed","contactId":{9007199254740993 + index},'
            f'"createdAt":{NEWEST - 60_000 * index - 59_123},"id":{4_000_000_000 - index},'
            f'"inboxId":62491,"updatedAt":{NEWEST - 60_000 * index}}}'
            for index in range(start, end)
        )
        url = f"http://127.0.0.1:{self.server.server_address[1]}/conversations/list"
        links = f'"next":"{url}?page_token={end}"' if end < self.server.conversations else ""
        return f'{{"data":[{rows}],"links":{{{links}}}}}'


class ListingServer(socketserver.ThreadingTCPServer):
    """Serves a number of conversations on a free loopback port."""

    daemon_threads = True

    def __init__(self, conversations: int, latency: float) -> None:
        super().__init__(("127.0.0.1", 0), ListingHandler)
        self.conversations = conversations
        self.latency = latency  # seconds from a request to its answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("conversations", type=int)
    parser.add_argument("latency", type=float, help="seconds from a request to its answer")
    options = parser.parse_args()
    with ListingServer(options.conversations, options.latency) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()
