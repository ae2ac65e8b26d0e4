"""The documentation agrees with the code."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tap_drift.sandbox.cli import main
from tap_drift.streams.people import TeamsStream
from tap_drift.tap import TapDrift

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tap_drift"
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
STREAMS = TapDrift(validate_config=False).streams

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text(name: str) -> str:
    return (ROOT / name).read_text()


def lines(pattern: str, name: str) -> list[Any]:
    """Return what a pattern matches in a file, line by line."""
    return re.findall(pattern, text(name), re.MULTILINE)


def without_blocks(markdown: str) -> str:
    """Remove the blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", markdown, flags=re.MULTILINE | re.DOTALL)


# README


def test_readme_has_at_most_150_lines() -> None:
    assert len(text("README.md").splitlines()) <= 150


@pytest.mark.parametrize("name", STREAMS)
def test_readme_lists_stream_with_key_and_scope(name: str) -> None:
    stream: Any = STREAMS[name]
    [row] = lines(rf"^\| `{name}` \| (.*) \|$", "README.md")
    endpoint, key, _replication, scope = row.split(" | ")
    path = re.sub(r"\{\w+\}", "{id}", stream.path)
    assert endpoint == (f"`GET {path}`" if path else "none: from the state")
    assert key == ", ".join(f"`{part}`" for part in stream.primary_keys)
    assert scope == (f"`{stream.scope}`" if stream.scope else "none")


@pytest.mark.parametrize(
    "command",
    [
        "pip install uv && uv run pytest",
        "pip install uv && uv run drift-sandbox -- meltano run tap-drift target-duckdb",
    ],
)
def test_ci_runs_the_readmes_command(command: str) -> None:
    uv = command.removeprefix("pip install uv && ")
    assert command in text("README.md")
    assert f"\n{uv}\n" in text(".ci/run")


# Links


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub derives them."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_relative_links_and_anchors_resolve(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`\s", "", without_blocks(page.read_text()))
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_named_files_exist(page: Path) -> None:
    folders = "benchmarks|docs|examples|meltano-hub|schemas|tap_drift|tests"
    for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text()):
        assert (ROOT / path).exists(), path


# Pages


def data_model() -> dict[str, list[list[str]]]:
    """Return the entities of the diagram, each with its attributes as lists of words."""
    diagram = text("docs/data-model.md").split("```")[1]
    entities = re.findall(r"^    (\w+) \{\n(.*?)    \}", diagram, re.MULTILINE | re.DOTALL)
    return {name: [line.split() for line in body.splitlines()] for name, body in entities}


@pytest.mark.parametrize("name", data_model())
def test_data_model_has_the_streams_key_and_fields(name: str) -> None:
    attributes = data_model()[name]
    assert {field for _type, field, *_role in attributes} <= set(STREAMS[name].schema["properties"])
    keys = [field for _type, field, *role in attributes if role == ["PK"]]
    assert keys == list(STREAMS[name].primary_keys)


def test_data_model_names_every_stream() -> None:
    missing = {name for name in STREAMS if name not in text("docs/data-model.md")}
    assert missing == set()


def test_architecture_lists_every_module() -> None:
    modules = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }
    listed = set(lines(r"^\| `([\w/.]+)` \|", "docs/architecture.md"))
    assert {module for module in modules if not module.startswith("sandbox/data/")} <= listed


def test_private_overrides_are_listed() -> None:
    page = "docs/decisions/private-sdk-overrides.md"
    listed = set(lines(r"^\| `\w+\.(\w+)`", page))
    definitions = [
        node
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    overrides = {
        node.name
        for node in definitions
        if re.match("_[^_]", node.name) and "override" in map(ast.unparse, node.decorator_list)
    }
    assert overrides <= listed <= {node.name for node in definitions}


def test_sandbox_page_shows_the_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["drift-sandbox", "--help"])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out in text("docs/sandbox.md")


def test_contributing_example_is_a_stream_of_the_tap() -> None:
    [example] = re.findall(r"```python\n(.*?)```", text("CONTRIBUTING.md"), re.DOTALL)
    source = inspect.getsource(TeamsStream)
    for line in example.splitlines():
        assert '"""' in line or line.strip() in source


def test_changelog_starts_with_this_version() -> None:
    versions = lines(r"^## (\d[\d.]+) \(\d{4}-\d\d-\d\d\)$", "CHANGELOG.md")
    assert versions[0] == version("tap-drift")


# Messages

# The parts of a message that vary: numbers, paths, URLs, names, and what an example omits.
_VARYING = "|".join(
    [
        *(r"…", r"https?://\S*", r"/[\w/]+", r"[\d.,]*\d", r"`\w+`"),
        *("standard output", "No space left on device"),
        *(rf"\b{name}\b" for name in STREAMS),
    ]
)


def troubleshooting_messages() -> list[str]:
    """Return the messages in the first column of the tables of troubleshooting.md."""
    cells = lines(r"^\| (`.+?`) \| ", "docs/troubleshooting.md")
    return [cell.strip("`").strip() for cell in cells]


@cache
def code_strings() -> str:
    """Return the strings in the code; a line break replaces what is inserted into them."""
    strings = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else "" for part in node.values
                ]
                strings.append("\n".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.append(node.value)
    return "\n".join(strings)


@pytest.mark.parametrize("message", troubleshooting_messages())
def test_troubleshooting_message_is_in_the_code(message: str) -> None:
    parts = [part.strip(" .:()") for part in re.split(_VARYING, message)]
    literal = [part for part in parts if re.search(r"\w{4}", part)]
    assert literal
    for part in literal:
        assert part in code_strings()
