"""A small MCP server for the far side: standard library only, so that it starts fast.

Run as a script over stdio. What it does beyond answering is asked for in two ways: options set how
it starts and ends (noise, an era, stubbornness), and the tools in `_TOOLS` do one odd thing each
while it runs. A request whose `params._meta` names a protocol version is answered as of 2026-07-28,
any other as in a session of 2025-11-25. `command(...)` gives the argv to run it, here or remotely.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

LEGACY_VERSION = "2025-11-25"
MODERN_VERSION = "2026-07-28"
_META_VERSION = "io.modelcontextprotocol/protocolVersion"
_SERVER_INFO = {"name": "echo", "title": "Écho — тест", "version": "9.8.7"}
_CAPABILITIES = {"tools": {"listChanged": True}, "logging": {}, "experimental": {"x": {"y": [1]}}}
_INSTRUCTIONS = "Say anything; it comes back."

# A line may hold this many bytes: enough for every test, small enough to notice a runaway.
_READ_BUFFER = 1 << 20


def command(*options: str) -> list[str]:
    """The argv that runs this server; without `site`, Python starts in half the time."""
    return [sys.executable, "-S", "-E", str(Path(__file__).resolve()), *options]


class EchoServer:
    """One session over a pair of binary streams. `serve()` returns the exit status."""

    def __init__(self, options: argparse.Namespace, source: IO[bytes], sink: IO[bytes]) -> None:
        self._options = options
        self._source = source
        self._sink = sink
        self._asked: dict[str, Any] = {}  # our request's id -> the call that waits for its answer
        self._questions = 0
        self._listening: list[Any] = []  # ids of open subscriptions/listen requests
        self._methods: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            **({} if options.modern_only else {"initialize": self._initialize}),
            "server/discover": self._discover,
            "ping": lambda _request: {},
            "logging/setLevel": lambda _request: {},
            "tools/list": self._list_tools,
            "tools/call": self._call_tool,
            "subscriptions/listen": self._listen,
        }

    def serve(self) -> int:
        if self._options.noise:
            self._write(self._options.noise.encode() + b"\n")
        if self._options.bad_bytes:
            self._write(b"\xff\xfe not UTF-8 \x80\n")
        while line := self._source.readline():
            if self._options.record:
                with Path(self._options.record).open("ab") as record:
                    record.write(line)
            self._take(json.loads(line))
        return int(self._options.status)

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            self._answered(message)
        elif "id" not in message:
            self._notified(message)
        elif handler := self._methods.get(message["method"]):
            result = handler(message)
            if result is not None:
                self._respond(message, result)
        else:
            self._fail(message["id"], -32601, "Method not found")

    # What each method answers; None means that no answer, or a later one, is due.

    def _initialize(self, request: dict[str, Any]) -> dict[str, Any]:
        version = (request.get("params") or {}).get("protocolVersion", LEGACY_VERSION)
        return {
            "protocolVersion": version,
            "capabilities": _CAPABILITIES,
            "serverInfo": _SERVER_INFO,
            "instructions": _INSTRUCTIONS,
        }

    def _discover(self, request: dict[str, Any]) -> dict[str, Any] | None:
        if self._options.discover == "exit":
            sys.exit(self._options.status)
        if self._options.discover == "unknown":
            self._fail(request["id"], -32601, "Method not found")
        if self._options.discover != "modern":
            return None
        return {
            "supportedVersions": [MODERN_VERSION],
            "capabilities": _CAPABILITIES,
            "instructions": _INSTRUCTIONS,
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": {"io.modelcontextprotocol/serverInfo": _SERVER_INFO},
        }

    def _list_tools(self, request: dict[str, Any]) -> dict[str, Any]:
        schema = {"type": "object", "additionalProperties": True}
        tools = [{"name": name, "inputSchema": schema, "x-unknown": name} for name in _TOOLS]
        if not _is_modern(request):
            return {"tools": tools}
        return {"tools": tools, "ttlMs": 0, "cacheScope": "private"}

    def _listen(self, request: dict[str, Any]) -> None:
        self._listening.append(request["id"])
        meta = {"io.modelcontextprotocol/subscriptionId": request["id"]}
        wanted = request["params"].get("notifications", {})
        self._notify(
            "notifications/subscriptions/acknowledged", {"_meta": meta, "notifications": wanted}
        )

    def _call_tool(self, request: dict[str, Any]) -> dict[str, Any] | None:
        params = request["params"]
        tool = _TOOLS.get(params["name"])
        if tool is None:
            self._fail(request["id"], -32602, f"Unknown tool: {params['name']}")
            return None
        return tool(self, request, params.get("arguments") or {})

    # Tools

    def _echo(self, request: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(arguments, ensure_ascii=False)
        return {"content": [{"type": "text", "text": text}], "structuredContent": request["params"]}

    def _big(self, _request: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        return _text("x" * int(arguments["bytes"]))

    def _raw(self, _request: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        """Writes each of `lines` (base64) as it is, with a line feed behind it."""
        for line in arguments["lines"]:
            self._write(base64.b64decode(line) + b"\n")
        return _text("written")

    def _spell(self, request: dict[str, Any], arguments: dict[str, Any]) -> None:
        """Answers with `rest`, JSON text, behind the id."""
        head = f'{{"jsonrpc":"2.0","id":{json.dumps(request["id"])},'
        self._write(head.encode() + arguments["rest"].encode() + b"}\n")

    def _exit(self, _request: dict[str, Any], arguments: dict[str, Any]) -> None:
        sys.stderr.write("last words\n")
        sys.stderr.flush()
        os._exit(int(arguments.get("status", 0)))

    def _stderr(self, _request: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        _chatter(int(arguments["bytes"]))
        return _text("said")

    def _progress(self, request: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        token = request["params"].get("_meta", {}).get("progressToken")
        steps = int(arguments.get("steps", 3))
        for step in range(1, steps + 1):
            self._notify(
                "notifications/progress",
                {"progressToken": token, "progress": step, "total": steps, "message": f"№ {step}"},
            )
        return _text("done")

    def _notify_tool(self, _request: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        self._notify(arguments["method"], arguments.get("params"))
        return _text("sent")

    def _ask(self, request: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any] | None:
        """Asks the host `method` with `params`; the call's answer is the host's answer."""
        if _is_modern(request):
            return self._ask_in_result(request, arguments)
        self._questions += 1
        own_id = str(arguments.get("id", f"ask-{self._questions}"))
        self._asked[own_id] = request["id"]
        question = {"method": arguments["method"], "params": arguments.get("params", {})}
        self._send({"jsonrpc": "2.0", "id": own_id, **question})
        return None

    @staticmethod
    def _ask_in_result(request: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        responses = request["params"].get("inputResponses")
        if responses is not None:
            answer = {"answer": responses["q"], "state": request["params"].get("requestState")}
            return {"content": [], "structuredContent": answer}
        question = {"method": arguments["method"], "params": arguments.get("params", {})}
        return {
            "resultType": "input_required",
            "inputRequests": {"q": question},
            "requestState": "state ☂",
        }

    def _hang(self, _request: dict[str, Any], _arguments: dict[str, Any]) -> None:
        """Never answers: for cancellation, and for a host that leaves in the middle of a call."""

    def _answered(self, message: dict[str, Any]) -> None:
        self._notify("notifications/message", {"level": "info", "logger": "echo", "data": message})
        call = self._asked.pop(str(message["id"]), None)
        if call is not None:
            answer = message.get("result", message.get("error"))
            self._respond({"id": call}, {"content": [], "structuredContent": {"answer": answer}})

    def _notified(self, message: dict[str, Any]) -> None:
        """Tells what it was told; a subscription that the host cancels is closed."""
        if message["method"] == "notifications/initialized":
            return
        cancelled = (message.get("params") or {}).get("requestId")
        if message["method"] == "notifications/cancelled" and cancelled in self._listening:
            self._listening.remove(cancelled)
            return
        self._notify("notifications/message", {"level": "info", "logger": "echo", "data": message})

    # Writing

    def _respond(self, request: dict[str, Any], result: dict[str, Any]) -> None:
        if _is_modern(request):
            result = {"resultType": "complete", **result}
        self._send({"jsonrpc": "2.0", "id": request["id"], "result": result})
        if self._options.noise_between:
            self._write(self._options.noise_between.encode() + b"\n")

    def _fail(self, request_id: object, code: int, message: str) -> None:
        error = {"code": code, "message": message}
        self._send({"jsonrpc": "2.0", "id": request_id, "error": error})

    def _notify(self, method: str, params: dict[str, Any] | None) -> None:
        extra = {} if params is None else {"params": params}
        self._send({"jsonrpc": "2.0", "method": method, **extra})

    def _send(self, message: dict[str, Any]) -> None:
        # Not escaped, so that characters of several bytes and U+2028 travel as they are.
        self._write(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self._sink.flush()


_Tool = Callable[[EchoServer, dict[str, Any], dict[str, Any]], "dict[str, Any] | None"]

_TOOLS: dict[str, _Tool] = {
    "echo": EchoServer._echo,
    "big": EchoServer._big,
    "raw": EchoServer._raw,
    "spell": EchoServer._spell,
    "exit": EchoServer._exit,
    "stderr": EchoServer._stderr,
    "progress": EchoServer._progress,
    "notify": EchoServer._notify_tool,
    "ask": EchoServer._ask,
    "hang": EchoServer._hang,
}


def _is_modern(request: dict[str, Any]) -> bool:
    return _META_VERSION in ((request.get("params") or {}).get("_meta") or {})


def _text(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}]}


def _chatter(size: int) -> None:
    """Writes about `size` bytes to stderr in lines of 100."""
    line = "chatter " * 12 + "end\n"
    for _ in range(max(1, size // 100)):
        sys.stderr.write(line)
    sys.stderr.flush()


def _ignore_requests_to_end() -> None:
    for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGPIPE"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--discover",
        choices=["modern", "unknown", "exit", "silent"],
        default="modern",
        help="what server/discover gets: a result, -32601, our exit, or nothing",
    )
    parser.add_argument(
        "--modern-only", action="store_true", help="initialize gets -32601, as of 2026-07-28"
    )
    parser.add_argument("--noise", help="a line on stdout before anything else")
    parser.add_argument("--noise-between", help="a line on stdout after every result")
    parser.add_argument("--bad-bytes", action="store_true", help="start with invalid UTF-8")
    parser.add_argument("--chatter", type=int, default=0, help="bytes on stderr at the start")
    parser.add_argument("--stubborn", action="store_true", help="outlive end of file and signals")
    parser.add_argument("--status", type=int, default=0, help="exit status at end of file")
    parser.add_argument("--pid-file")
    parser.add_argument("--record", help="a file to which every line received is appended")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    if options.stubborn:
        _ignore_requests_to_end()
    if options.pid_file:
        part = Path(options.pid_file + ".part")
        part.write_text(str(os.getpid()))
        part.replace(options.pid_file)
    if options.chatter:
        _chatter(options.chatter)
    with (
        open(0, "rb", buffering=_READ_BUFFER) as source,
        open(1, "wb", buffering=_READ_BUFFER) as sink,
    ):
        status = EchoServer(options, source, sink).serve()
        if options.stubborn:
            time.sleep(600)  # the point of it: only a kill ends this
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
