"""What the README tells to type does what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from support import TARGET_PYTHON

if TYPE_CHECKING:
    from support import FaultyDrift

ROOT = Path(__file__).parents[2]


def test_the_recipe_for_state_without_meltano(drift: FaultyDrift, uv: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    [recipe] = [block for block in blocks if "states.jsonl" in block]
    loaders = yaml.safe_load((ROOT / "meltano.yml").read_text())["plugins"]["loaders"]
    [pin] = [loader["pip_url"] for loader in loaders if loader["name"] == "target-jsonl"]
    isolated = f"{uv} run --no-project --python '{TARGET_PYTHON}' --with {pin}"
    programs = {
        "tap-drift": f"{sys.executable} -m tap_drift",
        "target-jsonl": f"{isolated} target-jsonl",
    }
    (tmp_path / "bin").mkdir()
    for name, command in programs.items():
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        program.chmod(0o755)
    config = {"access_token": drift.token, "api_url": drift.url}
    (tmp_path / "config.json").write_text(json.dumps(config))
    target = {"destination_path": str(tmp_path), "do_timestamp_file": False}
    (tmp_path / "target.json").write_text(json.dumps(target))

    def run() -> int:
        """Run the recipe; how many lines the target has then."""
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        subprocess.run(
            ["/bin/sh", "-e", "-c", recipe],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            check=True,
        )
        return len((tmp_path / "conversations.jsonl").read_text().splitlines())

    assert run() == 250
    drift.update(drift.ids()[-1], 1_788_000_000_000, status="open")
    assert run() == 250 + 2
    assert run() == 250 + 2 + 1
