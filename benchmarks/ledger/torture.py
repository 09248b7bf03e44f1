"""The long torture: `make torture`, or `python benchmarks/ledger/torture.py [SCENARIO ...] [--seconds 60]`.

Scenarios: sqlite, postgres (stopped at once and restarted), hung (PostgreSQL under SIGSTOP), tmpfs (journals on a
memory file system that fills up), disk (everything on a small loopback file system that fills up). The last two need
root. Exit code 1 when one record is missing, doubled or set aside.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from support.postgres import postgres_server  # noqa: E402
from support.torture import Result, Torture  # noqa: E402
from tachograph.option_values import positive, whole  # noqa: E402


def sqlite(directory: Path, seconds: float, kills: tuple[int, int], rate: float) -> Result:
    """Producers and the writer are killed."""
    return Torture(directory, rate=rate).run(seconds, producer_kills=kills[0], writer_kills=kills[1])


def postgres(directory: Path, seconds: float, kills: tuple[int, int], rate: float) -> Result:
    """PostgreSQL is stopped at once, four times, and started again."""
    with postgres_server() as server:

        def restart() -> None:
            server.stop("immediate")
            server.start()

        torture = Torture(directory, rate=rate, settings={"url": server.url(), "timeout_seconds": 2.0})
        faults = {seconds * part: ("PostgreSQL stopped at once", restart) for part in (0.2, 0.4, 0.6, 0.8)}
        return torture.run(seconds, producer_kills=kills[0], writer_kills=kills[1], faults=faults)


def hung(directory: Path, seconds: float, kills: tuple[int, int], rate: float) -> Result:
    """All of PostgreSQL is stopped with SIGSTOP for 5 s, three times."""
    with postgres_server() as server:
        torture = Torture(directory, rate=rate, settings={"url": server.url(), "timeout_seconds": 1.5})

        def hang() -> None:
            with server.hung():
                torture.wait(5.0)

        faults = {seconds * part: ("PostgreSQL hung for 5 s", hang) for part in (0.2, 0.5, 0.8)}
        return torture.run(seconds, producer_kills=kills[0], writer_kills=kills[1], faults=faults)


def tmpfs(directory: Path, seconds: float, kills: tuple[int, int], rate: float) -> Result:
    """Journals on 24 MB of memory while the store hangs: refused by count, and what was accepted is stored."""
    with mounted(directory / "data", ["-t", "tmpfs", "-o", "size=24m", "tmpfs"]):
        return full(directory, f"sqlite:///{directory / 'elsewhere.db'}", seconds, kills, rate)


def disk(directory: Path, seconds: float, kills: tuple[int, int], rate: float) -> Result:
    """Journals on a file system of 32 MB in a file."""
    image = directory / "disk.img"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    with mounted(directory / "data", ["-o", "loop", str(image)]):
        return full(directory, f"sqlite:///{directory / 'elsewhere.db'}", seconds, kills, rate)


def full(directory: Path, url: str, seconds: float, kills: tuple[int, int], rate: float) -> Result:
    """Stop the writer until the journals' file system is full, three times."""
    import signal

    torture = Torture(directory, rate=rate, settings={"url": url, "segment_mb": 1})

    def pause() -> None:
        assert torture._writer is not None
        torture._writer.send_signal(signal.SIGSTOP)
        torture.wait(seconds / 8)
        torture._writer.send_signal(signal.SIGCONT)

    faults = {seconds * part: ("writer stopped until the file system is full", pause) for part in (0.15, 0.45, 0.7)}
    result = torture.run(seconds, producer_kills=kills[0], writer_kills=kills[1], faults=faults)
    if not result.refused:
        result.problems.append("the file system was never full")
    return result


@contextmanager
def mounted(place: Path, arguments: list[str]) -> Iterator[None]:
    """Mount something there meanwhile."""
    place.mkdir(parents=True)
    subprocess.run(["mount", *arguments, str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


SCENARIOS: dict[str, Callable[[Path, float, tuple[int, int], float], Result]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "hung": hung,
    "tmpfs": tmpfs,
    "disk": disk,
}


def main() -> int:
    """Run what was asked for and print one line of figures for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", help=f"{', '.join(SCENARIOS)} (all)")
    parser.add_argument("--seconds", type=positive, default=60.0)
    parser.add_argument("--rate", type=positive, default=20_000.0, help="records a second of all producers together")
    parser.add_argument("--producer-kills", type=whole(0, 100_000), default=34)
    parser.add_argument("--writer-kills", type=whole(0, 100_000), default=17)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    chosen = arguments.scenarios or list(SCENARIOS)
    unknown = set(chosen) - set(SCENARIOS)
    if unknown:
        parser.error(f"no scenario is called {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    figures, failed = {}, False
    for name in chosen:
        directory = Path(tempfile.mkdtemp(prefix="tg-torture-"))
        try:
            kills = (arguments.producer_kills, arguments.writer_kills)
            result = SCENARIOS[name](directory, arguments.seconds, kills, arguments.rate)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        figures[name] = asdict(result)
        failed |= bool(result.problems)
        verdict = "FAILED" if result.problems else "balanced"
        print(
            f"{name:9} {verdict}: {result.accepted:,} accepted in {result.seconds:.0f} s ({result.rate:,.0f}/s), "
            f"{result.stored:,} stored ({result.unacknowledged} written but not yet acknowledged when killed), "
            f"{result.refused:,} refused, {result.missing} missing; {result.producer_kills} producers and "
            f"{result.writer_kills} writers killed, {len(result.faults)} faults; drained in "
            f"{result.drain_seconds:.1f} s",
            flush=True,
        )
        for problem in result.problems:
            print(f"          {problem}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
