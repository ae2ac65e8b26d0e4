"""Which conversations are this process's share, where several processes read one account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Shard:
    """One share of the account's conversations.

    The share of a conversation depends on nothing but its id, so each is in exactly one of `count`
    shards, in every run and on every machine.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Shard:
        """Read it from the settings.

        Args:
            config: The tap's settings.

        Returns:
            The shard; all of the account, if the settings name none.
        """
        return cls(int(config["shard_index"]), int(config["shard_count"]))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Shard:
        """Read it from the state of a stream.

        Args:
            state: What a stream has under `bookmarks`.

        Returns:
            The shard that the state is of; all of the account, if the state names none.

        Raises:
            TypeError: If what stands there is no shard.
            ValueError: If what stands there is no shard.
        """
        index, count = state.get("shard", (0, 1))
        return cls(int(index), int(count))

    @property
    def is_all(self) -> bool:
        """Whether there is no other shard."""
        return self.count == 1

    @property
    def is_first(self) -> bool:
        """Whether what cannot be shared out falls to it."""
        return self.index == 0

    def holds(self, conversation_id: int) -> bool:
        """Tell whether a conversation is of this share.

        Args:
            conversation_id: Drift's id of it.

        Returns:
            True for exactly one of the shards.
        """
        # A checksum, because ids that count up in steps would fill some shards and starve others.
        return crc32(b"%d" % conversation_id) % self.count == self.index

    def covers(self, other: Shard) -> bool:
        """Tell whether what is true of this shard is true of another.

        Args:
            other: The other.

        Returns:
            True if it is the same, or this is all of the account.
        """
        return self.is_all or self == other

    def to_state(self) -> list[int]:
        """Put it as it stands in the state of a stream.

        Returns:
            Its index, and how many there are.
        """
        return [self.index, self.count]

    def __str__(self) -> str:
        return f"shard {self.index} of {self.count}" if not self.is_all else "the whole account"
