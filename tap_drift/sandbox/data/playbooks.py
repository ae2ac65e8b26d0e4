"""Playbooks and their conversational landing pages."""

from __future__ import annotations

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

_FIRST_PLAYBOOK_ID = 301_450
_FIRST_INTERACTION_ID = 871_002
_NAMES = ["Welcome", "Pricing", "Demo", "Second visit", "Documentation", "Webinar", "Renewal"]
# Playbook index and path. The first playbook has two pages: its id alone is not a key.
_LANDING_PAGES = [(0, "/hello"), (0, "/bonjour"), (2, "/demo"), (5, "/webinar")]


def generate_playbooks(seed: int, users: list[Row]) -> list[Row]:
    """Generate all rows of `GET /playbooks/list`."""
    rng = make_rng(seed, "playbooks")
    authors = [user["id"] for user in human_users(users)]
    return [_playbook(rng, number, authors) for number in range(len(_NAMES))]


def generate_landing_pages(playbooks: list[Row]) -> list[Row]:
    """Generate all rows of `GET /playbooks/clp`."""
    return [
        {
            "playbookId": playbooks[number]["id"],
            "playbookName": playbooks[number]["name"],
            "landingPageUrl": f"https://acme.example{path}",
        }
        for number, path in _LANDING_PAGES
    ]


def _playbook(rng: random.Random, number: int, authors: list[int]) -> Row:
    created = rng.randrange(epoch_ms(ACCOUNT_CREATED), epoch_ms(ACCOUNT_NOW) - DAY_MS)
    return {
        "id": _FIRST_PLAYBOOK_ID + 23 * number,
        "name": _NAMES[number],
        "orgId": ORG_ID,
        "meta": {"color": rng.choice(["blue", "green"]), "Color": 3, "steps": number + 1},
        "createdAt": created,
        "updatedAt": rng.randrange(created, epoch_ms(ACCOUNT_NOW)),
        "createdAuthorId": rng.choice(authors),
        "updatedAuthorId": rng.choice(authors),
        "interactionId": _FIRST_INTERACTION_ID + 7 * number,
        "reportType": rng.choice(["LEAD_BOT", "MESSAGE"]),
        "goals": [{"id": f"goal-{number}", "message": "Meeting booked"}] * rng.randint(0, 1),
    }
