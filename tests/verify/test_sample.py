"""Samples: what is requested, and what they prove."""

from __future__ import annotations

import json
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any

import pytest
from faults import answer
from runs import as_lines

from tap_drift.verify.sample import draw, upper_bound

if TYPE_CHECKING:
    from pathlib import Path

    from fake_drift import FakeDrift
    from verify.conftest import Extract, VerifyLoaded


@pytest.mark.parametrize(
    ("population", "size", "bad"), [(30, 10, 0), (30, 10, 2), (30, 29, 0), (30, 30, 4), (30, 1, 1)]
)
def test_bound_is_the_last_number_that_is_not_improbable(
    population: int, size: int, bad: int
) -> None:
    def probability(all_bad: int) -> float:
        ways = sum(comb(all_bad, k) * comb(population - all_bad, size - k) for k in range(bad + 1))
        return ways / comb(population, size)

    bound = upper_bound(population, size, bad)
    assert bad <= bound <= population
    assert bound == bad or probability(bound) > 0.05
    assert bound == population - size + bad or probability(bound + 1) <= 0.05


def test_large_sample_without_differences_proves_little_remains() -> None:
    assert upper_bound(100_000, 1000, 0) == 297  # 0.3 %, as the rule of three says


def test_each_sample_is_as_probable_as_any_other() -> None:
    drawn = [tuple(sorted(draw(range(6), 3, seed)[0])) for seed in range(4000)]
    counts = [drawn.count(each) for each in combinations(range(6), 3)]
    assert sum(counts) == 4000
    assert min(counts) > 140  # 200 expected, with a standard deviation of 14


def test_sample_larger_than_the_account_is_all() -> None:
    assert draw([5, 6], 10, seed=1) == ([5, 6], 2)


def test_only_the_sample_is_requested(
    drift: FakeDrift, extracted: Extract, verify_loaded: VerifyLoaded
) -> None:
    messages = as_lines(extracted("conversations", "messages", "transcripts", "contacts"))
    before = len(drift.requests)
    result = verify_loaded("--sample", 10, "--seed", 7, input=messages)
    assert result.exit_code == 0, result.report
    paths = drift.requests[before:]
    assert sum("/messages" in path for path in paths) == 10
    assert sum("/transcript" in path for path in paths) == 10
    assert 0 < sum("/contacts/" in path for path in paths) <= 10
    assert result.table["conversations"]["in Drift"] == 20
    assert result.table["transcripts"] | {"in Drift": 10} == result.table["transcripts"]
    assert "Sample: 10 of 20 conversations, at random with --seed 7; 0 of them" in result.report
    assert "With 95 % confidence, that is so for at most 3 of all conversations" in result.report
    again = len(drift.requests)
    verify_loaded("--sample", 10, "--seed", 7, input=messages)
    assert sorted(drift.requests[again:]) == sorted(paths)


def test_tampered_account_is_found_by_a_sample(
    extracted: Extract, verify_loaded: VerifyLoaded
) -> None:
    messages = extracted("conversations", "messages", "transcripts")
    for each in messages:
        if each["type"] == "RECORD" and each["stream"] == "transcripts":
            each["record"]["transcript"] = "overwritten"
    data = as_lines(messages)
    assert "20 of all conversations (100 %)" in verify_loaded("--sample", 5, input=data).report
    result = verify_loaded("--sample", 5, "--json", input=data)
    assert result.exit_code == 1
    content = json.loads(result.report)
    assert content["streams"]["transcripts"]["findings"] == {"different": 5}
    assert content["sample"]["bad"] == 5
    assert content["sample"]["bound"] == 20


def test_stream_maps_apply_to_the_records_of_a_sample(
    config: dict[str, Any], extract: Extract, verify_loaded: VerifyLoaded
) -> None:
    config["stream_maps"] = {"messages": {"__filter__": "type == 'chat'", "body": "'masked'"}}
    messages = extract("conversations", "messages")
    result = verify_loaded("--sample", 5, input=as_lines(messages))
    assert result.exit_code == 0, result.report
    assert result.table["messages"]["in Drift"] == result.table["messages"]["extracted"] > 0


def test_conversation_that_was_lost_is_found_by_any_sample(
    extracted: Extract, verify_loaded: VerifyLoaded
) -> None:
    messages = extracted("conversations", "transcripts")
    lost = next(
        each for each in messages if each.get("stream") == "conversations" and "record" in each
    )
    messages.remove(lost)
    result = verify_loaded("--sample", 1, input=as_lines(messages))
    assert result.exit_code == 1
    assert result.table["conversations"]["missing"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sample", "0"], "Invalid value for '--sample'"),
        (["--seed", "5"], "--seed needs --sample"),
    ],
)
def test_impossible_sample_is_a_usage_error(
    options: list[str], message: str, verify_loaded: VerifyLoaded
) -> None:
    result = verify_loaded(*options)
    assert result.exit_code == 2
    assert message in result.log


def test_refused_contact_of_a_sample_is_not_verified(
    drift: FakeDrift, extracted: Extract, verify_loaded: VerifyLoaded
) -> None:
    messages = as_lines(extracted("conversations", "messages", "contacts"))
    drift.faults_by_path["/contacts/"] = answer(400)
    result = verify_loaded("--sample", 5, input=messages)
    assert result.exit_code == 1
    assert "\nNOT VERIFIED: " in result.report


def test_conversation_with_a_lost_contact_counts_as_bad(
    extracted: Extract, verify_loaded: VerifyLoaded
) -> None:
    messages = extracted("conversations", "contacts")
    kept = [each for each in messages if each["type"] != "RECORD" or each["stream"] != "contacts"]
    result = verify_loaded("--sample", 20, "--json", input=as_lines(kept))
    content = json.loads(result.report)
    conversations = [each["record"] for each in kept if each["type"] == "RECORD"]
    assert content["sample"]["bad"] == sum(bool(each["contactId"]) for each in conversations)


def test_manifest_of_a_sample_covers_all_records(
    drift: FakeDrift, extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    messages = extracted("conversations", "messages", "transcripts", "contacts")
    options = ["--sample", 5, "--seed", 7, "--manifest", tmp_path / "manifest.json"]
    assert verify_loaded(*options, input=as_lines(messages)).exit_code == 0
    against = ["--against", tmp_path / "manifest.json"]
    same = verify_loaded(*against, input=as_lines(messages))
    assert same.exit_code == 0, same.report
    assert "when the data was COMPLETE in a sample of 5 of 20 conversations." in same.report
    for each in messages:
        if each["type"] == "RECORD" and each["stream"] == "transcripts":
            each["record"]["transcript"] = "overwritten"
    result = verify_loaded(*against, input=as_lines(messages))
    assert result.exit_code == 1
    assert result.table["transcripts"]["different"] == len(drift.source_rows("transcripts"))


def test_messages_of_a_sample_are_requested_once(
    drift: FakeDrift, extracted: Extract, verify_loaded: VerifyLoaded
) -> None:
    messages = as_lines(extracted("conversations", "messages", "attachments"))
    before = len(drift.requests)
    result = verify_loaded("--sample", 40, input=messages)
    assert result.exit_code == 0, result.report
    assert result.table["attachments"]["in Drift"] == result.table["attachments"]["extracted"] > 0
    requests = sum("/messages" in path for path in drift.requests[before:])
    assert requests == len(drift.conversation_ids())
