"""Files attached to messages."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from tap_drift.sandbox.data.common import Row, make_rng

if TYPE_CHECKING:
    import random

_IDS_PER_CONVERSATION = 1000
_NAMES = ["screen.png", "Bildschirm\N{EN DASH}Foto (2).png", "error: page/1.png"]
_WIDTH = 160


def generate_attachment(rng: random.Random, conversation_id: int, message_index: int) -> Row:
    """Generate an element of a message's `attachments`. Its id names the conversation."""
    attachment_id = conversation_id * _IDS_PER_CONVERSATION + message_index
    return {
        "id": attachment_id,
        "fileName": _NAMES[rng.randrange(10**9) % len(_NAMES)],
        "mimeType": "image/png",
        "url": f"https://driftapi.com/attachments/{attachment_id}/data",
    }


def conversation_of(attachment_id: int) -> int:
    """Return the id of the conversation that an attachment belongs to."""
    return attachment_id // _IDS_PER_CONVERSATION


def generate_file(seed: int, attachment_id: int) -> bytes:
    """Generate the content of an attachment: a PNG image of coloured stripes."""
    rng = make_rng(seed, "attachment", attachment_id)
    rows = (b"\0" + rng.randbytes(3) * _WIDTH for _ in range(rng.randint(20, 120)))
    stripes = [row for row in rows for _ in range(rng.randint(1, 3))]
    header = struct.pack(">IIBBBBB", _WIDTH, len(stripes), 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(b"".join(stripes))),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
