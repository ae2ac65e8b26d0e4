"""The listing of conversations."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from singer_sdk.schema.source import StreamSchema

from tap_drift.client import DriftStream
from tap_drift.pagination import NextLinkPaginator
from tap_drift.schemas import SCHEMAS
from tap_drift.settings import STATUS_IDS
from tap_drift.timestamps import to_epoch_ms

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.streams.rest import HTTPRequest, PageContext


class ConversationsStream(DriftStream):
    """Every conversation, most recently updated first: `GET /conversations/list`."""

    name = "conversations"
    path = "/conversations/list"
    schema = StreamSchema(SCHEMAS)
    primary_keys = ("id",)
    replication_key = "updatedAt"
    scope = "conversation_read"

    @override
    def get_new_paginator(self) -> NextLinkPaginator:
        return NextLinkPaginator()

    @override
    def get_http_request(self, *, page: PageContext[str]) -> HTTPRequest:
        """Ask for the first page as Drift documents it, for any other by the link to it."""
        request = super().get_http_request(page=page)
        if page.next_page_token:
            request.url += f"?{page.next_page_token}"
        else:
            request.params = {
                "limit": self.config["page_size"],
                "page_token": "",
                "statusId": [STATUS_IDS[status] for status in self.config.get("statuses", [])],
            }
        return request

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Give the rows that were updated at or after the bookmark, or else `start_date`.

        The listing has no date filter, so all of it is read. A row whose `updatedAt` is no number
        cannot be told to be old, and is given.
        """
        start = self.get_starting_timestamp(context)
        earliest = to_epoch_ms(start) if start else None
        for row in super().get_records(context):
            updated = row.get("updatedAt")
            if earliest is None or not isinstance(updated, int) or updated >= earliest:
                yield row

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record:
        """Never leave `updatedAt` empty: what was never updated stands as it was created."""
        if row.get("updatedAt") is None:
            row["updatedAt"] = row.get("createdAt") or 0
        return super().post_process(row, context)
