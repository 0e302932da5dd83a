"""An MCP server that keeps books which outlive it: what each of its processes was told, and what it executed.

    counting_server.py FOLDER [--hold METHOD@N] [--discover exit] [--early FROM-TO]

Standard library only. The books are files in FOLDER, one JSON value a line: `told` has each message that came, with
the number of the process (counted from 1), `executions` the `key` of each tool call that ran. `Books` reads them. With
`--hold`, process number N waits before it answers METHOD until somebody opens the gate, and so does every call of the
tool `hold`. With `--early`, processes of these numbers end at once, as on a machine that boots. What reads the resource
`fatal` ends the process, what reads `slow` is never answered.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

Message = dict[str, Any]

_GATE_PATIENCE = 60.0
_POLL = 0.01


def command(folder: Path, *options: str) -> list[str]:
    """The argv that runs this server; without `site`, Python starts in half the time."""
    return [sys.executable, "-S", "-E", str(Path(__file__).resolve()), str(folder), *options]


class Books:
    """The books of all processes of one folder, and the gate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def pids(self) -> list[int]:
        """Of each process that was started, in order."""
        return [int(line) for line in self._lines("pids")]

    @property
    def executions(self) -> Counter[str]:
        """How often the call with each key ran."""
        return Counter(str(key) for key in self._lines("executions"))

    def told(self, process: int) -> list[Message]:
        """What this process was sent, in order."""
        return [entry["message"] for entry in self._lines("told") if entry["process"] == process]

    def methods(self, process: int) -> list[str]:
        """Likewise, only the methods; of an answer, `answer`."""
        return [message.get("method", "answer") for message in self.told(process)]

    def open_gate(self) -> None:
        (self._folder / "gate").touch()

    def wait_until_told(self, process: int, name: str, timeout: float = 15.0) -> None:
        """Until this process has begun with a request of this method, or a call of this tool."""

        def reached() -> bool:
            return any(
                name in (message.get("method"), (message.get("params") or {}).get("name"))
                for message in self.told(process)
            )

        deadline = time.monotonic() + timeout
        while not reached():
            if time.monotonic() > deadline:
                raise AssertionError(f"process {process} was told only {self.methods(process)}")
            time.sleep(_POLL)

    def _lines(self, name: str) -> list[Any]:
        try:
            text = (self._folder / name).read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]


class CountingServer:
    """One process. Answers in order, but where `later` is its number: those come when a call of `hold` is let go."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._folder: Path = options.folder
        self._discover: str = options.discover
        self._books: dict[str, int] = {}
        self._write("pids", os.getpid())
        self._number = len((self._folder / "pids").read_text().splitlines())
        held, _, number = str(options.hold).partition("@")
        self._held = held if number == str(self._number) else ""
        self._asked: dict[Any, Any] = {}  # our request's id → the call that waits for its answer
        self._late: list[Message] = []
        first, _, last = str(options.early).partition("-")
        if last and int(first) <= self._number <= int(last):
            os.write(1, b"System is booting up")
            os._exit(254)

    def serve(self) -> None:
        with open(0, "rb", buffering=1 << 20) as source:
            while (line := source.readline()).endswith(b"\n"):
                message = json.loads(line)
                self._write("told", {"process": self._number, "message": message})
                self._take(message)

    def _take(self, message: Message) -> None:
        method = message.get("method")
        if method is None:
            call = self._asked.pop(message["id"], None)
            if call is not None:
                self._respond(call, _text(json.dumps(message.get("result"))))
            return
        if "id" not in message:
            return
        if method == self._held:
            self._wait_at_gate()
        handler = _METHODS.get(method)
        if handler is None:
            error = {"code": -32601, "message": "Method not found"}
            self._send({"jsonrpc": "2.0", "id": message["id"], "error": error})
            return
        result = handler(self, message)
        if result is not None:
            self._respond(message["id"], result)

    def discover(self, _request: Message) -> Message:
        if self._discover == "exit":
            os._exit(1)
        return {
            "supportedVersions": ["2026-07-28"],
            "capabilities": _CAPABILITIES,
            "ttlMs": 0,
            "cacheScope": "private",
        }

    def listen(self, request: Message) -> None:
        params = {
            "_meta": {"io.modelcontextprotocol/subscriptionId": request["id"]},
            "notifications": request["params"]["notifications"],
        }
        method = "notifications/subscriptions/acknowledged"
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def read(self, request: Message) -> Message | None:
        uri = request["params"]["uri"]
        if uri == "fatal":
            os._exit(9)
        return None if uri == "slow" else {"contents": [{"uri": uri, "text": ""}]}

    def call(self, request: Message) -> Message | None:
        arguments = request["params"].get("arguments") or {}
        tool = request["params"]["name"]
        if "key" in arguments:
            self._write("executions", arguments["key"])
        if tool == "hold":
            self._wait_at_gate()
            for message in self._late:
                self._send(message)
            self._late.clear()
        elif tool == "big":
            return _text("x" * int(arguments["bytes"]))
        elif tool == "crash":
            self._crash(request["id"], arguments)
        elif tool == "ask":
            self._ask(request)
            return None
        if arguments.get("later") == self._number:
            self._late.append({"jsonrpc": "2.0", "id": request["id"], "result": _text("late")})
            return None
        return _text(f"{tool} {self._number}")

    def _crash(self, id_: object, arguments: Message) -> None:
        """End within an answer, or behind one of so many `bytes`. A `child` holds our output for so many seconds."""
        if "child" in arguments:
            subprocess.Popen(["sleep", str(arguments["child"])], stdin=subprocess.DEVNULL)
        if "bytes" in arguments:
            self._respond(id_, _text("x" * int(arguments["bytes"])))
        else:
            self._raw(b'{"jsonrpc":"2.0","id":')
        if "signal" in arguments:
            os.kill(os.getpid(), int(arguments["signal"]))
        os._exit(int(arguments.get("status", 3)))

    def _ask(self, request: Message) -> None:
        id_ = len(self._asked) + 1  # as most servers do: each process counts from the start
        self._asked[id_] = request["id"]
        params = {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}
        self._send({"jsonrpc": "2.0", "id": id_, "method": "elicitation/create", "params": params})

    def _wait_at_gate(self) -> None:
        """Until somebody opens it, or nobody is left to write to us."""
        deadline = time.monotonic() + _GATE_PATIENCE
        while not (self._folder / "gate").exists() and time.monotonic() < deadline:
            if _nobody_writes_to_us():
                return
            time.sleep(_POLL)

    def _respond(self, id_: object, result: Message) -> None:
        self._send({"jsonrpc": "2.0", "id": id_, "result": result})

    def _send(self, message: Message) -> None:
        self._raw(json.dumps(message).encode() + b"\n")

    def _raw(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(1, view) :]
        except BrokenPipeError:
            pass  # what still waits on stdin is executed all the same: the worst that a server can do

    def _write(self, name: str, value: object) -> None:
        """One write to a file opened for appending: whole lines, whoever else writes."""
        if name not in self._books:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._books[name] = os.open(self._folder / name, flags, 0o600)
        os.write(self._books[name], json.dumps(value).encode() + b"\n")


if sys.platform == "win32":

    def _nobody_writes_to_us() -> bool:
        return False  # a pipe cannot be asked

else:

    def _nobody_writes_to_us() -> bool:
        poll = select.poll()
        poll.register(0, 0)  # POLLHUP is always reported
        return bool(poll.poll(0))


_CAPABILITIES = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "logging": {},
}
_READING = ("safe", "big")  # the tools that say so
_TOOLS = ("count", "safe", "hold", "big", "crash", "ask")


def _text(text: str) -> Message:
    return {"content": [{"type": "text", "text": text}]}


def _tools(_server: CountingServer, _request: Message) -> Message:
    schema = {"type": "object"}
    tools: list[Message] = [{"name": name, "inputSchema": schema} for name in _TOOLS]
    for tool in tools:
        if tool["name"] in _READING:
            tool["annotations"] = {"readOnlyHint": True}
    return {"tools": tools}


def _initialize(_server: CountingServer, request: Message) -> Message:
    version = request["params"]["protocolVersion"]
    info = {"name": "counting", "version": "1"}
    return {"protocolVersion": version, "capabilities": _CAPABILITIES, "serverInfo": info}


_METHODS: dict[str, Callable[[CountingServer, Message], Message | None]] = {
    "initialize": _initialize,
    "server/discover": CountingServer.discover,
    "subscriptions/listen": CountingServer.listen,
    "tools/call": CountingServer.call,
    "tools/list": _tools,
    "ping": lambda _server, _request: {},
    "logging/setLevel": lambda _server, _request: {},
    "resources/list": lambda _server, _request: {"resources": []},
    "resources/read": CountingServer.read,
    "resources/subscribe": lambda _server, _request: {},
    "resources/unsubscribe": lambda _server, _request: {},
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hold", help="METHOD@N: process N waits at the gate before it answers")
    parser.add_argument("--early", metavar="FROM-TO")
    parser.add_argument("--discover", choices=["modern", "exit"], default="modern")
    CountingServer(parser.parse_args(arguments)).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
