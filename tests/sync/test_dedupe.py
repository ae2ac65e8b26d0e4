"""A set of ids that does not fill the memory."""

from __future__ import annotations

import threading

import pytest

from tap_drift.sync.dedupe import DiskBackedSet


@pytest.mark.parametrize("number", [0, 1, -1, 2**53 + 1, 2**63 - 1, 2**70, "a", "\u00e9"])
def test_an_id_is_new_once(number: int | str) -> None:
    seen = DiskBackedSet()
    assert [seen.add(number) for _ in range(3)] == [True, False, False]


def test_large_ids_that_are_close_are_not_taken_for_one() -> None:
    seen = DiskBackedSet()
    assert all(seen.add(number) for number in range(2**53, 2**53 + 10))


def test_each_set_is_its_own() -> None:
    first, second = DiskBackedSet(), DiskBackedSet()
    assert first.add(1)
    assert second.add(1)


def test_another_thread_than_the_one_that_made_it_may_ask() -> None:
    seen, said = DiskBackedSet(), []
    thread = threading.Thread(target=lambda: said.append(seen.add(1)))
    thread.start()
    thread.join()
    assert said == [True]
    assert not seen.add(1)


def test_many_ids_are_kept_apart() -> None:
    seen = DiskBackedSet()
    assert sum(seen.add(number % 60_000) for number in range(100_000)) == 60_000
