"""Users, bots and teams."""

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

if TYPE_CHECKING:
    import random

_FIRST_NAMES = ["Ada", "Bruno", "Chidi", "Dana", "Elif", "Femi", "Greta", "Hana", "Ivo", "Jun"]
_LAST_NAMES = ["Okafor", "Lindqvist", "Moreau", "Tanaka", "Novak", "Silva", "Haddad", "Byrne"]
_HUMAN_COUNT = 10
_BOT_NAMES = ["Drift Bot", "Night Bot"]
_FIRST_USER_ID = 2_410_300
_FIRST_TEAM_ID = 61_200
_WORKSPACE_ID = "5f0e8c1a-2b7d-4e63-9a41-d07c6f3b9e15"
_TEAM_SIZES = {"Everyone": 10, "Sales": 4, "Support": 5, "Beta programme": 2}
_ARCHIVED_TEAM = "Beta programme"


def random_name(rng: random.Random) -> str:
    """Return a first and a last name."""
    return f"{rng.choice(_FIRST_NAMES)} {rng.choice(_LAST_NAMES)}"


def generate_users(seed: int) -> list[Row]:
    """Generate all rows of `GET /users/list`: human users first, then bots."""
    rng = make_rng(seed, "users")
    humans = [_user(rng, number, random_name(rng)) for number in range(_HUMAN_COUNT)]
    bots = [
        _user(rng, _HUMAN_COUNT + number, name, bot=True) for number, name in enumerate(_BOT_NAMES)
    ]
    return humans + bots


def human_users(users: list[Row]) -> list[Row]:
    """Return the users that are not bots: only they own, attend and write things."""
    return [user for user in users if not user["bot"]]


def generate_teams(seed: int, users: list[Row]) -> list[Row]:
    """Generate all rows of `GET /teams/org`. All human users are in the first team."""
    rng = make_rng(seed, "teams")
    human_ids = [user["id"] for user in human_users(users)]
    return [
        _team(rng, number, name, rng.sample(human_ids, min(size, len(human_ids))))
        for number, (name, size) in enumerate(_TEAM_SIZES.items())
    ]


def _user(rng: random.Random, number: int, name: str, *, bot: bool = False) -> Row:
    user_id = _FIRST_USER_ID + 137 * number
    created = epoch_ms(ACCOUNT_CREATED) + number * rng.randrange(200 * DAY_MS)
    user = {
        "id": user_id,
        "orgId": ORG_ID,
        "name": name,
        "email": f"{name.split(maxsplit=1)[0].lower()}.{user_id}@acme.example",
        "locale": rng.choice(["en-US", "de-DE", "sv-SE"]),
        "availability": rng.choice(["AVAILABLE", "OFFLINE", "ON_CALL"]),
        "role": "admin" if number == 0 else rng.choice(["member", "agent"]),
        "timeZone": rng.choice(["America/New_York", "Europe/Berlin"]),
        "verified": not bot,
        "bot": bot,
        "createdAt": created,
        "updatedAt": rng.randrange(created, epoch_ms(ACCOUNT_NOW)),
    }
    # Optional fields. The first user has them, so that every field occurs in any account.
    if number == 0 or (not bot and rng.choice([True, False])):
        user["alias"] = name.split(maxsplit=1)[0]
        user["phone"] = f"+1 555 01{rng.randrange(100):02}"
        user["avatarUrl"] = f"https://avatars.example/{user_id}.png"
    return user


def _team(rng: random.Random, number: int, name: str, members: list[int]) -> Row:
    team = {
        "id": _FIRST_TEAM_ID + 11 * number,
        "orgId": ORG_ID,
        "workspaceId": _WORKSPACE_ID,
        "name": name,
        "updatedAt": rng.randrange(epoch_ms(ACCOUNT_CREATED), epoch_ms(ACCOUNT_NOW)),
        "members": members,
        "owner": members[0],
        "status": "ARCHIVED" if name == _ARCHIVED_TEAM else "ENABLED",
        "main": number == 0,
        "autoOffline": rng.choice([True, False]),
        "teamAvailabilityMode": rng.choice(["ALWAYS_ONLINE", "CUSTOM_HOURS"]),
        "responseTimerEnabled": rng.choice([True, False]),
    }
    if number % 2 == 0:
        team["teamCsatEnabled"] = rng.choice([True, False])
    return team
