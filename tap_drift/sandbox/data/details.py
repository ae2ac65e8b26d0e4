"""What Drift knows of one conversation beyond the listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.sandbox.data.people import humans
from tap_drift.sandbox.data.seeds import ORG, Row, chance

if TYPE_CHECKING:
    from tap_drift.sandbox.data.conversations import Conversation

_BEGUN_BY_A_PLAYBOOK = 0.7
_TAGS = [{"color": "26b7d4", "name": "sales"}, {"color": "f4511e", "name": "urgent"}]


def details(seed: int, conversation: Conversation, users: list[Row], playbooks: list[Row]) -> Row:
    """Give a conversation, as `GET /conversations/{id}` does.

    Args:
        seed: The account's.
        conversation: As it is listed.
        users: The account's users; some of them take part.
        playbooks: The account's playbooks; one of them may have begun it.

    Returns:
        The six fields of the listing, and more (`orgId` stands only in the text of Drift's page).
    """
    luck = chance(seed, "details", conversation["id"])
    more: Row = {"orgId": ORG, "participants": participants(seed, conversation["id"], users)}
    if playbooks and luck.random() < _BEGUN_BY_A_PLAYBOOK:
        playbook = luck.choice(playbooks)["id"]
        # Drift gives it as a number or as text.
        more["relatedPlaybookId"] = luck.choice([playbook, playbook, str(playbook)])
    if tags := luck.sample(_TAGS, luck.choice([0, 0, 1, 2])):
        more["conversationTags"] = tags
    return conversation | more


def participants(seed: int, conversation_id: int, users: list[Row]) -> list[int]:
    """Say who of the company takes part.

    Args:
        seed: The account's.
        conversation_id: The conversation's.
        users: The account's users.

    Returns:
        Ids of people; a bot does not count.
    """
    luck = chance(seed, "participants", conversation_id)
    return [user["id"] for user in luck.sample(humans(users), luck.choice([0, 1, 1, 2]))]
