"""The command `drift-sandbox`: run the sandbox alone or around another command."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tap_drift.sandbox.auth import SCOPES
from tap_drift.sandbox.data.account import Account
from tap_drift.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from types import FrameType

_COMMAND_NOT_FOUND = 127  # as in a shell
_MAX_PORT = 65535


def main() -> NoReturn:
    """Run the command line."""
    arguments, command = _split_command(sys.argv[1:])
    options = _parser().parse_args(arguments)
    try:
        sys.exit(_start(options, command))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _split_command(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split at the first `--`."""
    if "--" not in arguments:
        return arguments, []
    index = arguments.index("--")
    return arguments[:index], arguments[index + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="drift-sandbox",
        usage="drift-sandbox [options] [-- COMMAND ...]",
        description=(
            "Serve a generated Drift account on 127.0.0.1. With COMMAND: run it with the settings "
            "of the sandbox in its environment, and exit with its exit code. Without COMMAND: "
            "serve until Ctrl-C."
        ),
    )
    parser.add_argument(
        "--conversations",
        type=_non_negative,
        default=1000,
        metavar="N",
        help="number of conversations (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the account (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=_port, default=0, help="port to listen on (default: any free port)"
    )
    parser.add_argument(
        "--latency",
        type=_non_negative,
        default=0,
        metavar="MS",
        help="delay of each response in milliseconds (default: %(default)s)",
    )
    parser.add_argument(
        "--rate-limit",
        type=_non_negative,
        default=0,
        metavar="N",
        help="reject more than N requests per second (default: off)",
    )
    parser.add_argument(
        "--scopes",
        type=_scopes,
        default=SCOPES,
        metavar="'A B ...'",
        help="scopes of all tokens (default: all scopes)",
    )
    parser.add_argument(
        "--token-life",
        type=_non_negative,
        default=7200,
        metavar="S",
        help="seconds until a refreshed token expires (default: %(default)s)",
    )
    parser.add_argument("--verbose", action="store_true", help="print each request")
    return parser


def _non_negative(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 0")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number (0 to {_MAX_PORT})")
    return int(text)


def _scopes(text: str) -> list[str]:
    if not set(scopes := text.split()) <= set(SCOPES):
        raise argparse.ArgumentTypeError(f"choose from {' '.join(SCOPES)}")
    return scopes


def _start(options: argparse.Namespace, command: list[str]) -> int | str:
    """Run the server; return an exit code or an error message."""
    account = Account.from_seed(options.conversations, options.seed)
    try:
        server = SandboxServer(
            account,
            port=options.port,
            latency=options.latency / 1000,
            verbose=options.verbose,
            scopes=options.scopes,
            token_life=options.token_life,
            rate_limit=options.rate_limit,
        )
    except OSError as error:
        return f"drift-sandbox: cannot listen on port {options.port}: {error.strerror}"
    with server:
        return _run(command, server) if command else _serve(server)


def _environment(server: SandboxServer) -> dict[str, str]:
    """Return the environment variables that make the tap and Meltano use the sandbox.

    Meltano's environment is `sandbox`, so that its state and files are separate from those of a
    real account. Requests to 127.0.0.1 do not use a proxy.
    """
    no_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    no_proxy = f"{no_proxy},127.0.0.1" if no_proxy else "127.0.0.1"
    return {
        "TAP_DRIFT_API_URL": server.url,
        "TAP_DRIFT_ACCESS_TOKEN": server.token,
        "MELTANO_ENVIRONMENT": "sandbox",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


def _serve(server: SandboxServer) -> int:
    exports = (f"  export {name}={value}\n" for name, value in _environment(server).items())
    print(  # noqa: T201 - the command's output
        f"Serving {len(server.account.conversations):,} conversations on {server.url}. To use the "
        f"sandbox in another terminal, run there:\n{''.join(exports)}Press Ctrl-C to stop.",
        flush=True,
    )
    with suppress(KeyboardInterrupt):
        signal.pause()
    return 0


def _run(command: list[str], server: SandboxServer) -> int:
    """Run the command and pass signals to it; return its exit code, or 128 + its signal."""
    try:
        process = subprocess.Popen(command, env=os.environ | _environment(server))  # noqa: S603 - the user's command
    except OSError as error:
        print(f"drift-sandbox: cannot run {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - an error message
        return _COMMAND_NOT_FOUND

    def forward(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGINT or not _in_foreground():
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    status = process.wait()
    return status if status >= 0 else 128 - status


def _in_foreground() -> bool:
    """Whether the terminal sends Ctrl-C to this process group, and so to the command as well."""
    try:
        with Path("/dev/tty").open("rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


if __name__ == "__main__":
    main()
