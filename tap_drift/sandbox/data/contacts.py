"""The visitors who write: a contact is made when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.sandbox.data.people import name
from tap_drift.sandbox.data.seeds import DAY, Row, chance

if TYPE_CHECKING:
    import random

_GONE = 0.01
_LEFT_AN_ADDRESS = 0.6

PROPERTIES: list[Row] = [
    {"type": kind, "displayName": title, "name": key}
    for kind, title, key in [
        ("EMAIL", "Email", "email"),
        ("STRING", "Name", "name"),
        ("PHONE", "Phone", "phone"),
        ("LIST", "Tags", "tags"),
        ("OBJECT", "Events", "events"),
        ("OBJECT", "Social profiles", "socialProfiles"),
        ("STRING", "External id", "externalId"),
        ("DATE", "Last contacted", "last_contacted"),
        ("DATE", "First seen", "start_date"),
        ("NUMBER", "Version", "_END_USER_VERSION"),
        ("NUMBER", "Version", "_end_user_version"),
    ]
]
"""What attributes contacts have, as `GET /contacts/attributes` says it."""


def contact(seed: int, contact_id: int, met: int, domains: list[str]) -> Row | None:
    """Make a contact, as `GET /contacts/{id}` gives it.

    Args:
        seed: The account's.
        contact_id: The contact's.
        met: When its first conversation began, epoch milliseconds.
        domains: Where contacts have their addresses.

    Returns:
        The contact; nothing if it is one of those that were deleted.
    """
    luck = chance(seed, "contact", contact_id)
    if luck.random() < _GONE:
        return None
    born = met - luck.randrange(DAY)
    attributes = _attributes(luck, born)
    if luck.random() < _LEFT_AN_ADDRESS:
        attributes |= _address(luck, contact_id, domains)
    return {"id": contact_id, "createdAt": born, "attributes": attributes}


def _attributes(luck: random.Random, born: int) -> Row:
    visits = luck.randint(1, 40)
    return {
        # Two names that differ only in case, as in real accounts.
        "_END_USER_VERSION": visits,
        "_end_user_version": visits,
        "start_date": born,
        "tags": luck.choice([[], [{"name": "CQL", "color": "26b7d4"}]]),
        "events": {"page viewed": born, "Pricing Viewed": born + luck.randrange(DAY)},
        "socialProfiles": {},
    }


def _address(luck: random.Random, contact_id: int, domains: list[str]) -> Row:
    called = name(luck)
    address: Row = {
        "name": called,
        "email": f"{called.replace(' ', '.').lower()}.{contact_id}@{luck.choice(domains)}",
        "externalId": str(contact_id),
    }
    if luck.choice([True, False]):
        address["phone"] = f"+1 555 01{luck.randrange(100):02}"
        address["last_contacted"] = None
    return address
