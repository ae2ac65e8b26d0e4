"""Canonical values: one spelling for each value, whether it comes from Drift or from a target."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from tap_drift.timestamps import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Convert = Callable[[Any], Any]

Value: TypeAlias = Any
"""A JSON value, or a value of a database."""

# RFC 8785 writes an exponent for numbers below 1e-6, msgspec for those below 1e-5.
_SMALLEST_WITHOUT_EXPONENT, _SMALLEST_OF_MSGSPEC = 1e-6, 1e-5

_ENCODER = msgspec.json.Encoder(order="sorted", enc_hook=str)


def encode(value: Value) -> bytes:
    """Encode a canonical value as RFC 8785 does, but integers beyond 2^53 with all their digits."""
    return _ENCODER.encode(value)


def converter(kind: Mapping[str, Any]) -> Convert:
    """Return the function that makes values of a property canonical.

    It never raises: a value that is not of the property's type stays as it is.

    Args:
        kind: The property's JSON Schema.
    """
    types = kind.get("type", [])
    types = {types} if isinstance(types, str) else {*types}
    types.discard("null")
    if kind.get("format") == "date-time":
        return _to_date_time
    if types == {"string"}:
        return _to_text
    if types == {"boolean"}:
        return _to_boolean
    if types and types <= {"integer", "number"}:
        return _to_number
    if types and types <= {"array", "object"}:
        return _to_json
    return _to_text  # targets store a property of several types as text


def canonical(value: Value) -> Value:
    """Make a JSON value canonical: no null members, and integers for whole numbers."""
    if isinstance(value, dict):
        return {
            str(name): canonical(member) for name, member in value.items() if member is not None
        }
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, (float, Decimal)):
        return _canonical_number(value)
    return value


def _canonical_number(value: float | Decimal) -> int | float | str | msgspec.Raw:
    number = float(value)
    if not isfinite(number):
        return str(value)
    if value == int(value):
        return int(value)
    if _SMALLEST_WITHOUT_EXPONENT <= abs(number) < _SMALLEST_OF_MSGSPEC:
        return msgspec.Raw(f"{Decimal(repr(number)):f}".encode())
    return number


def _to_date_time(value: Value) -> Value:
    if isinstance(value, str):
        try:
            value = parse_timestamp(value)
        except ValueError:
            return value
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        has_microseconds = moment.microsecond % 1000
        return moment.isoformat("T", "microseconds" if has_microseconds else "milliseconds")
    return value


def _to_text(value: Value) -> Value:
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode(errors="replace")
    if isinstance(value, (bool, int, float, Decimal, dict, list, tuple)):
        return encode(canonical(value)).decode()
    return str(value)  # such as the UUID of a database


def _to_boolean(value: Value) -> Value:
    """Databases without booleans have 0 and 1."""
    return bool(value) if type(value) is int and value in {0, 1} else value


def _to_number(value: Value) -> Value:
    if isinstance(value, str) and value.removeprefix("-").isdecimal():
        return int(value)
    return canonical(value)


def _to_json(value: Value) -> Value:
    """Parse JSON that a target stored as text."""
    if isinstance(value, (str, bytes)):
        try:
            value = msgspec.json.decode(value)
        except ValueError:
            return value
    return canonical(value)
