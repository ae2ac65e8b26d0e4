"""Conversations as their pages show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from archive_runs import AGENT, conversation, message

from drift_archive.site import format_duration, format_moment

if TYPE_CHECKING:
    from archive_runs import ArchiveRuns

BOT = {"type": "user", "id": 6, "bot": True}


def edit(identifier: int, **fields: Any) -> dict[str, Any]:
    return message(identifier, author=AGENT, type="edit", **fields)


def entry(archive: ArchiveRuns) -> dict[str, Any]:
    """Return the row of the list."""
    [row] = archive.json("list/2026-02.js")
    assert isinstance(row, dict)
    return row


def first_response(archive: ArchiveRuns, *messages: dict[str, Any]) -> Any:
    archive.add("conversations", conversation())
    archive.add("messages", *messages)
    archive.run()
    [(seconds,)] = archive.query("SELECT firstResponseSeconds FROM archive_pages")
    return seconds


# Edits


def test_replaced_text_is_shown_with_the_text_before(archive: ArchiveRuns) -> None:
    archive.add("messages", message(10, "first", author=AGENT))
    archive.add("messages", edit(11, body="second", editedMessageId=10, editType="replace"))
    archive.add("messages", edit(12, body="third", editedMessageId=10, editType="replace_body"))
    archive.run()
    page = archive.page()
    assert page.index("third") < page.index("first") < page.index("second")
    assert page.count('<li id="message-') == 1


def test_deleted_message_is_folded(archive: ArchiveRuns) -> None:
    archive.add("messages", message(10, "secret", author=AGENT))
    archive.add("messages", edit(11, body=None, editedMessageId=10, editType="delete"))
    archive.run()
    page = archive.page()
    assert "Deleted by" in page
    assert page.index("<summary>Deleted text</summary>") < page.index("secret")


def test_replaced_buttons_are_shown(archive: ArchiveRuns) -> None:
    archive.add("messages", message(10, "Choose", author=BOT, buttons=[{"label": "Old"}]))
    archive.add(
        "messages",
        edit(
            11,
            body=None,
            editedMessageId=10,
            editType="replace_buttons",
            buttons=[{"label": "New"}],
        ),
    )
    archive.run()
    assert '<span class="button">New</span>' in archive.page()
    assert "Choose" in archive.page()
    assert "Old" not in archive.page()


def test_edit_of_an_unknown_message_is_shown(archive: ArchiveRuns) -> None:
    archive.add("messages", edit(11, body="new text", editedMessageId=99, editType="replace"))
    archive.run()
    assert "new text" in archive.page()
    assert "of message 99, which is not in the archive" in archive.page()


# People


def test_page_names_contact_agent_and_bot(archive: ArchiveRuns) -> None:
    archive.add("conversations", conversation())
    archive.add("contacts", {"id": 7, "attributes": {"name": "Ada", "email": "ada@a.example"}})
    archive.add(
        "users", {"id": 5, "name": "Grace", "bot": False}, {"id": 6, "name": "Robot", "bot": True}
    )
    archive.add("messages", message(10), message(11, author=AGENT), message(12, author=BOT))
    archive.run()
    page = archive.page()
    for name, role in (("Ada", "contact"), ("Grace", "agent"), ("Robot", "bot")):
        assert f'<strong><bdi>{name}</bdi></strong> <span class="role">{role}</span>' in page
    assert entry(archive)["agents"] == ["5"]
    assert entry(archive)["contact"] == "Ada"


def test_people_that_were_not_extracted_have_their_ids(archive: ArchiveRuns) -> None:
    archive.add("conversations", conversation())
    archive.add("messages", message(10), message(11, author=AGENT), message(12, author=None))
    archive.run()
    for name in ("Contact 7", "User 5", "Unknown user"):
        assert f"<bdi>{name}</bdi>" in archive.page()


def test_private_note_is_set_apart(archive: ArchiveRuns) -> None:
    archive.add("messages", message(10, author=AGENT, type="private_note"))
    archive.run()
    assert 'class="message agent private"' in archive.page()
    assert "the contact did not see it" in archive.page()


def test_details_are_shown(archive: ArchiveRuns) -> None:
    tags = [{"name": "urgent", "color": "f4511e"}, {"name": "odd", "color": '"><script>'}]
    archive.add(
        "conversation_details",
        {"id": 1, "conversationId": 1, "createdAt": "2026-02-01T00:00:00.000+00:00"}
        | {"participants": [5], "relatedPlaybookId": 8, "conversationTags": tags},
    )
    archive.add("playbooks", {"id": 8, "name": "Welcome"})
    archive.run()
    page = archive.page()
    assert "Welcome" in page
    assert 'fill="#f4511e"' in page
    assert "<script" not in page
    assert entry(archive)["tags"] == ["urgent", "odd"]
    assert entry(archive)["agents"] == ["5"]


@pytest.mark.parametrize("context", [{"ip": "192.0.2.1"}, {"location": {"city": "Oslo"}}])
def test_members_that_drift_omits_are_not_shown(
    archive: ArchiveRuns, context: dict[str, Any]
) -> None:
    archive.add("messages", message(10, context=context, buttons=[{}, {"value": "Yes"}]))
    archive.add("conversation_details", {"id": 1, "conversationTags": [{}, {"name": "vip"}]})
    archive.run()
    page = archive.page()
    assert ("192.0.2.1" in page) != ("Oslo" in page)
    assert '<span class="button">Yes</span>' in page
    assert page.count('<span class="tag">') == 1


@pytest.mark.parametrize("identifier", [2**63, -(2**63) - 1, True, "5", 5.5])
def test_value_that_is_no_id_is_an_unknown_user(archive: ArchiveRuns, identifier: object) -> None:
    archive.add("users", {"id": 1, "name": "Grace"}, {"id": 5, "name": "Ada"})
    archive.add("messages", message(10, author={"type": "user", "id": identifier}))
    archive.add("conversation_details", {"id": 1, "participants": [identifier]})
    archive.run()
    assert "<bdi>Unknown user</bdi>" in archive.page()
    assert entry(archive)["agents"] == []


def test_objects_as_json_text_are_shown(archive: ArchiveRuns) -> None:
    """The tap can write objects as JSON text."""
    archive.add_messages(
        {
            "type": "SCHEMA",
            "stream": "contacts",
            "schema": {"properties": {"id": {"type": "integer"}, "attributes": {"type": "string"}}},
            "key_properties": ["id"],
        },
        {
            "type": "RECORD",
            "stream": "contacts",
            "record": {"id": 7, "attributes": '{"name":"Ada"}'},
        },
    )
    archive.add("conversations", conversation())
    archive.run()
    assert "<bdi>Ada</bdi>" in archive.page()


# Without messages


def test_transcript_is_shown_without_messages(archive: ArchiveRuns) -> None:
    archive.add("conversations", conversation())
    archive.add("transcripts", {"conversationId": 1, "transcript": "10:00 Ada: <b>Hi</b>\n"})
    archive.run()
    assert "10:00 Ada: &lt;b&gt;Hi&lt;/b&gt;" in archive.page()


def test_failed_item_is_named_on_its_page(archive: ArchiveRuns) -> None:
    archive.add("failed_items", {"stream": "messages", "id": 1, "reason": "HTTP 500"})
    archive.add("failed_items", {"stream": "contacts", "id": 2, "reason": "HTTP 404"})
    archive.run()
    assert "Drift did not deliver this conversation's messages: HTTP 500" in archive.page()
    assert archive.query("SELECT conversationId FROM archive_pages") == [(1,)]


# First response


def test_first_response_is_the_next_message_of_an_agent(archive: ArchiveRuns) -> None:
    messages = [
        message(1, author=BOT),
        message(2),
        message(3),
        message(4, author=BOT),
        message(5, author=AGENT, type="private_note"),
        message(7, author=AGENT),
        message(8, author=AGENT),
    ]
    assert first_response(archive, *messages) == 5


@pytest.mark.parametrize("messages", [[message(1, author=AGENT)], [message(2), message(3)], []])
def test_first_response_needs_a_question_and_an_answer(
    archive: ArchiveRuns, messages: list[dict[str, Any]]
) -> None:
    assert first_response(archive, *messages) is None


# Formats


def test_moment_is_in_utc_to_the_second() -> None:
    assert format_moment("2026-02-28T10:00:59.999+02:00") == "2026-02-28 08:00:59"


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00", "yesterday"]
)
def test_moment_that_has_no_time_in_utc_is_unchanged(moment: str) -> None:
    assert format_moment(moment) == moment


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (61, "1 min 1 s"),
        (3600, "1 h 0 min"),
        (36000, "10 h 0 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_duration_has_its_two_largest_units(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text
