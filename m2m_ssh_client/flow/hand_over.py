"""Worker threads ⇄ anyio memory streams: the hand-over itself, for pipes and channels alike.

Blocking calls stay in daemon threads, so that one stuck in the operating system (a name look-up, a frozen
socket) can never hold up the end of the process. A batch of lines crosses in one hop, or in none: where nothing waits,
the thread that has read it does what the loop would have done (`FromThread.take`), and writes what can be written
without blocking (`ToThread.put`). What bounds the buffers: both say when they have no room.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import current_token

Lines = list[bytes]
"""Lines without their line feeds, in order."""

READ_SIZE = 256 * 1024
"""The most bytes taken in one read: large enough that long lines need few, small enough to bound a batch."""

_LONG_LINE = 256 * 1024
"""A line of more bytes than this is written by itself."""

_PIECE = 64 * 1024
"""How many bytes are written at once: on a slow link, each is a sign that whoever reads them does so."""

_SHORT = 16 * 1024
"""Bytes up to which it is worth asking whether they can be written at once."""

_WRITE_AHEAD = 1024 * 1024
"""How many bytes may wait for a writer thread before whoever gives it more is to wait."""

_READ_AHEAD = 2 * READ_SIZE
"""How many bytes may wait for the loop before the thread that reads them is to wait."""

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
    """Lines that a thread puts, as a memory stream to iterate over in the loop.

    `take` is asked first, in the putting thread, while nothing waits: whether it has dealt with the lines itself, so
    that they need not go through the loop. `on_taken` is called when lines were dealt with, in whichever thread.
    """

    def __init__(self, on_taken: Callable[[], None] = lambda: None) -> None:
        self.take: Callable[[Lines], bool] = lambda _: False
        self._on_taken = on_taken
        self._call_soon = loop_caller()
        # Unbounded: what waits is bounded by those who put, as `has_room` tells.
        self._send, self._receive = anyio.create_memory_object_stream[Lines](math.inf)
        self._put = 0  # bytes, ever; of the putting thread
        self._taken = 0  # of these; guarded by the condition
        self._given = 0  # what the iteration is at
        self._moved = threading.Condition()
        self._room = anyio.Event()
        self._closed = False

    @property
    def is_open(self) -> bool:
        return not self._closed

    @property
    def has_room(self) -> bool:
        return self._put - self._taken <= _READ_AHEAD

    def put(self, lines: Lines) -> None:
        """Hand over a batch, without waiting. One thread at a time."""
        if self._put == self._taken and self._dealt_with(lines):
            self._on_taken()
            return
        self._put += _size(lines)
        self._call_soon(self._deliver, lines)

    def _dealt_with(self, lines: Lines) -> bool:
        try:
            return self.take(lines)
        except Exception:  # noqa: BLE001 - the loop does the same again, and there it is told
            return False

    def wait_for_room(self, timeout: float | None = None) -> bool:
        """Wait while too much waits for the loop. The putting thread.

        False if that still does at the end of the time, or if nobody wants any more.
        """
        with self._moved:
            self._moved.wait_for(lambda: self._closed or self.has_room, timeout)
        return self.has_room and not self._closed

    async def room(self) -> None:
        """The same for a task that puts."""
        while not self._closed and not self.has_room:
            if self._room.is_set():
                self._room = anyio.Event()
            await self._room.wait()

    def is_idle(self) -> bool:
        """Whether nothing waits for the loop. The putting thread."""
        return self._put == self._taken

    def end(self) -> None:
        """No more lines: the stream ends behind the last one. Any thread."""
        self._call_soon(self._send.close)

    def close(self) -> None:
        """Nobody takes lines any more; a thread that waits is let go. In the loop."""
        self._send.close()
        self._receive.close()
        self._let_go(closed=True)

    def __aiter__(self) -> FromThread:
        return self

    async def __anext__(self) -> Lines:
        if self._given:
            self._let_go()
        try:
            lines = await self._receive.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            raise StopAsyncIteration from None
        self._given = _size(lines)
        return lines

    def _let_go(self, *, closed: bool = False) -> None:
        """Note that what was given last was dealt with."""
        with self._moved:
            self._closed |= closed
            self._taken += self._given
            self._given = 0
            self._moved.notify()
        self._room.set()
        self._on_taken()

    def _deliver(self, lines: Lines) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._send.send_nowait(lines)


class _Rest(list[bytes]):
    """The parts of a line that are left to write."""


class ToThread:
    """Lines that a thread writes, in the order in which they are put.

    `write` gets bytes with their line feeds; `finish` is called in the thread after the last write before an `end`.
    `write_now` is tried first, in the putting thread, for what is short while the writing thread has nothing to do: it
    writes all at once and returns True, or nothing where that could block. `write_some` writes as many bytes as it can
    without blocking, and returns their number. If one of these raises OSError, nothing more is written, `failure` is
    that, and `failed` is set.

    A line that is not complete yet can be written in parts: `begin`, `more` as often as one likes, `complete`.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[bytes | memoryview], object],
        finish: Callable[[], None] = lambda: None,
        write_now: Callable[[bytes], bool] = lambda _: False,
        write_some: Callable[[bytes], int] | None = None,
    ) -> None:
        self.finished = anyio.Event()
        self.failed = anyio.Event()
        self.failure: OSError | None = None
        self.progress = 0
        """Grows while the thread can write: that is, while whoever reads it does so."""
        self._call_soon = loop_caller()
        self._write = write
        self._write_now = write_now
        self._write_some = write_some
        self._finish = finish
        self._queue: SimpleQueue[Lines | None] = SimpleQueue()
        self._unbegun: Lines = []
        self._behind: Lines | None = None  # what waits for the end of a line that was begun
        self._waiting = 0  # bytes in the queue; guarded by the lock
        self._over = False  # nothing is written any more
        self._lock = threading.Lock()
        self._room = anyio.Event()
        start_thread(name, self._work)

    @property
    def is_open(self) -> bool:
        """Whether what is put now may still be written."""
        return not self._over

    @property
    def has_room(self) -> bool:
        return self._waiting <= _WRITE_AHEAD and not self._over

    @property
    def unsent(self) -> Lines:
        """Once `finished` is set: the lines that were put and of which not a byte was handed to `write`."""
        with suppress(Empty):
            while True:
                self._unbegun += _whole_lines([self._queue.get_nowait() or []])
        return self._unbegun + (self._behind or [])

    def put(self, lines: Lines) -> None:
        """Write these next, without waiting for it. Any thread; who uses several sees to the order."""
        size = _size(lines)
        with self._lock:
            if self._behind is not None:
                self._waiting += size
                self._behind += lines
                return
            if not self._waiting and size <= _SHORT and not self._over and self._written_now(lines):
                return
            self._waiting += size
            self._queue.put(lines)

    def begin(self) -> bool:
        """Whether a line can be written in parts now. Any thread."""
        with self._lock:
            if self._write_some is None or self._waiting or self._over or self._behind is not None:
                return False
            self._behind = []
            return True

    def more(self, data: bytes) -> int:
        """How many bytes of this part were written, without waiting. The rest is for the next part to begin with."""
        with self._lock:
            if self._over or self._write_some is None:
                return 0
            try:
                return self._write_some(data)
            except OSError as exc:
                self._fail(exc)
                return 0

    def complete(self, rest: Lines) -> None:
        """Write the parts that are left of the line, its line feed, and what was put in the meantime. Any thread."""
        with self._lock:
            behind, self._behind = self._behind or [], None
            self._waiting += _size(rest)
            self._queue.put(_Rest(rest))
            self._queue.put(behind)

    async def room(self) -> None:
        """Wait while the thread is too far behind. In the loop."""
        while not self._over and not self.has_room:
            if self._room.is_set():
                self._room = anyio.Event()
            if not self.has_room:  # it may have caught up since
                await self._room.wait()

    def end(self) -> None:
        """Finish once everything is written."""
        self._queue.put(None)

    def close(self) -> None:
        """Let the thread go without waiting for what it has not written."""
        self._over = True
        self._queue.put(None)

    def _written_now(self, lines: Lines) -> bool:
        # To wake a thread, and to wait until it runs, costs more than most messages do.
        try:
            return self._write_now(b"\n".join([*lines, b""]))
        except OSError as exc:
            self._fail(exc)
            return True

    def _work(self) -> None:
        waiting: deque[Lines] = deque()
        try:
            while (lines := self._queue.get()) is not None:
                size = _size(lines)
                waiting.extend([lines] if isinstance(lines, _Rest) else groups(lines))
                del lines  # it may be long, and the next one long in coming
                while waiting and not self._over:
                    self._write_group(waiting.popleft())
                self._written(size)
                if self._over:  # what was left to read may have gone to `unsent`, its end too
                    break
            if not self._over:
                self._finish()
        except OSError as exc:
            self._fail(exc)
        self._unbegun = _whole_lines(waiting)
        self._call_soon(self.finished.set)

    def _write_group(self, lines: Lines) -> None:
        if isinstance(lines, _Rest):
            for part in lines[:-1]:
                self._write_part(part)
            self._write_part(lines[-1] + b"\n")
        elif len(lines[0]) > _LONG_LINE:  # a copy, only to append one byte, is not worth it
            self._write_part(lines[0])
            self._write(b"\n")
        else:
            self._write_part(b"\n".join([*lines, b""]))

    def _write_part(self, data: bytes) -> None:
        if len(data) <= _PIECE:
            self._write(data)
            self.progress += 1
            return
        view = memoryview(data)
        for at in range(0, len(view), _PIECE):
            self._write(view[at : at + _PIECE])
            self.progress += 1

    def _written(self, size: int) -> None:
        with self._lock:
            was_full = self._waiting > _WRITE_AHEAD
            self._waiting -= size
            has_room = self._waiting <= _WRITE_AHEAD
        if was_full and has_room:
            self._call_soon(self._make_room)

    def _make_room(self) -> None:
        self._room.set()

    def _fail(self, failure: OSError) -> None:
        self._over = True
        self.failure = failure
        self._queue.put(None)
        self._call_soon(self.failed.set)
        self._call_soon(self._make_room)


def _size(lines: Lines) -> int:
    return sum(map(len, lines)) + len(lines)


def _whole_lines(groups: Iterable[Lines]) -> Lines:
    return [line for group in groups if not isinstance(group, _Rest) for line in group]


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
