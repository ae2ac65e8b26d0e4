"""Shards: the conversations that this process reads, if several processes share an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` shards of an account's conversations.

    The shard of a conversation depends on its id alone, so each conversation is in exactly one
    shard, in every run and on every machine.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Shard:
        """Create the shard that the settings name."""
        return cls(int(config["shard_index"]), int(config["shard_count"]))

    @property
    def is_whole_account(self) -> bool:
        """Whether there is no other shard."""
        return self.count == 1

    @property
    def is_first(self) -> bool:
        """Whether this shard reads the streams that cannot be shared."""
        return self.index == 0

    def contains(self, conversation_id: int) -> bool:
        """Return whether a conversation belongs to this shard."""
        # A checksum, because ids that increase in steps would fill some shards only.
        return crc32(b"%d" % conversation_id) % self.count == self.index

    def covers(self, other: Shard) -> bool:
        """Return whether a state of this shard holds for another."""
        return self.is_whole_account or self == other

    def __str__(self) -> str:
        return (
            "the whole account" if self.is_whole_account else f"shard {self.index} of {self.count}"
        )
