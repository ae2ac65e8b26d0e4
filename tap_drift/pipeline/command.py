"""The command line of `drift-run`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tap_drift.pipeline.processes import Pipeline
from tap_drift.pipeline.state_file import StateFile, StateLockedError

_COMMAND_NOT_FOUND = 127  # as in a shell


@click.command(
    # What follows the target's name belongs to the target.
    context_settings={"allow_interspersed_args": False},
    help=(
        "Run tap-drift into a Singer target, and keep the state between runs in a file."
        "\n\n"
        "The state that the target confirms replaces the file as a whole. The first run creates "
        "it. A second run with the same file at the same time ends with an error. After Ctrl-C or "
        "SIGTERM, the target loads what it has received; a second signal ends it too."
        "\n\n"
        "Exit codes: 0 if everything is loaded and the state is saved; otherwise that of tap-drift "
        "or of the target, whichever failed; 130 and 143 after Ctrl-C and SIGTERM; 127 if the "
        "target cannot be started."
    ),
)
@click.option("--config", multiple=True, metavar="FILE|ENV", help="As for tap-drift.")
@click.option("--catalog", metavar="FILE", help="As for tap-drift.")
@click.option("--select", metavar="STREAMS", help="As for tap-drift.")
@click.option(
    "--state",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File of the state. FILE.lock beside it is the lock.",
)
@click.argument(
    "target", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- TARGET [ARGUMENTS]..."
)
def main(
    config: tuple[str, ...],
    catalog: str | None,
    select: str | None,
    state: Path,
    target: tuple[str, ...],
) -> None:
    """Run the command line; exits the process."""
    options = [f"--config={source}" for source in config]
    options += [f"--catalog={catalog}"] if catalog is not None else []
    options += [f"--select={select}"] if select is not None else []
    try:
        with StateFile(state) as state_file:
            options += [f"--state={state}"] if state.exists() else []
            # -P: a folder `tap_drift` in the working directory is not the tap.
            tap = [sys.executable, "-P", "-m", "tap_drift", *options]
            sys.exit(Pipeline(tap, target, state_file, _report).run())
    except StateLockedError as error:
        _report(str(error))
        sys.exit(1)
    except OSError as error:
        _report(f"cannot use {error.filename}: {error.strerror}.")
        sys.exit(_COMMAND_NOT_FOUND if error.filename == target[0] else 1)


def run() -> None:
    """Run the command as its own process."""
    main(prog_name="drift-run")


def _report(message: str) -> None:
    click.echo(f"drift-run: {message}", err=True)
