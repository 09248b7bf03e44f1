"""Every parser of bytes from outside: whatever comes, it answers or refuses in its own words, and ends.

In `make test` each parser gets its corpus and a few hundred random inputs (TACHOGRAPH_FUZZ_EXAMPLES sets how many);
`make fuzz` looks for inputs that reach new code. An input that failed stays in corpus/, and is played from then on.
"""

from __future__ import annotations

import os
import random
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("starlette")
import tachograph
from fuzz.parsers import OWN_BYTES, PARSERS
from tachograph.usage import frames
from tachograph.usage.source import JournalSource, backlog

CORPUS: Final = Path(__file__).with_name("corpus")
EXAMPLES: Final = int(os.environ.get("TACHOGRAPH_FUZZ_EXAMPLES", "60"))
SOURCE: Final = Path(tachograph.__file__).parent


def corpus(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def changed(data: bytes, chance: random.Random) -> bytes:
    """A few cuts, repeats, flips and numbers at their limits."""
    for _ in range(chance.randrange(1, 4)):
        at, to = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
        middle = chance.choice((
            b"", data[at:to] * 2, chance.randbytes(chance.randrange(4)), b"\xff" * 4, bytes(8), b"1e999", b"[" * 2000,
        ))  # fmt: skip
        data = data[:at] + middle + data[to:]
    return data[:20_000]


@st.composite
def inputs(draw: st.DrawFn, name: str) -> bytes:
    known, words = corpus(name), PARSERS[name].words
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.binary(max_size=300))
    if kind == 1 and words:
        return " ".join(draw(st.lists(st.sampled_from(words), max_size=40))).encode()
    if kind == 2 and words:
        return "".join(draw(st.lists(st.sampled_from(words), max_size=40))).encode()
    return changed(draw(st.sampled_from(known)), draw(st.randoms(use_true_random=False)))


@pytest.mark.parametrize("name", PARSERS)
def test_random_inputs(name: str) -> None:
    fuzzed = settings(
        max_examples=max(10, EXAMPLES // PARSERS[name].cost),
        deadline=None,  # of a loaded machine; what never ends is ended by the test's time-out
        suppress_health_check=list(HealthCheck),
    )
    fuzzed(given(inputs(name))(PARSERS[name].run))()


@pytest.mark.parametrize("name", PARSERS)
def test_the_corpus_is_played_and_reaches_the_modules_that_are_named(name: str) -> None:
    reached: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            reached.add(frame.f_code.co_filename)

    known = corpus(name)
    assert known
    before = sys.getprofile()
    threading.setprofile(note)  # the console's requests are answered in a thread
    sys.setprofile(note)
    try:
        for body in known:
            PARSERS[name].run(body)
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    missed = [one for one in PARSERS[name].modules if not any(path.endswith(_path(one)) for path in reached)]
    assert missed == []


def _path(module: str) -> str:
    return f"/tachograph/{module.replace('.', '/')}.py"


READS: Final = {
    "json.loads", "json.load", "msgspec.json.decode", "msgspec.msgpack.decode", "msgspec.json.Decoder",
    "msgspec.msgpack.Decoder", "tomllib.loads", "csv.reader", "csv.DictReader", "struct.Struct", "struct.unpack",
    "struct.unpack_from", "unpack_from", "unpack", "int.from_bytes", "datetime.fromisoformat", "date.fromisoformat",
    "parsedate_to_datetime", "email.utils.parsedate_to_datetime", "urlsplit", "urllib.parse.urlsplit", "urlparse",
    "parse_qs", "parse_qsl", "conninfo_to_dict", "yaml.safe_load", "pickle.loads", "zlib.decompressobj",
}  # fmt: skip
"""What turns bytes or text into something else."""


def test_every_module_that_reads_bytes_is_fuzzed_or_reads_only_its_own() -> None:
    fuzzed_modules = {module for parser in PARSERS.values() for module in parser.modules}
    reading = set()
    for path in SOURCE.rglob("*.py"):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        if module.startswith(("demo.", "drill.")):
            continue  # they read what our own simulators and receivers say
        if READS & set(re.findall(r"(?<![\w.])([\w.]+)\(", path.read_text("utf-8"))):
            reading.add(module)
    unknown = reading - fuzzed_modules - OWN_BYTES.keys()
    assert unknown == set(), "add them to PARSERS in tests/fuzz/parsers.py, or say in OWN_BYTES whose bytes they read"
    assert OWN_BYTES.keys() - reading == set()
    assert OWN_BYTES.keys() & fuzzed_modules == set()


def _whole(count: int) -> bytes:
    header = frames.segment_header(b"\1" * 16, 1, 0, 1, 1)
    return header + b"".join(frames.frame(number, 1, b"p%d" % number * 20) for number in range(count))


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _noise(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + chance.randbytes(chance.randrange(200)) + data[start:]


def _zeroed_pages(data: bytes, chance: random.Random) -> bytes:
    page = chance.randrange(len(data) // 512 + 1) * 512
    return data[:page] + bytes(min(512, len(data) - page)) + data[page + 512 :]


def _doubled(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data + data[start:]


@pytest.mark.parametrize("damage", [_cut, _noise, _zeroed_pages, _doubled])
def test_of_a_damaged_segment_no_record_is_made_up(
    tmp_path: Path, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    whole = {b"p%d" % number * 20 for number in range(60)}
    path = tmp_path / f"{'01' * 16}-00000001.journal"
    for seed in range(max(10, EXAMPLES // 20)):
        path.write_bytes(damage(_whole(60), random.Random(seed)))
        backlog(tmp_path)
        source = JournalSource(tmp_path, {})
        found: set[bytes] = set()
        while batch := source.read(50):
            found.update(batch.payloads)
            source.committed(batch)
        source.close()
        assert found <= whole, "a record that was never written"
        assert not path.exists(), "a damaged segment stays forever"
