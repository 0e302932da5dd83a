"""What the tests of faults have in common: a host that counts answers, a breakable way, a server that keeps books."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from support import counting_server
from support.counting_server import Books
from support.fault_proxy import FaultProxy
from support.host import DEFAULT_TIMEOUT, Host, Message, client_argv
from support.sshd import Sshd

EXIT_WITHIN = 2.0  # seconds from the host's end to ours: what is promised
SLACK = 2.0  # seconds more for a machine that does other things too
PATIENT = 30.0  # for answers that come after a fault was noticed and mended


class BreakableSshd(Sshd):
    """A server whose sessions can be ended without its help, and which can be started again on its port."""

    def sessions(self) -> list[int]:
        """The pids of sshd's own processes for connections, and not of what they run."""
        listener = self._process.pid
        parents = _parents()
        names = ("sshd", "sshd-session", "sshd-auth")
        sshds = {pid for pid, (name, _) in parents.items() if name in names}
        found = {pid for pid in sshds if parents[pid][1] == listener}
        return sorted(found | {pid for pid in sshds if parents[pid][1] in found})

    def kill_sessions(self) -> None:
        for pid in self.sessions():
            kill(pid)

    def restart(self) -> None:
        """Stop the server and its sessions, as a reboot would; then start it again."""
        sessions = self.sessions()
        self.stop()
        for pid in sessions:
            kill(pid)
        self._process = self._start()


class CountingHost(Host):
    """A host that notes which requests it sent, and every answer to them."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], *, reading: bool = True
    ) -> None:
        self.sent: list[Any] = []
        self.answers: dict[Any, list[Message]] = {}
        super().__init__(argv, env=env, reading=reading)

    def send(self, message: Mapping[str, Any] | bytes) -> None:
        if isinstance(message, Mapping) and "method" in message and "id" in message:
            self.sent.append(message["id"])
        super().send(message)

    def receive(self, timeout: float = DEFAULT_TIMEOUT) -> Message:
        message = super().receive(timeout)
        if "method" not in message:
            self.answers.setdefault(message["id"], []).append(message)
        return message

    def ask(self, id_: str, method: str, params: Mapping[str, Any] | None = None) -> str:
        """Send a request and do not wait."""
        self.send({"jsonrpc": "2.0", "id": id_, "method": method, "params": params or {}})
        return id_

    def ask_tool(self, tool: str, key: str, **arguments: Any) -> str:
        """Send a call whose id and key are the same, and do not wait."""
        return self.ask(key, "tools/call", {"name": tool, "arguments": {"key": key, **arguments}})

    def answers_to(self, ids: Iterable[Any], timeout: float = PATIENT) -> list[Message]:
        """Wait for them all."""
        wanted = list(ids)
        deadline = time.monotonic() + timeout
        while missing := [id_ for id_ in wanted if id_ not in self.answers]:
            try:
                message = self.receive(max(0.001, deadline - time.monotonic()))
            except AssertionError as exc:
                raise AssertionError(f"no answer to {missing}: {exc}") from None
            if "method" in message:
                self.others.append(message)
        return [self.answers[id_][0] for id_ in wanted]

    def drain(self) -> None:
        """Take what came until stdout ended. After `wait()`."""
        with suppress(AssertionError):
            while True:
                message = self.receive(SLACK)
                if "method" in message:
                    self.others.append(message)


class Play:
    """One session: host → client under test → faults → sshd → a server that keeps books. A context manager."""

    def __init__(
        self,
        sshd: BreakableSshd,
        folder: Path,
        *options: str,
        server: Sequence[str] = (),
        through: Sequence[str] = (),
        way: Sequence[str] = ("--port", "{breakable}"),
    ) -> None:
        """`options` of the client and the `server`; `through` is a program that runs the client, between it and us.

        `way` are options, in which the ports are `{breakable}`, behind which the network may fail, and `{port}`.
        """
        self.sshd = sshd
        books = folder / "books"
        self._temporary = folder / "temporary"
        for each in (books, self._temporary):
            each.mkdir()
        self.books = Books(books)
        self.network = FaultProxy(sshd.port)
        known_hosts = folder / "known_hosts"
        lines = sshd.known_hosts.read_text()
        lines += lines.replace("127.0.0.1", "localhost")
        known_hosts.write_text(lines + lines.replace(f":{sshd.port} ", f":{self.network.port} "))
        ports = {"breakable": self.network.port, "port": sshd.port}
        there = [word.format(**ports) for word in way]
        command = counting_server.command(books, *server)
        argv = client_argv(
            *sshd.client_options(),
            "--known-hosts",
            str(known_hosts),
            *there,
            *options,
            "--",
            *command,
        )
        self.host = CountingHost([*through, *argv], {"TMPDIR": str(self._temporary)})

    def __enter__(self) -> Play:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.books.open_gate()
        self.host.kill()
        self.network.__exit__(kind, None, None)
        for pid in self.books.pids:
            if is_running(pid):
                kill(pid)

    def begin(self) -> None:
        """The handshake, and the tools: from their annotations the client knows what it may repeat."""
        answer = self.host.initialize()
        assert "result" in answer, answer
        assert "result" in self.host.request("tools/list")

    def assert_usable(self) -> None:
        """The next call is executed and answered."""
        key = self.host.ask_tool("count", f"next-{len(self.host.sent)}")
        (answer,) = self.host.answers_to([key])
        assert "result" in answer, answer
        assert self.books.executions[key] == 1

    def end(self, *, status: int = 0) -> None:
        """The host closes stdin: everything is gone in time, and everything was answered, exactly once."""
        self.books.open_gate()
        host = self.host
        began = time.monotonic()
        host.close_stdin()
        assert host.wait(EXIT_WITHIN + SLACK) == status, host.stderr[-2000:]
        self.network.thaw()  # a connection that froze, and that nobody here knows any more, ends too
        for pid in self.books.pids:
            assert_gone(pid, began + EXIT_WITHIN + SLACK)
        host.drain()
        self.assert_kept_the_promise()
        assert not list(self._temporary.iterdir())
        assert "Traceback" not in host.stderr, host.stderr

    def assert_kept_the_promise(self) -> None:
        answers = self.host.answers
        odd = set(self.host.sent) ^ set(answers)
        assert not odd, f"without an answer, or an answer without a request: {odd}"
        several = {id_: [*map(excerpt, each)] for id_, each in answers.items() if len(each) > 1}
        assert not several, f"answered more than once: {several}"
        twice = {key for key, count in self.books.executions.items() if count > 1}
        twice -= {key for key in twice if key.startswith("safe")}
        assert not twice, f"executed more than once: {twice}"


def kill(pid: int, name: str = "SIGKILL") -> None:
    """Send the signal of this name; the process may have ended by now."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.Signals[name])


def is_running(pid: int) -> bool:
    """A zombie has ended, although it still has a number."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_gone(pid: int, deadline: float) -> None:
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


def text_of(answer: Message) -> str:
    """Of a tool's result."""
    text: str = answer["result"]["content"][0]["text"]
    return text


def keys(kind: str, count: int) -> list[str]:
    return [f"{kind}-{number}" for number in range(count)]


def tally(answers: Iterable[Message]) -> Counter[str]:
    return Counter("result" if "result" in answer else "error" for answer in answers)


def excerpt(message: Message) -> str:
    return json.dumps(message)[:300]


def _parents() -> dict[int, tuple[str, int]]:
    """Each process's name and parent."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            head, _, tail = stat.read_text().rpartition(")")
            pid, _, name = head.partition(" (")
            found[int(pid)] = (name, int(tail.split()[1]))
    return found
