"""One page of rows: Drift's answer, checked and taken apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

if TYPE_CHECKING:
    import requests

Row = dict[str, Any]

# A fraction keeps its digits; integers of any size do anyway.
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class UnexpectedResponseError(ValueError):
    """An answer that is no page; its message says what it lacks, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of rows."""

    rows: list[Row]
    """The rows, in Drift's order; as Drift sent them, until they become records."""

    next_query: str | None = None
    """The query that asks for the page after this one; None on the last page."""

    total: int | None = None
    """How many rows there are on all pages, if Drift says so."""

    is_cut: bool = False
    """Whether Drift says that there are more, and does not say how to ask for them."""


def parse_listing(response: requests.Response) -> Page:
    """Read an answer of the shape `{"data": [row, …], "links": {"next": URL}}`.

    That `links`, or `next` in it, may be absent, null or empty on the last page is assumed:
    Drift does not say how its last page looks.

    Args:
        response: An answer with a status of success.

    Returns:
        The page.

    Raises:
        UnexpectedResponseError: If the answer is not of that shape.
    """
    answer = _decode(response)
    rows = _rows(answer.get("data") if isinstance(answer, dict) else None, "`data`")
    return Page(rows, _linked(_part(answer, "links").get("next"), "`links.next`"))


def parse_rows(response: requests.Response, below: str = "") -> Page:
    """Read an answer that holds all rows there are, of the shape `{"data": [row, …]}`.

    Drift leaves `data` out of some answers, and may do so, or not, in any.

    Args:
        response: An answer with a status of success.
        below: The name under which the rows are, if they are not in `data` itself.

    Returns:
        The page.

    Raises:
        UnexpectedResponseError: If there are no rows in that place.
    """
    found = _data(_decode(response))
    if below and isinstance(found, dict):
        found = found.get(below)
    return Page(_rows(found, f"`data.{below}`" if below else "`data`"))


def parse_object(response: requests.Response) -> Page:
    """Read an answer of the shape `{"data": row}`.

    Args:
        response: An answer with a status of success.

    Returns:
        A page with that one row.

    Raises:
        UnexpectedResponseError: If the answer is not of that shape.
    """
    return Page(_rows([_data(_decode(response))], "`data`"))


def parse_messages(response: requests.Response) -> Page:
    """Read an answer of the shape `{"data": {"messages": […]}, "pagination": {"more", "next"}}`.

    Args:
        response: An answer with a status of success.

    Returns:
        The page. It is the last one if `more` is false, or there is no `next`.

    Raises:
        UnexpectedResponseError: If the answer is not of that shape.
    """
    answer = _decode(response)
    rows = _rows(_part(answer, "data").get("messages"), "`data.messages`")
    pagination = _part(answer, "pagination")
    following = pagination.get("next")
    more = pagination.get("more")
    if more is False or following in (None, ""):
        return Page(rows, is_cut=bool(more))
    if type(following) not in {int, str}:
        raise UnexpectedResponseError("a `pagination.next` that is no page number")
    return Page(rows, urlencode({"next": following}))


def parse_accounts(response: requests.Response) -> Page:
    """Read an answer of the shape `{"data": {"accounts": […], "next": "/accounts?index=…"}}`.

    Args:
        response: An answer with a status of success.

    Returns:
        The page.

    Raises:
        UnexpectedResponseError: If the answer is not of that shape.
    """
    data = _part(_decode(response), "data")
    rows, total = _rows(data.get("accounts"), "`data.accounts`"), data.get("total")
    following = _linked(data.get("next"), "`data.next`")
    return Page(rows, following, total if type(total) is int else None)


def parse_counts(response: requests.Response) -> Page:
    """Read an answer of the shape `{"conversationCount": {"OPEN": 3, …}}`.

    Args:
        response: An answer with a status of success.

    Returns:
        A page with a row for each status: `status` and `conversationCount`.

    Raises:
        UnexpectedResponseError: If the answer is not of that shape.
    """
    counts = _part(_data(_decode(response)), "conversationCount")
    if not counts:
        raise UnexpectedResponseError("JSON without a `conversationCount`")
    rows = [{"status": status, "conversationCount": count} for status, count in counts.items()]
    return Page(rows)


def parse_text(response: requests.Response) -> Page:
    """Read an answer that is a transcript, in plain text.

    Args:
        response: An answer with a status of success.

    Returns:
        A page with one row, whose `transcript` is the text.

    Raises:
        UnexpectedResponseError: If it is a page for a browser, as something in between might send.
    """
    text = response.content.decode("utf-8", "replace")
    if text.lstrip().lower().startswith(("<!doctype", "<html")):
        raise UnexpectedResponseError("a web page where a transcript should be")
    return Page([{"transcript": text}])


def _decode(response: requests.Response) -> object:
    try:
        return _DECODER.decode(response.content)
    except (RecursionError, ValueError):
        pass
    # Half of a surrogate pair, as cut-off text can hold, is no text to msgspec, nor to a target.
    try:
        return _whole(json.loads(response.content, parse_float=Decimal))
    except (RecursionError, ValueError):
        raise UnexpectedResponseError("an answer that is not JSON") from None


def _whole(value: object) -> object:
    """Put `U+FFFD` where half of a surrogate pair is."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(item) for name, item in value.items()}
    return value


def _data(answer: object) -> object:
    return answer["data"] if isinstance(answer, dict) and "data" in answer else answer


def _part(answer: object, name: str) -> dict[str, Any]:
    part = answer.get(name) if isinstance(answer, dict) else None
    if part is not None and not isinstance(part, dict):
        raise UnexpectedResponseError(f"`{name}` that is not an object")
    return part or {}


def _rows(found: object, place: str) -> list[Row]:
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise UnexpectedResponseError(f"JSON without objects in {place}")
    return found


def _linked(link: object, place: str) -> str | None:
    if not link:
        return None
    query = link.partition("?")[2].partition("#")[0] if isinstance(link, str) else ""
    if not query:
        raise UnexpectedResponseError(f"a {place} that is not a link to a page")
    return query
