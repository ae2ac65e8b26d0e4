"""Attachments: the files of messages, and what is known of them."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from typing_extensions import override

from tap_drift.api.client import RequestContext
from tap_drift.api.responses import Page, parse_messages
from tap_drift.exceptions import ItemFailedError, ItemNotFoundError, RequestCancelledError
from tap_drift.streams.conversation_children import (
    ConversationChildStream,
    MessagesStream,
    attachments_of,
)
from tap_drift.streams.items import FetchResult
from tap_drift.sync.attachment_store import AttachmentStore, safe_name

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests
    from singer_sdk.helpers.types import Record

    from tap_drift.api.responses import Row
    from tap_drift.streams.items import Item
    from tap_drift.streams.outages import OutageCheck
    from tap_drift.sync.attachment_store import StoredFile
    from tap_drift.sync.fetch_queue import FetchQueue

_CHUNK_BYTES = 256 << 10


class AttachmentsStream(ConversationChildStream):
    """Attachments of each conversation's messages, and their files: `GET /attachments/{id}/data`.

    The messages are requested once, also if the stream `messages` is selected. Files are saved if
    `attachments_path` is set.
    """

    name = "attachments"
    path = MessagesStream.path
    primary_keys = ("messageId", "id")
    first_params = MessagesStream.first_params
    parse = staticmethod(parse_messages)

    @override
    def start(self, queue: FetchQueue[FetchResult], outages: OutageCheck) -> None:
        super().start(queue, outages)
        if self.failure is None and self._store is None:
            self.log("`attachments_path` is not set: files are not saved.")

    @override
    def task(self, record: Record, item: Item) -> Callable[[], FetchResult]:
        stream = cast("MessagesStream | None", self._tap.streams.get(MessagesStream.name))
        messages = stream.submitted(record) if stream else None
        if messages is None:
            return super().task(record, item)
        return partial(self.fetch_from, messages, item.context)

    @override
    def result(self, rows: list[Row], context: dict[str, Any], size: int) -> FetchResult:
        return self._fetch_files(attachments_of(rows), context)

    @override
    def response_error_message(self, response: requests.Response) -> str:
        host = urlsplit(str(response.url)).netloc
        if host != urlsplit(self.url_base).netloc:
            return f"{host}, where Drift redirects to for a file, answered {response.status_code}"
        return super().response_error_message(response)

    @cached_property
    def _store(self) -> AttachmentStore | None:
        path = self.config.get("attachments_path")
        return AttachmentStore(path) if path else None

    def fetch_from(self, messages: Future[FetchResult], context: dict[str, Any]) -> FetchResult:
        """Read the attachments of messages that the stream `messages` requests.

        A queue must have started that request before: queues start tasks in order.
        """
        try:
            attachments = messages.result().attachments
        except (CancelledError, RequestCancelledError):  # the stream `messages` has failed
            return self.fetch(context)
        files = partial(self._fetch_files, attachments, context)
        return self.isolate(files, self.endpoint(context))

    def _fetch_files(self, attachments: list[Row], context: dict[str, Any]) -> FetchResult:
        records = self._process(attachments, context)
        result = FetchResult(records, datetime.now(UTC), size=0)
        return self._save_files(self._store, result) if self._store else result

    def _save_files(self, store: AttachmentStore, result: FetchResult) -> FetchResult:
        failure, is_proof = None, False
        for record in result.records:
            path = f"/attachments/{record['id']}/data"
            try:
                file = self.isolate(partial(self._file, store, record, path), path)
                record.update(asdict(file))
                is_proof = True
            except ItemNotFoundError as error:
                result.missing.append(error.path)
            except ItemFailedError as error:
                failure = error
        return replace(result, failure=failure, is_proof=is_proof)

    def _file(self, store: AttachmentStore, record: Record, path: str) -> StoredFile:
        """Return the file of an attachment, after downloading it if it is not in the store."""
        folder = str(record["conversationId"])
        suffix = safe_name(str(record["fileName"] or ""))
        name = f"{record['id']}-{suffix}" if suffix else str(record["id"])
        return store.find(folder, name) or self._download(store, folder, name, path)

    def _download(self, store: AttachmentStore, folder: str, name: str, path: str) -> StoredFile:
        files: list[StoredFile] = []

        def save(response: requests.Response) -> Page:
            files.append(store.save(folder, name, response.iter_content(_CHUNK_BYTES)))
            return Page([])

        request = self.build_prepared_request(
            method="GET", url=self.url_base + path, headers=self.http_headers
        )
        context = RequestContext(
            stream=self.name,
            path=path,
            timeout=self.timeout,
            validate=self.validate_response,
            parse=save,
            retry=self.request_decorator,
            cancelled=self.cancelled,
            is_item=True,
            is_download=True,
        )
        self.client.send(request, context)
        return files[-1]
