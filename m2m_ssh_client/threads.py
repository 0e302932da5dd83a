"""Worker threads ⇄ anyio memory streams: the hand-over itself, for pipes and channels alike.

Blocking calls stay in daemon threads, so that one stuck in the operating system (a name look-up, a frozen
socket) can never hold up the end of the process. A batch of lines crosses in one hop. What bounds the
buffers: `FromThread` lets its thread run ahead by two batches, `ToThread` accepts bytes up to a limit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import current_token
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

Lines = list[bytes]
"""Lines without their line feeds, in order."""

READ_SIZE = 256 * 1024
"""The most bytes taken in one read: large enough that long lines need few, small enough to bound a batch."""

_LONG_LINE = READ_SIZE
"""A line of more bytes than this is written by itself."""

_SHORT = 3 * 1024
"""Bytes that a pipe takes at once if it takes any (POSIX: PIPE_BUF), line feeds of small messages included."""

_WRITE_AHEAD = 1024 * 1024
"""How many bytes may wait for a writer thread before the sender waits too."""

T = TypeVar("T")


def loop_caller() -> Callable[..., None]:
    """How any thread makes the running event loop call a function soon, without waiting for it.

    To be called in the loop. After the loop has ended a call does nothing: there is nobody left to tell.
    """
    # Not anyio.from_thread.run_sync: it waits for the result, a second hop that costs as much as the first.
    loop: Any = current_token().native_token
    call = (
        loop.call_soon_threadsafe if hasattr(loop, "call_soon_threadsafe") else loop.run_sync_soon
    )

    def call_soon(function: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # the loop has ended (trio.RunFinishedError is one, too)
            call(function, *args)

    return call_soon


def start_thread(name: str, function: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=function, name=f"m2m-{name}", daemon=True)
    thread.start()
    return thread


async def run_in_thread(name: str, function: Callable[[], T]) -> T:
    """The function's result, from a daemon thread of its own; if cancelled, the thread is left behind.

    Whoever cancels also makes the function return: by closing what it waits on.
    """
    done = anyio.Event()
    call_soon = loop_caller()
    result: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            result.append(function())
        except BaseException as exc:  # noqa: BLE001 - raised again below, in the caller's task
            failure.append(exc)
        call_soon(done.set)

    start_thread(name, work)
    await done.wait()
    if failure:
        raise failure[0]
    return result[0]


class FromThread:
    """Lines that a thread reads, as a memory stream. The thread runs ahead by no more than two batches.

    `pump` has to run as long as lines are wanted.
    """

    def __init__(self) -> None:
        self._call_soon = loop_caller()
        self._send: MemoryObjectSendStream[Lines]
        self.receive: MemoryObjectReceiveStream[Lines]
        self._send, self.receive = anyio.create_memory_object_stream[Lines](1)
        self._delivered = threading.Semaphore(1)  # the thread may hand over the next batch
        self._late = anyio.Event()
        self._late_lines: Lines = []
        self._closed = False

    def put(self, lines: Lines) -> bool:
        """Hand over a batch; False if nobody wants any more. The reading thread only."""
        self._delivered.acquire()
        if self._closed:
            self._delivered.release()  # for `end`
            return False
        self._call_soon(self._deliver, lines)
        return True

    def end(self) -> None:
        """No more lines: the stream ends behind the last one. The reading thread only."""
        self._delivered.acquire()
        self._call_soon(self._send.close)

    async def pump(self) -> None:
        """Carry batches for which the stream had no room when they came."""
        while not self._closed:
            await self._late.wait()
            self._late = anyio.Event()
            try:
                await self._send.send(self._late_lines)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._closed = True
            self._late_lines = []
            self._delivered.release()

    def close(self) -> None:
        """Nobody takes lines any more; a thread that waits is let go. In the loop."""
        self._closed = True
        self._send.close()
        self.receive.close()
        self._delivered.release()

    def _deliver(self, lines: Lines) -> None:
        # Most batches find room at once, which saves them a turn of the loop in `pump`.
        try:
            self._send.send_nowait(lines)
        except anyio.WouldBlock:
            self._late_lines = lines
            self._late.set()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.close()
        else:
            self._delivered.release()


class ToThread:
    """A memory stream of lines that a thread writes. The sender waits while the thread is too far behind.

    `write` gets bytes with their line feeds; `finish` is called in the thread after the last write of a stream
    that was closed. `write_now` is tried first, in the loop, for what is short while the thread has nothing to do: it
    writes all at once and returns True, or nothing where that could block. If one of the three raises OSError, the
    stream breaks for its sender and `failed` is set.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[bytes], None],
        finish: Callable[[], None] = lambda: None,
        write_now: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self.send: MemoryObjectSendStream[Lines]
        self.send, self._receive = anyio.create_memory_object_stream[Lines](0)
        self.finished = anyio.Event()
        self._unbegun: Lines = []
        self.failed = anyio.Event()
        self._call_soon = loop_caller()
        self._write = write
        self._write_now = write_now
        self._finish = finish
        self._queue: SimpleQueue[Lines | None] = SimpleQueue()
        self._waiting = 0  # bytes in the queue; guarded by the lock
        self._closing = False
        self._lock = threading.Lock()
        self._room: anyio.Event | None = None  # set while the pump waits; guarded by the lock
        start_thread(name, self._work)

    @property
    def unsent(self) -> Lines:
        """Once `finished` is set: the lines that were taken and of which not a byte was handed to `write`."""
        with suppress(Empty):
            while True:
                self._unbegun += self._queue.get_nowait() or []
        return self._unbegun

    async def pump(self) -> None:
        """Carry lines from the stream to the thread until the stream is closed or the thread fails."""
        with self._receive, suppress(anyio.ClosedResourceError):
            async for lines in self._receive:
                if self._written_now(lines):
                    continue
                room = self._enqueue(lines)
                if room is not None:
                    await room.wait()
        self._queue.put(None)

    def close(self) -> None:
        """Let the thread go without waiting for what it has not written. In the loop."""
        self._closing = True
        self._receive.close()
        self._queue.put(None)

    def _written_now(self, lines: Lines) -> bool:
        # To wake a thread, and to wait until it runs, costs more than most messages do.
        if self._waiting or sum(map(len, lines)) > _SHORT:
            return False
        try:
            return self._write_now(b"\n".join([*lines, b""]))
        except OSError:
            self._fail()
            return True

    def _enqueue(self, lines: Lines) -> anyio.Event | None:
        with self._lock:
            self._waiting += _size(lines)
            self._room = anyio.Event() if self._waiting > _WRITE_AHEAD else None
            self._queue.put(lines)
            return self._room

    def _work(self) -> None:
        waiting: deque[Lines] = deque()
        try:
            while (lines := self._queue.get()) is not None:
                waiting.extend(groups(lines))
                while waiting and not self._closing:
                    self._write_group(waiting.popleft())
                self._written(_size(lines))
            if not self._closing:
                self._finish()
        except OSError:
            self._call_soon(self._fail)
        self._unbegun = [line for group in waiting for line in group]
        self._call_soon(self.finished.set)

    def _write_group(self, lines: Lines) -> None:
        if len(lines[0]) > _LONG_LINE:  # a copy, only to append one byte, is not worth it
            self._write(lines[0])
            self._write(b"\n")
        else:
            self._write(b"\n".join([*lines, b""]))

    def _written(self, size: int) -> None:
        with self._lock:
            self._waiting -= size
            if self._room is not None and self._waiting <= _WRITE_AHEAD:
                self._call_soon(self._room.set)
                self._room = None

    def _fail(self) -> None:
        self.failed.set()
        self._receive.close()
        with self._lock:
            if self._room is not None:
                self._room.set()


def _size(lines: Lines) -> int:
    return sum(map(len, lines)) + len(lines)


def groups(lines: Lines) -> Iterator[Lines]:
    """The lines in the groups in which they are written: short ones together, long ones alone."""
    together: Lines = []
    size = 0
    for line in lines:
        if together and size + len(line) > _LONG_LINE:
            yield together
            together, size = [], 0
        together.append(line)
        size += len(line) + 1
    if together:
        yield together
