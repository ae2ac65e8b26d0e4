"""Drift's error responses."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


class DriftError(Exception):
    """A request that is answered with an error status and Drift's error body."""

    def __init__(
        self, status: HTTPStatus, kind: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: Any = {"error": {"type": kind, "message": message}}
        self.headers = headers or {}


def validation_error(message: str) -> DriftError:
    """Build the error for an invalid parameter."""
    return DriftError(HTTPStatus.BAD_REQUEST, "validation_error", message)


def authentication_error(
    message: str = "The access token is invalid or has expired",
) -> DriftError:
    """Build the error for an invalid token or client secret."""
    return DriftError(HTTPStatus.UNAUTHORIZED, "authentication_error", message)


def missing_scope_error(scope: str) -> DriftError:
    """Build the error for a token without the scope of an endpoint."""
    message = f"The scope {scope} is missing"
    return DriftError(HTTPStatus.FORBIDDEN, "authentication_error", message)


def not_found_error(message: str = "There is nothing here") -> DriftError:
    """Build the error for an unknown path or id."""
    return DriftError(HTTPStatus.NOT_FOUND, "not_found", message)


def contact_not_found_error() -> DriftError:
    """Build the error for an unknown contact, which has the other of Drift's two body formats."""
    message = "Contact not found, or not permitted"
    error = not_found_error(message)
    error.body = {"errors": [{"type": "not_found", "code": "CONTACT-1", "message": message}]}
    return error


def rate_limit_error(headers: dict[str, str]) -> DriftError:
    """Build the error for too many requests."""
    status = HTTPStatus.TOO_MANY_REQUESTS
    return DriftError(status, "rate_limit", "Too many requests", headers)
