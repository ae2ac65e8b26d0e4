"""JSON that users pass in files: parses it, and says what is wrong with it and where."""

from __future__ import annotations

import json
from typing import Any

from tap_drift.exceptions import InvalidJsonError

_BYTE_ORDER_MARK = "\ufeff"
_KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def parse_json(data: str | bytes, name: str) -> Any:  # noqa: ANN401 - JSON
    """Parse the content of a file; bytes are decoded as UTF-8, UTF-16 or UTF-32.

    Args:
        data: The content.
        name: The file's name, for the error.

    Raises:
        InvalidJsonError: If it is not JSON. The message repeats nothing of the content.
    """
    if isinstance(data, str):
        data = data.removeprefix(_BYTE_ORDER_MARK)
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        if not error.doc.strip():
            raise InvalidJsonError(f"'{name}' is empty.") from None
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidJsonError(f"'{name}' is not valid JSON: {place}: {error.msg}.") from None
    except UnicodeDecodeError:
        raise InvalidJsonError(f"'{name}' is not a text file.") from None
    except RecursionError:
        raise InvalidJsonError(f"'{name}' is not valid JSON: it is nested too deeply.") from None


def json_kind(content: object) -> str:
    """Return what a JSON value is, with an article, such as `a list`."""
    return _KINDS[type(content)]
