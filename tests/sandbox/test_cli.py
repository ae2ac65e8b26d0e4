"""The command `drift-sandbox`."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest
import requests

from tap_drift.sandbox.cli import main

SANDBOX = [sys.executable, "-m", "tap_drift.sandbox.cli"]
PRINT_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SANDBOX, *arguments], capture_output=True, text=True, check=False)


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*SANDBOX, *arguments], stdout=subprocess.PIPE, text=True)


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def test_options_reach_the_server_that_the_command_uses() -> None:
    script = """
import json, os
from urllib.error import HTTPError
from urllib.request import Request, urlopen

url, token = os.environ["TAP_DRIFT_API_URL"], os.environ["TAP_DRIFT_ACCESS_TOKEN"]
headers = {"Authorization": f"Bearer {token}"}
form = "grant_type=refresh_token&client_id=sandbox-client&client_secret=sandbox-secret"
form += "&refresh_token=sandbox-refresh-0"
print(len(json.load(urlopen(Request(url + "/conversations/list", headers=headers)))["data"]))
print(json.load(urlopen(url + "/oauth2/token", form.encode()))["expires_in"])
body = json.dumps({"access_token": token}).encode()
try:
    for _ in range(1000):
        print(json.load(urlopen(url + "/app/token_info", body))["scope"])
except HTTPError as error:
    print(error.code)
"""
    options = "--conversations 2 --rate-limit 3 --token-life 60 --scopes conversation_read"
    result = run(*options.split(), "--", sys.executable, "-c", script)
    assert result.stdout.split()[:3] == ["2", "60", "conversation_read"], result.stderr
    assert result.stdout.split()[-1] == "429"


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_environment_separates_state_and_bypasses_the_proxy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv(name, "acme.test")
    environment = json.loads(run("--", sys.executable, "-c", PRINT_ENVIRONMENT).stdout)
    assert environment["MELTANO_ENVIRONMENT"] == "sandbox"
    assert environment["no_proxy"] == environment["NO_PROXY"] == "acme.test,127.0.0.1"


def test_arguments_after_the_dashes_belong_to_the_command() -> None:
    echo = "import sys; print(sys.argv[1:])"
    result = run("--", sys.executable, "-c", echo, "--seed", "--", "-x")
    assert result.stdout == "['--seed', '--', '-x']\n"


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("", 0),
        ("exit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", 128 + 9),
    ],
)
def test_exit_code_is_that_of_the_command(script: str, status: int) -> None:
    assert run("--", sys.executable, "-c", script).returncode == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_forwarded_to_the_command(number: signal.Signals) -> None:
    wait = (
        "import signal, sys;"
        "[signal.signal(n, lambda n, _: sys.exit(n)) for n in (1, 2, 15)];"
        "print('ready', flush=True); signal.pause()"
    )
    with start("--", sys.executable, "-c", wait) as process:
        assert read_line(process) == "ready\n"
        process.send_signal(number)
    assert process.returncode == number


def test_server_without_command_runs_until_ctrl_c() -> None:
    with start("--conversations", "5") as process:
        assert "5 conversations" in read_line(process)
        exports = [read_line(process).strip().removeprefix("export ") for _ in range(2)]
        environment = dict(export.split("=", 1) for export in exports)
        headers = {"Authorization": f"Bearer {environment['TAP_DRIFT_ACCESS_TOKEN']}"}
        url = f"{environment['TAP_DRIFT_API_URL']}/conversations/list"
        assert len(requests.get(url, headers=headers, timeout=5).json()["data"]) == 5
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def test_missing_command_exits_127_with_one_line() -> None:
    result = run("--", "no-such-command")
    assert result.returncode == 127
    assert result.stderr == "drift-sandbox: cannot run no-such-command: No such file or directory\n"


def test_port_in_use_exits_1_with_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("--port", str(port))
    assert result.returncode == 1
    assert result.stderr == f"drift-sandbox: cannot listen on port {port}: Address already in use\n"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--port", "65536", "'65536' is not a port number (0 to 65535)"),
        ("--port", "-1", "'-1' is not a port number (0 to 65535)"),
        ("--latency", "-5", "'-5' is not an integer of at least 0"),
        ("--conversations", "x", "'x' is not an integer of at least 0"),
        ("--rate-limit", "-1", "'-1' is not an integer of at least 0"),
        ("--token-life", "-1", "'-1' is not an integer of at least 0"),
        ("--scopes", "user_read x", "choose from conversation_read contact_read "),
    ],
)
def test_invalid_option_exits_2_and_is_named(
    option: str,
    value: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["drift-sandbox", option, value, "--", "true"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert f"error: argument {option}: {message}" in capsys.readouterr().err


def test_sandbox_imports_the_standard_library_only() -> None:
    script = (
        "import sys; before = set(sys.modules); import tap_drift.sandbox.cli;"
        "print(*(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    other = {
        name
        for name in result.stdout.split()
        if name.split(".")[0] not in sys.stdlib_module_names
        and not name.startswith("tap_drift.sandbox")
    }
    assert other == {"tap_drift"}
