"""What Drift says when it refuses a request."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


class DriftError(Exception):
    """A request that Drift refuses, in the form in which it does."""

    def __init__(self, status: HTTPStatus, kind: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: Any = {"error": {"type": kind, "message": message}}
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def invalid(message: str) -> DriftError:
    """Say that a parameter is out of bounds.

    Args:
        message: Which, and what the bounds are.

    Returns:
        What to raise.
    """
    return DriftError(HTTPStatus.BAD_REQUEST, "validation_error", message)


def refused(message: str = "The access token is invalid or has expired") -> DriftError:
    """Say that a token or a secret is not good.

    Args:
        message: Why.

    Returns:
        What to raise.
    """
    return DriftError(HTTPStatus.UNAUTHORIZED, "authentication_error", message)


def not_found(message: str = "There is nothing here") -> DriftError:
    """Say that there is nothing.

    Args:
        message: What it is that is not there.

    Returns:
        What to raise.
    """
    return DriftError(HTTPStatus.NOT_FOUND, "not_found", message)


def no_contact() -> DriftError:
    """Say that a contact is gone, in the other of Drift's two forms.

    Returns:
        What to raise.
    """
    error = not_found()
    message = "Contact not found, or not permitted"
    error.body = {"errors": [{"type": "not_found", "code": "CONTACT-1", "message": message}]}
    return error


def whole_number(query: dict[str, list[str]], name: str, default: str, bounds: range) -> int:
    """Read a parameter that is a whole number.

    Args:
        query: The request's parameters.
        name: The parameter's.
        default: What counts if it is missing or blank; if this is blank too, it is required.
        bounds: What it may be.

    Returns:
        The number.

    Raises:
        DriftError: If it is none, or out of bounds.
    """
    text = query.get(name, [""])[-1] or default
    if not text.isdecimal() or int(text) not in bounds:
        raise invalid(f"{name} must be between {bounds.start} and {bounds.stop - 1}")
    return int(text)
