"""Tests of `Shard` beside its share of the ids, which tests/sync/test_shards.py has."""

from __future__ import annotations

import pytest

from tap_drift.sync.shards import Shard

WHOLE = Shard()


def test_shard_comes_from_the_settings() -> None:
    assert Shard.from_config({"shard_index": "1", "shard_count": 4}) == Shard(1, 4)


def test_only_shard_is_the_whole_account() -> None:
    assert WHOLE.is_whole_account
    assert Shard(0, 1) == WHOLE
    assert not Shard(0, 2).is_whole_account


def test_shard_0_is_the_first() -> None:
    assert [Shard(index, 3).is_first for index in range(3)] == [True, False, False]


@pytest.mark.parametrize(
    ("shard", "other", "covers"),
    [
        (WHOLE, WHOLE, True),
        (WHOLE, Shard(1, 4), True),
        (Shard(1, 4), Shard(1, 4), True),
        (Shard(1, 4), Shard(2, 4), False),
        (Shard(1, 4), Shard(1, 5), False),
        (Shard(1, 4), WHOLE, False),
    ],
)
def test_state_holds_for_the_same_shard_or_of_the_whole(
    shard: Shard, other: Shard, *, covers: bool
) -> None:
    assert shard.covers(other) == covers


def test_shard_is_named_by_index_and_count() -> None:
    assert str(Shard(1, 4)) == "shard 1 of 4"
    assert str(WHOLE) == "the whole account"
