"""`tachograph run`: run an application, watched, without changing a line of it."""

from __future__ import annotations

import argparse

from tachograph.errors import TachographError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command and its own arguments, as they are."""
    parser.add_argument(
        "program",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND ...",
        help="python app.py, python -m package, gunicorn ..., uvicorn ..., celery ..., or any other command",
    )
    parser.epilog = (
        "Python programs of this environment run in this very process; workers that they fork or spawn are watched "
        "too. Other commands (a shell script, another interpreter) are started with a PYTHONPATH that has their Python "
        "processes watched, if tachograph is installed there."
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code is ours."""
    from tachograph.instrument.launch import launch

    command = list(args.program)
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        raise TachographError(
            "there is no command to run", where="tachograph run", do="Try: tachograph run -- python app.py"
        )
    return launch(command)
