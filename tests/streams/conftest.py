"""A small account with cursors of either kind, for walks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import OFFSET_PAGE_SIZE, FakeDrift, OffsetPagingHandler

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["keyset", "offset"])
def small(request: pytest.FixtureRequest) -> Iterator[FakeDrift]:
    """A small account; its cursors are of one kind or the other."""
    with FakeDrift(Account.from_seed(47, seed=3)) as server:
        if request.param == "offset":
            server.RequestHandlerClass = OffsetPagingHandler
        yield server


@pytest.fixture
def strict(small: FakeDrift) -> dict[str, Any]:
    """Settings that forgive nothing: small pages, and no looking back."""
    url, token = small.url, small.token
    return {
        "api_url": url,
        "access_token": token,
        "page_size": OFFSET_PAGE_SIZE,
        "lookback_seconds": 0,
    }
