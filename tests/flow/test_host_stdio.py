"""The host's end, over pipes instead of descriptors 0 and 1."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import anyio
import pytest

from m2m_ssh_client.flow.hand_over import READ_SIZE, run_in_thread
from m2m_ssh_client.flow.host_stdio import _write_now, stdio
from m2m_ssh_client.flow.splitting import Intake, LineSplitter
from m2m_ssh_client.proxy.early_forwarding.splitter import LongLineSplitter

pytestmark = pytest.mark.anyio


def intake(limit: int = 1000) -> Intake:
    """Lines up to this limit, of which none takes the shortcut."""
    return Intake(LineSplitter(limit), lambda _: False)


class Pipes:
    def __init__(self) -> None:
        self.stdin, self.host_writes = os.pipe()
        self.host_reads, self.stdout = os.pipe()
        self._open = {self.stdin, self.host_writes, self.host_reads, self.stdout}

    def close(self, descriptor: int) -> None:
        self._open.remove(descriptor)
        os.close(descriptor)

    def close_all(self) -> None:
        for descriptor in list(self._open):
            self.close(descriptor)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    yield pipes
    pipes.close_all()


async def test_lines_come_from_stdin_and_go_to_stdout(pipes: Pipes) -> None:
    async with stdio(intake(), pipes.stdin, pipes.stdout) as host:
        os.write(pipes.host_writes, b"one\r\ntwo\nhal")
        assert await anext(host.inbound) == [b"one\r", b"two"]
        host.outbound.put([b"three", b"four"])
        assert (
            await run_in_thread("test", lambda: os.read(pipes.host_reads, 100)) == b"three\nfour\n"
        )
        pipes.close(pipes.host_writes)


async def test_a_last_line_needs_no_line_feed(pipes: Pipes) -> None:
    async with stdio(intake(), pipes.stdin, pipes.stdout) as host:
        os.write(pipes.host_writes, b'first\n{"jsonrpc":"2.0"}')
        pipes.close(pipes.host_writes)
        lines = [line async for lines in host.inbound for line in lines]
        assert lines == [b"first", b'{"jsonrpc":"2.0"}']


async def test_a_line_over_the_limit_has_a_stand_in_and_the_next_one_comes(pipes: Pipes) -> None:
    long_lines = Intake(LongLineSplitter(1000, None, from_host=True), lambda _: False)
    async with stdio(long_lines, pipes.stdin, pipes.stdout) as host:
        os.write(pipes.host_writes, b"x" * 1500)
        with anyio.fail_after(5):
            (stand_in,) = await anext(host.inbound)
        assert b"--max-message-size" in stand_in
        os.write(pipes.host_writes, b"xxx\nnext\n")
        assert await anext(host.inbound) == [b"next"]
        pipes.close(pipes.host_writes)


async def test_what_was_sent_is_written_before_the_end(pipes: Pipes) -> None:
    async with stdio(intake(), pipes.stdin, pipes.stdout) as host:
        pipes.close(pipes.host_writes)
        host.outbound.put([b"x" * 1000] * 50)
    pipes.close(pipes.stdout)
    data = b""
    while chunk := os.read(pipes.host_reads, 65536):
        data += chunk
    assert data == (b"x" * 1000 + b"\n") * 50


async def test_a_host_that_closes_our_stdout_is_noticed_without_a_write(pipes: Pipes) -> None:
    async with stdio(intake(), pipes.stdin, pipes.stdout) as host:
        pipes.close(pipes.host_reads)
        with anyio.fail_after(3):
            await host.gone.wait()
        pipes.close(pipes.host_writes)


async def test_a_write_that_fails_means_that_the_host_is_gone(pipes: Pipes) -> None:
    async with stdio(intake(), pipes.stdin, pipes.stdout) as host:
        pipes.close(pipes.host_reads)
        host.outbound.put([b"x"])
        with anyio.fail_after(3):
            await host.gone.wait()
        pipes.close(pipes.host_writes)


@pytest.mark.skipif(
    sys.platform == "win32", reason="a pipe that is not empty cannot be asked there"
)
async def test_a_host_that_closes_its_end_while_it_is_not_read_is_noticed(pipes: Pipes) -> None:
    async with stdio(intake(), pipes.stdin, pipes.stdout) as host:
        with anyio.fail_after(5):
            while host.inbound.has_room:
                lines = (b"x" * 999 + b"\n") * 50
                await run_in_thread("test", partial(os.write, pipes.host_writes, lines))
            os.write(pipes.host_writes, b"one more\n")
            assert not host.closed.is_set()
            pipes.close(pipes.host_writes)
            await host.closed.wait()


async def test_a_parent_that_leaves_is_no_end(
    pipes: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents = iter([100])
    monkeypatch.setattr(os, "getppid", lambda: next(parents, 1))
    async with stdio(intake(), pipes.stdin, pipes.stdout) as host:
        with anyio.move_on_after(1.5):
            await host.gone.wait()
        assert not host.gone.is_set()
        pipes.close(pipes.host_writes)


async def test_a_host_that_never_reads_cannot_hold_up_the_end(pipes: Pipes) -> None:
    with anyio.fail_after(3):
        async with stdio(intake(), pipes.stdin, pipes.stdout) as host:
            host.outbound.put([b"x" * 900] * 1000)
            pipes.close(pipes.host_writes)
    pipes.close(pipes.host_reads)


async def test_a_print_while_relaying_lands_on_stderr(
    pipes: Pipes, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stdio(intake(), pipes.stdin, pipes.stdout):
        sys.stdout.write("stray")
        pipes.close(pipes.host_writes)
    assert capsys.readouterr() == ("", "stray")


if sys.platform != "win32":

    def test_a_full_pipe_is_left_to_the_thread(pipes: Pipes) -> None:
        assert _write_now(pipes.stdout, b"first\n")
        os.set_blocking(pipes.stdout, False)
        with suppress(BlockingIOError):
            while True:
                os.write(pipes.stdout, bytes(65536))
        assert not _write_now(pipes.stdout, b"second\n")
        assert os.read(pipes.host_reads, 6) == b"first\n"


if sys.platform == "linux":
    import fcntl

    @pytest.mark.parametrize("before", [64 * 1024, READ_SIZE, 4 * READ_SIZE])
    async def test_the_hosts_pipe_holds_what_one_read_takes_or_more(
        pipes: Pipes, before: int
    ) -> None:
        fcntl.fcntl(pipes.stdin, fcntl.F_SETPIPE_SZ, before)
        async with stdio(intake(), pipes.stdin, pipes.stdout):
            assert fcntl.fcntl(pipes.stdin, fcntl.F_GETPIPE_SZ) == max(before, READ_SIZE)
            pipes.close(pipes.host_writes)


async def test_a_loop_that_is_late_does_not_blame_a_host_that_reads(pipes: Pipes) -> None:
    """On a busy machine the time may be over before anybody has looked whether all was written."""
    async with stdio(intake(), pipes.stdin, pipes.stdout) as host:
        host.outbound.put([b"the last line"])
        host.leave_by = anyio.current_time() - 1
    assert not host.cut_off
    assert os.read(pipes.host_reads, 100) == b"the last line\n"
