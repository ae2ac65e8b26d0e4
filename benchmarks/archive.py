"""Time and memory of target-drift-archive, and sizes of the archive, for accounts of any size.

uv run python benchmarks/archive.py --conversations 100000 FOLDER

The messages have random words of a vocabulary of 20,000, with the frequencies of a natural text.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

from tap_drift.sandbox.data.account import Account
from tap_drift.schemas import SCHEMAS
from tap_drift.timestamps import from_epoch_ms

Row = dict[str, Any]

TIMES = ("createdAt", "updatedAt")
KEYS = {"contacts": "id", "conversations": "id", "conversation_details": "id", "messages": "id"}


def converted(row: Row, **fields: object) -> Row:
    """Return a row with date-times instead of epoch milliseconds."""
    times = {name: from_epoch_ms(row[name]) for name in TIMES if name in row}
    return row | times | fields


def vocabulary(rng: random.Random) -> tuple[list[str], list[float]]:
    """Return words and how often they occur."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 11))) for _ in range(20_000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    return words, weights


def write_messages(file: IO[str], conversations: int) -> int:
    """Write the Singer messages of an account; return their number."""
    account = Account.from_seed(conversations, 1)
    rng = random.Random(1)  # noqa: S311 - sample data
    words, weights = vocabulary(rng)
    pool = rng.choices(words, weights, k=1_000_000)
    count = 0

    def write(message: Row) -> None:
        file.write(json.dumps(message) + "\n")

    def record(stream: str, row: Row) -> None:
        nonlocal count
        count += 1
        write({"type": "RECORD", "stream": stream, "record": row})

    for stream in (*KEYS, "users"):
        schema = SCHEMAS.fetch_schema(stream)
        write({"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": ["id"]})
    for user in account.users:
        record("users", converted(user))
    contacts: set[int] = set()
    for number, conversation in enumerate(account.conversations):
        conversation_id = conversation["id"]
        record("conversations", converted(conversation))
        details = account.details(conversation)
        record("conversation_details", converted(details, conversationId=conversation_id))
        for message in account.messages(conversation):
            start = rng.randrange(len(pool) - 60)
            body = " ".join(pool[start : start + rng.randint(2, 40)])
            fields = {"body": f"<p>{body}</p>"} if "body" in message else {}
            record("messages", converted(message, **fields))
        contact_id = conversation.get("contactId")
        if contact_id and contact_id not in contacts:
            contacts.add(contact_id)
            if contact := account.contact(contact_id):
                record("contacts", converted(contact))
        if number % 100 == 0:
            write({"type": "STATE", "value": {"bookmarks": {"conversations": {"at": number}}}})
    return count


def run(source: Path, folder: Path) -> tuple[float, float, float]:
    """Run the target; return the seconds, CPU seconds and peak memory in MiB of it."""
    config = folder / "config.json"
    config.write_text(json.dumps({"archive_path": str(folder / "archive")}))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with source.open() as messages, (folder / "log.txt").open("w") as log:
        subprocess.run(
            [sys.executable, "-m", "drift_archive", "--config", config],
            stdin=messages,
            stdout=subprocess.DEVNULL,
            stderr=log,
            check=True,
        )
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, after.ru_maxrss / 1024


def size(path: Path) -> float:
    """Return the size of a file or folder in MB."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files) / 1e6


def changed(source: Path, target: Path) -> None:
    """Write the messages again, with another status of every 1,000th conversation."""
    with source.open() as lines, target.open("w") as file:
        number = 0
        for line in lines:
            if '"stream": "conversations", "record"' in line:
                number += 1
                if number % 1000 == 0:
                    message = json.loads(line)
                    message["record"]["status"] = "reopened"
                    line = json.dumps(message) + "\n"  # noqa: PLW2901 - the changed line
            file.write(line)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=20_000)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    source = options.folder / "messages.jsonl"
    with source.open("w") as file:
        records = write_messages(file, options.conversations)
    print(f"{options.conversations:,} conversations, {records:,} records, {size(source):,.0f} MB")
    again = options.folder / "again.jsonl"
    changed(source, again)
    for name, messages in (("first run", source), ("0.1 % changed", again)):
        seconds, cpu, memory = run(messages, options.folder)
        print(f"{name}: {seconds:,.0f} s, {cpu:,.0f} s of CPU, peak {memory:,.0f} MiB", flush=True)
    archive = options.folder / "archive"
    for name in ("drift.sqlite", "conversations", "list", "search"):
        print(f"{name}: {size(archive / name):,.0f} MB")
    largest = max((each.stat().st_size, each.name) for each in (archive / "search").iterdir())
    print(f"largest search file: {largest[0] / 1e6:,.1f} MB")


if __name__ == "__main__":
    main()
