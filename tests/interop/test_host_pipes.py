"""What a host may be at its end: pipes, sockets, files and terminals, blocking or not, and the ways to leave them."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from faults.play import EXIT_WITHIN, SLACK
from support import counting_server, echo_server
from support.counting_server import Books
from support.host import DEFAULT_TIMEOUT, PACKAGE_PARENT, client_argv
from support.sshd import Sshd
from support.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.cold]
if sys.platform == "win32":
    pytest.skip("ends as POSIX has them", allow_module_level=True)

LARGE = 5_000_000
RESERVE = 0.5  # seconds of EXIT_WITHIN that are to be left on a machine that does nothing else
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "h"}},
}

Ends = tuple[int, int]
"""Where is read, and where is written."""


def pipe() -> Ends:
    return os.pipe()


def sockets() -> Ends:
    one, other = socket.socketpair()
    return one.detach(), other.detach()


def terminal_in() -> Ends:
    import tty

    ours, theirs = os.openpty()
    tty.setraw(theirs)
    return theirs, ours


def terminal_out() -> Ends:
    return terminal_in()[::-1]


class Client:
    """The program with these ends, of which it gets one each; a context manager."""

    def __init__(self, argv: list[str], to_client: Ends, from_client: Ends, folder: Path) -> None:
        stdin, self.to = to_client
        self.at, stdout = from_client
        self._open = {self.to, self.at}
        self._heard = b""
        self._stderr = folder / "stderr"
        with self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
            )
        os.close(stdin)
        os.close(stdout)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for descriptor in list(self._open):
            self.close(descriptor)

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def close(self, descriptor: int) -> None:
        self._open.remove(descriptor)
        os.close(descriptor)

    def say(self, *messages: dict[str, Any], end: bytes = b"\n") -> None:
        data = memoryview(b"\n".join(json.dumps(message).encode() for message in messages) + end)
        while data:
            data = data[os.write(self.to, data) :]

    def hear(self, size: int = 65536) -> dict[str, Any]:
        """The next message, read in pieces of this size at the most."""
        while b"\n" not in self._heard:
            ready, _, _ = select.select([self.at], [], [], DEFAULT_TIMEOUT)
            assert ready, self.stderr
            data = os.read(self.at, size)
            assert data, (len(self._heard), self.process.poll(), self.stderr)
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def fill(self) -> None:
        """Write what the other end takes in the time that it needs to stop taking."""
        os.set_blocking(self.to, False)
        line = json.dumps(call("echo", "fill", text="x" * 50_000)).encode() + b"\n"
        rest = line
        while select.select([], [self.to], [], 1.0)[1]:
            with suppress(BlockingIOError):
                rest = rest[os.write(self.to, rest) :] or line


def call(tool: str, id_: object = 1, **arguments: object) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params}


Start = Callable[..., Client]


@pytest.fixture
def start(sshd: Sshd, tmp_path: Path) -> Iterator[Start]:
    """Starts the client of a test: `start(to_client, from_client, *command, through=…, options=…)`."""
    with ExitStack() as stack:

        def begin(
            to_client: Ends,
            from_client: Ends,
            *command: str,
            through: tuple[str, ...] = (),
            options: tuple[str, ...] = (),
        ) -> Client:
            command = command or tuple(echo_server.command())
            argv = client_argv(*sshd.client_options(), *options, "--", *command)
            return stack.enter_context(Client([*through, *argv], to_client, from_client, tmp_path))

        yield begin


def not_blocking(ends: Ends, which: int) -> Ends:
    os.set_blocking(ends[which], False)
    return ends


# Descriptors that do not block


@pytest.mark.parametrize("kind", [pipe, sockets, terminal_in])
def test_a_stdin_that_does_not_block_and_has_nothing_yet_is_waited_for(
    kind: Callable[[], Ends], start: Start, sshd: Sshd
) -> None:
    before = sshd.log.count("Accepted")
    client = start(not_blocking(kind(), 0), pipe())
    wait_until(lambda: sshd.log.count("Accepted") > before or client.process.poll() is not None)
    client.say(INITIALIZE)
    assert client.hear()["id"] == 0
    client.say(call("echo", text="x" * 300_000))
    assert "result" in client.hear()
    assert client.process.poll() is None


@pytest.mark.parametrize("kind", [pipe, sockets, terminal_out])
def test_a_stdout_that_does_not_block_gets_all_of_a_long_answer_however_slowly_it_is_read(
    kind: Callable[[], Ends], start: Start
) -> None:
    client = start(pipe(), not_blocking(kind(), 1))
    client.say(INITIALIZE)
    client.hear()
    client.say(call("big", bytes=LARGE))
    answer = client.hear(4096)
    assert len(answer["result"]["content"][0]["text"]) == LARGE
    client.close(client.to)
    assert client.process.wait(EXIT_WITHIN + SLACK) == 0


def test_the_flags_of_the_hosts_pipes_stay_as_they_are(start: Start) -> None:
    to_client, from_client = not_blocking(pipe(), 0), not_blocking(pipe(), 1)
    stdin, stdout = os.dup(to_client[0]), os.dup(from_client[1])
    try:
        client = start(to_client, from_client)
        client.say(INITIALIZE)
        client.hear()
        assert not os.get_blocking(stdin)
        assert not os.get_blocking(stdout)
    finally:
        os.close(stdin)
        os.close(stdout)


def test_a_file_with_a_last_line_without_line_feed_is_answered(
    start: Start, tmp_path: Path
) -> None:
    requests = tmp_path / "requests"
    requests.write_text(json.dumps(INITIALIZE) + "\n" + json.dumps(call("echo", "last")))
    client = start((os.open(requests, os.O_RDONLY), os.open(os.devnull, os.O_WRONLY)), pipe())
    assert client.hear()["id"] == 0
    assert "result" in client.hear()
    assert client.process.wait(DEFAULT_TIMEOUT) == 0


def test_a_host_that_leaves_what_it_was_sent_unread_does_not_get_a_zero(start: Start) -> None:
    client = start(pipe(), pipe())
    client.say(INITIALIZE)
    client.hear()
    client.say(call("big", bytes=LARGE))
    assert select.select([client.at], [], [], DEFAULT_TIMEOUT)[0]
    client.close(client.to)
    assert client.process.wait(EXIT_WITHIN + SLACK) == 1
    assert "did not read" in client.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has this file")
def test_a_full_disk_in_the_hosts_place_is_told(start: Start) -> None:
    client = start(pipe(), (os.open(os.devnull, os.O_RDONLY), os.open("/dev/full", os.O_WRONLY)))
    client.say(INITIALIZE)
    assert client.process.wait(DEFAULT_TIMEOUT) == 1
    assert "stdout cannot be written: No space left on device" in client.stderr


# The host leaves


def stuck(kind: Callable[[], Ends], start: Start) -> Client:
    """A session whose server reads nothing any more, while megabytes wait for it."""
    client = start(kind(), pipe(), sys.executable, "-c", DEAF)
    client.say(INITIALIZE)
    client.hear()
    client.fill()
    return client


DEAF = """
import sys, time
sys.stdin.readline()
print('{"jsonrpc":"2.0","id":0,"result":{}}', flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", [pipe, sockets])
def test_the_end_of_stdin_is_seen_though_the_remote_does_not_read(
    kind: Callable[[], Ends], start: Start
) -> None:
    client = stuck(kind, start)
    began = time.monotonic()
    client.close(client.to)
    assert client.process.wait(EXIT_WITHIN + SLACK) in (0, 1)
    assert time.monotonic() - began < EXIT_WITHIN + SLACK


def test_a_host_that_shuts_its_side_of_a_socket_down_has_closed_it(start: Start) -> None:
    client = stuck(sockets, start)
    with socket.socket(fileno=os.dup(client.to)) as end:
        end.shutdown(socket.SHUT_WR)
    client.process.wait(EXIT_WITHIN + SLACK)


def test_everything_ends_half_a_second_early_whatever_the_others_do(start: Start) -> None:
    """The remote neither reads nor heeds signals, the host reads nothing either: the best of three, on this machine."""
    taken = []
    for _ in range(3):
        client = start(pipe(), pipe(), *echo_server.command("--stubborn"))
        client.say(INITIALIZE)
        client.hear()
        client.say(call("big", bytes=LARGE))
        client.fill()
        began = time.monotonic()
        client.close(client.to)
        client.process.wait(EXIT_WITHIN + SLACK)
        taken.append(time.monotonic() - began)
    assert min(taken) < EXIT_WITHIN - RESERVE + SLACK / 4, taken


def test_what_a_host_sent_before_it_left_is_delivered_if_the_remote_reads(
    start: Start, tmp_path: Path
) -> None:
    """More than fits anywhere on the way, and slowly."""
    books = Books(tmp_path)
    client = start(pipe(), pipe(), *counting_server.command(tmp_path))
    client.say(INITIALIZE)
    client.hear()
    ids = [f"count-{number}" for number in range(60)]
    client.say(*(call("count", id_, key=id_, text="x" * 100_000) for id_ in ids))
    client.close(client.to)
    assert {client.hear()["id"] for _ in ids} == set(ids)
    assert client.process.wait(EXIT_WITHIN + SLACK) == 0
    assert all(books.executions[id_] == 1 for id_ in ids)


def test_the_last_answers_wait_for_a_host_that_pauses(start: Start) -> None:
    """The session ends by itself while the host is busy; a second later it reads."""
    command = (sys.executable, "-c", LAST_WORDS)
    client = start(pipe(), pipe(), *command, options=("--no-reconnect",))
    client.say(INITIALIZE)
    assert client.process.poll() is None
    wait_until(lambda: ": error: " in client.stderr)
    time.sleep(0.8)  # the host's pause, not a wait for something
    assert client.hear()["id"] == 0
    assert len(client.hear()["params"]["x"]) == LARGE // 10


LAST_WORDS = f"""
import sys
sys.stdin.readline()
print('{{"jsonrpc":"2.0","id":0,"result":{{}}}}')
print('{{"jsonrpc":"2.0","method":"notifications/x","params":{{"x":"' + "x" * {LARGE // 10} + '"}}}}', flush=True)
sys.exit(3)
"""


# Who started us

IGNORING = ("sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh")


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
def test_a_signal_that_is_ignored_when_we_start_stays_ignored(name: str, start: Start) -> None:
    client = start(pipe(), pipe(), through=IGNORING)
    client.say(INITIALIZE)
    client.hear()
    client.process.send_signal(signal.Signals[name])
    client.say(call("echo"))
    assert "result" in client.hear()
    with pytest.raises(subprocess.TimeoutExpired):
        client.process.wait(0.5)
    client.process.send_signal(signal.SIGTERM)
    assert client.process.wait(EXIT_WITHIN + SLACK) == 128 + signal.SIGTERM


LAUNCHER = ("sh", "-c", 'exec 3<&0; "$@" <&3 & read line < "$0"', "{fifo}")


def test_a_launcher_that_leaves_does_not_end_the_session(start: Start, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    launcher = tuple(word.format(fifo=fifo) for word in LAUNCHER)
    client = start(pipe(), pipe(), through=launcher)
    client.say(INITIALIZE)
    client.hear()
    fifo.write_text("go\n")
    client.process.wait(DEFAULT_TIMEOUT)
    quiet_until = time.monotonic() + 2.5  # more than the time in which it looks after its host
    while time.monotonic() < quiet_until:
        assert not select.select([client.at], [], [], 0.1)[0], "stdout ended"
    client.say(call("echo"))
    assert "result" in client.hear()
    client.close(client.to)
    assert select.select([client.at], [], [], EXIT_WITHIN + SLACK)[0]
    assert os.read(client.at, 1) == b""
