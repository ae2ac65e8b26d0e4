"""Customer accounts: the companies that Drift calls accounts."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from tap_drift.sandbox.data.common import (
    ACCOUNT_CREATED,
    ACCOUNT_NOW,
    DAY_MS,
    ORG_ID,
    Row,
    epoch_ms,
    make_rng,
)
from tap_drift.sandbox.data.people import human_users

if TYPE_CHECKING:
    import random

_COUNT = 150  # three pages of the largest size
_FIRST_WORDS = ["Amber", "Birch", "Cobalt", "Delta", "Ember", "Fjord", "Granite", "Harbor"]
_MIDDLE_WORDS = ["Bay", "Field", "Forge", "Gate", "Light", "Peak", "Point", "Stone"]
_LAST_WORDS = ["Labs", "Foods", "Freight", "Energy"]
_DELETED_SHARE = 0.03


def generate_customer_accounts(seed: int, users: list[Row]) -> list[Row]:
    """Generate all rows of `GET /accounts`."""
    rng = make_rng(seed, "companies")
    names = rng.sample(list(product(_FIRST_WORDS, _MIDDLE_WORDS, _LAST_WORDS)), _COUNT)
    owners = [user["id"] for user in human_users(users)]
    return [_customer_account(rng, words, rng.choice(owners)) for words in names]


def _customer_account(rng: random.Random, words: tuple[str, ...], owner: int) -> Row:
    domain = f"{'-'.join(words).lower()}.example"
    created = rng.randrange(epoch_ms(ACCOUNT_CREATED), epoch_ms(ACCOUNT_NOW) - DAY_MS)
    row = {
        "accountId": f"{ORG_ID}_{domain}",
        "ownerId": owner,
        "name": " ".join(words),
        "domain": domain,
        "customProperties": rng.sample(_custom_properties(rng), rng.randint(0, 4)),
        "deleted": rng.random() < _DELETED_SHARE,
        "createDateTime": created,
        "updateDateTime": rng.randrange(created, epoch_ms(ACCOUNT_NOW)),
    }
    if rng.choice([True, False]):
        row["targeted"] = rng.choice([True, False])
    return row


def _custom_properties(rng: random.Random) -> list[Row]:
    """Build properties of every JSON type: Drift does not document which types occur."""
    return [
        {"label": "Region", "name": "region", "value": "EMEA", "type": "STRING"},
        {"label": "Seats", "name": "seats", "value": rng.randint(1, 900), "type": "NUMBER"},
        {"label": "Share", "name": "share", "value": rng.randint(1, 99) / 8, "type": "NUMBER"},
        {"label": "Partner", "name": "partner", "value": True, "type": "BOOLEAN"},
        {"label": "Products", "name": "products", "value": ["chat", "email"], "type": "LIST"},
        {"label": "Renewal", "name": "renewal", "value": None, "type": "DATE"},
    ]
