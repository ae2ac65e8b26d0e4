"""One page of a listing: Drift's answer, checked and taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import requests


# A fraction keeps its digits; integers of any size do anyway.
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class WrongShapeError(ValueError):
    """An answer that is no page; its message says what it lacks, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing."""

    rows: list[dict[str, Any]]
    """The rows, in Drift's order; as Drift sent them, until they become records."""

    next_query: str | None
    """The query of `links.next`, which asks for the page after this one; None on the last page."""


# The check, the stream and the paginator each look at the same answer: it is decoded once.
@lru_cache(maxsize=1)
def read_page(response: requests.Response) -> Page:
    """Read an answer of the shape `{"data": [row, …], "links": {"next": URL}}`.

    That `links`, or `next` in it, may be absent, null or empty on the last page is assumed:
    Drift does not say how its last page looks.

    Args:
        response: An answer with a status of success.

    Returns:
        The page.

    Raises:
        WrongShapeError: If the answer is not of that shape.
    """
    try:
        answer = _DECODER.decode(response.content)
    except (RecursionError, ValueError):
        raise WrongShapeError("an answer that is not JSON") from None
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise WrongShapeError("JSON without a `data` array of objects")
    return Page(rows=rows, next_query=_next_query(answer.get("links")))


def _next_query(links: object) -> str | None:
    if links is not None and not isinstance(links, dict):
        raise WrongShapeError("`links` that is not an object")
    link = (links or {}).get("next")
    if not link:
        return None
    query = link.partition("?")[2].partition("#")[0] if isinstance(link, str) else ""
    if not query:
        raise WrongShapeError("a `links.next` that is not a link to a page")
    return query
