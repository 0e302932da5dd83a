"""The client under attack: the real command between a host that keeps count and whoever is hostile."""

from __future__ import annotations

import json
import os
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import paramiko
from faults.play import EXIT_WITHIN, SLACK, CountingHost, is_running
from hostile.mallory import Mallory, mallory
from support.host import DEFAULT_TIMEOUT, Message, client_argv
from support.odd_ssh import Keys, public

from m2m_ssh_client.demo.ssh_server import SSHServer
from m2m_ssh_client.ssh.trust.known_hosts import entry

# All that could steer a terminal or turn its writing direction, the line feed aside.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
ESCAPES = "\x1b]0;owned\x07\x1b[2J\r\n\u202eall is well"
MOST_MEMORY = 80 << 20  # bytes. docs/security.md: what it has in use while it holds no message
_LONGEST_REASON = 4000  # characters that a person, or a model, is given to read
_MOST_LOGGED = 1_100_000  # bytes: the share of one server, and some lines of our own
PROMPT = (
    6.0  # seconds until an answer: three times what an attack may cost, for machines that are busy
)
LOG = Path("state/m2m-mcp-server-ssh-client/client.log")


class Victim(CountingHost):
    """The command with these options; `end()` says whether it kept what docs/security.md promises.

    `leaves` are the files that may be new in its home folder afterwards, besides the log and its key.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        leaves: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        reading: bool = True,
    ) -> None:
        self.home = Path(os.environ["HOME"])
        self._temporary = folder / "temporary"
        self._temporary.mkdir()
        self._before = {path for path in self.home.rglob("*") if path.is_file()}
        self._leaves = leaves
        self._batch: deque[Message] = deque()
        self.peak = 0
        """The most memory that it had in use, in bytes, when last looked at."""
        super().__init__(
            client_argv(*options), {"TMPDIR": str(self._temporary), **(env or {})}, reading=reading
        )

    @property
    def log(self) -> str:
        """Of the two files that there are at the most, which have a bound."""
        files = [path for path in self._logs() if path.exists()]
        assert sum(path.stat().st_size for path in files) < _MOST_LOGGED
        return "".join(path.read_text(encoding="utf-8") for path in files)

    def _logs(self) -> list[Path]:
        return [(self.home / LOG).with_suffix(suffix) for suffix in (".log.1", ".log")]

    def open(self, timeout: float = PROMPT) -> Message:
        """The answer to `initialize`, whatever it is."""
        self.ask("first", "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
        (answer,) = self.answers_to(["first"], timeout)
        return answer

    def reason(self, timeout: float = PROMPT) -> str:
        """Why there is no connection, as the host is told."""
        answer = self.open(timeout)
        assert "error" in answer, answer
        return str(answer["error"]["message"])

    def receive(self, timeout: float = DEFAULT_TIMEOUT) -> Message:
        """One after the other out of a batch, as a host of 2025-03-26 takes them."""
        while not self._batch:
            self._batch.extend(_messages(self.receive_line(timeout)))
        message = self._batch.popleft()
        if "method" not in message:
            self.answers.setdefault(message["id"], []).append(message)
        return message

    def look_at_memory(self) -> int:
        with suppress(FileNotFoundError, ProcessLookupError):
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
            if found := re.search(r"VmHWM:\s+(\d+) kB", status):
                self.peak = max(self.peak, int(found[1]) * 1024)
        return self.peak

    def end(self, status: int, *, within: float = EXIT_WITHIN + SLACK) -> None:
        """The host ends: so does the client, in time, and nothing is left, nor ever was, that should not be."""
        self.look_at_memory()
        with suppress(BrokenPipeError):
            self.close_stdin()
        assert self.wait(within) == status, self.stderr[-2000:]
        self.drain()
        self._assert_answers()
        for text in (self.stderr, self.log, *map(_reasons, self.answers.values())):
            assert not STEERING.search(text), ascii(text[-2000:])
            assert "Traceback" not in text, text[-4000:]
        assert not list(self._temporary.iterdir())
        self._assert_home()
        self._assert_no_descendants()

    def _assert_answers(self) -> None:
        # What is under an id that no host has is for nobody.
        answered = {id_ for id_ in self.answers if isinstance(id_, (int, str))}
        assert answered == set(self.sent)
        assert all(len(self.answers[id_]) == 1 for id_ in answered), self.answers

    def _assert_home(self) -> None:
        tag_key = self.home / LOG.with_name("tag.key")
        # Its report may stay where the machine is busy at the end; the next reader removes it.
        reports = (self.home / LOG.with_name("relays")).glob("*.json")
        leaves = (self.home / name for name in self._leaves)
        allowed = {*self._logs(), tag_key, *reports, *leaves}
        new = {path for path in self.home.rglob("*") if path.is_file()} - self._before
        assert new <= allowed, new

    def _assert_no_descendants(self) -> None:
        deadline = time.monotonic() + SLACK
        while left := list(_descendants(self._temporary)):
            assert time.monotonic() < deadline, f"still running: {left}"
            time.sleep(0.01)


@contextmanager
def attacked(folder: Path, *options: str, **more: Any) -> Iterator[Victim]:
    """A `Victim`, which is gone at the end of the context whatever happens."""
    victim = Victim(folder, *options, **more)
    try:
        yield victim
    finally:
        victim.kill()


@contextmanager
def victim_of(
    server: Mallory,
    keys: Keys,
    folder: Path,
    *options: str,
    host_key: paramiko.PKey | None = None,
    patience: str = "10",
    **more: Any,
) -> Iterator[Victim]:
    """The client, on its way to a server whose key it knows: the one of `ed25519 host`."""
    known_hosts = folder / "known_hosts"
    with mallory(server, host_key or keys["ed25519 host"]) as port:
        known_hosts.write_text(entry("127.0.0.1", port, public(keys["ed25519 host"])))
        before = known_hosts.read_bytes()
        files = ("--client-key", str(keys.path(keys["ed25519"])), "--known-hosts", str(known_hosts))
        way = ("--host", "127.0.0.1", "--port", str(port), "--connect-timeout", patience)
        with attacked(folder, *way, *files, *options, "--", "serve", **more) as victim:
            yield victim
        assert known_hosts.read_bytes() == before
        assert sorted(path.name for path in folder.iterdir()) == ["known_hosts", "temporary"]


def way_to(machine: SSHServer, keys: Keys, folder: Path) -> tuple[str, ...]:
    """The options with which the client gets into this server, whose key it knows."""
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(entry("127.0.0.1", machine.port, public(keys["ed25519 host"])))
    files = ("--client-key", str(keys.path(keys["ed25519"])), "--known-hosts", str(known_hosts))
    return ("--host", "127.0.0.1", "--port", str(machine.port), *files)


def _reasons(answers: Sequence[Message]) -> str:
    texts = [str(answer["error"]["message"]) for answer in answers if "error" in answer]
    assert all(len(text) < _LONGEST_REASON for text in texts), max(map(len, texts))
    return "\n".join(texts)


def _messages(line: bytes) -> list[Message]:
    """Of a line that must be JSON-RPC 2.0, without the liberties that Python's reader of JSON takes."""
    value: Any = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    messages = value if isinstance(value, list) else [value]
    for message in messages:
        assert message["jsonrpc"] == "2.0"
        assert isinstance(message["method"], str) if "method" in message else "id" in message
    return messages


def _refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def _descendants(mark: Path) -> Iterator[int]:
    """The processes that inherited this temporary folder, which is one client's alone."""
    wanted = f"TMPDIR={mark}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in environment.read_bytes().split(b"\0"):
                pid = int(environment.parent.name)
                if is_running(pid):
                    yield pid
