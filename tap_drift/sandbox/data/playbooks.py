"""The playbooks that bots follow, and the pages on which they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.sandbox.data.people import humans
from tap_drift.sandbox.data.seeds import DAY, NOW, OPENED, ORG, Row, chance, epoch_ms

if TYPE_CHECKING:
    import random

_FIRST_PLAYBOOK = 301_450
_FIRST_INTERACTION = 871_002
_NAMES = ["Welcome", "Pricing", "Demo", "Second visit", "Documentation", "Webinar", "Renewal"]
# The first has two pages: its id alone is no key.
_LANDING_PAGES = [(0, "/hello"), (0, "/bonjour"), (2, "/demo"), (5, "/webinar")]


def playbooks(seed: int, users: list[Row]) -> list[Row]:
    """Make the playbooks, as `GET /playbooks/list` gives them.

    Args:
        seed: The account's.
        users: Its users, who wrote them.

    Returns:
        All of them.
    """
    luck = chance(seed, "playbooks")
    authors = [user["id"] for user in humans(users)]
    return [_playbook(luck, number, authors) for number in range(len(_NAMES))]


def landing_pages(playbooks: list[Row]) -> list[Row]:
    """Say on which pages playbooks run, as `GET /playbooks/clp` does.

    Args:
        playbooks: All playbooks.

    Returns:
        A row for each page.
    """
    return [
        {
            "playbookId": playbooks[number]["id"],
            "playbookName": playbooks[number]["name"],
            "landingPageUrl": f"https://acme.example{path}",
        }
        for number, path in _LANDING_PAGES
        if number < len(playbooks)
    ]


def _playbook(luck: random.Random, number: int, authors: list[int]) -> Row:
    written = luck.randrange(epoch_ms(OPENED), epoch_ms(NOW) - DAY)
    return {
        "id": _FIRST_PLAYBOOK + 23 * number,
        "name": _NAMES[number],
        "orgId": ORG,
        "meta": {"color": luck.choice(["blue", "green"]), "Color": 3, "steps": number + 1},
        "createdAt": written,
        "updatedAt": luck.randrange(written, epoch_ms(NOW)),
        "createdAuthorId": luck.choice(authors),
        "updatedAuthorId": luck.choice(authors),
        "interactionId": _FIRST_INTERACTION + 7 * number,
        "reportType": luck.choice(["LEAD_BOT", "MESSAGE"]),
        "goals": [{"id": f"goal-{number}", "message": "Meeting booked"}] * luck.randint(0, 1),
    }
