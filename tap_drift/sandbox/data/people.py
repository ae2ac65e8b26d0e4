"""The company's own people: its users, two bots among them, and their teams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.sandbox.data.seeds import DAY, NOW, OPENED, ORG, Row, chance, epoch_ms

if TYPE_CHECKING:
    import random

_FIRST_NAMES = ["Ada", "Bruno", "Chidi", "Dana", "Elif", "Femi", "Greta", "Hana", "Ivo", "Jun"]
_LAST_NAMES = ["Okafor", "Lindqvist", "Moreau", "Tanaka", "Novak", "Silva", "Haddad", "Byrne"]
_HUMANS = 10
_BOTS = ["Drift Bot", "Night Bot"]
_FIRST_USER = 2_410_300
_FIRST_TEAM = 61_200
_WORKSPACE = "5f0e8c1a-2b7d-4e63-9a41-d07c6f3b9e15"
_TEAMS = {"Everyone": 10, "Sales": 4, "Support": 5, "Beta programme": 2}
_ARCHIVED = "Beta programme"


def name(luck: random.Random) -> str:
    """Make up somebody's name.

    Args:
        luck: Chooses it.

    Returns:
        A first and a last name.
    """
    return f"{luck.choice(_FIRST_NAMES)} {luck.choice(_LAST_NAMES)}"


def users(seed: int) -> list[Row]:
    """Make the users, as `GET /users/list` gives them.

    Args:
        seed: The account's.

    Returns:
        People first, then bots.
    """
    luck = chance(seed, "users")
    people = [_user(luck, number, name(luck)) for number in range(_HUMANS)]
    bots = [_user(luck, _HUMANS + number, bot, bot=True) for number, bot in enumerate(_BOTS)]
    return people + bots


def humans(users: list[Row]) -> list[Row]:
    """Leave out the bots.

    Args:
        users: All users.

    Returns:
        Those who can own, attend and write things.
    """
    return [user for user in users if not user["bot"]]


def teams(seed: int, users: list[Row]) -> list[Row]:
    """Make the teams, as `GET /teams/org` gives them.

    Args:
        seed: The account's.
        users: Its users.

    Returns:
        The teams; everybody is in the first.
    """
    luck = chance(seed, "teams")
    staff = [user["id"] for user in humans(users)]
    return [
        _team(luck, number, title, luck.sample(staff, min(size, len(staff))))
        for number, (title, size) in enumerate(_TEAMS.items())
    ]


def _user(luck: random.Random, number: int, called: str, *, bot: bool = False) -> Row:
    user_id = _FIRST_USER + 137 * number
    born = epoch_ms(OPENED) + number * luck.randrange(200 * DAY)
    user = {
        "id": user_id,
        "orgId": ORG,
        "name": called,
        "email": f"{called.split(maxsplit=1)[0].lower()}.{user_id}@acme.example",
        "locale": luck.choice(["en-US", "de-DE", "sv-SE"]),
        "availability": luck.choice(["AVAILABLE", "OFFLINE", "ON_CALL"]),
        "role": "admin" if number == 0 else luck.choice(["member", "agent"]),
        "timeZone": luck.choice(["America/New_York", "Europe/Berlin"]),
        "verified": not bot,
        "bot": bot,
        "createdAt": born,
        "updatedAt": luck.randrange(born, epoch_ms(NOW)),
    }
    # Only some have filled in the rest; the first has, so that everything can be met.
    if number == 0 or (not bot and luck.choice([True, False])):
        user["alias"] = called.split(maxsplit=1)[0]
        user["phone"] = f"+1 555 01{luck.randrange(100):02}"
        user["avatarUrl"] = f"https://avatars.example/{user_id}.png"
    return user


def _team(luck: random.Random, number: int, title: str, members: list[int]) -> Row:
    team = {
        "id": _FIRST_TEAM + 11 * number,
        "orgId": ORG,
        "workspaceId": _WORKSPACE,
        "name": title,
        "updatedAt": luck.randrange(epoch_ms(OPENED), epoch_ms(NOW)),
        "members": members,
        "owner": members[0],
        "status": "ARCHIVED" if title == _ARCHIVED else "ENABLED",
        "main": number == 0,
        "autoOffline": luck.choice([True, False]),
        "teamAvailabilityMode": luck.choice(["ALWAYS_ONLINE", "CUSTOM_HOURS"]),
        "responseTimerEnabled": luck.choice([True, False]),
    }
    if number % 2 == 0:
        team["teamCsatEnabled"] = luck.choice([True, False])
    return team
