"""The command `drift-sandbox`: serve an account, alone or around another command."""

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


def main() -> NoReturn:
    """Serve, and exit: as the command did, or on Ctrl-C.

    Raises:
        SystemExit: Always.
    """
    arguments, command = _split(sys.argv[1:])
    options = _parser().parse_args(arguments)
    try:
        sys.exit(_sandbox(options, command))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _sandbox(options: argparse.Namespace, command: list[str]) -> int | str:
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


def environment(server: SandboxServer) -> dict[str, str]:
    """Give the variables that point a tap to a sandbox.

    Args:
        server: The sandbox.

    Returns:
        The tap's settings; Meltano's environment, so that what Meltano keeps of a sandbox is never
        taken for a real account's state; and that loopback is not reached through a proxy.
    """
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    direct = f"{direct},127.0.0.1" if direct else "127.0.0.1"
    return {
        "TAP_DRIFT_API_URL": server.url,
        "TAP_DRIFT_ACCESS_TOKEN": server.token,
        "MELTANO_ENVIRONMENT": "sandbox",
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    cut = arguments.index("--")
    return arguments[:cut], arguments[cut + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="drift-sandbox",
        usage="drift-sandbox [options] [-- COMMAND ...]",
        description=(
            "Serve a made-up Drift account on loopback. With a COMMAND: run it against that "
            "account, and exit as it does. Without: serve until Ctrl-C."
        ),
    )
    parser.add_argument(
        "--conversations",
        type=_at_least_0,
        default=1000,
        metavar="N",
        help="size of the account (%(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="another seed makes another account (%(default)s)"
    )
    parser.add_argument("--port", type=_port, default=0, help="where to listen (any free port)")
    parser.add_argument(
        "--latency",
        type=_at_least_0,
        default=0,
        metavar="MS",
        help="milliseconds that an answer takes",
    )
    parser.add_argument(
        "--rate-limit",
        type=_at_least_0,
        default=0,
        metavar="N",
        help="refuse more than N requests a second",
    )
    parser.add_argument(
        "--scopes",
        type=_scopes,
        default=SCOPES,
        metavar="'A B ...'",
        help="what tokens may read (everything)",
    )
    parser.add_argument(
        "--token-life",
        type=_at_least_0,
        default=7200,
        metavar="S",
        help="seconds that a refreshed access token lives (%(default)s)",
    )
    parser.add_argument("--verbose", action="store_true", help="print each request")
    return parser


def _at_least_0(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return int(text)


def _port(text: str) -> int:
    if (number := _at_least_0(text)) > 65535:  # noqa: PLR2004 - the ports that there are
        raise ValueError
    return number


def _scopes(text: str) -> list[str]:
    if not set(scopes := text.split()) <= set(SCOPES):
        raise argparse.ArgumentTypeError(f"choose from {' '.join(SCOPES)}")
    return scopes


def _serve(server: SandboxServer) -> int:
    print(  # noqa: T201 - this is what the command is for
        f"A Drift with {len(server.account.conversations):,} conversations. To use it, in another "
        "terminal:\n"
        + "".join(f"  export {name}={value}\n" for name, value in environment(server).items())
        + "Ctrl-C ends it.",
        flush=True,
    )
    with suppress(KeyboardInterrupt):
        signal.pause()
    return 0


def _run(command: list[str], server: SandboxServer) -> int:
    try:
        process = subprocess.Popen(command, env=os.environ | environment(server))  # noqa: S603
    except OSError as error:
        print(f"drift-sandbox: cannot run {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 127

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGINT or not _in_foreground():
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    status = process.wait()
    return status if status >= 0 else 128 - status


def _in_foreground() -> bool:
    """Whether Ctrl-C comes from our own terminal, which sends it to the command as well."""
    try:
        with Path("/dev/tty").open("rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


if __name__ == "__main__":
    main()
