"""Shards: the rows that this process reads, if several processes share an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping

BY_CONVERSATION, BY_CONTACT = "id", "contactId"
"""The fields of a listed conversation that can determine its shard."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` shards of an account, as one stream shares out its rows.

    The shard of a row depends on its id alone, so each row is in exactly one shard, in every run
    and on every machine.
    """

    index: int = 0
    count: int = 1
    shared_by: str = BY_CONVERSATION
    """Field of a listed conversation that determines the shard which reads its row."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any], shared_by: str = BY_CONVERSATION) -> Shard:
        """Create the shard that the settings name."""
        return cls(int(config["shard_index"]), int(config["shard_count"]), shared_by)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Shard:
        """Create the shard that a stream's state belongs to; the whole account if it names none.

        Raises:
            TypeError: If the state's `shard` does not have the form of `for_state`.
            ValueError: As above.
        """
        index, count, *fields = state.get("shard", (0, 1))
        if fields not in ([], [BY_CONTACT]):
            raise ValueError
        return cls(int(index), int(count), *fields)

    @property
    def for_state(self) -> list[int | str]:
        """The value from which `from_state` creates this shard."""
        fields = [] if self.shared_by == BY_CONVERSATION else [self.shared_by]
        return [self.index, self.count, *fields]

    @property
    def is_whole_account(self) -> bool:
        """Whether there is no other shard."""
        return self.count == 1

    @property
    def is_first(self) -> bool:
        """Whether this shard reads the streams that cannot be shared."""
        return self.index == 0

    def contains(self, row_id: int) -> bool:
        """Return whether the conversation or contact with this id belongs to this shard."""
        # A checksum, because ids that increase in steps would fill some shards only.
        return self.is_whole_account or crc32(b"%d" % row_id) % self.count == self.index

    def contains_row(self, conversation: Mapping[str, Any]) -> bool:
        """Return whether this shard reads what belongs to a listed conversation."""
        shared_by = conversation.get(self.shared_by)
        # A contact that cannot be requested is reported by one shard, that of the conversation.
        return self.contains(shared_by if type(shared_by) is int else conversation["id"])

    def covers(self, other: Shard) -> bool:
        """Return whether a state of this shard may be given to another."""
        is_same = (self.index, self.count) == (other.index, other.count)
        return self.is_whole_account or is_same

    def __str__(self) -> str:
        return (
            "the whole account" if self.is_whole_account else f"shard {self.index} of {self.count}"
        )
