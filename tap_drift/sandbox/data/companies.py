"""The companies that the account sells to; Drift calls them accounts."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from tap_drift.sandbox.data.people import humans
from tap_drift.sandbox.data.seeds import DAY, NOW, OPENED, ORG, Row, chance, epoch_ms

if TYPE_CHECKING:
    import random

_NUMBER = 150  # three pages of the largest size
_FIRST_WORDS = ["Amber", "Birch", "Cobalt", "Delta", "Ember", "Fjord", "Granite", "Harbor"]
_MIDDLE_WORDS = ["Bay", "Field", "Forge", "Gate", "Light", "Peak", "Point", "Stone"]
_LAST_WORDS = ["Labs", "Foods", "Freight", "Energy"]
_DELETED = 0.03


def companies(seed: int, users: list[Row]) -> list[Row]:
    """Make the companies, as `GET /accounts` gives them.

    Args:
        seed: The account's.
        users: Its users, who own them.

    Returns:
        All of them.
    """
    luck = chance(seed, "companies")
    names = luck.sample(list(product(_FIRST_WORDS, _MIDDLE_WORDS, _LAST_WORDS)), _NUMBER)
    owners = [user["id"] for user in humans(users)]
    return [_company(luck, words, luck.choice(owners)) for words in names]


def _company(luck: random.Random, words: tuple[str, ...], owner: int) -> Row:
    domain = f"{'-'.join(words).lower()}.example"
    met = luck.randrange(epoch_ms(OPENED), epoch_ms(NOW) - DAY)
    company = {
        "accountId": f"{ORG}_{domain}",
        "ownerId": owner,
        "name": " ".join(words),
        "domain": domain,
        "customProperties": luck.sample(_properties(luck), luck.randint(0, 4)),
        "deleted": luck.random() < _DELETED,
        "createDateTime": met,
        "updateDateTime": luck.randrange(met, epoch_ms(NOW)),
    }
    if luck.choice([True, False]):
        company["targeted"] = luck.choice([True, False])
    return company


def _properties(luck: random.Random) -> list[Row]:
    """Values of every kind that JSON has: Drift does not say which there are."""
    return [
        {"label": "Region", "name": "region", "value": "EMEA", "type": "STRING"},
        {"label": "Seats", "name": "seats", "value": luck.randint(1, 900), "type": "NUMBER"},
        {"label": "Share", "name": "share", "value": luck.randint(1, 99) / 8, "type": "NUMBER"},
        {"label": "Partner", "name": "partner", "value": True, "type": "BOOLEAN"},
        {"label": "Products", "name": "products", "value": ["chat", "email"], "type": "LIST"},
        {"label": "Renewal", "name": "renewal", "value": None, "type": "DATE"},
    ]
