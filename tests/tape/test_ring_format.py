"""The bytes of a ring: what is written for each record, and what is read of whole, foreign, cut and damaged files."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from tachograph.records import NOWHERE, Attempt, Cost, LLMCall, Run, ToolCall, Usage, ids
from tachograph.records.outcomes import ERROR_KINDS, ERROR_TYPES, OUTCOMES, TOOL_OUTCOMES
from tachograph.tape import ring as module
from tachograph.tape.ring import (
    Recovered,
    Ring,
    are_there_others,
    dead,
    directory_of,
    measure_dead,
    place_of,
    read,
    sweep,
)

HEADER, PLANS, PIECE = 4096, 128 * 1024, 1024 * 384
START = HEADER + PLANS
SLOT = struct.Struct("<QQqqqqqqHBBBBQQQH260sQ")
LARGE = struct.Struct("<QQqqqqqqHBBBBQQQH3972sQ")
BEGUN = 1_700_000_000_123_456_789
TRACE, SPAN = 0x0123456789ABCDEF_FEDCBA9876543210, 0x0011223344556677
RUN = Run("run", "planner", "job", "session", "user", "1.2", "parent")
RUN_FACTS = ["run", "planner", "job", "session", "user", "1.2", "parent"]
pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


def llm_call(number: int = 7, **facts: Any) -> LLMCall:
    call = LLMCall(NOWHERE, "openai", "gpt-5", number=number, started_unix_ns=BEGUN, started_ns=1000, ended_ns=6000)
    call.outcome = "success"
    for name, value in facts.items():
        setattr(call, name, value)
    return call


def tool_call(number: int = 7, **facts: Any) -> ToolCall:
    call = ToolCall(NOWHERE, "clock", "get_time", number=number, started_unix_ns=BEGUN, started_ns=1000, ended_ns=6000)
    call.outcome = "success"
    for name, value in facts.items():
        setattr(call, name, value)
    return call


def attempts(count: int) -> list[Attempt]:
    return [Attempt(number + 1, 0) for number in range(count)]


def content(ring: Ring) -> bytes:
    assert ring.path is not None
    return ring.path.read_bytes()


# Of a slot: duration, first, waited, tokens in and out, cost, plan, outcome, error, attempts, flags, trace, span.
PLAIN = (5000, 0, 0, -1, -1, -1, 0, 0, 255, 1, 2, 0, 0, 0)


def plain(**changed: int) -> tuple[int, ...]:
    names = ("took", "first", "waited", "tokens_in", "tokens_out", "cost", "plan", "outcome", "error", "attempts",
             "flags", "trace_high", "trace_low", "span")  # fmt: skip
    return tuple((dict(zip(names, PLAIN, strict=True)) | changed).values())


CALLS: list[tuple[Callable[..., LLMCall | ToolCall], dict[str, Any], tuple[int, ...]]] = [
    (llm_call, {}, PLAIN),
    (llm_call, {"ended_ns": 1000}, plain(took=0)),
    (llm_call, {"first_token_ns": 1400}, plain(first=400)),
    (llm_call, {"unsent_wait_ns": 77}, plain(waited=77)),
    (llm_call, {"usage": Usage(11, 12)}, plain(tokens_in=11, tokens_out=12)),
    (llm_call, {"usage": Usage(None, 12)}, plain(tokens_out=12)),
    (llm_call, {"usage": Usage(0, None)}, plain(tokens_in=0)),
    (llm_call, {"tokens": (0, 5), "usage": Usage(11, 12)}, plain(tokens_in=0, tokens_out=5)),
    (llm_call, {"tokens": (None, 0)}, plain(tokens_out=0)),
    (llm_call, {"tokens": (3, None)}, plain(tokens_in=3)),
    (llm_call, {"cost": Cost(None, "unpriced")}, PLAIN),
    (llm_call, {"cost": Cost(0, "priced")}, plain(cost=0)),
    (llm_call, {"cost": Cost(123_456, "priced")}, plain(cost=123_456)),
    (llm_call, {"outcome": None}, plain(outcome=255)),
    (llm_call, {"attempts": attempts(3)}, plain(attempts=3)),
    (llm_call, {"stream": True}, plain(flags=3)),
    (llm_call, {"counts_usage": False}, plain(flags=0)),
    (llm_call, {"stream": True, "counts_usage": False}, plain(flags=1)),
    (llm_call, {"trace_id": TRACE, "span_id": SPAN},
     plain(trace_high=0x0123456789ABCDEF, trace_low=0xFEDCBA9876543210, span=SPAN)),
    *((llm_call, {"outcome": word}, plain(outcome=code)) for code, word in enumerate(OUTCOMES)),
    *((llm_call, {"error_type": word}, plain(error=code)) for code, word in enumerate(ERROR_TYPES)),
    (tool_call, {}, PLAIN),
    (tool_call, {"outcome": None}, plain(outcome=255)),
    *((tool_call, {"outcome": word}, plain(outcome=code)) for code, word in enumerate(TOOL_OUTCOMES)),
    *((tool_call, {"error_kind": word}, plain(error=code)) for code, word in enumerate(ERROR_KINDS)),
    (tool_call, {"trace_id": TRACE, "span_id": 1},
     plain(trace_high=0x0123456789ABCDEF, trace_low=0xFEDCBA9876543210, span=1)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "facts", "packed"), CALLS)
def test_the_slot_of_a_record(
    tmp_path: Path, make: Callable[..., LLMCall | ToolCall], facts: dict[str, Any], packed: tuple[int, ...]
) -> None:
    ring, record = Ring(tmp_path), make(**facts)
    assert ring.keep(record)
    data = content(ring)
    assert record.slot == START + PIECE - 384, "the last of the free ones"
    *found, length, extra, mark = SLOT.unpack_from(data, record.slot)
    assert (found[0], found[1], tuple(found[2:]), mark) == (8, BEGUN, packed, 8)
    assert (length, extra) == (0, bytes(260))
    plan = ["llm", "openai", "gpt-5", "chat", ""] if make is llm_call else ["mcp", "clock", "get_time", "client"]
    (used,), (size,) = struct.unpack_from("<I", data, 1024), struct.unpack_from("<H", data, HEADER)
    assert (unpack(data[HEADER + 2 : HEADER + used]), size) == (plan, used - 2)


@pytest.mark.parametrize(
    ("record", "extra"),
    [
        (llm_call(labels={"team": "a"}), [{"team": "a"}, None, None, None]),
        (llm_call(labels={}), [{}, None, None, None]),
        (llm_call(run=RUN), [None, RUN_FACTS, None, None]),
        (tool_call(call_id="call_1"), [None, None, "call_1", None]),
        (tool_call(call_id="c", labels={"a": "b"}, run=Run()), [{"a": "b"}, [""] * 7, "c", None]),
    ],
)
def test_what_only_some_records_have_is_beside_their_numbers(
    tmp_path: Path, record: LLMCall | ToolCall, extra: list[Any]
) -> None:
    ring = Ring(tmp_path)
    assert ring.keep(record)
    length, found = SLOT.unpack_from(content(ring), record.slot)[-3:-1]
    assert unpack(found[:length]) == extra
    assert found[length:] == bytes(260 - length)


def labelled(extra: int, number: int = 7) -> LLMCall:
    """A call whose labels, as they are written down, take so many bytes."""
    sizes = (size for size in range(extra - 20, extra) if len(pack([{"user": "u" * size}, None, None, None])) == extra)
    return llm_call(number, labels={"user": "u" * next(sizes)})


def test_the_size_of_a_slot_is_the_smallest_that_does(tmp_path: Path) -> None:
    ring, calls = Ring(tmp_path), [labelled(extra, extra) for extra in (260, 261, 3972, 3973)]
    ring.prepare()
    assert [ring.keep(call) for call in calls] == [True, True, True, False]
    first_large = START + PIECE
    assert [call.slot for call in calls] == [first_large - 384, first_large + 95 * 4096, first_large + 94 * 4096, -1]
    data = content(ring)
    assert (len(data), data[2048:2064]) == (START + 2 * PIECE, b"\0\1" + bytes(14))
    assert [record.labels for record in read(data, NOWHERE).records] == [call.labels for call in calls[:3]]
    assert ring.slots_in_use == 3
    ring.measured(calls[1])
    ring.release([call.slot for call in calls[:3]])
    assert ring.slots_in_use == 0
    assert [ring.keep(call) for call in calls] == [True, True, True, False]
    assert [call.slot for call in calls[:3]] == [first_large - 384, first_large + 94 * 4096, first_large + 95 * 4096]
    assert read(content(ring), NOWHERE).measured == set(), "a slot that is used again is not measured"


def test_a_full_ring_refuses_and_a_slot_that_is_given_back_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECES", 2)
    ring = Ring(tmp_path)
    calls = [llm_call(number) for number in range(2049)]
    assert [ring.keep(call) for call in calls] == [True] * 2048 + [False]
    assert {call.slot for call in calls[:-1]} == {START + number * 384 for number in range(2048)}
    assert not ring.keep(labelled(261))
    assert ring.slots_in_use == 2048
    ring.release([calls[5].slot])
    assert ring.slots_in_use == 2047
    assert ring.keep(calls[-1])
    assert calls[-1].slot == calls[5].slot
    assert [record.number for record in read(content(ring), NOWHERE).records] == [*range(5), *range(6, 2049)]


def test_a_piece_that_finds_no_room_or_is_being_made_costs_the_record_its_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = Ring(tmp_path)
    assert all(ring.keep(llm_call(number)) for number in range(1024))
    with ring._opening:
        assert not ring.keep(llm_call(1024))
    with monkeypatch.context() as patched:
        patched.setattr(module, "_allocate", _fails)
        assert not ring.keep(llm_call(1024))
    assert (ring.slots_in_use, len(content(ring))) == (1024, START + PIECE)
    assert ring.keep(llm_call(1024))
    assert (ring.slots_in_use, len(content(ring))) == (1025, START + 2 * PIECE)


def test_a_record_that_cannot_be_packed_leaves_its_slot_to_the_next(tmp_path: Path) -> None:
    ring, huge, half = Ring(tmp_path), llm_call(1, usage=Usage(2**70, 1)), llm_call(2, labels={"user": "\ud83d"})
    calls = [llm_call(3), llm_call(4)]
    assert [ring.keep(call) for call in (huge, half, *calls)] == [False, False, True, True]
    assert [call.slot for call in (huge, half, *calls)] == [-1, -1, START + PIECE - 384, START + PIECE - 768]
    assert ring.slots_in_use == 2


def test_a_record_that_the_metrics_have_is_marked_and_keeps_its_other_facts(tmp_path: Path) -> None:
    ring, calls = Ring(tmp_path), [llm_call(1, stream=True), llm_call(2, stream=True), tool_call(3)]
    assert all(ring.keep(call) for call in calls)
    before = content(ring)
    for _ in range(2):
        ring.measured(calls[1])
        ring.measured(calls[2])
    flags = [SLOT.unpack_from(content(ring), call.slot)[12] for call in calls]
    assert flags == [3, 7, 6]
    found, earlier = read(content(ring), NOWHERE), read(before, NOWHERE)
    assert found.measured == {call.id for call in calls[1:]}
    assert [whole(record) for record in found.records] == [whole(record) for record in earlier.records]


def test_where_space_cannot_be_allocated_ahead_the_file_is_made_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    ring, calls = Ring(tmp_path), [llm_call(number) for number in range(1025)]
    assert all(ring.keep(call) for call in calls)
    assert len(content(ring)) == START + 2 * PIECE
    assert [record.number for record in read(content(ring), NOWHERE).records] == list(range(1025))


def test_a_forked_child_closes_the_file_and_makes_one_of_its_own(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    assert ring.keep(llm_call(1))
    parents = ring.path
    assert parents is not None
    held = len(os.listdir("/proc/self/fd"))
    ring.after_fork_in_child()
    assert len(os.listdir("/proc/self/fd")) == held - 1
    assert (ring.path, ring.slots_in_use) == (None, 0)
    assert ring.keep(llm_call(2))
    assert ring.path != parents
    assert [record.number for record in read(content(ring), NOWHERE).records] == [2]
    assert ring._file is not None
    number = ring._file.fileno()
    with (tmp_path / "application").open("w+b") as other:
        os.dup2(other.fileno(), number)  # the application's file has the number now
    ring.after_fork_in_child()
    assert os.write(number, b"open") == 4
    os.close(number)


def test_a_name_that_is_just_being_written_down_goes_into_the_slot(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    ring.prepare()
    first, second, again, known = llm_call(1), tool_call(2), llm_call(3), llm_call(4)
    with ring._opening:
        assert ring.keep(first)
        assert ring.keep(second)
    assert ring.keep(again)
    with ring._opening:
        assert ring.keep(known)
    data = content(ring)
    assert [SLOT.unpack_from(data, call.slot)[8] for call in (first, second, again, known)] == [0xFFFF, 0xFFFF, 0, 0]
    length, extra = SLOT.unpack_from(data, first.slot)[-3:-1]
    assert unpack(extra[:length]) == [None, None, None, ["llm", "openai", "gpt-5", "chat", ""]]
    found = read(data, NOWHERE).records
    assert [getattr(record, "model", None) for record in found] == ["gpt-5", None, "gpt-5", "gpt-5"]
    assert isinstance(found[1], ToolCall)
    assert (found[1].server_id, found[1].tool_name, found[1].side) == ("clock", "get_time", "client")


def test_names_are_written_down_once_until_their_room_is_used_up(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    names = [f"{number:03d}".ljust(850, "m") for number in range(150)] + ["x" * 101, "x" * 100]
    sizes = [2 + len(pack(["llm", "openai", name, "chat", ""])) for name in names]
    assert (sum(sizes[:150]) + sizes[150], sum(sizes[:150]) + sizes[151]) == (PLANS + 1, PLANS)
    calls = [llm_call(number, model=name) for number, name in enumerate([*names, *names])]
    for call in calls:
        assert ring.keep(call)
    data = content(ring)
    assert struct.unpack_from("<I", data, 1024) == (PLANS,)
    plans = [*range(150), 0xFFFF, 150]
    assert [SLOT.unpack_from(data, call.slot)[8] for call in calls] == plans * 2
    assert [record.model for record in read(data, NOWHERE).records] == [*names, *names]


def test_the_header_names_the_process_and_its_data_directory(tmp_path: Path) -> None:
    for place in (None, tmp_path):
        ring = Ring(tmp_path / "user" / "rings", place)
        assert ring.path is None
        assert (ring.slots_in_use, ring.release([5])) == (0, None)
        ring.prepare()
        path = ring.path
        assert path is not None
        ring.prepare()
        assert ring.path == path, "it is made once"
        assert (len(content(ring)), ring.slots_in_use) == (START + PIECE, 0)
        name = b"" if place is None else os.fsencode(tmp_path)
        header = struct.pack("<8sHHIIQ16s", b"TGRING01", 2, 384, 16_384, PLANS, os.getpid(), ids.base().to_bytes(16))
        placed = struct.pack("<QH", os.stat("/proc/self/ns/mnt").st_ino, len(name)) + name
        assert content(ring)[:HEADER] == header.ljust(2096, b"\0") + placed.ljust(2000, b"\0")
        assert place_of(content(ring)[:HEADER]) == (None if place is None else str(tmp_path))
        folders = (path, path.parent, path.parent.parent)
        assert [stat.S_IMODE(at.stat().st_mode) for at in folders] == [0o600, 0o700, 0o700]
        assert os.listdir(path.parent) == [path.name]
        assert path.name.startswith(f"{os.getpid()}-")
        assert path.suffix == ".ring"
        ring.close()


def test_a_data_directory_with_a_longer_name_than_there_is_room_for_is_not_named(tmp_path: Path) -> None:
    room = HEADER - 2096 - 10
    for size, is_named in ((room, True), (room + 1, False)):
        ring = Ring(tmp_path)
        ring._place = b"/" * size
        ring.prepare()
        data = content(ring)
        assert place_of(data[:HEADER]) == ("/" * size if is_named else None)
        assert data[2106:START] == (b"/" * size if is_named else bytes(room)) + bytes(PLANS)
        ring.close()


def test_a_place_is_known_only_in_its_own_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    def header(magic: bytes, namespace: int, place: bytes, size: int | None = None) -> bytes:
        return magic.ljust(2096, b"\0") + struct.pack("<QH", namespace, len(place) if size is None else size) + place

    here = os.stat("/proc/self/ns/mnt").st_ino
    assert place_of(header(b"TGRING01", here, b"/data/\xff")) == "/data/\udcff"
    assert place_of(header(b"TGRING01", here, b"/data/more", 5)) == "/data"
    assert place_of(header(b"TGRING01", here + 1, b"/data")) is None
    assert place_of(header(b"TGRING01", here, b"")) is None
    assert place_of(header(b"TGRING00", here, b"/data")) is None
    with pytest.raises(struct.error):
        place_of(header(b"TGRING01", here, b"")[:-1])

    monkeypatch.setattr(os, "stat", _fails)
    assert place_of(header(b"TGRING01", 0, b"/data")) == "/data"


def _fails(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "no room")


@pytest.mark.parametrize("name", ["rename", "posix_fallocate", "fchmod"])
def test_a_file_that_cannot_be_made_is_not_tried_again_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ring = Ring(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, name, _fails)
        assert not ring.keep(llm_call())
    assert os.listdir(tmp_path) == []
    assert not ring.keep(llm_call())
    ring.prepare()
    assert (ring.path, ring.slots_in_use) == (None, 0)
    ring.after_fork_in_child()
    assert ring.keep(llm_call())


def test_a_directory_of_another_user_or_that_is_none_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for directory in (tmp_path / "file", tmp_path / "file" / "rings", tmp_path / "link"):
        assert not Ring(directory).keep(llm_call())
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert not Ring(tmp_path / "rings").keep(llm_call())


def test_a_directory_that_a_process_removes_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, opened = tmp_path / "rings", list[str]()
    opener = module.private_and_high

    def remove_first(path: str, flags: int) -> int:
        opened.append(path)
        if len(opened) == 1:
            directory.rmdir()
        return opener(path, flags)

    monkeypatch.setattr(module, "private_and_high", remove_first)
    for number, times in ((1, 2), (2, 3)):
        ring = Ring(directory)
        assert ring.keep(llm_call(number))
        assert len(opened) == times
        assert len(content(ring)) == START + PIECE


def test_a_ring_with_records_stays_when_it_is_closed(tmp_path: Path) -> None:
    ring, call = Ring(tmp_path / "rings"), llm_call()
    ring.close()
    assert ring.keep(call)
    path = ring.path
    assert path is not None
    ring.close()
    assert (ring.path, path.exists(), ring.slots_in_use) == (path, True, 1)
    ring.release([call.slot])
    path.unlink()  # another process was faster
    ring.close()
    assert (ring.path, ring.slots_in_use, (tmp_path / "rings").exists()) == (None, 0, False)
    assert not ring.keep(call), "it is closed"


def test_rings_are_on_shared_memory_where_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    monkeypatch.setattr(os, "access", lambda path, mode: (str(path), mode) == ("/dev/shm", os.W_OK))
    found = directory_of(tmp_path / "data")
    assert found.parent == Path(f"/dev/shm/tachograph-{os.getuid()}")
    assert len(found.name) == 16
    assert directory_of(tmp_path / "link") == found
    assert directory_of(tmp_path) != found
    assert directory_of(Path("/data")).name == "bd47413b5c03dfc6"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert directory_of(tmp_path / "data") == tmp_path / "data" / "rings"


# What is read


def made(
    *slots: tuple[int, tuple[int, ...], Any], plans: list[Any] | None = None, kinds: bytes = b"", **header: Any
) -> bytearray:
    """The bytes of a ring, written without it: of each slot its mark, its numbers, and what is beside them."""
    given = {"magic": b"TGRING01", "version": 2, "slot": 384, "plans": PLANS, "base": 0} | header
    data = bytearray(START + max(1, len(kinds)) * PIECE)
    base = given["base"].to_bytes(16)
    struct.pack_into(
        "<8sHHIIQ16s", data, 0, given["magic"], given["version"], given["slot"], 9, given["plans"], 1, base
    )
    data[2048 : 2048 + len(kinds)] = kinds
    used = b"".join(
        struct.pack("<H", len(plan)) + plan
        for plan in map(pack, plans if plans is not None else [["llm", "openai", "gpt-5", "chat", "responses"]])
    )
    struct.pack_into("<I", data, 1024, len(used))
    data[HEADER : HEADER + len(used)] = used
    for number, (mark, numbers, beside) in enumerate(slots):
        extra = b"" if beside is None else pack(beside)
        SLOT.pack_into(data, START + number * 384, mark, BEGUN, *numbers, len(extra), extra, mark)
    return data


def whole(record: LLMCall | ToolCall) -> dict[str, Any]:
    """All facts of a record, and of its attempts."""
    found = structs.asdict(record)
    if isinstance(record, LLMCall):
        found["attempts"] = [structs.astuple(attempt) for attempt in record.attempts]
    return found


def test_a_call_is_read_with_all_its_facts_and_no_others() -> None:
    sink, base = object(), 0x7 << 76 | 0b10 << 62 | 5 << 32
    numbers = plain(first=400, waited=9, tokens_in=11, tokens_out=12, cost=13, outcome=1, error=2, attempts=2, flags=7,
                    trace_high=0x0123456789ABCDEF, trace_low=0xFEDCBA9876543210, span=SPAN)  # fmt: skip
    data = made((8, numbers, [{"a": "b"}, RUN_FACTS, None, None]), base=base)
    found = read(bytes(data), sink)
    expected = LLMCall(sink, "openai", "gpt-5", "chat", 0, True, {"a": "b"}, RUN, 7, BEGUN, 0)
    expected.api, expected.ended_ns, expected.first_token_ns, expected.unsent_wait_ns = "responses", 5000, 400, 9
    expected.outcome, expected.error_type = OUTCOMES[1], ERROR_TYPES[2]
    expected.usage, expected.cost = Usage(11, 12), Cost(13, "priced")
    expected.attempts = [Attempt(number, 0, 5000, None, OUTCOMES[1], ERROR_TYPES[2]) for number in (1, 2)]
    expected.given_id = ((BEGUN // 1_000_000) << 80 | base | 7).to_bytes(16)
    expected.trace_id, expected.span_id, expected.slot = TRACE, SPAN, START
    assert [whole(record) for record in found.records] == [whole(expected)]
    assert found.measured == {expected.given_id}


def test_a_tool_call_is_read_with_all_its_facts_and_no_others() -> None:
    sink = object()
    numbers = plain(outcome=2, error=3, flags=2, trace_low=5, span=6)
    data = made(
        (8, numbers, [{"a": "b"}, RUN_FACTS, "call_1", None]),
        (9, plain(outcome=255), None),
        plans=[["mcp", "clock", "get_time", "server", "of a later version"]],
    )
    found = read(bytes(data), sink)
    first = ToolCall(sink, "clock", "get_time", 0, {"a": "b"}, "server", RUN, 7, BEGUN, 0, 5000)
    first.outcome, first.error_kind, first.call_id = TOOL_OUTCOMES[2], ERROR_KINDS[3], "call_1"
    first.given_id, first.trace_id, first.span_id = ((BEGUN // 1_000_000) << 80 | 7).to_bytes(16), 5, 6
    second = ToolCall(sink, "clock", "get_time", 0, None, "server", None, 8, BEGUN, 0, 5000)
    second.outcome, second.given_id = "success", ((BEGUN // 1_000_000) << 80 | 8).to_bytes(16)
    first.slot, second.slot = START, START + 384
    assert [whole(record) for record in found.records] == [whole(first), whole(second)]
    assert found.measured == set()


@pytest.mark.parametrize(
    ("numbers", "facts"),
    [
        ({}, ("success", None, None, None, False, True, 1)),
        ({"outcome": 255}, ("success", None, None, None, False, True, 1)),
        ({"tokens_in": 0}, ("success", None, Usage(0, None), None, False, True, 1)),
        ({"tokens_out": 0}, ("success", None, Usage(None, 0), None, False, True, 1)),
        ({"cost": 0}, ("success", None, None, Cost(0, "priced"), False, True, 1)),
        ({"flags": 0}, ("success", None, None, None, False, False, 1)),
        ({"flags": 1}, ("success", None, None, None, True, False, 1)),
        ({"flags": 4}, ("success", None, None, None, False, False, 1)),
        ({"error": 0, "outcome": 1}, (OUTCOMES[1], ERROR_TYPES[0], None, None, False, True, 1)),
        ({"attempts": 0}, ("success", None, None, None, False, True, 0)),
    ],
)
def test_numbers_that_say_nothing_are_no_facts(numbers: dict[str, int], facts: tuple[Any, ...]) -> None:
    (call,) = read(bytes(made((1, plain(**numbers), None))), NOWHERE).records
    assert isinstance(call, LLMCall)
    assert (
        call.outcome, call.error_type, call.usage, call.cost, call.stream, call.counts_usage, len(call.attempts)
    ) == facts  # fmt: skip
    assert (call.labels, call.run, call.number) == (None, None, 0)


@pytest.mark.parametrize(
    "spoiled",
    [
        (0, PLAIN, None),
        (5, plain(outcome=200), None),
        (5, plain(error=200), None),
        (5, plain(plan=1), None),
        (5, plain(plan=0xFFFF), [None, None, None, ["llm", "openai"]]),
        (5, plain(plan=0xFFFF), [None, None, None, None]),
        (5, plain(plan=0xFFFF), None),
        (5, PLAIN, 5),
        (5, PLAIN, [None, [""] * 20]),
    ],
)
def test_a_slot_that_says_nothing_costs_itself_alone(spoiled: tuple[int, tuple[int, ...], Any]) -> None:
    data = made((1, PLAIN, None), spoiled, (3, PLAIN, None))
    assert [record.number for record in read(bytes(data), NOWHERE).records] == [0, 2]
    data[START + 384 + 376] ^= 1  # the second of two marks that are the same else
    assert [record.number for record in read(bytes(data), NOWHERE).records] == [0, 2]


def test_a_file_that_is_cut_holds_the_slots_that_are_whole() -> None:
    data = bytes(made((1, PLAIN, None), (2, PLAIN, None), (3, PLAIN, None)))
    for cut, left in ((768, 2), (767, 1), (1152, 3), (1151, 2), (1, 0), (0, 0), (-1, 0), (-PLANS, 0)):
        assert len(read(data[: START + cut], NOWHERE).records) == left
    with pytest.raises(ValueError, match=r"\Atoo short for a ring\Z"):
        read(data[: HEADER - 1], NOWHERE)


def test_large_slots_are_read_where_a_piece_has_them() -> None:
    data = made((1, PLAIN, None), kinds=b"\0\1\0")
    for at, form, number in (
        (START + PIECE, LARGE, 2), (START + PIECE + 95 * 4096, LARGE, 3), (START + 2 * PIECE, SLOT, 4),
        (START + 3 * PIECE - 384, SLOT, 5),
    ):  # fmt: skip
        form.pack_into(data, at, number, BEGUN, *PLAIN, 0, b"", number)
    found = read(bytes(data), NOWHERE).records
    assert [(record.number, record.slot) for record in found] == [
        (0, START), (1, START + PIECE), (2, START + PIECE + 95 * 4096), (3, START + 2 * PIECE),
        (4, START + 3 * PIECE - 384),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "header", [{"magic": b"TGRING02"}, {"version": 0}, {"version": 3}, {"slot": 383}, {"version": 3, "slot": 4096}]
)
def test_a_ring_of_another_version_is_not_read(header: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\Ano ring of a version that is known here\Z"):
        read(bytes(made((1, PLAIN, None), **header)), NOWHERE)


def test_records_come_in_the_order_of_their_ids() -> None:
    data = made(*((mark, PLAIN, None) for mark in (9, 2, 700, 1)))
    assert [record.number for record in read(bytes(data), NOWHERE).records] == [0, 1, 8, 699]


def test_names_are_read_up_to_what_is_said_to_be_used() -> None:
    plan, slots = ["llm", "openai", "m", "chat", ""], [(number + 1, plain(plan=number), None) for number in range(3)]
    data = made(*slots, plans=[plan] * 3)
    size = 2 + len(pack(plan))
    for used, known in ((3 * size, 3), (2 * size, 2), (2 * size + 1, 2), (size, 1), (0, 0), (1 << 31, 3)):
        struct.pack_into("<I", data, 1024, used)
        assert len(read(bytes(data), NOWHERE).records) == known
    short = made(*slots, plans=[plan] * 3)
    struct.pack_into("<I", short, 16, 2 * size)  # bytes for names in the header
    del short[HEADER + 2 * size : START]
    assert len(read(bytes(short), NOWHERE).records) == 2


# What processes that are gone have left


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """One ring of a process that lives, a text, and two rings of processes that are gone: in this order."""
    directory = tmp_path / "rings"
    directory.mkdir()
    (directory / "b.ring").write_bytes(b"no ring")
    for name, number in (("c", 1), ("d", 5)):
        (directory / f"{name}.ring").write_bytes(made((number, PLAIN, None), (number + 1, plain(flags=6), None)))
    (directory / "other").write_bytes(b"")
    return directory


@pytest.fixture
def alive(left: Path) -> Ring:
    ring = Ring(left)
    ring.prepare()
    assert ring.path is not None
    ring.path.rename(left / "a.ring")
    return ring


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def test_each_ring_of_a_process_that_is_gone_is_given_out_and_removed(left: Path, alive: Ring) -> None:
    said: list[str] = []
    (left / "e.ring").mkdir()
    (left / "f.ring").symlink_to("c.ring")
    limit = START + 16 * PIECE
    for name, size in (("g", limit), ("h", limit + 1)):
        with (left / f"{name}.ring").open("wb") as file:
            file.truncate(size)
    sink = object()
    found: list[Recovered] = []
    for one in dead(left, sink, said.append):
        assert (left / f"{'cd'[len(found)]}.ring").exists(), "until the next is asked for"
        found.append(one)
        if len(found) == 2:
            (left / "d.ring").unlink()  # another process was faster
    assert [[record.number for record in one.records] for one in found] == [[0, 1], [4, 5]]
    assert all(record.sink is sink for one in found for record in one.records)
    assert [len(one.measured) for one in found] == [1, 1]
    assert said == [
        f"{left / 'b.ring'}: too short for a ring",
        f"{left / 'e.ring'}: Is a directory",
        f"{left / 'f.ring'} is a symbolic link",
        f"{left / 'g.ring'}: no ring of a version that is known here",
        f"{left / 'h.ring'} has {limit + 1} bytes, more than any such file",
    ]
    assert names(left) == ["a.ring", "b.ring", "e.ring", "f.ring", "g.ring", "h.ring", "other"]


def test_calls_that_no_metric_has_are_counted_once(left: Path, alive: Ring) -> None:
    sink, counted = object(), list[LLMCall | ToolCall]()
    before = {name: (left / name).read_bytes() for name in names(left)}
    for _ in range(2):
        measure_dead(left, counted.append, sink)
        assert [record.number for record in counted] == [0, 4]
    assert all(record.sink is sink for record in counted)
    flags_at = START + struct.calcsize("<QQqqqqqqHBBB")
    for name, data in before.items():
        expected = bytearray(data)
        if name in ("c.ring", "d.ring"):
            assert expected[flags_at] == 2
            expected[flags_at] = 6
        assert (left / name).read_bytes() == expected


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert list(dead(tmp_path / "none", NOWHERE, pytest.fail)) == []
    measure_dead(tmp_path / "none", pytest.fail, NOWHERE)
    sweep(tmp_path / "none", 0.0)


def test_other_rings_are_those_beside_one_s_own(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "rings")
    assert not are_there_others(ring)
    ring.prepare()
    assert not are_there_others(ring)
    (tmp_path / "rings" / "a.new").touch()
    assert not are_there_others(ring)
    (tmp_path / "rings" / "a.ring").touch()
    assert are_there_others(ring)
    assert are_there_others(Ring(tmp_path / "rings"))


def test_half_made_files_of_processes_that_are_gone_are_removed_a_minute_later(tmp_path: Path) -> None:
    now = 1_700_000_000.0
    for name, age in (("a", 59), ("b", 60), ("c", 61)):
        (tmp_path / name).mkdir()
        for suffix in ("new", "text", "ring"):
            (tmp_path / name / f"x.{suffix}").touch()
            os.utime(tmp_path / name / f"x.{suffix}", (now - age, now - age))
    (tmp_path / "d").mkdir()
    (tmp_path / "e").touch()
    (tmp_path / "f").symlink_to("g/inside")
    (tmp_path / "g" / "inside").mkdir(parents=True)
    (tmp_path / "g" / "inside" / "x.new").touch()
    os.utime(tmp_path / "g" / "inside" / "x.new", (0, 0))
    sweep(tmp_path, now)
    assert names(tmp_path) == ["a", "b", "c", "e", "f", "g"]
    assert names(tmp_path / "g" / "inside") == ["x.new"], "a link is not followed"
    assert [names(tmp_path / name) for name in "abc"] == [
        ["x.new", "x.ring", "x.text"], ["x.new", "x.ring", "x.text"], ["x.ring", "x.text"]
    ]  # fmt: skip
