"""Hand-over between worker threads and the event loop, in both directions.

Blocking calls stay in daemon threads, so that one stuck in the operating system (a name lookup, a
frozen socket) can never hold up the end of the process. A batch of lines needs one hop to the loop,
or none: while nothing is queued, the thread that read it does the loop's work itself (the shortcut
of `FromThread`) and writes what can be written without blocking (`ToThread.put`). Both classes say
when they have no room, which bounds their buffers.
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

from m2m_ssh_client import threads
from m2m_ssh_client.flow.splitting import Lines, Shortcut

READ_SIZE = 256 * 1024
"""Most bytes of one read: enough to bring a long line in few reads, few enough to bound a batch."""

_LONG_LINE = 256 * 1024
"""Lines of more bytes than this are written by themselves."""

_PIECE = 64 * 1024
"""Most bytes of one write.

On a slow link, each write that returns shows that the reader is alive.
"""

_SHORT = 16 * 1024
"""Most bytes that are tried without the writer thread."""

_WRITE_AHEAD = 1024 * 1024
"""Bytes queued for a writer thread at which there is no room for more."""

_READ_AHEAD = 2 * READ_SIZE
"""Bytes queued for the loop at which there is no room for more."""

T = TypeVar("T")


def loop_caller() -> Callable[..., None]:
    """Return a function by which any thread makes this event loop call a function soon.

    Call it in the loop. The returned function does not wait, and does nothing once the loop has
    ended.
    """
    # anyio.from_thread.run_sync would wait for the result: a second hop that costs as much as the
    # first.
    loop: Any = current_token().native_token
    call = (
        loop.call_soon_threadsafe if hasattr(loop, "call_soon_threadsafe") else loop.run_sync_soon
    )

    def call_soon(function: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # the loop has ended (trio.RunFinishedError is one, too)
            call(function, *args)

    return call_soon


async def run_in_thread(name: str, function: Callable[[], T]) -> T:
    """Return the function's result, computed in a new daemon thread.

    Cancellation leaves the thread behind. The caller makes it return, by closing what it waits on.
    """
    done = anyio.Event()
    call_soon = loop_caller()
    result: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            result.append(function())
        except BaseException as exc:  # noqa: BLE001 - raised again in the caller's task
            failure.append(exc)
        call_soon(done.set)

    threads.start(name, work)
    await done.wait()
    if failure:
        raise failure[0]
    return result[0]


class FromThread:
    """Lines from a thread, as a stream to iterate over in the loop.

    While nothing is queued, the shortcut is tried first, in the thread that puts: where it returns
    True, the lines never go through the loop. `on_done` is called, in either thread, whenever lines
    have been dealt with.
    """

    def __init__(
        self, shortcut: Shortcut = lambda _: False, on_done: Callable[[], None] = lambda: None
    ) -> None:
        self._shortcut = shortcut
        self._on_done = on_done
        self._call_soon = loop_caller()
        # Unbounded, since whoever puts looks at `has_room`.
        self._send, self._receive = anyio.create_memory_object_stream[Lines](math.inf)
        self._put = 0  # bytes that went into the stream, ever; the putting thread's
        self._done = 0  # bytes of these that were dealt with; guarded by the condition
        self._given = 0  # bytes of the batch that the loop has now
        self._moved = threading.Condition()
        self._room = anyio.Event()
        self._closed = False

    @property
    def is_open(self) -> bool:
        return not self._closed

    @property
    def has_room(self) -> bool:
        return self._put - self._done <= _READ_AHEAD

    def put(self, lines: Lines) -> None:
        """Hand over a batch without waiting. One thread at a time."""
        if self._put == self._done and self._is_done(lines):
            self._on_done()
            return
        self._put += _size(lines)
        self._call_soon(self._deliver, lines)

    def _is_done(self, lines: Lines) -> bool:
        try:
            return self._shortcut(lines)
        except Exception:  # noqa: BLE001 - the loop runs into it again, and reports it
            return False

    def wait_for_room(self, timeout: float | None = None) -> bool:
        """Wait until there is room; return whether there is. The putting thread.

        There is none at the end of the time, or after `close()`.
        """
        with self._moved:
            self._moved.wait_for(lambda: self._closed or self.has_room, timeout)
        return self.has_room and not self._closed

    async def room(self) -> None:
        """Wait until there is room, or nobody wants any more. For a task that puts."""
        while not self._closed and not self.has_room:
            if self._room.is_set():
                self._room = anyio.Event()
            await self._room.wait()

    def is_idle(self) -> bool:
        """Return whether nothing is queued for the loop. The putting thread."""
        return self._put == self._done

    def end(self) -> None:
        """End the stream behind the last line. Any thread."""
        self._call_soon(self._send.close)

    def close(self) -> None:
        """Give up what is queued, and release a thread that waits for room. In the loop."""
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
        """Note that the loop has dealt with the last batch."""
        with self._moved:
            self._closed |= closed
            self._done += self._given
            self._given = 0
            self._moved.notify()
        self._room.set()
        self._on_done()

    def _deliver(self, lines: Lines) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._send.send_nowait(lines)


class _Rest(list[bytes]):
    """Parts of one line that are left to write."""


class ToThread:
    """Lines that a thread writes in the order in which they are put.

    `write` gets bytes with their line feeds. `finish` is called in the thread after the last write
    before an `end`. Short batches are tried with `write_now` in the putting thread, while the
    writer has nothing to do: it writes all of them and returns True, or nothing where that could
    block. `write_some` writes as many bytes as it can without blocking, and returns their number.
    An OSError of any of these is kept as `failure`, `failed` is set, and nothing more is written.

    An incomplete line can be written in parts: `begin`, any number of `more`, `complete`.
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
        """Grows with each write that returns, and so while the reader at the other end reads."""
        self._call_soon = loop_caller()
        self._write = write
        self._write_now = write_now
        self._write_some = write_some
        self._finish = finish
        self._queue: SimpleQueue[Lines | None] = SimpleQueue()
        self._unbegun: Lines = []
        self._behind: Lines | None = None  # lines put while another one is written in parts
        self._waiting = 0  # bytes in the queue; guarded by the lock
        self._over = False  # nothing more is written
        self._lock = threading.Lock()
        self._room = anyio.Event()
        threads.start(name, self._work)

    @property
    def is_open(self) -> bool:
        """True until writing has failed or was given up."""
        return not self._over

    @property
    def has_room(self) -> bool:
        return self._waiting <= _WRITE_AHEAD and not self._over

    @property
    def unsent(self) -> Lines:
        """Lines of which not a byte was handed to `write`. Complete once `finished` is set."""
        with suppress(Empty):
            while True:
                self._unbegun += _whole_lines([self._queue.get_nowait() or []])
        return self._unbegun + (self._behind or [])

    def put(self, lines: Lines) -> None:
        """Write these next, without waiting.

        Any thread; callers keep them in order by a lock of their own.
        """
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
        """Begin a line in parts, if nothing is queued; return whether that worked. Any thread."""
        with self._lock:
            if self._write_some is None or self._waiting or self._over or self._behind is not None:
                return False
            self._behind = []
            return True

    def more(self, data: bytes) -> int:
        """Write a part without waiting; return how many bytes went out.

        The next part begins with the rest.
        """
        with self._lock:
            if self._over or self._write_some is None:
                return 0
            try:
                return self._write_some(data)
            except OSError as exc:
                self._fail(exc)
                return 0

    def complete(self, rest: Lines) -> None:
        """Write the last parts of the line, its line feed, and the lines put meanwhile.

        Any thread.
        """
        with self._lock:
            behind, self._behind = self._behind or [], None
            self._waiting += _size(rest)
            self._queue.put(_Rest(rest))
            self._queue.put(behind)

    async def room(self) -> None:
        """Wait until there is room. In the loop."""
        while not self._over and not self.has_room:
            if self._room.is_set():
                self._room = anyio.Event()
            if not self.has_room:  # it may have caught up since
                await self._room.wait()

    def end(self) -> None:
        """Finish once everything is written. Any thread."""
        self._queue.put(None)

    def close(self) -> None:
        """Stop the thread, whatever is left to write. Any thread."""
        self._over = True
        self._queue.put(None)

    def _written_now(self, lines: Lines) -> bool:
        # Waking a thread costs more than everything else that a small message needs.
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
                del lines  # free a long batch before waiting for the next one
                while waiting and not self._over:
                    self._write_group(waiting.popleft())
                self._written(size)
                if self._over:  # `unsent` may have emptied the queue, its end included
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
        elif len(lines[0]) > _LONG_LINE:  # without copying it just to append a line feed
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
    """Yield the groups in which lines are written: short ones together, long ones alone."""
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
