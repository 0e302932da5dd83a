"""The program's own era bridge and session between a host and the remote, without a connection; or a flaw of theirs.

Runs as `python bridge_stand_in.py FLAW MODE COMMAND…` with the command of the remote, which is started again when it
ends. A flaw is one of `FLAWS`, or `none`; the mode is that of `--bridge`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from m2m_ssh_client.proxy.eras.crossing import Crossing
from m2m_ssh_client.proxy.eras.watch import EraWatch
from m2m_ssh_client.proxy.memory.session import Output, Session

Message = dict[str, Any]
Change = Callable[[Message], list[Message]]
_OWN = "own-"


class BridgeStandIn:
    def __init__(self, flaw: str, mode: str, command: list[str]) -> None:
        self._to_host, self._to_remote = FLAWS[flaw]
        self._command = command
        self._lock = threading.RLock()
        self._session = Session(_OWN)
        watch = EraWatch(f"{_OWN}b-", mode) if flaw != "refusal-passed-on" else None
        self._crossing = Crossing(watch, self._from_crossing)
        self._leaving = False
        self._begin()

    def run(self) -> None:
        for line in sys.stdin.buffer:
            with self._lock:
                self._hand_on(self._crossing.from_host([line.rstrip(b"\n")], 0.0))
        with self._lock:
            self._leaving = True
            self._child.stdin.close()  # type: ignore[union-attr]
            self._child.wait(5)
            self._hand_on(self._crossing.failed("Stopped. It may have run", 0.0))
            self._hand_on(self._crossing.from_session(self._session.failed("Stopped"), 0.0))
        os._exit(0)

    def _from_crossing(self, lines: list[bytes]) -> Output:
        return self._session.from_host(lines, 0.0)

    def _begin(self) -> None:
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, bufsize=0)
        self._hand_on(self._crossing.from_session(self._session.connected(), 0.0))
        threading.Thread(target=self._read, args=(self._child,), daemon=True).start()

    def _read(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        with open(child.stdout.fileno(), "rb", closefd=False) as stdout:
            for line in stdout:
                with self._lock:
                    output = self._session.from_remote([line.rstrip(b"\n")])
                    self._hand_on(self._crossing.from_session(output, 0.0))
        with self._lock:
            if not self._leaving:
                self._crossing.lost(0.0)
                output = self._session.lost("The remote server ended", [], 0.0, ended=True)
                self._hand_on(self._crossing.from_session(output, 0.0))
                self._begin()

    def _hand_on(self, output: Output) -> None:
        _write(1, output.to_host, self._to_host)
        if self._child.stdin is not None and not self._child.stdin.closed:
            _write(self._child.stdin.fileno(), output.to_remote, self._to_remote)


def _write(descriptor: int, lines: Iterable[bytes], change: Change) -> None:
    for line in lines:
        for message in change(json.loads(line)):
            try:
                os.write(descriptor, json.dumps(message).encode() + b"\n")
            except OSError:
                return


# Flaws


def _as_it_is(message: Message) -> list[Message]:
    return [message]


def _dropped(method: str) -> Change:
    return lambda message: [] if message.get("method") == method else [message]


def _followed(method: str, more: Message) -> Change:
    """Something else behind each message with this method."""
    added = {"jsonrpc": "2.0", **more}
    return lambda message: [message, added] if message.get("method") == method else [message]


def _replaced(old: str, new: str) -> Change:
    def change(message: Message) -> list[Message]:
        text = json.dumps(message, ensure_ascii=False)
        return [json.loads(text.replace(old, new))]

    return change


def _cancelled(message: Message) -> list[Message]:
    """A listen that is taken back."""
    if message.get("method") != "subscriptions/listen":
        return [message]
    params = {"requestId": message["id"]}
    return [message, {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}]


def _listened_to_on(message: Message) -> list[Message]:
    """An old listen is not taken back."""
    id_ = message.get("params", {}).get("requestId", "")
    return [] if str(id_).startswith(_OWN) else [message]


def _second_round_twice(message: Message) -> list[Message]:
    return [message] * (2 if "requestState" in message.get("params", {}) else 1)


def _calls_twice(message: Message) -> list[Message]:
    return [message] * (2 if message.get("method") == "tools/call" else 1)


def _without_answers(message: Message) -> list[Message]:
    return [message] if "method" in message else []


def _with_own_id(message: Message) -> list[Message]:
    if "list_changed" not in message.get("method", ""):
        return [message]
    return [{**message, "params": {"_meta": {"from": f"{_OWN}b-2"}}}]


def _with_type(message: Message) -> list[Message]:
    if "result" in message:
        message["result"]["resultType"] = "complete"
    return [message]


_LOG = {"method": "notifications/message", "params": {"level": "debug", "data": "x"}}
_INITIALIZED = {"method": "notifications/initialized"}
_CANCEL = {"method": "notifications/cancelled", "params": {"requestId": "nobody"}}

FLAWS: dict[str, tuple[Change, Change]] = {
    "none": (_as_it_is, _as_it_is),
    "host-era": (_with_type, _as_it_is),
    "page-without-id": (_replaced('"elicitationId"', '"pageId"'), _as_it_is),
    "afresh-twice": (_as_it_is, _calls_twice),
    "server-era": (_as_it_is, _followed("server/discover", _INITIALIZED)),
    "described": (_as_it_is, _replaced('"name": "host"', '"name": "hosts"')),
    "round-otherwise": (_as_it_is, _replaced('state\\" 1', 'state\\" 9')),
    "question-otherwise": (_replaced("elicitation/create", "roots/list"), _as_it_is),
    "unwanted-log": (_followed("notifications/tools/list_changed", _LOG), _as_it_is),
    "progress-otherwise": (_replaced('"progressToken": "t"', '"progressToken": "u"'), _as_it_is),
    "cancel-of-stranger": (_as_it_is, _followed("tools/call", _CANCEL)),
    "own-ids": (_with_own_id, _as_it_is),
    "too-many-listens": (_as_it_is, _listened_to_on),
    "refusal-passed-on": (_as_it_is, _as_it_is),  # there is no bridge
    "handshake": (
        _as_it_is,
        _replaced('"own-1", "method": "initialize"', '"own-1", "method": "ping"'),
    ),
    "level": (_as_it_is, _dropped("logging/setLevel")),
    "another-level": (_as_it_is, _replaced('logLevel": "debug"', 'logLevel": "info"')),
    "subscribed": (_as_it_is, _cancelled),
    "unsubscribed": (_as_it_is, _dropped("resources/subscribe")),
    "listening": (_dropped("notifications/subscriptions/acknowledged"), _as_it_is),
    "answer-lost": (_as_it_is, _without_answers),
    "runs-twice": (_as_it_is, _second_round_twice),
}
"""What is done to the messages for the host, and to those for the remote, by the name of the flaw."""

if __name__ == "__main__":
    BridgeStandIn(sys.argv[1], sys.argv[2], sys.argv[3:]).run()
