"""Accounts: the companies that visitors come from."""

from __future__ import annotations

from typing import Any, ClassVar

from tap_drift.api.responses import parse_accounts
from tap_drift.streams.full_table import FullTableStream


class AccountsStream(FullTableStream):
    """Accounts: `GET /accounts`, 65 per page, which is Drift's maximum."""

    name = "accounts"
    path = "/accounts"
    primary_keys = ("accountId",)
    scope = "account_read"
    first_params: ClassVar[dict[str, Any]] = {"index": 0, "size": 65}
    parse = staticmethod(parse_accounts)
