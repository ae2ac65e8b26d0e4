"""The commands and files that the documentation shows do what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import psycopg
import pytest
import yaml
from runs import TARGET_PYTHON

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from end_to_end.conftest import Install
    from fake_drift import FakeDrift
    from meltano_project import Meltano

ROOT = Path(__file__).parents[2]


@pytest.fixture
def account() -> Account:
    return Account.from_seed(40, seed=7)


def block(language: str, word: str) -> str:
    """Return the only block of a language in orchestration.md that contains a word."""
    page = (ROOT / "docs" / "orchestration.md").read_text()
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    [found] = [block for block in blocks if word in block]
    return str(found)


def test_pipe_recipe_keeps_state(drift: FakeDrift, install: Install, tmp_path: Path) -> None:
    recipe = block("sh", "drift-run")
    loaders = yaml.safe_load((ROOT / "meltano.yml").read_text())["plugins"]["loaders"]
    [pin] = [loader["pip_url"] for loader in loaders if loader["name"] == "target-jsonl"]
    (tmp_path / "bin").mkdir()
    for program in (Path(sys.executable).with_name("drift-run"), install(pin) / "target-jsonl"):
        (tmp_path / "bin" / program.name).symlink_to(program)
    config = {"access_token": drift.token, "api_url": drift.url}
    (tmp_path / "config.json").write_text(json.dumps(config))
    target = {"destination_path": str(tmp_path), "do_timestamp_file": False}
    (tmp_path / "target.json").write_text(json.dumps(target))

    def run() -> int:
        """Run the recipe, and return the number of lines that the target has then."""
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        subprocess.run(
            ["/bin/sh", "-e", "-c", recipe],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            check=True,
        )
        return len((tmp_path / "conversations.jsonl").read_text().splitlines())

    assert run() == 40
    drift.update_conversation(drift.conversation_ids()[-1], 1_788_000_000_000, status="open")
    assert run() == 40 + 2
    assert run() == 40 + 2 + 1


def readme_line(word: str) -> str:
    """Return the only line in a block of the README that contains a word."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    [line] = [line for block in blocks for line in block.splitlines() if word in line]
    return str(line)


def test_readme_installs_uv_into_an_environment_of_its_own(tmp_path: Path) -> None:
    """As on a Python that its system manages, into which pip does not install."""
    line = readme_line("python3 -m venv")
    found = subprocess.check_output(
        ["/bin/sh", "-e", "-c", f"{line}; command -v uv; uv --version"], cwd=tmp_path, text=True
    ).splitlines()
    assert str(tmp_path / ".uv" / "bin" / "uv") in found
    assert found[-1].startswith("uv ")


def test_readme_loads_into_a_target_with_drift_run(
    drift: FakeDrift, uv: str, tmp_path: Path
) -> None:
    line = readme_line("drift-run").removeprefix("uv run ")
    isolated = f"{uv} run --no-project --python '{TARGET_PYTHON}'"
    line = line.replace("uv run --no-project", isolated)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    settings = {"TAP_DRIFT_ACCESS_TOKEN": drift.token, "TAP_DRIFT_API_URL": drift.url}
    environment = os.environ | settings | {"PATH": path}
    subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, env=environment, check=True)
    [loaded] = tmp_path.glob("conversations*.jsonl")
    assert len(loaded.read_text().splitlines()) == len(drift.conversation_ids())
    assert "replication_key_value" in (tmp_path / "state.json").read_text()


def test_git_ignores_what_the_commands_write(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    names = (
        "config.json target.json catalog.json state.json state.json.lock run.jsonl drift.log .uv/x"
    )
    for name in names.split():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    commands = "git init -q; git ls-files --others --exclude-standard"
    untracked = subprocess.check_output(["/bin/sh", "-c", commands], cwd=tmp_path, text=True)
    assert untracked.split() == [".gitignore"]


def test_crontab_line_runs_in_crons_environment(drift: FakeDrift, installed: Meltano) -> None:
    """Cron sets only a few environment variables."""
    checkout = installed.project
    (checkout / ".venv").symlink_to(sys.prefix)
    settings = {"TAP_DRIFT_ACCESS_TOKEN": drift.token, "TAP_DRIFT_API_URL": drift.url}
    variables = (installed.environment | settings).items()
    (checkout / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables))
    line = block("crontab", "meltano run").split(" ", 5)[5]
    kept = {name: os.environ[name] for name in ("PIP_CERT", "SSL_CERT_FILE") if name in os.environ}
    cron = kept | {"HOME": str(checkout.parent), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    subprocess.run(["/bin/sh", "-c", line], env=cron, check=True)
    with duckdb.connect(str(checkout / "output" / "prod.duckdb"), read_only=True) as database:
        [(rows,)] = database.execute("SELECT count(*) FROM drift.conversations").fetchall()
    assert rows == len(drift.conversation_ids())


def test_github_workflow_loads_into_postgres(
    drift: FakeDrift, postgres: str, project: Path
) -> None:
    workflow = yaml.safe_load(block("yaml", "cron:"))
    job = workflow["jobs"]["drift"]
    secrets = {
        "MELTANO_STATE_BACKEND_URI": f"file://{project.parent}/state",
        "TAP_DRIFT_ACCESS_TOKEN": drift.token,
        "TARGET_POSTGRES_SQLALCHEMY_URL": postgres.replace(
            "postgresql://", "postgresql+psycopg://"
        ),
    }
    assert set(secrets) == set(job["env"])
    with psycopg.connect(postgres) as database:
        database.execute("DROP SCHEMA IF EXISTS drift CASCADE")
    command = job["steps"][-1]["run"].removeprefix("pip install uv && uv run ")
    environment = os.environ | secrets | {"TAP_DRIFT_API_URL": drift.url}
    subprocess.run(command.split(), cwd=project, env=environment, check=True)
    with psycopg.connect(postgres) as database:
        rows = database.execute("SELECT count(*) FROM drift.conversations").fetchone()
    assert rows == (len(drift.conversation_ids()),)
    assert list((project.parent / "state").iterdir())


def test_leaving_drift_ends_with_a_verified_archive(drift: FakeDrift, tmp_path: Path) -> None:
    """The commands of the page, without the installation and the browser."""
    page = (ROOT / "docs" / "leaving-drift.md").read_text()
    commands = [
        line.strip() for line in re.findall(r"^ *(?:tap-drift|drift-\w+) .*$", page, re.MULTILINE)
    ]
    assert len(commands) == 4
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TAP_DRIFT_ACCESS_TOKEN": drift.token,
        "TAP_DRIFT_API_URL": drift.url,
        "TAP_DRIFT_ATTACHMENTS_PATH": "archive/attachments",
    }
    for command in commands:
        subprocess.run(
            ["/bin/sh", "-e", "-c", command],
            cwd=tmp_path,
            env=os.environ | environment,
            check=True,
        )
    archive = tmp_path / "archive"
    assert json.loads((archive / "manifest.json").read_text())["verdict"] == "COMPLETE"
    pages = list(archive.glob("conversations/*/*.html"))
    assert len(pages) == len(drift.conversation_ids())
    # SHA256SUMS has the hashes of the files beside it.
    saved = set(archive.glob("attachments/*/*")) - set(archive.glob("attachments/*/SHA256SUMS"))
    assert len(saved) == sum(page.read_text().count(' href="../../attachments/') for page in pages)
