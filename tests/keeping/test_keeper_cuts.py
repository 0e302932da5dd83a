"""A keeper whose client is cut off at any byte, hundreds of times: both streams stay whole."""

from __future__ import annotations

import os
import random
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.keeper_client import ENOUGH, KeeperClient
from support.waiting import wait_until

from m2m_ssh_client.keeping import stream
from m2m_ssh_client.keeping.stream import OFFSET, Records, Sent, record

if sys.platform == "win32":
    pytest.skip("a keeper runs on POSIX", allow_module_level=True)

from m2m_ssh_client.keeping import on_machine

pytestmark = pytest.mark.interop

ATTACHMENTS = 300  # by hand, 10,000 take five seconds


class Cutter:
    """A client of `cat` that talks to the keeper's socket itself, and is cut off wherever `rng` says."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self._path = path
        self._rng = rng
        self._sent = Sent()
        self._records = Records(stream.STDOUT + stream.STDERR)
        self._received = 0
        self.given = b""
        self.answered = b""

    @contextmanager
    def attached(self) -> Iterator[tuple[int, int]]:
        """Yield descriptors to write to and to read from. What had not arrived is sent again."""
        (ours_in, out), (back, ours_out) = os.pipe(), os.pipe()
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(self._path))
            passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("2i", ours_in, ours_out))]
            caller.sendmsg([b"A" + OFFSET.pack(self._received)], passed)
            os.close(ours_in)
            os.close(ours_out)
            line = b""
            while not line.endswith(b"\n"):
                line += os.read(back, 1)
            for each in (out, back):
                os.set_blocking(each, False)
            for chunk in self._sent.since(int(line.removeprefix(stream.ATTACHED))):
                self._write(out, back, chunk)
            yield out, back
            os.close(out)
            os.close(back)

    def some_records(self, out: int, back: int) -> None:
        """Write a few, the last of them perhaps not to its end; read a little."""
        for _ in range(self._rng.randrange(4)):
            chunk = self._record()
            self._sent.add(chunk)
            if self._rng.random() < 0.2:
                with suppress(BlockingIOError):
                    os.write(out, chunk[: self._rng.randrange(len(chunk))])
                return
            self._write(out, back, chunk)
        for _ in range(self._rng.randrange(6)):
            self.read(back, self._rng.choice([1, 7, 100, 1 << 16]))

    def read(self, back: int, most: int = 1 << 16) -> None:
        with suppress(BlockingIOError):
            data = os.read(back, most)
            self._received += len(data)
            for kind, piece in self._records.feed(data):
                if kind == stream.STDOUT:
                    self.answered += piece
                else:
                    assert kind == stream.ACKNOWLEDGED
                    self._sent.acknowledge(OFFSET.unpack(piece)[0])

    def _record(self) -> bytes:
        if self._rng.random() < 0.3:
            return record(stream.ACKNOWLEDGED, OFFSET.pack(self._received))
        data = self._rng.randbytes(self._rng.choice([1, 10, 100, 1000, 20_000]))
        self.given += data
        return record(stream.STDIN, data)

    def _write(self, out: int, back: int, chunk: bytes | memoryview) -> None:
        rest = memoryview(chunk)
        while rest:
            try:
                rest = rest[os.write(out, rest) :]
            except BlockingIOError:
                self.read(back)


def disturb(path: Path, rng: random.Random) -> None:
    """Call the keeper and say something senseless, or nothing."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))
        if rng.random() < 0.7:
            caller.sendall(rng.randbytes(rng.randrange(1, 60)).replace(b"E", b"x"))


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_or_doubled_wherever_the_client_is_cut_off(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    with KeeperClient("exec cat") as client:
        client.start()
        client.detach()
        (path,) = (Path(each) / client.name for each in on_machine.folders()[:1])
        cutter = Cutter(path, rng)
        for _ in range(ATTACHMENTS):
            if rng.random() < 0.2:
                disturb(path, rng)
            with cutter.attached() as (out, back):
                cutter.some_records(out, back)
        deadline = time.monotonic() + ENOUGH
        with cutter.attached() as (out, back):
            while len(cutter.answered) < len(cutter.given) and time.monotonic() < deadline:
                cutter.read(back)
            assert cutter.answered == cutter.given
            os.write(out, record(stream.QUIT))
        wait_until(lambda: not path.exists(), ENOUGH)
