"""`make fuzz`: look for inputs that reach code which no input of the corpus has reached, with atheris, by parser.

    python tools/guided_fuzzing.py [--seconds 20] [NAME ...]

An input that makes a parser fail is added to its corpus, and so is each that reaches new code; commit them. Where
atheris cannot be had (it has wheels for Linux on x86-64 only) the parsers get many random inputs instead.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
CORPUS = TESTS / "fuzz/corpus"
LONGEST = 2000
KEPT = 10
"""Of one run's inputs that reach new code, the shortest: the corpus is played by every `make test`."""


def child(name: str, arguments: list[str]) -> None:
    """One parser under libFuzzer, which ends this process."""
    import logging

    import atheris

    sys.path.insert(0, str(TESTS))
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=["tachograph"]):
        from fuzz.parsers import PARSERS
    atheris.Setup([sys.argv[0], *arguments], PARSERS[name].run)
    atheris.Fuzz()


def fuzz(name: str, seconds: int) -> bool:
    """Fuzz one parser; whether it stood."""
    known = CORPUS / name
    with tempfile.TemporaryDirectory() as found:
        limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=2048"]
        command = [sys.executable, __file__, "--child", name, found, str(known), *limits]
        ran = subprocess.run(
            [*command, f"-artifact_prefix={found}/failed-"], check=False, capture_output=True, text=True
        )
        failed = sorted(Path(found).glob("failed-*"))
        for path in failed:
            shutil.move(path, known / path.name[:20])
        new = sorted(Path(found).iterdir(), key=lambda path: path.stat().st_size)[:KEPT]
        for path in new:
            shutil.copy(path, known / f"found-{path.name[:12]}")
        print(f"{name:18} {'FAILED' if failed else 'ok':6} new inputs kept: {len(new)}", flush=True)
        if failed or ran.returncode:
            print("\n".join(f"    {line}" for line in ran.stderr.splitlines()[-25:]))
    return not failed and ran.returncode == 0


def main() -> int:
    """Fuzz the parsers that are named, or all."""
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seconds", type=int, default=20, help="for each parser (20)")
    arguments = parser.parse_args()
    names = arguments.names or sorted(path.name for path in CORPUS.iterdir())
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: many random inputs instead", flush=True)
        environ = {**os.environ, "TACHOGRAPH_FUZZ_EXAMPLES": "20000"}
        command = [sys.executable, "-m", "pytest", "-q", str(TESTS / "fuzz"), "-k", " or ".join(names)]
        return subprocess.run(command, check=False, env=environ).returncode
    stood = [fuzz(name, arguments.seconds) for name in names]
    return 0 if all(stood) else 1


if __name__ == "__main__":
    sys.exit(main())
