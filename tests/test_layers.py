"""The import layers of tap_drift: a module imports only from its own layer and those below."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[1] / "tap_drift"

LAYERS = [
    {"airbyte", "pipeline", "verify", "__main__"},
    {"tap"},
    {"connection_test", "cli"},
    {"streams"},
    {"sync"},
    {"api"},
    {"settings"},
    {
        "exceptions",
        "process",
        "timestamps",
        "logs",
        "schemas",
        "json_input",
        "input_files",
        "files",
        "selection",
    },
]
"""Top to bottom. `tap_drift/__init__.py` has no layer, and `sandbox` imports none of them."""

LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}


def part_of(path: Path) -> str:
    """Return the module or package of tap_drift that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    """Yield the parts of tap_drift that a file imports, including those for type checking."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("tap_drift."))


ARCHIVE = PACKAGE.parent / "drift_archive"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_no_higher_layer(path: Path) -> None:
    part = part_of(path)
    others = set(imports(path)) - {part}
    if part == "sandbox":
        assert others == set()
    else:
        assert {other for other in others if LEVELS.get(other, -1) < LEVELS[part]} == set()


@pytest.mark.parametrize("path", sorted(ARCHIVE.rglob("*.py")), ids=lambda path: path.name)
def test_archive_imports_only_the_schemas_of_the_tap(path: Path) -> None:
    assert set(imports(path)) <= {"schemas"}


def test_tap_imports_nothing_of_the_archive() -> None:
    assert [path for path in FILES if "drift_archive" in path.read_text()] == []
