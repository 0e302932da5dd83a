"""The keeper: a small process on the remote machine that holds a server's stdio.

Connections to it come and go; the server notices nothing. It is sent within the exec request, with
`stream.py` and `on_machine.py`: these need only the standard library, of Python 3.6 or later.
"""

import os
import select
import signal
import socket
import struct
import sys
import time
from collections import deque

assert sys.platform != "win32"  # noqa: S101 - for the type checker

from m2m_ssh_client.keeping.server_start import become  # noqa: E402 - as above
from m2m_ssh_client.keeping.stream import (  # noqa: E402
    ACKNOWLEDGED,
    ATTACHED,
    CLOSE,
    END,
    EXIT,
    HEAD,
    MOST,
    OFFSET,
    QUIT,
    REPLACED,
    SIGNAL,
    STDERR,
    STDIN,
    STDOUT,
    STEP,
    UNKNOWN_OFFSET,
    Records,
    Sent,
    record,
)

_READ = 64 * 1024
_MOST_CHUNKS = 8  # in one record
PIPE = 1024 * 1024
_F_SETPIPE_SZ = 1031  # Linux, <linux/fcntl.h>
_FIRST_WORD = 20.0  # seconds; a client that has never said anything may not know that we are there
_TERM_AFTER = 1.2  # seconds after the end of stdin, unless the client presses harder
_KILL_AFTER = 1.7


class Keeper:
    """One server, and the client that is attached to it, if there is one."""

    def __init__(self, listener: socket.socket, seconds: float, label: bytes) -> None:
        self._listener = listener
        self._seconds = seconds
        self._label = label
        self._started = self._heard = time.monotonic()
        self._poll = select.poll()
        self._polled: dict[int, int] = {}
        self._watched: object = None
        self._callers: dict[int, socket.socket] = {}
        self._woken, waking = os.pipe()
        for end in (self._woken, waking):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waking)
        for each in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(each, self._on_signal)
        # The client: the pipes of the exec request, and the process there that waits for us.
        self._in = self._out = -1
        self._waiter: socket.socket | None = None
        self._records = Records(STDIN)
        self._received = self._acknowledged = 0
        self._sent = Sent()
        self._unsent: deque[bytes | memoryview] = deque()
        self._unsent_size = 0
        # The server.
        self._pid = 0
        self._stdin = self._stdout = self._stderr = -1
        self._input: deque[bytes | memoryview] = deque()
        self._input_size = 0
        self._closing = False  # its stdin is closed after the last input
        self._steps: list[tuple[float, int]] = []
        self._unwanted = False  # nobody comes for what is left
        self._terminated = False
        self._over = False

    def start(self, command: bytes) -> None:
        """Start the server, as sshd does: by the user's shell."""
        ends = [os.pipe(), os.pipe(), os.pipe()]
        self._pid = os.fork()
        if not self._pid:
            become(command, ends[0][0], ends[1][1], ends[2][1])
        (theirs_in, self._stdin), (self._stdout, theirs_out), (self._stderr, theirs_err) = ends
        for each in (theirs_in, theirs_out, theirs_err):
            os.close(each)
        for each in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(each, False)
            _widen(each)

    def run(self) -> None:
        """Serve until the server has ended and its end was told, or nobody comes for it."""
        while not self._over:
            self._watch()
            for descriptor, event in self._poll.poll(self._wait()):
                if descriptor in self._polled:  # else it was closed just now
                    self._happened(descriptor, event)
            self._on_time()

    def abandon(self) -> None:
        """End what is left of the server at once. It is nothing, unless something failed here."""
        if self._pid:
            self._kill(signal.SIGKILL)

    def _watch(self) -> None:
        """Wait for whatever there is room for. Without events, an error is still noticed."""
        has_room = len(self._sent) < MOST and self._unsent_size < STEP
        ends = (self._in, self._out, self._stdin, self._stdout, self._stderr)
        state = (ends, bool(self._unsent), bool(self._input), has_room, tuple(self._callers))
        if state == self._watched:
            return
        self._watched = state
        wanted = {self._listener.fileno(): select.POLLIN, self._woken: select.POLLIN}
        wanted.update((each, select.POLLIN) for each in self._callers)
        wanted[self._in] = select.POLLIN
        wanted[self._out] = select.POLLOUT if self._unsent else 0
        wanted[self._stdin] = select.POLLOUT if self._input else 0
        if has_room:
            wanted[self._stdout] = wanted[self._stderr] = select.POLLIN
        wanted.pop(-1, None)  # those that are closed
        for each in self._polled.keys() - wanted.keys():
            self._poll.unregister(each)
        for each, events in wanted.items():
            if self._polled.get(each) != events:
                self._poll.register(each, events)
        self._polled = wanted

    def _forget(self, descriptor: int) -> None:
        self._ignore(descriptor)
        os.close(descriptor)

    def _ignore(self, descriptor: int) -> None:
        self._watched = None  # another one may get the same number
        if self._polled.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def _wait(self) -> float:
        """Return the milliseconds until something is due, an hour at most."""
        due = [at for at, _ in self._steps[:1]]
        if not self._unwanted:
            due.append(self._deadline)
        seconds = min(due, default=float("inf")) - time.monotonic()
        return min(max(seconds, 0) * 1000 + 1, 3600000)

    def _happened(self, descriptor: int, event: int) -> None:
        broken = bool(event & ~(select.POLLIN | select.POLLOUT))
        if descriptor in (self._stdout, self._stderr):
            self._from_server(descriptor)
        elif descriptor == self._in:
            self._from_client()
        elif descriptor == self._out:
            self._mute() if broken else self._to_client()
        elif descriptor == self._stdin:
            self._close_stdin() if broken else self._to_server()
        elif descriptor == self._woken:
            self._signalled()
        elif descriptor in self._callers:
            self._called(descriptor)
        else:
            self._accept()

    def _signalled(self) -> None:
        os.read(self._woken, 512)
        if self._terminated:
            self._end(unwanted=True)
        self._reap()

    @property
    def _deadline(self) -> float:
        """The time until which a client must have been heard of."""
        return self._heard + (self._seconds if self._received else min(self._seconds, _FIRST_WORD))

    def _on_time(self) -> None:
        now = time.monotonic()
        while self._steps and self._steps[0][0] <= now:
            self._kill(self._steps.pop(0)[1])
        if now >= self._deadline and not self._unwanted:
            self._detach()
            self._end(unwanted=True)

    # The server.

    def _from_server(self, descriptor: int) -> None:
        chunks = _read(descriptor)
        data = [chunk for chunk in chunks if chunk]
        if data:
            self._tell(STDOUT if descriptor == self._stdout else STDERR, *data)
        if data or not chunks:
            return
        if descriptor == self._stdout:
            self._stdout = self._closed(descriptor)
        else:
            self._stderr = self._closed(descriptor)
        if self._stdout == self._stderr:  # both are closed: then sshd sends an end of file, too
            self._tell(END)

    def _closed(self, descriptor: int) -> int:
        if descriptor >= 0:
            self._forget(descriptor)
        return -1

    def _to_server(self) -> None:
        try:
            while self._input:
                chunk = self._input[0]
                written = os.write(self._stdin, chunk)
                self._input_size -= written
                if written < len(chunk):
                    self._input[0] = memoryview(chunk)[written:]
                else:
                    self._input.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._close_stdin()
        if self._closing and not self._input:
            self._close_stdin()
        self._acknowledge()

    def _close_stdin(self) -> None:
        self._stdin = self._closed(self._stdin)
        self._input.clear()
        self._input_size = 0

    def _reap(self) -> None:
        """Note the end of the server, with all that it has written itself."""
        if not self._pid:
            return
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid:
            return
        for kind, descriptor in ((STDERR, self._stderr), (STDOUT, self._stdout)):
            self._drain(kind, descriptor)
        self._tell(EXIT, _end_in_words(status))
        self._close_stdin()
        self._stdout = self._closed(self._stdout)
        self._stderr = self._closed(self._stderr)
        if self._unwanted:
            self._kill(signal.SIGKILL)  # what it has left behind
            self._over = True
        self._pid = 0
        del self._steps[:]

    def _drain(self, kind: bytes, descriptor: int) -> None:
        try:
            while descriptor >= 0:
                data = os.read(descriptor, PIPE)
                if not data:
                    return
                self._tell(kind, data)
        except BlockingIOError:
            pass

    def _kill(self, number: int) -> None:
        try:
            os.killpg(self._pid, number)
        except OSError:
            pass

    def _end(self, unwanted: bool) -> None:
        """Close the server's stdin, after its last input if that is wanted; then press harder."""
        self._unwanted |= unwanted
        self._closing = True
        if unwanted or not self._input:
            self._close_stdin()
        if not self._pid:
            self._over |= unwanted
        elif not self._steps:
            now = time.monotonic()
            self._steps = [(now + _TERM_AFTER, signal.SIGTERM), (now + _KILL_AFTER, signal.SIGKILL)]

    def _on_signal(self, number: int, _frame: object) -> None:
        self._terminated |= number == signal.SIGTERM

    # The client.

    def _from_client(self) -> None:
        try:
            data = os.read(self._in, _READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._detach()
            return
        self._heard = time.monotonic()
        self._received += len(data)
        try:
            for kind, piece in self._records.feed(data):
                self._obey(kind, piece)
        except (ValueError, struct.error):  # it can never be gone on with
            self._detach()
            self._end(unwanted=True)
            return
        self._acknowledge()

    def _obey(self, kind: bytes, data: bytes) -> None:
        if kind == STDIN:
            self._give(data)
        elif kind == ACKNOWLEDGED:
            self._sent.acknowledge(OFFSET.unpack(data)[0])
        elif kind == SIGNAL:
            number = getattr(signal, "SIG" + data.decode("ascii", "replace"), None)
            if self._pid and number is not None:
                self._kill(number)
        elif kind == CLOSE:
            self._end(unwanted=False)
        elif kind == QUIT:
            self._end(unwanted=True)
        else:
            raise ValueError("kind")

    def _give(self, data: bytes) -> None:
        if self._stdin < 0 or self._closing:
            return
        if self._input_size > MOST:
            raise ValueError("unbounded")
        self._input.append(data)
        self._input_size += len(data)
        if len(self._input) == 1:
            self._to_server()

    def _acknowledge(self) -> None:
        done = self._received - self._input_size
        if done - self._acknowledged >= STEP:
            self._acknowledged = done
            self._tell(ACKNOWLEDGED, OFFSET.pack(done))

    def _tell(self, kind: bytes, data: bytes = b"", *more: bytes) -> None:
        """Send a record of this data, which is not copied from the second piece on."""
        chunks = (HEAD.pack(kind, len(data) + sum(map(len, more))) + data, *more)
        for chunk in chunks:
            self._sent.add(chunk)
        if self._out >= 0:
            waits = bool(self._unsent)
            self._unsent.extend(chunks)
            self._unsent_size += sum(map(len, chunks))
            if not waits:
                self._to_client()

    def _to_client(self) -> None:
        try:
            while self._unsent:
                chunk = self._unsent[0]
                written = os.write(self._out, chunk)
                self._unsent_size -= written
                if written < len(chunk):
                    self._unsent[0] = memoryview(chunk)[written:]
                    return
                self._unsent.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._mute()

    def _mute(self) -> None:
        """Tell this client nothing more. Its last words, up to the end of file, still count."""
        self._out = self._closed(self._out)
        self._unsent.clear()
        self._unsent_size = 0

    def _detach(self) -> None:
        self._mute()
        self._in = self._closed(self._in)
        if self._waiter is not None:
            self._waiter.close()
            self._waiter = None

    def _accept(self) -> None:
        try:
            caller = self._listener.accept()[0]
        except OSError:  # it has gone, or there are too many descriptors
            return
        caller.setblocking(False)
        if is_ours(caller):
            self._callers[caller.fileno()] = caller
        else:
            caller.close()

    def _called(self, descriptor: int) -> None:
        """Do what somebody on this machine asks for, by one letter."""
        caller = self._callers.pop(descriptor)
        self._ignore(descriptor)
        try:
            data, descriptors = _received(caller)
            if data[:1] == b"A" and len(descriptors) == 2 and len(data) == 1 + OFFSET.size:
                self._attach(caller, descriptors, OFFSET.unpack(data[1:])[0])
                return
            for each in descriptors:
                os.close(each)
            if data[:1] == b"E":
                self._end(unwanted=True)
            caller.sendall(self._said())
        except OSError:
            if caller is self._waiter:
                self._detach()
        caller.close()

    def _attach(self, caller: socket.socket, descriptors: "list[int]", offset: int) -> None:
        if self._in >= 0 and not self._unsent:
            try:
                os.write(self._out, record(REPLACED))
            except OSError:
                pass
        self._detach()
        self._in, self._out = descriptors
        self._waiter = caller
        for each in descriptors:
            os.set_blocking(each, False)
            _widen(each)
        try:
            rest = self._sent.since(offset)
        except ValueError:
            os.write(self._out, ATTACHED + b"- " + UNKNOWN_OFFSET + b"\n")
            self._detach()
            return
        self._heard = time.monotonic()
        self._unsent.append(ATTACHED + b"%d\n" % self._received)
        self._unsent.extend(rest)
        self._unsent_size = sum(map(len, self._unsent))
        self._to_client()

    def _said(self) -> bytes:
        """Return what `kept` shows: tab-separated, one line."""
        now = time.monotonic()
        state = b"attached" if self._in >= 0 else b"kept" if self._pid else b"ended"
        left = max(self._deadline - now, 0)
        return b"%d\t%s\t%d\t%d\t%s\n" % (
            os.getpid(),
            state,
            now - self._started,
            left,
            self._label,
        )


def _end_in_words(status: int) -> bytes:
    """Return the exit status, or the name of the signal without SIG."""
    if os.WIFEXITED(status):
        return b"%d" % os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    try:
        return signal.Signals(number).name[3:].encode()
    except ValueError:  # a real-time signal
        return b"RT%d" % number


def _read(descriptor: int) -> "list[bytes]":
    """Return what can be read at once, up to a limit; an empty piece last is the end.

    Long messages become long records then, which the client passes on without cutting them.
    """
    chunks: list[bytes] = []
    try:
        while len(chunks) < _MOST_CHUNKS:
            chunks.append(os.read(descriptor, _READ))
            if len(chunks[-1]) < _READ:
                break
    except BlockingIOError:
        pass
    return chunks


def _widen(descriptor: int) -> None:
    """Let a pipe hold more, where there is a way: fewer turns for long messages."""
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, PIPE)
        except OSError:
            pass  # a socket, or beyond the user's limit


def is_ours(caller: socket.socket) -> bool:
    """Return whether the same user calls. Where that cannot be asked, the folder's mode says it."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    credentials = struct.Struct("3i")
    _, user, _ = credentials.unpack(caller.getsockopt(socket.SOL_SOCKET, option, credentials.size))
    return bool(user == os.getuid())


def _received(caller: socket.socket) -> "tuple[bytes, list[int]]":
    data, extra, _, _ = caller.recvmsg(64, socket.CMSG_SPACE(8))
    found: list[int] = []
    for level, kind, passed in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.extend(struct.unpack(str(len(passed) // 4) + "i", passed[: len(passed) // 4 * 4]))
    return data, found
