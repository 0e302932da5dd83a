"""The hand-over between threads and the loop."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from m2m_ssh_client import threads
from m2m_ssh_client.flow import hand_over
from m2m_ssh_client.flow.hand_over import FromThread, ToThread, run_in_thread
from m2m_ssh_client.flow.splitting import Lines

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def finishing(sink: ToThread) -> AsyncIterator[None]:
    """On leaving, everything that was put is written."""
    yield
    sink.end()
    with anyio.fail_after(5):
        await sink.finished.wait()


# To a thread


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], []),
        ([b""], [[b""]]),
        ([b"a", b"", b"b"], [[b"a", b"", b"b"]]),
        ([b"a", b"x" * 11, b"b"], [[b"a"], [b"x" * 11], [b"b"]]),
        ([b"abcd", b"efgh", b"ij"], [[b"abcd"], [b"efgh", b"ij"]]),
    ],
)
def test_short_lines_are_written_together_and_long_ones_alone(
    lines: Lines, expected: list[Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_over, "_LONG_LINE", 8)
    assert list(hand_over.groups(lines)) == expected


async def test_a_long_line_is_written_in_pieces_and_not_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hand_over, "_LONG_LINE", 100)
    monkeypatch.setattr(hand_over, "_PIECE", 100)
    written: list[bytes | memoryview] = []
    line = b"x" * 1000
    sink = ToThread("test", written.append)
    async with finishing(sink):
        sink.put([b"a", line, b"b"])
    assert written == [b"a\n", *[b"x" * 100] * 10, b"\n", b"b\n"]
    assert isinstance(written[1], memoryview)
    assert written[1].obj is line
    assert sink.progress == 12


async def test_what_was_put_and_not_begun_to_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hand_over, "_LONG_LINE", 2)
    writing, broken = threading.Event(), threading.Event()

    def write(_data: bytes | memoryview) -> None:
        writing.set()
        broken.wait(10)
        raise BrokenPipeError

    sink = ToThread("test", write)
    sink.put([b"begun", b"not begun"])
    sink.put([b"nor this"])
    await run_in_thread("test-wait", lambda: writing.wait(10))
    sink.close()
    sink.put([b"too late"])
    broken.set()
    with anyio.fail_after(5):
        await sink.finished.wait()
    assert sink.unsent == [b"not begun", b"nor this", b"too late"]


async def test_lines_reach_the_writing_thread_in_order_and_then_it_finishes() -> None:
    written: list[bytes | memoryview] = []
    finished = threading.Event()
    sink = ToThread("test", written.append, finished.set)
    async with finishing(sink):
        for i in range(100):
            sink.put([b"%d" % i])
    assert b"".join(written) == b"".join(b"%d\n" % i for i in range(100))
    assert finished.is_set()


async def test_a_task_waits_while_the_writing_thread_is_a_megabyte_behind() -> None:
    go_on = threading.Event()
    put = 0

    def write(_data: bytes | memoryview) -> None:
        go_on.wait(10)

    sink = ToThread("test", write)

    async def put_more() -> None:
        nonlocal put
        for _ in range(40):
            sink.put([b"x" * 100_000])
            await sink.room()
            put += 1

    async with finishing(sink), anyio.create_task_group() as tasks:
        tasks.start_soon(put_more)
        await anyio.wait_all_tasks_blocked()
        assert 10 <= put <= 13
        assert not sink.has_room
        go_on.set()
    assert put == 40


async def test_after_a_failed_write_nothing_more_is_written_and_nobody_waits() -> None:
    written: list[bytes | memoryview] = []

    def write(data: bytes | memoryview) -> None:
        written.append(data)
        raise BrokenPipeError

    sink = ToThread("test", write)
    sink.put([b"x"])
    with anyio.fail_after(5):
        await sink.failed.wait()
        sink.put([b"y" * 2_000_000])
        await sink.room()
        await sink.finished.wait()
    assert written == [b"x\n"]


async def test_what_can_be_written_at_once_wakes_no_thread() -> None:
    by_thread: list[bytes | memoryview] = []
    at_once: list[bytes] = []

    def write_now(data: bytes) -> bool:
        at_once.append(data)
        return True

    sink = ToThread("test", by_thread.append, write_now=write_now)
    async with finishing(sink):
        sink.put([b"a", b"b"])
        assert at_once == [b"a\nb\n"]
        sink.put([b"x" * 50_000])  # long: not worth asking
    assert at_once == [b"a\nb\n"]
    assert by_thread == [b"x" * 50_000 + b"\n"]


async def test_nothing_overtakes_what_the_thread_still_writes() -> None:
    written: list[bytes | memoryview] = []
    writing, go_on = threading.Event(), threading.Event()

    def write(data: bytes | memoryview) -> None:
        writing.set()
        go_on.wait(10)
        written.append(data)

    def write_now(data: bytes) -> bool:
        written.append(data)
        return True

    sink = ToThread("test", write, write_now=write_now)
    async with finishing(sink):
        sink.put([b"x" * 50_000])
        assert await run_in_thread("test", lambda: writing.wait(5))
        sink.put([b"behind"])
        go_on.set()
    assert [len(data) for data in written] == [50_001, 7]


async def test_a_write_at_once_that_fails_is_told_too() -> None:
    def write_now(_data: bytes) -> bool:
        raise BrokenPipeError

    sink = ToThread("test", lambda _: None, write_now=write_now)
    sink.put([b"a"])
    with anyio.fail_after(5):
        await sink.failed.wait()
        await sink.finished.wait()
    assert not sink.has_room


class Parts:
    """Writes as many bytes of each part as it is told."""

    def __init__(self) -> None:
        self.written: list[bytes | memoryview] = []
        self.most = 1000
        self.writing, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.sink = ToThread("test", self._write, write_some=self._write_some)

    def _write(self, data: bytes | memoryview) -> None:
        self.writing.set()
        assert self.go_on.wait(10)
        self.written.append(data)

    def _write_some(self, data: bytes) -> int:
        self.written.append(data[: self.most])
        return min(self.most, len(data))


async def test_a_line_can_be_written_in_parts_and_the_next_ones_wait_for_its_end() -> None:
    parts = Parts()
    sink = parts.sink
    async with finishing(sink):
        assert sink.begin()
        assert not sink.begin()
        assert sink.more(b"abc") == 3
        parts.most = 2
        assert sink.more(b"def") == 2
        sink.put([b"next", b"one"])
        sink.complete([b"f", b"ghi", b"j"])
        sink.put([b"last"])
    assert b"".join(parts.written) == b"abcdefghij\nnext\none\nlast\n"
    assert parts.written[:2] == [b"abc", b"de"]


async def test_a_line_is_not_begun_behind_what_the_thread_still_writes() -> None:
    parts = Parts()
    parts.go_on.clear()
    sink = parts.sink
    async with finishing(sink):
        sink.put([b"first"])
        assert await run_in_thread("test", lambda: parts.writing.wait(5))
        assert not sink.begin()
        parts.go_on.set()
    whole_only = ToThread("test", parts.written.append)
    async with finishing(whole_only):
        assert not whole_only.begin()


async def test_what_waited_for_the_end_of_a_line_is_unsent_and_the_line_is_not() -> None:
    parts = Parts()
    sink = parts.sink
    assert sink.begin()
    sink.more(b"begun")
    sink.put([b"behind"])
    assert sink.unsent == [b"behind"]
    parts.go_on.clear()
    sink.complete([b", part", b", end"])
    assert await run_in_thread("test", lambda: parts.writing.wait(5))
    sink.put([b"later"])
    sink.close()
    parts.go_on.set()
    with anyio.fail_after(5):
        await sink.finished.wait()
    assert sink.unsent == [b"behind", b"later"]


async def test_a_part_that_cannot_be_written_is_told_and_ends_all() -> None:
    def write_some(_data: bytes) -> int:
        raise BrokenPipeError

    sink = ToThread("test", lambda _: None, write_some=write_some)
    assert sink.begin()
    assert sink.more(b"abc") == 0
    with anyio.fail_after(5):
        await sink.failed.wait()
        await sink.finished.wait()
    assert sink.more(b"abc") == 0
    sink.complete([b"abc"])
    assert sink.unsent == []


# From a thread

Tidy = Callable[[FromThread], FromThread]


@pytest.fixture
async def tidy() -> AsyncIterator[Tidy]:
    """Closes it after the test."""
    made: list[FromThread] = []

    def keep(source: FromThread) -> FromThread:
        made.append(source)
        return source

    yield keep
    for source in made:
        source.close()


async def test_batches_come_from_a_thread_in_order(tidy: Tidy) -> None:
    batches = [[b"%d" % i] for i in range(100)]
    source = tidy(FromThread())

    def work() -> None:
        for batch in batches:
            source.put(batch)
        source.end()

    threads.start("test", work)
    with anyio.fail_after(5):
        assert [batch async for batch in source] == batches


async def test_a_thread_runs_ahead_by_a_bounded_number_of_bytes_and_then_waits(tidy: Tidy) -> None:
    put = 0
    has_put = threading.Semaphore(0)
    source = tidy(FromThread())
    line = bytes(hand_over.READ_SIZE)

    def work() -> None:
        nonlocal put
        while True:
            source.put([line])
            put += 1
            has_put.release()
            if not source.wait_for_room():
                break

    thread = threads.start("test", work)
    assert await run_in_thread("test-wait", lambda: has_put.acquire(timeout=5))
    assert await anext(source) == [line]
    for dealt_with in range(3):
        assert await run_in_thread("test-wait", lambda: has_put.acquire(timeout=5))
        with anyio.move_on_after(0.1):
            await anyio.sleep_forever()
        assert put == dealt_with + 2
        with anyio.fail_after(5):
            assert await anext(source) == [line]
    source.close()
    await run_in_thread("test-join", lambda: thread.join(5))
    assert not thread.is_alive()


async def test_a_task_waits_for_room_as_a_thread_does(tidy: Tidy) -> None:
    source = tidy(FromThread())
    source.put([bytes(3 * hand_over.READ_SIZE)])
    assert not source.has_room
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(source.room)
        await anext(source)
        await anyio.wait_all_tasks_blocked()
        assert not source.has_room  # taken, and not dealt with yet
        source.end()
        with pytest.raises(StopAsyncIteration):
            await anext(source)
    assert source.has_room


async def test_what_whoever_puts_can_deal_with_does_not_wait_for_the_loop(tidy: Tidy) -> None:
    asked: list[Lines] = []

    def shortcut(lines: Lines) -> bool:
        asked.append(lines)
        return lines != [b"not this"]

    source = tidy(FromThread(shortcut))
    for line in (b"a", b"not this", b"behind it", b"and this"):
        source.put([line])
    source.end()
    with anyio.fail_after(5):
        assert [lines async for lines in source] == [[b"not this"], [b"behind it"], [b"and this"]]
    assert asked == [[b"a"], [b"not this"]]


async def test_nothing_is_dealt_with_by_the_thread_while_the_loop_is_still_at_it(
    tidy: Tidy,
) -> None:
    asked: list[Lines] = []

    def shortcut(lines: Lines) -> bool:
        asked.append(lines)
        return lines == [b"now"]

    source = tidy(FromThread(shortcut))
    source.put([b"for the loop"])
    await anext(source)
    source.put([b"behind it"])
    assert await anext(source) == [b"behind it"]
    assert asked == [[b"for the loop"]]
    with anyio.move_on_after(0):
        await anext(source)  # so both are dealt with
    source.put([b"now"])
    assert asked == [[b"for the loop"], [b"now"]]


async def test_whoever_puts_is_told_when_something_was_dealt_with(tidy: Tidy) -> None:
    told = 0

    def tell() -> None:
        nonlocal told
        told += 1

    source = tidy(FromThread(lambda lines: lines == [b"b"], tell))
    source.put([b"a"])
    await anext(source)
    assert told == 0
    source.end()
    with pytest.raises(StopAsyncIteration):
        await anext(source)
    assert told == 1
    source.put([b"b"])
    assert told == 2


# Functions in threads


async def test_a_function_in_a_thread_gives_its_result_or_its_error() -> None:
    assert await run_in_thread("test", lambda: 42) == 42

    def fail() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        await run_in_thread("test", fail)


async def test_a_cancelled_wait_leaves_the_thread_behind_and_goes_on() -> None:
    release = threading.Event()
    with anyio.move_on_after(0.05) as scope:
        await run_in_thread("test", lambda: release.wait(10))
    assert scope.cancelled_caught
    release.set()
