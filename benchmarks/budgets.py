"""Budgets under fire: agents in several processes race for one budget while processes are killed with SIGKILL.

    make budgets                                        SQLite's files and PostgreSQL's leases
    make budgets ARGS="--litellm PYTHON"                LiteLLM's budget beside them, run by a Python that has litellm

Each call costs what a vendor's bill says: a line in a file, written at the moment of "serving", which no kill undoes.
A process that is killed leaves calls that were sent: they are on the bill, and are never settled.

What is reported, of the bill:
    overspent        what was billed beyond the limit
    largest call     the largest single cost, for comparison
    left             calls that the rest of the budget would have paid for, in per cent of all calls: false refusals
    presumed         what killed processes held and the vendor did not bill, in per cent of the limit: the guard counts
                     it as spent, since it cannot be known
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

MODEL = "gpt-5"
PROMPT = "x" * 1200
MOST_OUTPUT = 1000
GIVES_UP_AFTER = 6
"""An agent ends after so many refusals in a row."""


@dataclass(frozen=True)
class Result:
    """How one run ended. Money in US dollars."""

    store: str
    limit: float
    billed: float
    calls: int
    kills: int
    overspent: float
    largest_call: float
    left_percent: float
    presumed_percent: float


def bill(path: Path) -> list[int]:
    """The vendor's bill: nano-dollars of each call that was served."""
    data = path.read_bytes() if path.exists() else b""
    return [cost for (cost,) in struct.iter_unpack("<q", data[: len(data) // 8 * 8])]


def run(
    store: str,
    directory: Path,
    *,
    calls: int,
    processes: int = 4,
    agents: int = 100,
    kills: int = 3,
    url: str | None = None,
    python: str = sys.executable,
    timeout: float = 240.0,
) -> Result:
    """One race for a budget that pays for about so many calls."""
    mean = 0.0055
    limit = round(calls * mean, 4)
    path = directory / "bill"
    rng = random.Random(7)
    workers: list[subprocess.Popen[bytes]] = []

    def start(number: int) -> subprocess.Popen[bytes]:
        place = directory / f"host-{number % 2 if url else 0}"
        command = [python, __file__, "--worker", store, str(place), str(path), str(limit), str(agents // processes)]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen([*command, url or ""], env=environ, preexec_fn=_bounded, start_new_session=True)

    try:
        workers = [start(number) for number in range(processes)]
        deadline = time.monotonic() + timeout
        killed = 0
        while any(worker.poll() is None for worker in workers) and time.monotonic() < deadline:
            time.sleep(0.05)
            served = path.stat().st_size // 8 if path.exists() else 0
            if killed < kills and served > calls * (killed + 1) / (kills + 1):
                victim = rng.randrange(processes)
                if workers[victim].poll() is None:
                    workers[victim].send_signal(signal.SIGKILL)
                    workers[victim].wait()
                    workers[victim] = start(victim)
                    killed += 1
    finally:
        for worker in workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    costs = bill(path)
    billed = sum(costs) / 1e9
    average = billed / max(1, len(costs))
    counted = _counted(directory, limit) if store != "litellm" else 0.0
    return Result(
        store,
        limit,
        round(billed, 6),
        len(costs),
        killed,
        round(max(0.0, billed - limit), 6),
        max(costs, default=0) / 1e9,
        round(100 * max(0.0, limit - max(billed, counted)) / average / max(1, len(costs)), 3),
        round(100 * max(0.0, counted - billed) / limit, 3),
    )


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (300, 300))


def _counted(directory: Path, limit: float) -> float:
    """What the budgets' files hold as spent once the dead have been looked after, in US dollars."""
    from tachograph.settings.budgets import BudgetLimit
    from tachograph.usage.budgets.accounts import Accounts, Slot
    from tachograph.usage.budgets.scope import ONLY_ACCOUNT, Scope

    scope = Scope(BudgetLimit(name="race", usd=Decimal(str(limit)), period="total"))
    nano = 0
    for place in directory.glob("host-*/budgets"):
        row = Accounts(scope.file_name(), scope.window, Slot(place), 1).row(ONLY_ACCOUNT, time.time())
        nano += row.spent(1) + row.reserved()
    return nano / 1e9


async def _agent(make: Any, path: int, rng: random.Random) -> None:
    refused = 0
    while refused < GIVES_UP_AFTER:
        try:
            settle = make()
        except Exception as error:
            if "udget" not in f"{type(error).__name__}{error}":
                raise
            refused += 1
            await asyncio.sleep(getattr(error, "retry_after_seconds", None) or 0.05)
            continue
        refused = 0
        await asyncio.sleep(rng.uniform(0.002, 0.02))
        output = rng.randint(100, MOST_OUTPUT)
        nano = 300 * 1250 + output * 10_000
        os.write(path, struct.pack("<q", nano))  # served: from here on it is on the bill
        await asyncio.sleep(rng.uniform(0.0, 0.01))
        settle(output, nano)


def _ours(place: Path, limit: str, url: str) -> Any:
    from tachograph.records import Cost, Usage
    from tachograph.runtime import build
    from tachograph.settings import load

    budgets = {"limits": [{"name": "race", "usd": limit, "period": "total", "steps": []}], "guard": "all"}
    settings = load(
        {
            "ledger": {"data_dir": str(place), **({"url": url} if url else {})},
            "budgets": budgets,
            "spans": {"enabled": False},
        },
        environ={},
        read_file=False,
    )
    recorder = build(settings)
    asks = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": MOST_OUTPUT}

    def make() -> Any:
        call = recorder.start_llm_call("openai", MODEL, asks=asks)
        call.begin_attempt()

        def settle(output: int, nano: int) -> None:
            call.usage, call.cost = Usage(300, output), Cost(nano, "priced", "bill")
            call.finish("success")

        return settle

    return make


def _litellm(limit: str) -> Any:
    import litellm

    litellm.max_budget = float(limit)

    def make() -> Any:
        if litellm._current_cost > litellm.max_budget:  # what `completion` looks at before it sends
            raise litellm.BudgetExceededError(current_cost=litellm._current_cost, max_budget=litellm.max_budget)

        def settle(output: int, nano: int) -> None:
            litellm._current_cost += nano / 1e9  # what its callback does after an answer

        return settle

    return make


async def _work(arguments: list[str]) -> None:
    store, place, path, limit, agents, url = arguments
    make = _litellm(limit) if store == "litellm" else _ours(Path(place), limit, url)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    rng = random.Random(os.getpid())
    await asyncio.gather(*(_agent(make, file, rng) for _ in range(int(agents))))


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument(
        "--postgres", metavar="URL", help="a database; without it a server is started where there is one"
    )
    parser.add_argument("--litellm", metavar="PYTHON", help="a Python that has litellm installed")
    parser.add_argument("--worker", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        asyncio.run(_work(arguments.worker))
        return 0
    results = []
    with tempfile.TemporaryDirectory(prefix="tg-budgets-") as name:
        root = Path(name)
        (root / "sqlite").mkdir()
        results.append(run("sqlite", root / "sqlite", calls=arguments.calls, kills=arguments.kills))
        with _postgres(arguments.postgres) as url:
            if url:
                place = root / "postgresql"
                place.mkdir()
                results.append(run("postgresql", place, calls=arguments.calls, kills=arguments.kills, url=url))
        if arguments.litellm:
            (root / "litellm").mkdir()
            results.append(run("litellm", root / "litellm", calls=arguments.calls, kills=0, python=arguments.litellm))
    for result in results:
        print(json.dumps(asdict(result)))
    held = [result for result in results if result.store != "litellm"]
    return 0 if all(one.overspent <= one.largest_call and one.left_percent < 1.0 for one in held) else 1


@contextmanager
def _postgres(url: str | None) -> Iterator[str | None]:
    """The database that was named, or one of a server of our own, or None where no server is installed."""
    if url:
        yield url
        return
    import pytest

    from support.postgres import postgres_server

    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgres_server()).url()
        except pytest.skip.Exception as error:
            print(f"postgresql: not run: {error}", file=sys.stderr)
        yield url


if __name__ == "__main__":
    sys.exit(main())
