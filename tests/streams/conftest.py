"""A small account with cursors of either kind, for walks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support import FaultyDrift
from walking import PAGE, OffsetHandler

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["keyset", "offset"])
def small(request: pytest.FixtureRequest) -> Iterator[FaultyDrift]:
    """A small account; its cursors are of one kind or the other."""
    with FaultyDrift(Account.from_seed(47, seed=3)) as server:
        if request.param == "offset":
            server.RequestHandlerClass = OffsetHandler
        yield server


@pytest.fixture
def strict(small: FaultyDrift) -> dict[str, Any]:
    """Settings that forgive nothing: small pages, and no looking back."""
    url, token = small.url, small.token
    return {"api_url": url, "access_token": token, "page_size": PAGE, "lookback_seconds": 0}
