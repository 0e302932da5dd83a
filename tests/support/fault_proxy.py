"""A network that can be broken at any moment: a TCP relay on loopback between a client and a server.

One thread carries everything, so that a fault takes effect between two chunks, and at once: when `cut()` has
returned, the resets are on their way. Faults may be called from any thread, and from the actions of `when`.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType

TO_CLIENT = "to client"
TO_SERVER = "to server"

_CHUNK = 1 << 16
_ROOM = 1 << 20  # bytes on their way in one direction; then the sender waits
_REMEMBERED = 1 << 14  # bytes of each direction, from the start: enough for a key exchange
_TRICKLE_PAUSE = 0.001
_PATIENCE = 15.0
_NEW_KEYS = 21  # SSH_MSG_NEWKEYS, RFC 4253 section 7.3


class _Pipe:
    """One direction of a connection."""

    def __init__(self, name: str, source: socket.socket, sink: socket.socket) -> None:
        self.name = name
        self.source = source
        self.sink = sink
        self.waiting: deque[tuple[float, bytes]] = deque()  # when it may go on, and what
        self.size = 0
        self.received = 0
        self.start = bytearray()
        self.ended = False


class Link:
    """One connection of the client, as `when` sees it."""

    def __init__(self, number: int, client: socket.socket, server: socket.socket) -> None:
        self.number = number
        """Counted from 1."""
        self.frozen = False
        self.pipes = {
            TO_CLIENT: _Pipe(TO_CLIENT, server, client),
            TO_SERVER: _Pipe(TO_SERVER, client, server),
        }

    def received(self, direction: str) -> int:
        """How many bytes came, those included which are about to be passed on."""
        return self.pipes[direction].received

    def has_sent_its_banner(self) -> bool:
        """Whether the SSH server has: the line that comes before its first packet."""
        return b"\n" in self.pipes[TO_CLIENT].start

    def exchanges_keys(self) -> bool:
        """Whether the SSH server has begun to, and neither side has finished."""
        return bool(_packets(self.pipes[TO_CLIENT].start)[0]) and not self.is_encrypted()

    def is_encrypted(self) -> bool:
        """Whether the SSH client has sent something behind its NEWKEYS: its way into authentication."""
        types, behind = _packets(self.pipes[TO_SERVER].start)
        return _NEW_KEYS in types and behind


def _packets(stream: bytes | bytearray) -> tuple[list[int], bool]:
    """The numbers of an SSH stream's packets up to NEWKEYS, and whether anything stands behind them."""
    types: list[int] = []
    at = stream.find(b"\n") + 1
    while at and len(stream) > at + 5 and _NEW_KEYS not in types:
        types.append(stream[at + 5])
        at += 4 + int.from_bytes(stream[at : at + 4], "big")
    return types, 0 < at < len(stream)


class FaultProxy:
    """Relays connections on `port` to `target` on loopback; a context manager that leaves nothing open."""

    def __init__(self, target: int) -> None:
        self.connections = 0
        """How many were accepted so far."""
        self._target = target
        self._links: list[Link] = []
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._reserved: socket.socket | None = None  # holds the port while nothing listens there
        self._refuse_until = float("inf")
        self._freeze_new = False
        self._delay = 0.0
        self._trickle = 0
        self._corrupt: dict[str, tuple[int | None, threading.Event]] = {}  # by direction
        self._hooks: list[tuple[Callable[[Link], bool], Callable[[], object], threading.Event]] = []
        self._failures: list[BaseException] = []
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._woken, self._waker = socket.socketpair()
        self._accepted = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call(self._stop)
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive()
        self._woken.close()
        self._waker.close()
        if self._failures and error is None:
            raise self._failures[0]

    # The faults

    def cut(self, *, fin: bool = False) -> None:
        """Reset every connection, at both ends; with `fin`, close it as a proxy that is stopped does."""

        def cut() -> None:
            for link in list(self._links):
                if fin:
                    self._finish(link)
                self._reset(link)

        self._call(cut)

    def freeze(self, *, new: bool = False) -> None:
        """Pass nothing any more, and not the end of a connection either; with `new`, on later ones too."""

        def freeze() -> None:
            self._freeze_new = new
            for link in self._links:
                link.frozen = True

        self._call(freeze)

    def thaw(self) -> None:
        def thaw() -> None:
            self._freeze_new = False
            for link in self._links:
                link.frozen = False

        self._call(thaw)

    def refuse(self, seconds: float = float("inf")) -> None:
        """Let nothing listen on the port for a while, or until `accept`. Connections that are open stay."""

        def refuse() -> None:
            self._refuse_until = time.monotonic() + seconds
            if self._listener is not None:
                self._listener.close()
                self._listener = None
                self._reserved = _bound(self.port)

        self._call(refuse)

    def accept(self) -> None:
        self._call(self._listen)

    def delay(self, seconds: float) -> None:
        """Pass each chunk so much later, each way."""
        self._call(lambda: setattr(self, "_delay", seconds))

    def trickle(self, size: int) -> None:
        """Pass so many bytes at a time, a millisecond apart; 0 ends it."""
        self._call(lambda: setattr(self, "_trickle", size))

    def corrupt(self, direction: str, at: int | None = None) -> threading.Event:
        """Change one byte of the next chunk: the one in the middle, or the one at this index. Set when it is done."""
        done = threading.Event()
        self._call(lambda: self._corrupt.update({direction: (at, done)}))
        return done

    # Watching

    def when(
        self, reached: Callable[[Link], bool], action: Callable[[], object]
    ) -> threading.Event:
        """Do `action` once, as soon as any connection has reached something; the event tells that it is done.

        Looked at when a connection is accepted, before there is one to the server, and for every chunk before it is
        passed on. Runs in the proxy's thread: nothing moves meanwhile.
        """
        done = threading.Event()
        self._call(lambda: self._hooks.append((reached, action, done)))
        return done

    def forget(self) -> None:
        """Wait for nothing of `when` any more."""
        self._call(self._hooks.clear)

    def wait_for_connection(self, count: int, timeout: float = _PATIENCE) -> None:
        """Until so many connections were accepted, since the beginning."""
        with self._accepted:
            if not self._accepted.wait_for(lambda: self.connections >= count, timeout):
                raise AssertionError(f"{self.connections} connections, not {count}")

    def _call(self, function: Callable[[], object]) -> None:
        """Run it in the proxy's thread, and wait for that."""
        if threading.current_thread() is self._thread:
            function()
            return
        done = threading.Event()

        def call() -> None:
            function()
            done.set()

        self._calls.put(call)
        self._waker.send(b"x")
        assert done.wait(_PATIENCE), "the proxy's thread is stuck"

    # In the proxy's thread

    def _run(self) -> None:
        while not self._stopped:
            self._turn()

    def _turn(self) -> None:
        now = time.monotonic()
        if now >= self._refuse_until:
            self._listen()
        pipes = [pipe for link in self._links if not link.frozen for pipe in link.pipes.values()]
        reading = [pipe for pipe in pipes if not pipe.ended and pipe.size < _ROOM]
        writing = [pipe for pipe in pipes if pipe.waiting and pipe.waiting[0][0] <= now]
        sources: list[socket.socket] = [self._woken, *(pipe.source for pipe in reading)]
        if self._listener is not None:
            sources.append(self._listener)
        dues = [pipe.waiting[0][0] for pipe in pipes if pipe.waiting and pipe not in writing]
        timeout = max(0.0, min([self._refuse_until, now + 1, *dues]) - now)
        readable, writable, _ = select.select(sources, [pipe.sink for pipe in writing], [], timeout)
        for link in list(self._links):
            for pipe in link.pipes.values():
                if pipe in writing and pipe.sink in writable and link in self._links:
                    self._write(link, pipe)
                if pipe in reading and pipe.source in readable and link in self._links:
                    self._read(link, pipe)
        if self._listener is not None and self._listener in readable:
            self._accept_one(self._listener)
        if self._woken in readable:
            self._woken.recv(1)  # there is one byte for each call
            self._calls.get()()

    def _accept_one(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        link = Link(self.connections + 1, client, client)
        self._links.append(link)
        self._look(link)
        if link not in self._links:  # cut already
            self._count()
            return
        self._links.remove(link)
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=_PATIENCE)
        except OSError:
            _reset(client)
        else:
            frozen = link.frozen or self._freeze_new
            link = Link(self.connections + 1, client, server)
            link.frozen = frozen
            for each in (client, server):
                each.setblocking(False)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._links.append(link)
        self._count()

    def _count(self) -> None:
        with self._accepted:
            self.connections += 1
            self._accepted.notify_all()

    def _read(self, link: Link, pipe: _Pipe) -> None:
        try:
            chunk = pipe.source.recv(_CHUNK)
            if sys.platform == "linux":  # a network delays no acknowledgement of its own accord
                pipe.source.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except OSError:
            self._reset(link)
            return
        if not chunk:
            pipe.ended = True
            self._end(link, pipe)
            return
        pipe.received += len(chunk)
        pipe.start += chunk[: _REMEMBERED - len(pipe.start)]
        self._look(link)
        if pipe.name in self._corrupt:
            at, done = self._corrupt.pop(pipe.name)
            changed = bytearray(chunk)
            changed[len(chunk) // 2 if at is None else min(at, len(chunk) - 1)] ^= 0x21
            chunk = bytes(changed)
            done.set()
        pipe.waiting.append((time.monotonic() + self._delay, chunk))
        pipe.size += len(chunk)

    def _write(self, link: Link, pipe: _Pipe) -> None:
        due, chunk = pipe.waiting.popleft()
        try:
            sent = pipe.sink.send(chunk[: self._trickle or len(chunk)])
        except BlockingIOError:
            sent = 0
        except OSError:
            self._reset(link)
            return
        pipe.size -= sent
        if sent < len(chunk):
            later = time.monotonic() + _TRICKLE_PAUSE if self._trickle else due
            pipe.waiting.appendleft((later, chunk[sent:]))
        self._end(link, pipe)

    def _end(self, link: Link, pipe: _Pipe) -> None:
        """No half-closed connections: SSH has no use for them."""
        if pipe.ended and not pipe.waiting and link in self._links:
            self._links.remove(link)
            for each in link.pipes.values():
                each.source.close()

    def _look(self, link: Link) -> None:
        for hook in list(self._hooks):
            reached, action, done = hook
            if reached(link):
                self._hooks.remove(hook)
                try:
                    action()
                except BaseException as exc:  # noqa: BLE001 - raised again where the context ends
                    self._failures.append(exc)
                done.set()

    def _finish(self, link: Link) -> None:
        self._links.remove(link)
        for pipe in link.pipes.values():
            with suppress(OSError):
                pipe.source.shutdown(socket.SHUT_RDWR)
            pipe.source.close()

    def _reset(self, link: Link) -> None:
        if link in self._links:
            self._links.remove(link)
            for pipe in link.pipes.values():
                _reset(pipe.source)

    def _listen(self) -> None:
        self._refuse_until = float("inf")
        if self._reserved is not None:
            self._reserved.listen()
            self._listener, self._reserved = self._reserved, None

    def _stop(self) -> None:
        self._stopped = True
        self.cut()
        for each in (self._listener, self._reserved):
            if each is not None:
                each.close()


def _bound(port: int) -> socket.socket:
    """A socket that has the port for itself and refuses connections, as it does not listen."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _reset(sock: socket.socket) -> None:
    """Close with a reset instead of an end: no lingering, what is unsent is thrown away."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
