"""The command `drift-sandbox`."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest
import requests

SANDBOX = [sys.executable, "-m", "tap_drift.sandbox.cli"]
ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


def sandbox(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SANDBOX, *arguments], capture_output=True, text=True, check=False)


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*SANDBOX, *arguments], stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def test_a_command_is_told_where_the_sandbox_is() -> None:
    script = (
        "import os, urllib.request as r;"
        "u = os.environ['TAP_DRIFT_API_URL'] + '/conversations/list?limit=3';"
        "h = {'Authorization': 'Bearer ' + os.environ['TAP_DRIFT_ACCESS_TOKEN']};"
        "print(r.urlopen(r.Request(u, headers=h)).read().decode())"
    )
    run = sandbox("--conversations", "2", "--", sys.executable, "-c", script)
    assert run.returncode == 0
    assert len(json.loads(run.stdout)["data"]) == 2


def test_its_options_reach_the_server() -> None:
    script = """
import json, os
from urllib.error import HTTPError
from urllib.request import urlopen

url = os.environ["TAP_DRIFT_API_URL"]
token = json.dumps({"access_token": os.environ["TAP_DRIFT_ACCESS_TOKEN"]}).encode()
form = "grant_type=refresh_token&client_id=sandbox-client&client_secret=sandbox-secret"
form += "&refresh_token=sandbox-refresh-0"
print(json.load(urlopen(url + "/app/token_info", token))["scope"])
print(json.load(urlopen(url + "/oauth2/token", form.encode()))["expires_in"])
try:
    for _ in range(1000):
        urlopen(url + "/app/token_info", token)
except HTTPError as error:
    print(error.code)
"""
    options = ["--scopes", "user_read", "--rate-limit", "2", "--token-life", "60"]
    run = sandbox(*options, "--", sys.executable, "-c", script)
    assert run.stdout == "user_read\n60\n429\n", run.stderr


def test_meltano_is_told_to_keep_its_state_apart() -> None:
    run = sandbox("--", sys.executable, "-c", ENVIRONMENT)
    assert json.loads(run.stdout)["MELTANO_ENVIRONMENT"] == "sandbox"


@pytest.mark.parametrize("status", [0, 1, 7])
def test_it_exits_as_the_command_did(status: int) -> None:
    assert sandbox("--", sys.executable, "-c", f"exit({status})").returncode == status


def test_a_command_that_a_signal_ended_is_told_as_a_shell_tells_it() -> None:
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert sandbox("--", sys.executable, "-c", kill).returncode == 128 + signal.SIGKILL


def test_a_command_that_is_not_there_is_named() -> None:
    run = sandbox("--", "no-such-command")
    assert run.returncode == 127
    assert run.stderr == "drift-sandbox: cannot run no-such-command: No such file or directory\n"


def test_what_follows_the_dashes_is_the_commands() -> None:
    echo = "import sys; print(sys.argv[1:])"
    run = sandbox("--", sys.executable, "-c", echo, "--seed", "--", "-x")
    assert run.stdout == "['--seed', '--', '-x']\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_passed_on(number: signal.Signals) -> None:
    wait = (
        "import signal, sys;"
        "[signal.signal(n, lambda n, _: sys.exit(n)) for n in (1, 2, 15)];"
        "print('ready', flush=True); signal.pause()"
    )
    with start("--", sys.executable, "-c", wait) as process:
        assert line(process) == "ready\n"
        process.send_signal(number)
    assert process.returncode == number


def test_alone_it_serves_until_ctrl_c_and_prints_what_to_export() -> None:
    with start("--conversations", "5") as process:
        assert "5 conversations" in line(process)
        exports = dict(line(process).strip().removeprefix("export ").split("=", 1) for _ in "12")
        headers = {"Authorization": f"Bearer {exports['TAP_DRIFT_ACCESS_TOKEN']}"}
        url = f"{exports['TAP_DRIFT_API_URL']}/conversations/list"
        assert len(requests.get(url, headers=headers, timeout=5).json()["data"]) == 5
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = sandbox("--port", str(port))
    assert run.returncode == 1
    assert run.stderr == f"drift-sandbox: cannot listen on port {port}: Address already in use\n"


@pytest.mark.parametrize(
    "option",
    [
        ["--port", "65536"],
        ["--port", "-1"],
        ["--latency", "-5"],
        ["--conversations", "x"],
        ["--rate-limit", "-1"],
        ["--token-life", "-1"],
    ],
)
def test_a_wrong_option_is_named(option: list[str]) -> None:
    run = sandbox(*option, "--", "true")
    assert run.returncode == 2
    assert f"error: argument {option[0]}: " in run.stderr


def test_a_scope_that_drift_does_not_have_is_named() -> None:
    run = sandbox("--scopes", "user_read x", "--", "true")
    assert run.returncode == 2
    assert "argument --scopes: choose from conversation_read contact_read" in run.stderr


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_loopback_is_not_asked_through_a_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv(name, "acme.test")
    run = sandbox("--", sys.executable, "-c", ENVIRONMENT)
    assert json.loads(run.stdout)["no_proxy"] == "acme.test,127.0.0.1"


def test_it_imports_nothing_but_the_standard_library() -> None:
    script = (
        "import sys; before = set(sys.modules); import tap_drift.sandbox.cli;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - sys.stdlib_module_names))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "['tap_drift']\n"
