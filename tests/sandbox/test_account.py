"""An account made from a seed."""

import hashlib
import json
from collections import Counter

from tap_drift.sandbox.data.account import Account, position


def test_the_same_seed_makes_the_same_account() -> None:
    assert Account.from_seed(100, seed=3) == Account.from_seed(100, seed=3)
    assert Account.from_seed(100, seed=3) != Account.from_seed(100, seed=4)


def test_the_default_account_is_the_one_that_the_readme_shows() -> None:
    listing = json.dumps(Account.from_seed(1000, seed=1).conversations)
    assert hashlib.sha256(listing.encode()).hexdigest()[:16] == "5a656229075c0981"


def test_the_listing_is_newest_first() -> None:
    conversations = Account.from_seed(500, seed=1).conversations
    assert [position(c) for c in conversations] == sorted(position(c) for c in conversations)
    assert conversations[0]["updatedAt"] > conversations[-1]["updatedAt"]


def test_an_account_is_believable() -> None:
    conversations = Account.from_seed(2000, seed=1).conversations
    assert len({c["id"] for c in conversations}) == 2000
    assert all(c["createdAt"] <= c["updatedAt"] for c in conversations)
    heads = Counter(c["updatedAt"] for c in conversations)
    assert heads.most_common(1)[0][1] <= 2
    statuses = Counter(c["status"] for c in conversations)
    assert statuses["closed"] > 1000
    assert set(statuses) == {"open", "closed", "pending", "bulk_sent"}
    assert len({c["inboxId"] for c in conversations}) > 3
    contacts = [c["contactId"] for c in conversations if "contactId" in c]
    assert 0 < 2000 - len(contacts) < 100
    assert any(contact > 2**53 for contact in contacts)
    assert len(set(contacts)) < len(contacts)
    assert any(c["inboxId"] is None for c in conversations)


def test_ids_have_gaps_and_grow_with_time() -> None:
    conversations = Account.from_seed(500, seed=1).conversations
    by_age = sorted(conversations, key=lambda c: c["createdAt"])
    ids = [c["id"] for c in by_age]
    assert ids == sorted(ids)
    assert ids[-1] - ids[0] > 2 * len(ids)


def test_there_can_be_nobody() -> None:
    assert Account.from_seed(0, seed=1).conversations == []
