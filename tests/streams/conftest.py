"""A small account, listed with either kind of page token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import OFFSET_PAGE_SIZE, FakeDrift, OffsetPagingHandler

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["keyset", "offset"])
def small_drift(request: pytest.FixtureRequest) -> Iterator[FakeDrift]:
    """47 conversations; page tokens name a row (keyset) or a number of rows (offset)."""
    with FakeDrift(Account.from_seed(47, seed=3)) as server:
        if request.param == "offset":
            server.RequestHandlerClass = OffsetPagingHandler
        yield server


@pytest.fixture
def small_config(small_drift: FakeDrift) -> dict[str, Any]:
    """Settings for `small_drift`: pages of 5 rows, and no lookback that hides a lost row."""
    return {
        "api_url": small_drift.url,
        "access_token": small_drift.token,
        "page_size": OFFSET_PAGE_SIZE,
        "lookback_seconds": 0,
    }
