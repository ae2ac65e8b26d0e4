"""The companies that a company's visitors come from."""

from __future__ import annotations

from typing import Any, ClassVar

from tap_drift.api.responses import parse_accounts
from tap_drift.streams.base import FullTableStream


class AccountsStream(FullTableStream):
    """The accounts: `GET /accounts`, 65 on a page (more than that Drift refuses)."""

    name = "accounts"
    path = "/accounts"
    primary_keys = ("accountId",)
    scope = "account_read"
    first_params: ClassVar[dict[str, Any]] = {"index": 0, "size": 65}
    read = staticmethod(parse_accounts)
