"""The session between a host and a remote, of which neither keeps to any protocol."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fuzz.frames import SAFE, strict

from m2m_ssh_client.proxy.eras.crossing import Crossing
from m2m_ssh_client.proxy.eras.modern_host import ModernHost
from m2m_ssh_client.proxy.eras.watch import EraWatch
from m2m_ssh_client.proxy.frames.frame import (
    Message,
    NotJSONError,
    NotJSONRPCError,
    as_id,
    fields,
    is_id,
    parse,
)
from m2m_ssh_client.proxy.frames.salvage import id_of_broken_request
from m2m_ssh_client.proxy.memory.open_requests import answerable_under
from m2m_ssh_client.proxy.memory.session import Output, Session, State

PREFIX = "m2m-"
BRIDGES = {b"b": "auto", b"m": "modern"}


def check(data: bytes) -> None:
    """A story in lines, of which the first byte says what happens; the first line has the options.

    Options: `s` a shell may answer, `r` calls may be repeated, `b` and `m` the eras are bridged. Steps:
    `>` the host says what follows, `<` the remote does; `+` there is a connection, `-` it is lost, `|` what goes
    out does not leave, `.` it does, `~` time passes, `?` the process ended, `!` it is all over.
    """
    options, *steps = data.split(b"\n")
    bridge = next((BRIDGES[each] for each in BRIDGES if each in options), "")
    story = _Story(shell=b"s" in options, retries=b"r" in options, bridge=bridge)
    for step in steps:
        story.go_on(step[:1], step[1:])
    story.end()


class _Story:
    def __init__(self, *, shell: bool, retries: bool, bridge: str) -> None:
        self.shell = shell
        self.retries = retries
        self.session = Session(PREFIX, may_be_shell=shell, hold_time=20.0, retry_tool_calls=retries)
        self.bridge = bridge
        self.crossing = Crossing(
            EraWatch(f"{PREFIX}era-", bridge) if bridge else None,
            lambda lines: self.session.from_host(lines, self.now),
        )
        self.now = 0.0
        self.connected = False
        self.blocked = False
        self.unsent: list[bytes] = []
        self.asked: dict[int | str, str] = {}
        self.answered: Counter[int | str] = Counter()
        self.called: Counter[int | str] = Counter()
        self.called_back: set[int | str] = set()

    def go_on(self, what: bytes, line: bytes) -> None:
        if what == b">":
            self._host_says(line)
        elif what == b"<" and self.connected:
            self._take(self.session.from_remote([line]))
        elif what == b"+" and not self.connected and self.session.state is not State.FAILED:
            self.connected = True
            self._take(self.session.connected())
        elif what == b"-" and self.connected:
            self.connected = False
            unsent, self.unsent = self.unsent, []
            self.crossing.lost(self.now)
            self._take(self.session.lost("gone", unsent, self.now))
        elif what == b"|":
            self.blocked = True
        elif what == b".":
            unsent, self.unsent = self.unsent, []
            self.blocked = False
            self._deliver(unsent)
        elif what == b"~":
            self.now += 8.0
            self._note(self.crossing.expire(self.now, "waiting"))
            self._take(self.session.expire(self.now, "waiting"))
        elif what == b"?" and self.connected and not self.session.process_answered:
            self._end_process()
        elif what == b"!":
            self.connected = False
            self._fail()

    def _fail(self) -> None:
        self._note(self.crossing.failed("over", self.now))
        self._take(self.session.failed("over"))

    def end(self) -> None:
        self._fail()
        assert self.session.pending == 0
        for id_, method in self.asked.items():
            least = 0 if id_ in self.called_back else 1
            assert least <= self.answered[id_] <= 1, (id_, method, self.answered)

    def _end_process(self) -> None:
        output = self.session.ended_on_discover()
        if output is not None:
            self.connected = False
            self.unsent.clear()
            self._take(output)

    def _host_says(self, line: bytes) -> None:
        """As far as it asks under ids that are new, as MCP demands, and neither ours nor numbers as text."""
        try:
            messages = parse(line).messages
        except (NotJSONError, NotJSONRPCError):
            messages = ()
            named = id_of_broken_request(line)
            if named is not None and not self.asked.keys().isdisjoint(answerable_under(named)):
                return  # it is refused under its id
        asked = {
            message.id: message.method or ""
            for message in messages
            if message.is_request and message.id is not None
        }
        count = sum(message.is_request for message in messages)
        odd = any(_is_number(id_) or str(id_).startswith(PREFIX) for id_ in asked)
        if len(asked) == count and not odd and not asked.keys() & self.asked.keys():
            self.asked |= asked
            self._note_cancellations(messages)
            self._note(self.crossing.from_host([line], self.now))

    def _note_cancellations(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            if message.method == "notifications/cancelled" and message.id is None:
                id_ = as_id(fields(message.params).get("requestId"))
                if id_ is not None and self.asked.get(id_, "initialize") != "initialize":
                    self.called_back.add(id_)

    def _take(self, output: Output) -> None:
        self._note(self.crossing.from_session(output, self.now))

    def _note(self, output: Output) -> None:
        for line in output.to_host:
            for value in _messages(line):
                self._check_era(value)
                id_ = self._answered_by(value)
                if id_ is not None:
                    self.answered[id_] += 1
                    assert self.answered[id_] == 1, f"answered twice: {id_!r}"
        for line in output.to_remote:
            _messages(line)
            if self.shell and not self.session.process_answered:
                assert SAFE.fullmatch(line), line
        if self.blocked:
            self.unsent += output.to_remote
        else:
            self._deliver(output.to_remote)
        assert self.session.pending >= 0
        assert self.session.next_expiry > -1

    def _check_era(self, value: dict[str, Any]) -> None:
        """A modern host is asked nothing, and learns of each result whether it is complete."""
        if isinstance(self.crossing.between, ModernHost):
            assert "method" not in value or "id" not in value
            assert "result" not in value or "resultType" in value["result"]

    def _answered_by(self, value: dict[str, Any]) -> int | str | None:
        """The request that this answers; the number 1 may be answered as "1" too."""
        id_ = value.get("id")
        if "method" in value or not is_id(id_):
            return None
        id_ = int(id_) if _is_number(id_) else id_
        return id_ if id_ in self.asked else None

    def _deliver(self, lines: list[bytes]) -> None:
        """What has effects goes out once."""
        for line in lines:
            for message in parse(line).messages:
                if message.method == "tools/call" and message.id in self.asked:
                    self.called[message.id] += 1
                    # A server of the older era has refused it once, before it was initialized.
                    most = 2 if self.bridge else 1
                    assert self.called[message.id] <= most or self.retries, f"ran twice: {line!r}"


def _is_number(id_: int | str) -> bool:
    return isinstance(id_, str) and id_.isascii() and id_.isdecimal() and len(id_) < 20


def _messages(line: bytes) -> list[dict[str, Any]]:
    """What is in a line, which must be one, and be JSON-RPC 2.0."""
    assert b"\n" not in line
    value = strict(line)
    items = value if isinstance(value, list) else [value]
    assert items
    assert all(isinstance(item, dict) and item["jsonrpc"] == "2.0" for item in items)
    return items
