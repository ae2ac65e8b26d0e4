"""Faults: what `FakeDrift` does with a request instead of answering it normally."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from tap_drift.sandbox.server import Answer, SandboxHandler

Fault = Callable[[SandboxHandler], None]


def answer(status: int = 200, body: Any = "", **headers: str) -> Fault:
    """Answer with this status, body and headers; `_` in a header's name is sent as `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.send(Answer(HTTPStatus(status), body, named))


def page(*rows: dict[str, Any], **links: Any) -> Fault:
    """Answer with a page of the listing: these rows and these links."""
    return answer(body={"data": rows, "links": links})


def messages_page(*messages: dict[str, Any], **pagination: Any) -> Fault:
    """Answer with a page of a conversation's messages."""
    return answer(body={"data": {"messages": messages}, "pagination": pagination})


def answer_normally(handler: SandboxHandler) -> None:
    """No fault, for a place in a sequence of faults."""
    handler.send(handler.answer())


def truncated(handler: SandboxHandler) -> None:
    """Close the connection in the middle of the body."""
    handler.send(Answer(HTTPStatus.OK, '{"data": [', {"Content-Length": "1000"}))
    handler.close_connection = True


def reset(handler: SandboxHandler) -> None:
    """Reset the connection instead of answering."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()
