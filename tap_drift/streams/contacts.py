"""Contacts: of conversations, of the authors of messages, and of meetings."""

from __future__ import annotations

import threading
from array import array
from concurrent.futures import Future
from functools import cached_property
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_drift.api.responses import parse_object
from tap_drift.exceptions import ItemFailedError
from tap_drift.logs import counted
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.items import FetchResult, Item
from tap_drift.streams.per_conversation import PerConversationStream
from tap_drift.sync.dedupe import DiskBackedSet
from tap_drift.sync.plan import WalkPlanner
from tap_drift.sync.shards import BY_CONTACT
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Record

    from tap_drift.api.client import DriftClient


class ContactsStream(PerConversationStream):
    """Each contact that a row of another stream names, once per run: `GET /contacts/{id}`.

    Drift has no list of contacts. They are those of the listed conversations; of the authors of
    messages, if `messages` are read; and of the meetings, if `meetings` are read, that have
    changed since the bookmark. A shard reads its own contacts, whichever shard has their
    conversations: in a database that several shards load at once, each row has one writer.
    """

    name = "contacts"
    path = "/contacts/{contactId}"
    primary_keys = ("id",)
    parent_stream_type = ConversationsStream
    scope = "contact_read"
    shared_by = BY_CONTACT
    parse = staticmethod(parse_object)

    def __init__(self, tap: Tap, client: DriftClient) -> None:
        super().__init__(tap, client)
        self._of_meetings = array("q")
        self._of_other_shards = 0
        # Worker threads claim the authors of messages.
        self._lock = threading.Lock()

    @cached_property
    def _requested_ids(self) -> DiskBackedSet:
        return DiskBackedSet()

    @cached_property
    def _since(self) -> str | None:
        """Earliest `updatedAt` of the meetings whose contacts are read; None for all."""
        planner = WalkPlanner.from_config(self.config, self._tap.initialized_at)
        is_incremental = self.replication_method == "INCREMENTAL"
        since = planner.since(self.stream_state) if is_incremental else None
        return None if since is None else from_epoch_ms(since)

    @override
    def item_of(self, record: Record) -> Item | None:
        contact = record.get("contactId")
        if contact is None:
            return None
        if type(contact) is not int:  # it becomes a part of the path
            raise ItemFailedError(f"`contactId` of conversation {record['id']} is not an integer.")
        return self.item(contact) if self._claim(contact) else None

    @override
    def item(self, item_id: int) -> Item:
        return Item(item_id, {"contactId": item_id})

    def add_meeting(self, meeting: Record) -> None:
        """Note the contact of a meeting, to be requested before the listing is read."""
        contact, updated_at = meeting.get("schedulerId"), meeting.get("updatedAt")
        is_current = not (self._since and updated_at and updated_at < self._since)
        if type(contact) is int and is_current:
            self._of_meetings.append(contact)

    @override
    def requests_before_listing(self) -> list[dict[str, Any]]:
        return self._submit_items(filter(self._is_wanted, self._of_meetings))

    def fetch_authors(self, contacts: Iterable[int]) -> list[tuple[Item, Future[FetchResult]]]:
        """Request the contacts that are authors of messages, in a worker thread.

        Returns:
            What `write_author` takes for each contact that this run has not requested before.
        """
        found = []
        for contact in contacts:
            if self.failure is None and self._is_wanted(contact):
                item, future = self.item(contact), Future[FetchResult]()
                try:
                    future.set_result(self.fetch(item.context))
                except Exception as error:  # noqa: BLE001 - raised again by `write_author`
                    future.set_exception(error)
                found.append((item, future))
        return found

    def write_author(self, item: Item, future: Future[FetchResult]) -> None:
        """Write a contact of `fetch_authors`."""
        if self.failure is None:
            self._write_result(item, future)

    @override
    def summary(self) -> Iterable[str]:
        yield from super().summary()
        if self._of_other_shards:
            yield (
                f"{counted(self._of_other_shards, self.name)} of messages and meetings belong to "
                "other shards, which do not read those messages and meetings: not read. A run "
                "without `shard_count` reads them."
            )

    def _is_wanted(self, contact: int) -> bool:
        """Return whether a contact is in this shard, and not yet requested in this run."""
        if not self._claim(contact):
            return False
        if self.shard.contains(contact):
            return True
        with self._lock:
            self._of_other_shards += 1
        return False

    def _claim(self, contact: int) -> bool:
        """Return whether a contact is not yet requested in this run; then it is the caller's."""
        with self._lock:
            is_new = self._requested_ids.add(contact)
        if is_new:
            self._to_retry.pop(contact, None)
        return is_new
