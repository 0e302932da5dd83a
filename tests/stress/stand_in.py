"""A relay in the place of the program, small and right; or wrong in one point, for the tests of the rules.

It runs the remote as its child and starts another one when that ends. Runs as `python -S -E stand_in.py FLAW COMMAND…`,
where the flaw is one of those that `test_stress.py` names; `none` and `slow-with-questions` break no
rule.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

Message = dict[str, Any]

_UNSAFE = ("tools/call", "vendor/do")
_STATE = ("logging/setLevel", "resources/subscribe", "resources/unsubscribe")
_LOST = "The remote server ended. It may or may not have run."
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


class StandIn:
    def __init__(self, flaw: str, command: list[str]) -> None:
        self._flaw = flaw
        self._command = command
        self._lock = threading.RLock()
        self._pending: dict[str, Message] = {}
        self._held: list[Message] = []
        self._replaying = False
        self._initialize: Message = {}
        self._level: Message = {}
        self._subscriptions: dict[str, Message] = {}
        self._acknowledged: set[str] = set()
        self._questions: dict[str, tuple[int, object]] = {}
        self._delayed: Message | None = None
        self._generation = 0
        self._leaving = False
        self._begin()

    def run(self) -> None:
        for line in sys.stdin.buffer:
            if self._flaw == "slow-with-questions" and b'"result"' in line:
                time.sleep(0.2)
            with self._lock:
                message = json.loads(line)
                for each in message if isinstance(message, list) else [message]:
                    self._from_host(each)
        with self._lock:
            self._leaving = True
            if self._flaw == "left-behind":  # somebody keeps the child's stdin open
                assert self._child.stdin is not None
                pipe = self._child.stdin.fileno()
                subprocess.Popen(
                    ["sleep", "5"], pass_fds=[pipe], stdout=2, stdin=subprocess.DEVNULL
                )
                os._exit(0)
            self._child.stdin.close()  # type: ignore[union-attr]
        if self._flaw != "status":
            self._child.wait(5)
        with self._lock:
            for message in self._pending.values():
                self._fail(message, "stopped. It may or may not have run.")
        if self._flaw == "late-exit":
            time.sleep(5)
        if self._flaw == "traceback":
            sys.stderr.write("Traceback (most recent call last):\n")
            sys.stderr.flush()
        os._exit(3 if self._flaw == "exit-status" else 0)

    # The child

    def _begin(self) -> None:
        self._generation += 1
        self._child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        reader = threading.Thread(
            target=self._read, args=(self._child, self._generation), daemon=True
        )
        reader.start()

    def _read(self, child: subprocess.Popen[bytes], generation: int) -> None:
        assert child.stdout is not None
        with open(child.stdout.fileno(), "rb", closefd=False) as stdout:
            for line in stdout:
                if self._flaw == "slow-with-questions" and b'"question"' in line:
                    time.sleep(0.2)
                if line.endswith((b"}\n", b"]\n")):
                    message = json.loads(line)
                    with self._lock:
                        for each in message if isinstance(message, list) else [message]:
                            self._from_remote(each, generation)
        with self._lock:
            if not self._leaving:
                self._lose()

    def _lose(self) -> None:
        if self._flaw == "ended":
            os._exit(0)
        if self._flaw == "useless":
            self._replaying = True
            return
        for message in list(self._pending.values()):
            if message["method"] in _UNSAFE and self._flaw != "runs-twice":
                text = "This request was not sent." if self._flaw == "untrue" else _LOST
                self._fail(message, text)
                del self._pending[json.dumps(message["id"])]
            elif self._flaw == "error-too-soon":
                self._fail(message, "It was not sent.")
                del self._pending[json.dumps(message["id"])]
        self._begin()
        if self._initialize and self._flaw != "handshake":
            self._replaying = True
            self._to_remote({**self._initialize, "id": "own-0"})
        else:
            self._go_on()

    def _go_on(self) -> None:
        """The fresh child is asked what was not answered."""
        self._replaying = False
        if self._level and self._flaw != "level":
            self._to_remote(_own("own-level", self._level))
        if self._flaw != "subscribed":
            for uri, message in self._subscriptions.items():
                own = _own(f"own-{uri}", message)
                if self._flaw == "stale-token":
                    own["params"]["_meta"] = {"progressToken": 1}
                self._to_remote(own)
                if self._flaw == "restored-twice":
                    self._to_remote(own)
        for message in self._pending.values():
            listens = message["method"] == "subscriptions/listen"
            if not (listens and self._flaw == "listening"):
                self._to_remote(message)
        held, self._held = self._held, []
        for message in held:
            self._to_remote(message)

    def _to_remote(self, message: Message) -> None:
        if self._flaw == "heard-otherwise" and message.get("method") == "tools/call":
            message = {**message, "params": {**message["params"], "arguments": {}}}
        if (
            self._flaw == "order"
            and message.get("method") == "tools/call"
            and self._delayed is None
        ):
            self._delayed = message
            return
        try:
            self._child.stdin.write(json.dumps(message).encode() + b"\n")  # type: ignore[union-attr]
        except OSError:
            return
        if self._delayed is not None:
            delayed, self._delayed = self._delayed, None
            self._child.stdin.write(json.dumps(delayed).encode() + b"\n")  # type: ignore[union-attr]

    # What the host says

    def _from_host(self, message: Message) -> None:
        method = message.get("method")
        if method is None:
            self._answer_question(message)
            return
        if method == "notifications/cancelled":
            self._cancel(message)
            return
        if "id" in message:
            self._pending[json.dumps(message["id"])] = message
            self._remember(message)
        if self._replaying:
            if "id" not in message:
                self._held.append(message)
            return
        if self._flaw == "kept" and method == "ping" and self._generation == 1:
            self._child.stdin.close()  # type: ignore[union-attr]
            return
        self._to_remote(message)
        twice = "twice-in-a-process" if "id" in message else "told-twice"
        if self._flaw == twice and method != "notifications/initialized":
            self._to_remote(message)

    def _remember(self, message: Message) -> None:
        method, params = message["method"], message.get("params", {})
        if method == "initialize":
            self._initialize = message
        elif method == "logging/setLevel":
            self._level = message
        elif method == "resources/subscribe":
            self._subscriptions[params["uri"]] = message
        elif method == "resources/unsubscribe":
            self._subscriptions.pop(params["uri"], None)

    def _cancel(self, message: Message) -> None:
        key = json.dumps(message["params"]["requestId"])
        if self._flaw == "cancelled-resent":
            return
        if self._flaw != "answered-after-cancel":
            self._pending.pop(key, None)
        if self._flaw != "cancel-lost":
            self._to_remote(message)
        if self._flaw == "listen-after-cancel":
            meta = {_SUBSCRIPTION: json.loads(key), "seq": [9, 9]}
            params = {"_meta": meta}
            time.sleep(1.1)
            method = "notifications/tools/list_changed"
            self._to_host({"jsonrpc": "2.0", "method": method, "params": params})

    def _answer_question(self, message: Message) -> None:
        if self._flaw == "answer-lost":
            return
        generation, id_ = self._questions.pop(message["id"], (0, None))
        if generation == self._generation or (generation and self._flaw == "answer-to-stranger"):
            self._to_remote({**message, "id": id_})

    # What the child says

    def _from_remote(self, message: Message, generation: int) -> None:
        if "method" not in message:
            self._take_answer(message)
        elif "id" in message:
            key = f"{generation}-{message['id']}"
            if self._flaw == "question-id":
                key = "1"
            self._questions[key] = generation, message["id"]
            self._to_host({**message, "id": key})
        else:
            self._take_notification(message)

    def _take_notification(self, message: Message) -> None:
        if message["method"] == _ACKNOWLEDGED:
            key = json.dumps(message["params"]["_meta"][_SUBSCRIPTION])
            if key in self._acknowledged and self._flaw != "acknowledged-twice":
                return
            self._acknowledged.add(key)
        if message["method"] == "notifications/cancelled":
            id_ = message["params"]["requestId"]
            known = id_ if self._flaw == "retracted-otherwise" else f"{self._generation}-{id_}"
            message = {**message, "params": {**message["params"], "requestId": known}}
        if self._flaw == "notification-lost":
            return
        if self._flaw == "notification-order" and self._delayed is None:
            self._delayed = message
            return
        self._to_host(message)
        if self._flaw == "notification-twice":
            self._to_host(message)
        if self._delayed is not None:
            self._to_host(self._delayed)

    def _take_answer(self, message: Message) -> None:
        if message["id"] == "own-0":
            self._to_remote({"jsonrpc": "2.0", "method": "notifications/initialized"})
            self._go_on()
            return
        request = self._pending.pop(json.dumps(message["id"]), None)
        if request is None:
            return
        spoil = _SPOILERS.get(self._flaw) if request["method"] == "tools/call" else None
        if spoil is None:
            self._to_host(message)
        else:
            spoil(self, message, request)

    # How an answer to a call can be spoilt

    def _keep_back(self, _message: Message, request: Message) -> None:
        self._pending[json.dumps(request["id"])] = request  # it is answered at the end

    def _drop(self, _message: Message, _request: Message) -> None: ...

    def _refuse(self, _message: Message, request: Message) -> None:
        self._fail(request, _LOST)

    def _alter(self, message: Message, _request: Message) -> None:
        self._to_host({**message, "result": {}})

    def _repeat(self, message: Message, _request: Message) -> None:
        for _ in range(2):
            self._to_host(message)

    def _add_another(self, message: Message, _request: Message) -> None:
        self._to_host(message)
        self._to_host({**message, "id": "nobody"})

    def _answer_all(self, message: Message, _request: Message) -> None:
        self._to_host(message)
        for each in self._pending.values():
            self._fail(each, _LOST)

    def _fail(self, request: Message, text: str) -> None:
        error = {"code": -32000, "message": text}
        self._to_host({"jsonrpc": "2.0", "id": request["id"], "error": error})

    def _to_host(self, message: Message) -> None:
        line = json.dumps(message).encode()
        if self._flaw == "whole-lines" and b"content" in line:
            line = line[:-1]
        os.write(1, line + b"\n")


def _own(id_: str, message: Message) -> Message:
    params = {name: value for name, value in message["params"].items() if name != "_meta"}
    return {**message, "id": id_, "params": params}


_SPOILERS = {
    "stuck": StandIn._keep_back,
    "unanswered": StandIn._drop,
    "needless-error": StandIn._refuse,
    "answered-otherwise": StandIn._alter,
    "answered-twice": StandIn._repeat,
    "stranger": StandIn._add_another,
    "listen-ended": StandIn._answer_all,
}

if __name__ == "__main__":
    StandIn(sys.argv[1], sys.argv[2:]).run()
