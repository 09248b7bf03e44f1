"""Running a program in this process, watched, as if Python had been started with it.

No `sitecustomize` is needed for it, which many environments already use for something else: the script, the module or
console script (gunicorn, uvicorn, celery) becomes `__main__` here. Forked workers have our hooks anyway, and
spawned ones get them (`workers.py`).

What is no Python program of this environment is started as it is, with a directory on PYTHONPATH whose
`sitecustomize.py` watches the Python processes below it (and hands over to a `sitecustomize` that was there before).
"""

from __future__ import annotations

import builtins
import os
import shutil
import sys
import types
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from tachograph.errors import TachographError

_mains: list[types.ModuleType] = []

SITE = Path(__file__).parent / "site"


def launch(command: Sequence[str]) -> int:
    """Run a command, watched.

    Returns:
        Its exit code.

    Raises:
        TachographError: There is no such command.
    """
    program = shutil.which(command[0])
    if program is None:
        is_script = command[0].endswith(".py")
        do = f"Try: tachograph run -- python {command[0]}" if is_script else "Check its name and the PATH."
        raise TachographError(f"there is no command {command[0]!r}", where="tachograph run", do=do)
    arguments = list(command[1:])
    if _is_this_python(program):
        started = _python(arguments)
        if started is not None:
            return started
    elif _is_script_of_this_python(program):
        return _watched(lambda: _run_script(program, arguments))
    return _replace(program, list(command))


def _python(arguments: list[str]) -> int | None:
    """`python ARGUMENTS` in this process; None where it needs an interpreter of its own (options, no program)."""
    if not arguments:
        return None
    first, *rest = arguments
    if first == "-m" and rest:
        return _watched(lambda: _run_module(rest[0], rest[1:]))
    if first == "-c" and rest:
        return _watched(lambda: _run_code(rest[0], rest[1:]))
    if first.startswith("-"):
        return None
    if not Path(first).exists():
        raise TachographError(f"there is no file {first!r}", where="tachograph run", do="Check the path.")
    if Path(first).is_dir():
        return None
    return _watched(lambda: _run_script(first, rest))


def _is_this_python(program: str) -> bool:
    name = os.path.basename(program)
    return name.startswith("python") and _same_environment(program)


def _same_environment(python: str) -> bool:
    """Whether an interpreter is this environment's: a virtual environment is known by where its python stands."""
    ours = os.path.dirname(os.path.abspath(sys.executable))
    return os.path.dirname(os.path.abspath(python)) == ours and os.path.realpath(python) == os.path.realpath(
        sys.executable
    )


def _is_script_of_this_python(program: str) -> bool:
    """Whether a file is a console script with this environment's interpreter on its first line."""
    try:
        with open(program, "rb") as file:
            lines = file.read(1024).split(b"\n")
    except OSError:
        return False
    if not lines[0].startswith(b"#!"):
        return False
    interpreter = lines[0][2:].strip().decode(errors="replace")
    if interpreter == "/bin/sh" and len(lines) > 1 and lines[1].startswith(b"'''exec'"):
        interpreter = lines[1].split()[1].decode(errors="replace").strip("'\"")  # a path too long for a first line
    parts = interpreter.split()
    if parts and os.path.basename(parts[0]) == "env" and len(parts) > 1:
        return (shutil.which(parts[1]) or "") != "" and _is_this_python(shutil.which(parts[1]) or "")
    return bool(parts) and os.path.exists(parts[0]) and _same_environment(parts[0])


# Running here


def _watched(run: Callable[[], None]) -> int:
    from tachograph.instrument import boot

    boot.watch()
    try:
        run()
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - reported as the interpreter would report it
        error.__traceback__ = _without_us(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _without_us(trace: types.TracebackType | None) -> types.TracebackType | None:
    """A traceback that begins where the program does."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def _become_main(**attributes: object) -> dict[str, Any]:
    _mains.append(sys.modules["__main__"])  # kept: its code runs still
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, **attributes)
    sys.modules["__main__"] = main
    return main.__dict__


def _begin_path(place: str) -> None:
    """Put the program's place where the interpreter had put ours."""
    if not sys.flags.safe_path:
        sys.path[0] = place


def _run_script(path: str, arguments: list[str]) -> None:
    sys.argv[:] = [path, *arguments]
    _begin_path(os.path.dirname(os.path.realpath(path)))
    path = os.path.abspath(path)
    loader = SourceFileLoader("__main__", path)
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    exec(code, _become_main(__file__=path, __loader__=loader, __cached__=None, __spec__=None))


def _run_code(text: str, arguments: list[str]) -> None:
    sys.argv[:] = ["-c", *arguments]
    _begin_path("")
    exec(compile(text, "<string>", "exec", dont_inherit=True), _become_main(__spec__=None))


def _run_module(name: str, arguments: list[str]) -> None:
    import runpy

    sys.argv[:] = ["-m", *arguments]
    _begin_path(os.getcwd())
    _become_main(__spec__=None)
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]  # what `python -m` itself calls


# Commands that need a process of their own


def _replace(program: str, command: list[str]) -> int:
    """Become another program, with Python processes below it watched through PYTHONPATH."""
    environment = dict(os.environ)
    before = environment.get("PYTHONPATH", "")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(SITE), before)))
    environment["TACHOGRAPH_RUN_PID"] = str(os.getpid())  # what the command becomes, and its children are not
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(program, command, environment)
