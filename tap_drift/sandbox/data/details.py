"""The fields of a conversation that the listing does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.sandbox.data.common import ORG_ID, Row, make_rng
from tap_drift.sandbox.data.people import human_users

if TYPE_CHECKING:
    from tap_drift.sandbox.data.conversations import Conversation

_FROM_PLAYBOOK_SHARE = 0.7
_TAGS = [{"color": "26b7d4", "name": "sales"}, {"color": "f4511e", "name": "urgent"}]


def generate_details(
    seed: int, conversation: Conversation, users: list[Row], playbooks: list[Row]
) -> Row:
    """Generate the answer to `GET /conversations/{id}`.

    `orgId` is documented in the text of Drift's page only, not in its table of fields.
    """
    rng = make_rng(seed, "details", conversation["id"])
    row: Row = {"orgId": ORG_ID, "participants": participant_ids(seed, conversation["id"], users)}
    if playbooks and rng.random() < _FROM_PLAYBOOK_SHARE:
        playbook = rng.choice(playbooks)["id"]
        # Drift sends the id as a number or as a string.
        row["relatedPlaybookId"] = rng.choice([playbook, playbook, str(playbook)])
    if tags := rng.sample(_TAGS, rng.choice([0, 0, 1, 2])):
        row["conversationTags"] = tags
    return conversation | row


def participant_ids(seed: int, conversation_id: int, users: list[Row]) -> list[int]:
    """Return the ids of the users who take part in a conversation, without bots."""
    rng = make_rng(seed, "participants", conversation_id)
    return [user["id"] for user in rng.sample(human_users(users), rng.choice([0, 1, 1, 2]))]
