"""(a) The stream `conversations` with the defaults of the Meltano SDK."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singer_sdk import Tap
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.pagination import BaseHATEOASPaginator
from singer_sdk.streams import RESTStream

if TYPE_CHECKING:
    import requests
    from singer_sdk.streams.rest import HTTPRequest, PageContext

SCHEMA = Path(__file__).parents[1] / "schemas" / "conversations.json"


class LinkPaginator(BaseHATEOASPaginator):
    """Follows `links.next`."""

    def get_next_url(self, response: requests.Response) -> str | None:
        link: str | None = response.json()["links"].get("next")
        return link


class ConversationsStream(RESTStream[Any]):
    """The conversation listing."""

    name = "conversations"
    path = "/conversations/list"
    records_jsonpath = "$.data[*]"
    primary_keys = ("id",)
    replication_key = "updatedAt"
    schema = json.loads(SCHEMA.read_text())

    @property
    def url_base(self) -> str:
        return str(self.config["api_url"])

    @property
    def authenticator(self) -> BearerTokenAuthenticator:
        return BearerTokenAuthenticator(token="token")

    def get_new_paginator(self) -> LinkPaginator:
        return LinkPaginator()

    def get_http_request(self, *, page: PageContext[Any]) -> HTTPRequest:
        request = super().get_http_request(page=page)
        if page.next_page_token:
            request.url = page.next_page_token.geturl()
        else:
            request.params = {"limit": 100, "page_token": ""}
        return request

    def post_process(self, row: dict[str, Any], context: Any = None) -> dict[str, Any]:
        for name in ("createdAt", "updatedAt"):
            timestamp = datetime.fromtimestamp(row[name] / 1000, UTC)
            row[name] = timestamp.isoformat(timespec="milliseconds")
        return row


class TapDefault(Tap):
    """Singer tap with one stream."""

    name = "tap-default"

    def discover_streams(self) -> list[ConversationsStream]:
        return [ConversationsStream(self)]


if __name__ == "__main__":
    TapDefault(config={"api_url": os.environ["TAP_DRIFT_API_URL"]}).sync_all()
