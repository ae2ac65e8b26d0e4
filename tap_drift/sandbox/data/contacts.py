"""Contacts: the visitors who write in conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.sandbox.data.common import DAY_MS, Row, make_rng
from tap_drift.sandbox.data.people import random_name

if TYPE_CHECKING:
    import random

_DELETED_SHARE = 0.01
_IDENTIFIED_SHARE = 0.6

CONTACT_ATTRIBUTES: list[Row] = [
    {"type": kind, "displayName": title, "name": key}
    for kind, title, key in [
        ("EMAIL", "Email", "email"),
        ("STRING", "Name", "name"),
        ("PHONE", "Phone", "phone"),
        ("STRING", "Company", "company"),
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
"""The rows of `GET /contacts/attributes`."""


def generate_contact(
    seed: int, contact_id: int, first_conversation: int, domains: list[str]
) -> Row | None:
    """Generate the answer to `GET /contacts/{id}`, or None for a deleted contact.

    `first_conversation` is the `createdAt` of the contact's first conversation, `domains` are
    the domains of email addresses.
    """
    rng = make_rng(seed, "contact", contact_id)
    if rng.random() < _DELETED_SHARE:
        return None
    created = first_conversation - rng.randrange(DAY_MS)
    attributes = _attributes(rng, created)
    if rng.random() < _IDENTIFIED_SHARE:
        attributes |= _identity(rng, contact_id, domains)
    return {"id": contact_id, "createdAt": created, "attributes": attributes}


def _attributes(rng: random.Random, created: int) -> Row:
    visits = rng.randint(1, 40)
    return {
        # Two names that differ only in case, as in real accounts.
        "_END_USER_VERSION": visits,
        "_end_user_version": visits,
        "start_date": created,
        "tags": rng.choice([[], [{"name": "CQL", "color": "26b7d4"}]]),
        "events": {"page viewed": created, "Pricing Viewed": created + rng.randrange(DAY_MS)},
        "socialProfiles": {},
    }


def _identity(rng: random.Random, contact_id: int, domains: list[str]) -> Row:
    name, domain = random_name(rng), rng.choice(domains)
    identity: Row = {
        "name": name,
        "email": f"{name.replace(' ', '.').lower()}.{contact_id}@{domain}",
        "company": domain.partition(".")[0].replace("-", " ").title(),
        "externalId": str(contact_id),
    }
    if rng.choice([True, False]):
        identity["phone"] = f"+1 555 01{rng.randrange(100):02}"
        identity["last_contacted"] = None
    return identity
