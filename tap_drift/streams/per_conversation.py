"""What is asked once for each record of a parent stream, ahead of its turn."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from singer_sdk.exceptions import FatalSyncError
from typing_extensions import override

from tap_drift.api.client import RequestRefusedError
from tap_drift.streams.base import DriftStream, is_of_output

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_drift.api.client import DriftClient
    from tap_drift.api.responses import Row
    from tap_drift.sync.prefetch import Workers

# So many things that are gone are named; if so many are gone, and there is nothing else, it is
# suspicious.
_MOST_NAMED = 20
_SUSPICIOUS = 20


class Fetched(NamedTuple):
    """What was asked for one record of the parent."""

    records: list[Record]
    read_at: datetime


class PerConversationStream(DriftStream):
    """A stream that is asked once for each record of its parent, ahead of its turn.

    The parent has it `ask` for each record when it has read it, and `write` when the record's turn
    has come. A child has no partitions: its state, kept by the parent, says up to which record of
    the parent it has everything.
    """

    def __init__(self, tap: Tap, client: DriftClient) -> None:
        super().__init__(tap, client)
        # A child of what is new; its own rows have nothing to compare.
        self.forced_replication_method = "INCREMENTAL"
        self.records = 0
        """How many were written in this run."""
        self._asked = 0
        self._gone = 0
        self._gone_named: list[str] = []
        self._ahead: dict[Any, list[Future[Fetched]]] = {}
        self._workers: Workers | None = None

    @override
    def is_awaited(self) -> bool:
        return super().is_awaited() and not (self._workers and self._workers.let_go)

    def context_of(self, record: Record) -> dict[str, Any] | None:
        """Say what to ask for.

        Args:
            record: A record of the parent.

        Returns:
            What the stream's path names, by name; None if there is nothing to ask.
        """
        raise NotImplementedError

    def completed(self, row: Row, context: dict[str, Any]) -> Row:  # noqa: ARG002 - others add it
        """Add to a row what it does not say of itself.

        Args:
            row: A row, as Drift sent it.
            context: What was asked for.

        Returns:
            The row.
        """
        return row

    def ask(self, record: Record, workers: Workers) -> None:
        """Begin to ask.

        Args:
            record: A record of the parent, whose turn is yet to come.
            workers: Who is to do it.
        """
        self._workers = workers
        context = self.context_of(record)
        if context is not None and self.failure is None:
            asked = workers.submit(partial(self._fetch, context))
            # A conversation that moves while the listing is read may be met twice.
            self._ahead[record["id"]] = [*self._ahead.get(record["id"], ()), asked]

    def write(self, parent_id: int) -> None:
        """Write what was asked for; end the stream, and not its parent, if that failed.

        Args:
            parent_id: The `id` of the parent's record, whose turn has come.
        """
        for asked in self._ahead.pop(parent_id, ()):
            if self.failure is None:
                self._write_answer(asked)

    def _write_answer(self, asked: Future[Fetched]) -> None:
        self._asked += 1
        try:
            self._write_fetched(asked.result())
        except RequestRefusedError as refusal:
            self._miss(refusal)
        except Exception as error:
            if is_of_output(error):
                raise
            self.fail(error)

    def _write_fetched(self, fetched: Fetched) -> None:
        self._read_at = fetched.read_at
        for record in fetched.records:
            self._write_record_message(record)
        self.records += len(fetched.records)

    def forget(self, records: list[Record]) -> None:
        """Drop what was asked for records that had no turn: a stream map left them out.

        Args:
            records: Records of the parent that have been written.
        """
        for record in records:
            self._ahead.pop(record["id"], None)

    def _miss(self, refusal: RequestRefusedError) -> None:
        if not refusal.is_gone:
            self.fail(refusal)
            return
        self._gone += 1
        if self._gone <= _MOST_NAMED:
            self._gone_named.append(refusal.path)

    def begin(self) -> None:
        """Say what the records look like, once for all."""
        self._write_schema_message()

    @property
    @override
    def is_suspect(self) -> bool:
        """Whether there was nothing at all of all that was asked for so far."""
        return 0 < self._gone == self._asked

    @override
    def check(self) -> None:
        """End the stream if there was nothing at all of all that was asked for.

        One thing that is gone is skipped. If all are, it is rather the path or the token that is
        wrong, and to claim them would take that for an empty stream.
        """
        if self.failure is None and self.is_suspect and self._gone >= _SUSPICIOUS:
            self.fail(
                FatalSyncError(
                    f"All {self._gone:,} requests for `{self.name}` were answered 404 or 410 "
                    f"({self._gone_named[0]} first): check `api_url`, and whether the token may "
                    f"read them (scope `{self.scope}`)."
                )
            )

    def end(self) -> None:
        """Say how many records there were, and what was gone."""
        with self.get_record_counter() as counter:
            counter.increment(self.records)
        if self._gone:
            self.log(
                "%s: %s of %s were gone (404 or 410) and are left out: %s%s",
                self.name,
                f"{self._gone:,}",
                f"{self._asked:,}",
                ", ".join(self._gone_named),
                " and others" if self._gone > _MOST_NAMED else "",
                level=logging.WARNING,
            )

    def _fetch(self, context: dict[str, Any]) -> Fetched:
        pages = list(self.pages(context=context))
        if any(page.is_cut for page in pages):
            self.log(
                "%s has more than Drift lets one ask for.",
                self.endpoint(context),
                level=logging.WARNING,
            )
        rows = [row for page in pages for row in page.rows]
        read_at = datetime.now(timezone.utc)
        try:
            records = self.to_records([self.completed(row, context) for row in rows])
        except FatalSyncError as error:
            raise FatalSyncError(f"{self.endpoint(context)}: {error}") from None
        return Fetched(records, read_at)

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Ask for one thing, at once.

        Args:
            context: What the stream's path names.

        Returns:
            The records.
        """
        return self._fetch(dict(context or {})).records
