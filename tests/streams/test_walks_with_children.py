"""Nothing is lost of what is read along with the listing, whatever happens during a walk."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import FakeDrift, random_updates
from fake_target import WALK_STREAMS, FakeTarget
from faults import answer
from runs import Interrupted, InterruptingMessages, catalog, sync, sync_interrupted

from tap_drift.exceptions import StreamsFailedError

if TYPE_CHECKING:
    from faults import Fault

RATES = [0, 0, 0, 0, 0, 0, 0, 1]
"""A request for each conversation: so few changes, or no run would come to its end."""

TROUBLES: list[tuple[str, Fault]] = [
    ("/messages", answer(403)),
    ("/contacts/", answer(400)),
    ("/transcript", answer(403)),
    ("list?page_token", answer(400)),
    ("list?page_token", answer(403)),
]
"""What can be wrong in a run: a stream refused, a page token of no use, the listing refused."""


@pytest.fixture
def few(small: FakeDrift) -> FakeDrift:
    """A few conversations, with a page that begins in the middle of those of one moment."""
    del small.account.conversations[18:]
    return small


@pytest.fixture
def strict(strict: dict[str, Any]) -> dict[str, Any]:
    return strict | {"concurrency": 4}


def some(chance: random.Random) -> dict[str, Any]:
    """A catalog that selects some of the streams."""
    return catalog(*chance.sample(list(WALK_STREAMS), chance.randint(1, len(WALK_STREAMS))))


def finish(drift: FakeDrift, config: dict[str, Any], table: FakeTarget) -> None:
    """Read everything that is left, with nothing going on any more."""
    drift.on_request = None
    drift.faults_by_path.clear()
    for _ in range(2):
        table.load(sync(config, table.state, catalog(*WALK_STREAMS)).all)


@pytest.mark.parametrize("seed", range(10))
def test_runs_of_any_selection_over_a_changing_account_miss_nothing(
    seed: int, few: FakeDrift, strict: dict[str, Any]
) -> None:
    table, chance = FakeTarget(), random.Random(seed)
    few.on_request = random_updates(few, seed, RATES)
    for _ in range(3):
        table.load(sync(strict, table.state, some(chance)).all)
    finish(few, strict, table)
    assert table.missing(few, *WALK_STREAMS) == set()


@pytest.mark.parametrize("seed", range(20))
def test_runs_cut_and_troubled_over_a_changing_account_miss_nothing(
    seed: int, few: FakeDrift, strict: dict[str, Any]
) -> None:
    table, chance = FakeTarget(), random.Random(seed)
    few.on_request = random_updates(few, seed, RATES)
    for _ in range(6):
        few.faults_by_path = dict(chance.sample(TROUBLES, chance.choice([0, 1, 1, 2])))
        with suppress(StreamsFailedError):
            sync_interrupted(strict, table, chance.randrange(2, 200), some(chance))
    finish(few, strict, table)
    assert table.missing(few, *WALK_STREAMS) == set()


def test_a_run_cut_after_any_message_misses_nothing(few: FakeDrift, strict: dict[str, Any]) -> None:
    """Cut after every seventh, that is everywhere in the course of a page's rows."""
    del few.account.conversations[8:]
    few.on_request = random_updates(few, 1, RATES)
    takes, done = 1, False
    while not done:
        table = FakeTarget()
        done = sync_interrupted(strict, table, takes, catalog("conversations", "messages"))
        table.load(sync(strict, table.state, catalog("conversations", "messages")).all)
        quiet, few.on_request = few.on_request, None
        table.load(sync(strict, table.state, catalog("conversations", "messages")).all)
        few.on_request = quiet
        assert table.missing(few, "conversations", "messages") == set(), takes
        takes += 7


@pytest.mark.parametrize("chosen", [["messages"], ["conversations", "messages"]])
def test_a_state_claims_what_stands_before_it(
    chosen: list[str], few: FakeDrift, strict: dict[str, Any]
) -> None:
    """Whoever stops at any STATE, and goes on from it, has everything."""
    everything = sync(strict, catalog=catalog(*chosen)).all
    states = [number for number, each in enumerate(everything) if each["type"] == "STATE"]
    assert len(states) > 3
    for number in states:
        table = FakeTarget()
        table.load(everything[: number + 1])
        table.load(sync(strict, table.state, catalog(*chosen)).all)
        assert table.missing(few, *chosen) == set()


def test_what_is_cut_is_asked_for_no_more_than_a_page_again(
    few: FakeDrift, strict: dict[str, Any]
) -> None:
    chosen = catalog("conversations", "messages")
    whole = len(sync(strict, catalog=chosen).all)
    table, messages = FakeTarget(), InterruptingMessages(whole - 10)
    with pytest.raises(Interrupted):
        sync(strict, catalog=chosen, messages=messages)
    table.load(messages.all)
    written = len(table.conversations)
    few.requests.clear()
    table.load(sync(strict, table.state, chosen).all)
    assert table.missing(few, "conversations", "messages") == set()
    conversations = {path.split("?")[0] for path in few.requests if "/messages" in path}
    assert len(conversations) == len(few.conversation_ids()) - written + 1  # the head, again
