"""Parsed responses: a page of rows for each response shape of Drift's API."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from tap_drift.api.redaction import error_text
from tap_drift.exceptions import UnexpectedResponseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

Row = dict[str, Any]

# Fractions keep their digits; msgspec keeps integers of any size.
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of rows."""

    rows: list[Row]
    """The rows in Drift's order, as Drift sent them; `to_records` changes them in place."""

    next_query: str | None = None
    """Query string of the next page, as the link has it; None on the last page."""

    total: int | None = None
    """Number of rows on all pages, if the response has it."""

    is_truncated: bool = False
    """Whether the response says that there are more rows, but has no link to them."""

    errors: str = ""
    """Drift's error beside the rows of a successful response, on one line."""

    size: int = 0
    """Size of the response in bytes."""

    def __iter__(self) -> Iterator[Row]:
        """Iterate over the rows."""
        return iter(self.rows)


def parse_listing(response: requests.Response) -> Page:
    """Parse `{"data": [row, …], "links": {"next": URL}}`.

    The last page has no `links`, no `next`, or a null or empty one: Drift does not document which.

    Raises:
        UnexpectedResponseError: If the response has an unexpected shape.
    """
    body = _decode(response)
    rows = _rows(body.get("data") if isinstance(body, dict) else None, "`data`")
    next_query = _link_query(_object(body, "links").get("next"), "`links.next`")
    # An older page of Drift's documentation has `pagination` instead of `links`.
    is_truncated = not next_query and bool(_object(body, "pagination").get("more"))
    return Page(rows, next_query, is_truncated=is_truncated, errors=_errors(body, response))


def parse_rows(response: requests.Response, key: str = "") -> Page:
    """Parse `{"data": [row, …]}`, the complete list; also a list without `data` around it.

    Args:
        response: The response.
        key: Name of the list within `data`, if `data` is not the list.

    Raises:
        UnexpectedResponseError: If the response has an unexpected shape.
    """
    body = _decode(response)
    found = _data(body)
    if key and isinstance(found, dict):
        found = found.get(key)
    rows = _rows(found, f"`data.{key}`" if key else "`data`")
    return Page(rows, errors=_errors(body, response))


def parse_object(response: requests.Response) -> Page:
    """Parse `{"data": row}` into a page with one row.

    Raises:
        UnexpectedResponseError: If the response has an unexpected shape.
    """
    body = _decode(response)
    return Page(_rows([_data(body)], "`data`"), errors=_errors(body, response))


def parse_messages(response: requests.Response) -> Page:
    """Parse `{"data": {"messages": […]}, "pagination": {"more", "next"}}`.

    It is the last page if `more` is false or `next` is missing.

    Raises:
        UnexpectedResponseError: If the response has an unexpected shape.
    """
    body = _decode(response)
    rows = _rows(_object(body, "data").get("messages"), "`data.messages`")
    pagination = _object(body, "pagination")
    next_page, more = pagination.get("next"), pagination.get("more")
    errors = _errors(body, response)
    if more is False or next_page in (None, ""):
        return Page(rows, is_truncated=bool(more), errors=errors)
    if type(next_page) not in {int, str}:
        raise UnexpectedResponseError("a `pagination.next` that is not a page number")
    return Page(rows, urlencode({"next": next_page}), errors=errors)


def parse_accounts(response: requests.Response) -> Page:
    """Parse `{"data": {"accounts": […], "total": n, "next": "/accounts?index=…"}}`.

    Raises:
        UnexpectedResponseError: If the response has an unexpected shape.
    """
    body = _decode(response)
    data = _object(body, "data")
    rows, total = _rows(data.get("accounts"), "`data.accounts`"), data.get("total")
    next_query = _link_query(data.get("next"), "`data.next`")
    total = total if type(total) is int else None
    return Page(rows, next_query, total, errors=_errors(body, response))


def parse_counts(response: requests.Response) -> Page:
    """Parse `{"conversationCount": {"OPEN": 3, …}}`: a row for each status.

    Raises:
        UnexpectedResponseError: If the response has an unexpected shape.
    """
    body = _decode(response)
    counts = _object(_data(body), "conversationCount")
    if not counts:
        raise UnexpectedResponseError("JSON without a `conversationCount`")
    rows = [{"status": status, "conversationCount": n} for status, n in counts.items()]
    return Page(rows, errors=_errors(body, response))


def parse_text(response: requests.Response) -> Page:
    """Parse a transcript, in plain text or as `{"data": text}`: one row, in `transcript`.

    Raises:
        UnexpectedResponseError: If it is a web page, such as a proxy's, or any other JSON object,
            such as an error.
    """
    text, errors = response.content.decode("utf-8", "replace"), ""
    if _is_json_object(text):
        body = _decode(response)
        errors = _errors(body, response)
        found = _data(body)
        if not isinstance(found, str):
            cause = f": {errors}" if errors else ""
            raise UnexpectedResponseError(f"JSON without a transcript in `data`{cause}")
        text = found
    if text.lstrip().lower().startswith(("<!doctype", "<html")):
        raise UnexpectedResponseError("a web page instead of a transcript")
    return Page([{"transcript": text}], errors=errors)


def _decode(response: requests.Response) -> object:
    try:
        return _DECODER.decode(response.content)
    except (RecursionError, ValueError):
        pass
    # msgspec and targets reject half of a surrogate pair, which truncated text can contain.
    try:
        return _replace_surrogates(json.loads(response.content, parse_float=Decimal))
    except (RecursionError, ValueError):
        raise UnexpectedResponseError("a response that is not JSON") from None


def _replace_surrogates(value: object) -> object:
    """Replace each half of a surrogate pair by U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_replace_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {
            _replace_surrogates(name): _replace_surrogates(item) for name, item in value.items()
        }
    return value


def _is_json_object(text: str) -> bool:
    try:
        return text.lstrip().startswith("{") and isinstance(json.loads(text), dict)
    except (RecursionError, ValueError):
        return False


def _errors(body: object, response: requests.Response) -> str:
    if not isinstance(body, dict) or not (body.get("errors") or body.get("error")):
        return ""
    return error_text(response) or "without type or message"


def _data(body: object) -> object:
    return body["data"] if isinstance(body, dict) and "data" in body else body


def _object(body: object, name: str) -> dict[str, Any]:
    value = body.get(name) if isinstance(body, dict) else None
    if value is not None and not isinstance(value, dict):
        raise UnexpectedResponseError(f"`{name}` that is not an object")
    return value or {}


def _rows(value: object, name: str) -> list[Row]:
    if not isinstance(value, list) or not {*map(type, value)} <= {dict}:
        raise UnexpectedResponseError(f"JSON without objects in {name}")
    return value


def _link_query(link: object, name: str) -> str | None:
    if not link:
        return None
    query = link.partition("?")[2].partition("#")[0] if isinstance(link, str) else ""
    if not query:
        raise UnexpectedResponseError(f"{name} that is not a link to a page")
    return query
