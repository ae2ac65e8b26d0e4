"""Users and teams of the company, its meetings, and the attributes of contacts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from singer_sdk.exceptions import FatalSyncError
from typing_extensions import override

from tap_drift.api.paginators import WindowPaginator
from tap_drift.api.responses import parse_rows
from tap_drift.streams.full_table import FullTableStream
from tap_drift.sync.dedupe import DiskBackedSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.helpers.types import Context, Record

    from tap_drift.streams.contacts import ContactsStream

WINDOW_START, WINDOW_END = 0, 15_000_000_000_000
"""The first window for meetings, epoch milliseconds: all time, as in Drift's own sample."""


class UsersStream(FullTableStream):
    """Users with a seat in Drift, and bots: `GET /users/list`."""

    name = "users"
    path = "/users/list"
    primary_keys = ("id",)
    scope = "user_read"


class TeamsStream(FullTableStream):
    """Teams that conversations are routed to: `GET /teams/org`."""

    name = "teams"
    path = "/teams/org"
    primary_keys = ("id",)
    scope = "user_read"


class ContactAttributesStream(FullTableStream):
    """Attributes that contacts can have: `GET /contacts/attributes`."""

    name = "contact_attributes"
    path = "/contacts/attributes"
    primary_keys = ("name",)
    scope = "all_contact_read"
    parse = staticmethod(partial(parse_rows, key="properties"))


class MeetingsStream(FullTableStream):
    """Booked meetings: `GET /users/meetings/org`, in time windows.

    Drift documents that it returns those of the last 30 days and later ones. A meeting can be
    moved or cancelled at any time, and there is no filter for updates: all of them are read in
    every run. Drift documents `slug` as the meeting's id; `eventId` is the calendar's, and can be
    missing at first.
    """

    name = "meetings"
    path = "/users/meetings/org"
    primary_keys = ("slug",)
    scope = "user_read"

    @override
    def get_new_paginator(self) -> WindowPaginator:
        return WindowPaginator(self.path, WINDOW_START, WINDOW_END, "slotStart")

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Read all windows.

        Raises:
            FatalSyncError: If two meetings have the same key; all meetings are emitted first.
        """
        contacts = cast("ContactsStream | None", self._tap.streams.get("contacts"))
        keys, meetings, shared = DiskBackedSet(), DiskBackedSet(), set[str]()
        for record in super().get_records(context):
            key = str([record.get(name) for name in self.primary_keys])
            meeting = str([record.get(name) for name in ("eventId", "agentId", "slotStart")])
            if not meetings.add(key + meeting):
                continue  # windows overlap by a millisecond
            if not keys.add(key):
                shared.add(key)
            if contacts and contacts.selected:
                contacts.add_meeting(record)
            yield record
        if shared:
            raise FatalSyncError(
                f"{len(shared):,} values of `{', '.join(self.primary_keys)}` are shared by several "
                "meetings, and a target that upserts by key keeps one of each: choose other "
                "`key_properties` of `meetings` in the catalog, such as `slug` and `slotStart`."
            )
