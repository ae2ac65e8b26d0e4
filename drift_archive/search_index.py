"""The search index of a part of the list, in the format of MiniSearch."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from drift_archive.text import words

if TYPE_CHECKING:
    from collections.abc import Iterable

FIELDS = ("text", "people")


def build_index(documents: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """Return what `MiniSearch.loadJS` reads. The id of a document is its position.

    Args:
        documents: The text of each of `FIELDS`, for each document.
    """
    ids: dict[str, int] = {}
    lengths: dict[str, list[int]] = {}
    terms: dict[str, dict[str, dict[str, int]]] = {}
    for number, texts in enumerate(documents):
        key = str(number)
        ids[key] = number
        lengths[key] = []
        for field, text in enumerate(texts):
            counts = Counter(words(text))
            # MiniSearch counts the distinct words of a field.
            lengths[key].append(len(counts))
            for term, count in counts.items():
                terms.setdefault(term, {}).setdefault(str(field), {})[key] = count
    totals = [sum(each[field] for each in lengths.values()) for field in range(len(FIELDS))]
    return {
        "documentCount": len(ids),
        "nextId": len(ids),
        "documentIds": ids,
        "fieldIds": {name: number for number, name in enumerate(FIELDS)},
        "fieldLength": lengths,
        "averageFieldLength": [total / max(len(ids), 1) for total in totals],
        "storedFields": {},
        "dirtCount": 0,
        "index": [[term, fields] for term, fields in terms.items()],
        "serializationVersion": 2,
    }
