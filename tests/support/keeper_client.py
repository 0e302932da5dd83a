"""A client of a keeper on this machine, without SSH: the keeper's command, run by a shell, and its stream."""

from __future__ import annotations

import os
import secrets
import select
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from m2m_ssh_client.keeping import stream
from m2m_ssh_client.keeping.keeper_command import keeper_command
from m2m_ssh_client.keeping.stream import OFFSET, Records, Sent, order, record

ENOUGH = 20.0  # seconds
_POLL = 0.02


class KeeperClient:
    """One client of one kept server, which attaches as often as it likes. A context manager that leaves nothing.

    `stdout` and `stderr` are what the server wrote, `end` is its status.
    """

    def __init__(
        self, command: str, seconds: float = 60, argv: Sequence[str] = ("/bin/sh", "-c")
    ) -> None:
        self.name = secrets.token_hex(32)
        self.label = f"server-{self.name[:8]}"
        self.stdout, self.stderr = bytearray(), bytearray()
        self.end, self.replaced = "", False
        self.received = 0
        self.sent = Sent()
        self._seconds = seconds
        self._command = command
        self._argv = argv
        self._records = Records(stream.STDOUT + stream.STDERR)
        self._process: subprocess.Popen[bytes] | None = None
        self._changed = threading.Condition()
        self._reader: threading.Thread | None = None
        self._hanging_up = False

    def __enter__(self) -> KeeperClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end_server()

    def end_server(self) -> None:
        """End the server if it is there, and this client."""
        with suppress(AssertionError, OSError):
            if self._process is None:
                self.attach()
            self.write(stream.QUIT)
        if self._process is not None:
            self.detach()

    def another(self) -> KeeperClient:
        """Return a client for the same server, which knows what this one has sent."""
        found = KeeperClient(self._command, self._seconds)
        found.name = self.name
        found.sent.end = found.sent.start = self.sent.end
        return found

    def start(self) -> None:
        words = (
            stream.START,
            self.name.encode(),
            b"%g" % self._seconds,
            self.label.encode(),
            self._command.encode(),
        )
        self._talk(order(*words))

    def attach(self, offset: int | None = None) -> None:
        """Go on: what has not arrived is sent again."""
        known = self.received if offset is None else offset
        arrived = self._talk(order(stream.ATTACH, self.name.encode(), b"%d" % known))
        for chunk in self.sent.since(arrived):
            self.say(chunk)

    def detach(self) -> None:
        """Lose the connection: the process at our end of the pipes is gone."""
        assert self._process is not None
        process, self._process = self._process, None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(ENOUGH)
        if self._reader is not None:
            self._reader.join(ENOUGH)
            self._reader = None
        process.stdout.close()

    def hang_up(self) -> subprocess.Popen[bytes]:
        """Close our ends at once, as sshd does when its client goes; return the process between."""
        assert self._process is not None
        assert self._reader is not None
        process, self._process = self._process, None
        self._hanging_up = True
        self._reader.join(ENOUGH)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.close()
        return process

    def give(self, data: bytes) -> None:
        """Write to the server's stdin."""
        self.write(stream.STDIN, data)

    def write(self, kind: bytes, data: bytes = b"") -> None:
        chunk = record(kind, data)
        self.sent.add(chunk)
        if self._process is not None:
            self.say(chunk)

    def acknowledge(self) -> None:
        self.write(stream.ACKNOWLEDGED, OFFSET.pack(self.received))

    def wait_for(self, stdout: bytes = b"", *, end: str = "", stderr: bytes = b"") -> None:
        """Wait until so much has come."""

        def arrived() -> bool:
            return stdout in self.stdout and stderr in self.stderr and end in self.end

        with self._changed:
            assert self._changed.wait_for(arrived, ENOUGH), (self.stdout[-200:], self.end)

    def wait_until_let_go(self) -> None:
        """Wait until the keeper has closed our pipes."""
        assert self._process is not None
        self._process.wait(ENOUGH)

    def say(self, chunk: bytes | memoryview) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._process.stdin.fileno(), rest) :]

    def _talk(self, words: bytes) -> int:
        """Give the order; return the offset in the answer. Raises AssertionError with a refusal."""
        process = subprocess.Popen(
            [*self._argv, keeper_command()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._process = process
        assert process.stdout is not None
        assert process.stdout.readline() == stream.READY + b"\n"
        self.say(words)
        line = process.stdout.readline().removeprefix(stream.ATTACHED).strip()
        if not line.isdigit():
            self.detach()
            raise AssertionError(line.decode())
        self._reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reader.start()
        return int(line)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        while not self._hanging_up:
            if not select.select([process.stdout], [], [], _POLL)[0]:
                continue
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                break
            with self._changed:
                self.received += len(data)
                for kind, piece in self._records.feed(data):
                    self._take(kind, piece)
                self._changed.notify_all()

    def _take(self, kind: bytes, piece: bytes) -> None:
        if kind == stream.STDOUT:
            self.stdout += piece
        elif kind == stream.STDERR:
            self.stderr += piece
        elif kind == stream.EXIT:
            self.end = piece.decode()
        elif kind == stream.REPLACED:
            self.replaced = True
        elif kind == stream.ACKNOWLEDGED:
            self.sent.acknowledge(OFFSET.unpack(piece)[0])
