"""DiskBackedSet: exact membership of ids, from any thread."""

from __future__ import annotations

import threading

import pytest

from tap_drift.sync.dedupe import DiskBackedSet


@pytest.mark.parametrize("number", [0, 1, -1, 2**53 + 1, 2**63 - 1, 2**70, "a", "\u00e9"])
def test_id_is_new_only_once(number: int | str) -> None:
    seen = DiskBackedSet()
    assert [seen.add(number) for _ in range(3)] == [True, False, False]


def test_adjacent_ids_above_float_precision_differ() -> None:
    seen = DiskBackedSet()
    assert all(seen.add(number) for number in range(2**53, 2**53 + 10))


def test_sets_share_no_ids() -> None:
    first, second = DiskBackedSet(), DiskBackedSet()
    assert first.add(1)
    assert second.add(1)


def test_set_can_be_used_from_another_thread() -> None:
    seen, results = DiskBackedSet(), []
    thread = threading.Thread(target=lambda: results.append(seen.add(1)))
    thread.start()
    thread.join()
    assert results == [True]
    assert not seen.add(1)


def test_set_larger_than_its_memory_stays_exact() -> None:
    """SQLite keeps 2 MiB in memory, which 60,000 ids with 40 digits exceed."""
    seen, prefix = DiskBackedSet(), "9" * 34
    assert sum(seen.add(f"{prefix}{number % 60_000:06}") for number in range(100_000)) == 60_000
