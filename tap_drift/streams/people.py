"""The people: users and teams of the company, their meetings, what a contact can have."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import FatalSyncError
from typing_extensions import override

from tap_drift.api.paginators import WindowPaginator
from tap_drift.api.responses import parse_rows
from tap_drift.streams.base import FullTableStream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.helpers.types import Context, Record


FIRST_MOMENT, LAST_MOMENT = 0, 15_000_000_000_000
"""The window to ask for meetings, in epoch milliseconds: all time, as Drift's own sample has it."""


class UsersStream(FullTableStream):
    """Everyone who has a seat in Drift, and its bots: `GET /users/list`."""

    name = "users"
    path = "/users/list"
    primary_keys = ("id",)
    scope = "user_read"


class TeamsStream(FullTableStream):
    """The teams that conversations are routed to: `GET /teams/org`."""

    name = "teams"
    path = "/teams/org"
    primary_keys = ("id",)
    scope = "user_read"


class ContactAttributesStream(FullTableStream):
    """The attributes that contacts can have: `GET /contacts/attributes`."""

    name = "contact_attributes"
    path = "/contacts/attributes"
    primary_keys = ("name",)
    scope = "all_contact_read"
    read = staticmethod(partial(parse_rows, below="properties"))


class MeetingsStream(FullTableStream):
    """The meetings that were booked: `GET /users/meetings/org`, by windows of time.

    Drift documents that it gives those of the last 30 days, and those to come. It has no way to ask
    for what was updated since, and a meeting can be moved or called off at any time: so all that it
    gives is read in every run. `slug` is what it documents as the meeting's id; `eventId` is the
    calendar's, and may come later.
    """

    name = "meetings"
    path = "/users/meetings/org"
    primary_keys = ("slug",)
    scope = "user_read"

    @override
    def get_new_paginator(self) -> WindowPaginator:
        return WindowPaginator(self.read, FIRST_MOMENT, LAST_MOMENT)

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Read window after window.

        Args:
            context: Not used: the stream has no partitions.

        Yields:
            The records.

        Raises:
            FatalSyncError: If two meetings have the same key. All are emitted before.
        """
        met: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        shared: set[tuple[Any, ...]] = set()
        for record in super().get_records(context):
            meeting = tuple(record.get(name) for name in ("eventId", "agentId", "slotStart"))
            key = tuple(record.get(name) for name in self.primary_keys)
            if met.setdefault(key, meeting) != meeting:
                shared.add(key)
            yield record
        if shared:
            raise FatalSyncError(
                f"{len(shared):,} values of `{', '.join(self.primary_keys)}` are shared by several "
                "meetings, and a target that upserts by key keeps one of each: choose other "
                "`key_properties` of `meetings` in the catalog, such as `slug` and `slotStart`."
            )
