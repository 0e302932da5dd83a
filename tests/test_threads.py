"""The hand-over between threads and the loop."""

from __future__ import annotations

import threading

import anyio
import pytest

from m2m_ssh_client import threads
from m2m_ssh_client.threads import FromThread, Lines, ToThread, run_in_thread, start_thread

pytestmark = pytest.mark.anyio


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
    monkeypatch.setattr(threads, "_LONG_LINE", 8)
    assert list(threads.groups(lines)) == expected


async def test_a_long_line_is_not_copied_to_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_LONG_LINE", 100)
    written: list[bytes] = []
    line = b"x" * 1000
    async with anyio.create_task_group() as tasks:
        sink = ToThread("test", written.append)
        tasks.start_soon(sink.pump)
        await sink.send.send([b"a", line, b"b"])
        sink.send.close()
        with anyio.fail_after(5):
            await sink.finished.wait()
    assert written == [b"a\n", line, b"\n", b"b\n"]
    assert written[1] is line


async def test_what_was_taken_and_not_begun_to_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "_LONG_LINE", 2)
    writing, broken = threading.Event(), threading.Event()

    def write(_data: bytes) -> None:
        writing.set()
        broken.wait(10)
        raise BrokenPipeError

    async with anyio.create_task_group() as tasks:
        sink = ToThread("test", write)
        tasks.start_soon(sink.pump)
        await sink.send.send([b"begun", b"not begun"])
        await sink.send.send([b"nor this"])
        await run_in_thread("test-wait", lambda: writing.wait(10))
        sink.close()
        broken.set()
        with anyio.fail_after(5):
            await sink.finished.wait()
        sink.send.close()
        tasks.cancel_scope.cancel()
    assert sink.unsent == [b"not begun", b"nor this"]


async def test_batches_come_from_a_thread_in_order() -> None:
    batches = [[b"%d" % i] for i in range(100)]
    async with anyio.create_task_group() as tasks:
        source = FromThread()
        tasks.start_soon(source.pump)

        def work() -> None:
            for batch in batches:
                source.put(batch)
            source.end()

        start_thread("test", work)
        assert [batch async for batch in source.receive] == batches
        source.close()
        tasks.cancel_scope.cancel()


async def test_a_thread_runs_ahead_by_a_few_batches_and_then_waits() -> None:
    put = 0
    async with anyio.create_task_group() as tasks:
        source = FromThread()
        tasks.start_soon(source.pump)

        def work() -> None:
            nonlocal put
            while source.put([b"x"]):
                put += 1

        thread = start_thread("test", work)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.2):
            await anyio.sleep_forever()
        assert 1 <= put <= 3
        source.close()
        await run_in_thread("test-join", lambda: thread.join(5))
        assert not thread.is_alive()
        tasks.cancel_scope.cancel()


async def test_lines_reach_the_writing_thread_in_order_and_then_it_finishes() -> None:
    written: list[bytes] = []
    finished = threading.Event()
    async with anyio.create_task_group() as tasks:
        sink = ToThread("test", written.append, finished.set)
        tasks.start_soon(sink.pump)
        for i in range(100):
            await sink.send.send([b"%d" % i])
        sink.send.close()
        with anyio.fail_after(5):
            await sink.finished.wait()
    assert b"".join(written) == b"".join(b"%d\n" % i for i in range(100))
    assert finished.is_set()


async def test_a_sender_waits_while_the_writing_thread_is_a_megabyte_behind() -> None:
    go_on = threading.Event()
    sent = 0

    def write(_data: bytes) -> None:
        go_on.wait(10)

    async with anyio.create_task_group() as tasks:
        sink = ToThread("test", write)
        tasks.start_soon(sink.pump)

        async def send() -> None:
            nonlocal sent
            for _ in range(40):
                await sink.send.send([b"x" * 100_000])
                sent += 1

        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        assert 10 <= sent <= 13
        go_on.set()
        with anyio.fail_after(5):
            while sent < 40:
                await anyio.wait_all_tasks_blocked()
        sink.send.close()
        with anyio.fail_after(5):
            await sink.finished.wait()


async def test_a_failed_write_breaks_the_stream_for_its_sender() -> None:
    def write(_data: bytes) -> None:
        raise BrokenPipeError

    async with anyio.create_task_group() as tasks:
        sink = ToThread("test", write)
        tasks.start_soon(sink.pump)
        await sink.send.send([b"x"])
        with anyio.fail_after(5):
            await sink.failed.wait()
        with pytest.raises(anyio.BrokenResourceError):
            await sink.send.send([b"y"])
        sink.send.close()
        tasks.cancel_scope.cancel()


async def test_what_can_be_written_at_once_wakes_no_thread() -> None:
    by_thread: list[bytes] = []
    at_once: list[bytes] = []

    def write_now(data: bytes) -> bool:
        at_once.append(data)
        return True

    async with anyio.create_task_group() as tasks:
        sink = ToThread("test", by_thread.append, write_now=write_now)
        tasks.start_soon(sink.pump)
        await sink.send.send([b"a", b"b"])
        await sink.send.send([b"x" * 100_000])  # long: not worth asking
        sink.send.close()
        with anyio.fail_after(5):
            await sink.finished.wait()
    assert at_once == [b"a\nb\n"]
    assert by_thread == [b"x" * 100_000 + b"\n"]


async def test_nothing_overtakes_what_the_thread_still_writes() -> None:
    written: list[bytes] = []
    writing, go_on = threading.Event(), threading.Event()

    def write(data: bytes) -> None:
        writing.set()
        go_on.wait(10)
        written.append(data)

    def write_now(data: bytes) -> bool:
        written.append(data)
        return True

    async with anyio.create_task_group() as tasks:
        sink = ToThread("test", write, write_now=write_now)
        tasks.start_soon(sink.pump)
        await sink.send.send([b"x" * 100_000])
        assert await run_in_thread("test", lambda: writing.wait(5))
        await sink.send.send([b"behind"])
        go_on.set()
        sink.send.close()
        with anyio.fail_after(5):
            await sink.finished.wait()
    assert [len(data) for data in written] == [100_001, 7]


async def test_a_write_at_once_that_fails_breaks_the_stream_too() -> None:
    def write_now(_data: bytes) -> bool:
        raise BrokenPipeError

    async with anyio.create_task_group() as tasks:
        sink = ToThread("test", lambda _: None, write_now=write_now)
        tasks.start_soon(sink.pump)
        await sink.send.send([b"a"])
        with anyio.fail_after(5):
            await sink.failed.wait()
            await sink.finished.wait()
        with pytest.raises(anyio.BrokenResourceError):
            await sink.send.send([b"b"])
        sink.send.close()


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
