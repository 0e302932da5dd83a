"""A `Carrier` over pipes, with the far side in the test's hands."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from m2m_ssh_client.errors import RemoteExitError, SSHClientError
from m2m_ssh_client.flow.remote_stdio import Receiver

STDOUT_THREAD = "test-carrier-stdout"
_STDERR_TIME = 0.5  # seconds that the end of stdout waits for that of stderr
_WINDOW = 256 * 1024  # bytes that may come before they are granted


def write_some(descriptor: int, data: bytes) -> int:
    """As much as a pipe takes without waiting, on Linux; nothing elsewhere."""
    if sys.platform != "linux":
        return 0
    with suppress(BlockingIOError):
        return os.pwritev(descriptor, [data], -1, os.RWF_NOWAIT)
    return 0


class PipeCarrier:
    """Carries over three pipes. `say`, `complain` and `heard` are the far side's; `die` ends it."""

    def __init__(self, reason: SSHClientError | None = None) -> None:
        self._stdin_read, self._stdin_write = os.pipe()
        self._stdout_read, self._stdout_write = os.pipe()
        self._stderr_read, self._stderr_write = os.pipe()
        self.reason = reason or RemoteExitError(
            "The remote server ended with exit status 0", status=0
        )
        self._lock = threading.Lock()
        self._receiving = threading.Lock()
        self._granted = threading.Condition()
        self._window = _WINDOW
        self._open = {self._stdin_write, self._stdout_write, self._stderr_write}
        self.on_received: Callable[[], None] = lambda: None
        self.signals: list[str] = []
        self.dies_of: str | None = None
        self.closed = threading.Event()
        self.saw_eof = threading.Event()
        self.gone = threading.Event()

    # The near side: what the bridge calls.

    def start(self, receiver: Receiver) -> None:
        stderr = threading.Thread(
            target=self._carry, args=(self._stderr_read, receiver.stderr), daemon=True
        )

        def carry() -> None:
            self._carry(self._stdout_read, receiver.stdout)
            stderr.join(_STDERR_TIME)
            receiver.ended()

        stderr.start()
        threading.Thread(target=carry, name=STDOUT_THREAD, daemon=True).start()

    def grant(self, size: int) -> None:
        with self._granted:
            self._window += size
            self._granted.notify_all()

    def _carry(self, descriptor: int, receive: Callable[[bytes], None]) -> None:
        with suppress(OSError):  # the test has released it already
            while data := os.read(descriptor, 65536):
                with self._granted:
                    self._window -= len(data)
                with self._receiving:
                    receive(data)
                    self.on_received()
                with self._granted:
                    self._granted.wait_for(lambda: self._window > 0 or self.closed.is_set())

    def write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._stdin_write, rest) :]

    def write_now(self, _data: bytes) -> bool:
        return False

    def write_some(self, data: bytes) -> int:
        return write_some(self._stdin_write, data)

    def close_write(self) -> None:
        self._close(self._stdin_write)

    def signal(self, name: str) -> None:
        self.signals.append(name)
        if name == self.dies_of:
            self.die()

    def ending(self) -> SSHClientError:
        return self.reason

    def close(self) -> None:
        self.closed.set()
        self.grant(0)
        self.die()
        self._close(self._stdin_write)

    # The far side.

    def say(self, data: bytes) -> None:
        os.write(self._stdout_write, data)

    def complain(self, data: bytes) -> None:
        os.write(self._stderr_write, data)

    def heard(self) -> bytes:
        """Some bytes that were sent to the far side; empty after its end of file."""
        data = os.read(self._stdin_read, 65536)
        if not data:
            self.saw_eof.set()
        return data

    def heard_lines(self, count: int) -> list[bytes]:
        data = b""
        while data.count(b"\n") < count:
            more = self.heard()
            assert more, f"end of file after {data!r}"
            data += more
        return data.splitlines()

    def stop_reading_stdin(self) -> None:
        """The far side closes its stdin: the next write fails."""
        os.close(self._stdin_read)

    def die(self) -> None:
        """The far side ends: its stdout and stderr close."""
        self._close(self._stdout_write)
        self._close(self._stderr_write)
        self.gone.set()

    def _close(self, descriptor: int) -> None:
        with self._lock:
            if descriptor in self._open:
                self._open.remove(descriptor)
                os.close(descriptor)

    def release(self) -> None:
        """Close what is still open, once nobody uses it."""
        self.close()
        for descriptor in (self._stdin_read, self._stdout_read, self._stderr_read):
            with suppress(OSError):
                os.close(descriptor)
