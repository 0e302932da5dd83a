"""A small MCP server that has one of everything: standard library only, so that it starts fast.

Tools that return text, bytes, structure, errors and progress, resources, templates and prompts, with lists in pages
of two, fields that nobody knows, and escapes that a terminal would act on. `command(...)` gives the argv to run it.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

ESCAPE = "\x1b[31mred\x1b[0m \x9b2J\x07"
"""What must not reach a terminal."""

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
BLOB = bytes(range(256))
PAGE = f"https://login.example/?{'x' * 300}"
SECRET_PLACE = "show:///../../etc/passwd"

_PAGE = 2
_PATIENCE = 30.0  # seconds
_METHODS = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}


def command(*options: str) -> list[str]:
    """The argv that runs this server; without `site`, Python starts in half the time."""
    return [sys.executable, "-S", "-E", str(Path(__file__).resolve()), *options]


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


_TYPED = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "flag": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "options": {"$ref": "#/$defs/Options"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "free": {},
    },
    "required": ["text", "count"],
    "$defs": {"Options": {"type": "object"}},
}
_EMPTY: dict[str, Any] = {"type": "object", "properties": {}}


def _tool(name: str, schema: dict[str, Any] = _EMPTY, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": schema, **more}


LISTS: dict[str, list[dict[str, Any]]] = {
    "tools": [
        _tool(
            "typed",
            _TYPED,
            title="Typed Arguments",
            description="Give the arguments back.\nA second line, which tables leave out.",
            annotations={"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False},
            **{"x-unknown": {"kept": [1, None, "grüße ☂"]}},
        ),
        _tool("erase", annotations={"destructiveHint": True, "title": "Erase It"}),
        _tool("bytes", description=f"Bytes of each kind {ESCAPE}"),
        _tool(f"name{ESCAPE}", description="[bold]no markup[/bold] :smile:"),
        _tool("steps", description="x" * 300),
        _tool("hang"),
        _tool("talk"),
        _tool("structure"),
        _tool("fail"),
        _tool("broken"),
        _tool("escape"),
    ],
    "resources": [
        {"uri": "show:///notes.txt", "name": "notes", "mimeType": "text/plain", "size": 12},
        {"uri": "show:///disk.img", "name": "disk", "mimeType": "application/octet-stream"},
        {"uri": SECRET_PLACE, "name": "secret"},
    ],
    "resourceTemplates": [
        {"uriTemplate": f"show:///{name}/{{id}}", "name": name, "description": "By number."}
        for name in ("users", "groups", "files")
    ],
    "prompts": [
        {
            "name": "greet",
            "description": "Ask for a greeting.",
            "arguments": [{"name": "who", "required": True}, {"name": "how"}],
        },
        {"name": "plain"},
        {"name": "third"},
    ],
}

_RESULTS: dict[str, dict[str, Any]] = {
    "bytes": {
        "content": [
            {"type": "image", "data": _encoded(PNG), "mimeType": "image/png"},
            {"type": "audio", "data": _encoded(b"RIFF"), "mimeType": "audio/wav"},
            {
                "type": "resource",
                "resource": {"uri": SECRET_PLACE, "blob": _encoded(BLOB)},
            },
            {"type": "resource", "resource": {"uri": "show:///t", "text": "text within"}},
            {"type": "resource_link", "uri": "show:///notes.txt", "name": "notes"},
        ],
    },
    "structure": {"content": [], "structuredContent": {"answer": 42, "of": ["ü"]}},
    "fail": {"content": [_text("the disk is full")], "isError": True},
    "escape": {"content": [_text(f"two lines\n\tand a tab {ESCAPE}")]},
    "talk": {"content": [_text("said")]},
    "steps": {"content": [_text("done")]},
}


class Server:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._asking: list[dict[str, Any]] = []  # calls that wait for an answer to a question

    def take(self, message: dict[str, Any]) -> None:
        if "id" not in message:
            return
        if "method" not in message:
            self._answered(message)
            return
        method, params = message["method"], message.get("params") or {}
        if method == "server/discover" and self._options.era == "modern":
            self._answer(message, self._discovered())
        elif method == "initialize":
            self._answer(message, {**_ABOUT, "protocolVersion": params["protocolVersion"]})
        elif method in _METHODS and method not in self._options.without:
            self._answer(message, self._page(_METHODS[method], params.get("cursor")))
        elif method == "tools/call":
            self._call(message, params)
        elif method == "resources/read":
            self._answer(message, self._read(params["uri"]))
        elif method == "prompts/get":
            self._answer(message, self._prompt(params))
        else:
            self._fail(message, -32601, "Method not found")

    def _discovered(self) -> dict[str, Any]:
        return {
            "supportedVersions": ["2026-07-28"],
            "capabilities": _ABOUT["capabilities"],
            "ttlMs": 0,
            "cacheScope": "private",
        }

    def _page(self, member: str, cursor: str | None) -> dict[str, Any]:
        at = int(cursor) if cursor and cursor.isdigit() else 0
        entries = LISTS[member]
        if self._options.endless:
            following = "again" if self._options.endless == "same" else str(at + 1)
            return {member: entries[:1], "nextCursor": following}
        more = {"nextCursor": str(at + _PAGE)} if at + _PAGE < len(entries) else {}
        return {member: entries[at : at + _PAGE], **more}

    def _call(self, message: dict[str, Any], params: dict[str, Any]) -> None:
        name, arguments = params["name"], params.get("arguments") or {}
        if name == "hang":
            return
        if name == "broken":
            self._fail(message, -32602, f"no such thing {ESCAPE}", {"why": "it is broken"})
            return
        if name == "login":
            login = {"mode": "url", "elicitationId": "1", "url": PAGE, "message": "Log in"}
            pages = arguments.get("pages", [login])
            self._fail(message, -32042, "Log in first", {"elicitations": pages})
            return
        if name == "ask":
            self._ask(message, params)
            return
        if name == "steps":
            self._report(params["_meta"]["progressToken"], arguments)
        if name == "talk":
            for data in (f"a word {ESCAPE}", {"n": 1}):
                about = {"level": "warning", "logger": "show", "data": data}
                self._send(method="notifications/message", params=about)
        text = json.dumps(arguments, sort_keys=True)
        unknown: dict[str, Any] = {"content": [_text(text)], "x-unknown": {"kept": True}}
        self._answer(message, _RESULTS.get(name, unknown))

    def _ask(self, message: dict[str, Any], params: dict[str, Any]) -> None:
        """The question that is in the arguments; its answer is the text of the result."""
        question = dict(params["arguments"])
        busy = question.pop("busy", False)
        responses = params.get("inputResponses")
        if self._options.era == "legacy":
            self._asking.append(message)
            if busy:
                self._report(params["_meta"]["progressToken"], {"total": 1})
            self._send(id=f"question-{len(self._asking)}", **question)
            if busy:
                self._report(params["_meta"]["progressToken"], {"total": 2})
        elif responses and not self._options.insistent:
            text = json.dumps({**responses["one"], "state": params["requestState"]}, sort_keys=True)
            self._answer(message, {"content": [_text(text)]})
        else:
            more = {"inputRequests": {"one": question}} if params.get("requestState") else {}
            self._answer(message, {"resultType": "input_required", "requestState": "x", **more})

    def _answered(self, answer: dict[str, Any]) -> None:
        message = self._asking.pop(0)
        text = json.dumps(answer.get("result") or answer["error"], sort_keys=True)
        self._answer(message, {"content": [_text(text)]})

    def _report(self, token: str | int, arguments: dict[str, Any]) -> None:
        total = arguments.get("total", 10)
        for step in range(1, total + 1):
            if arguments.get("chatter"):
                print("chatter", step, file=sys.stderr, flush=True)  # noqa: T201
                time.sleep(0.02)  # so that the bar has been drawn
            progress = {"progress": step, "total": total, "message": f"step {ESCAPE}"}
            self._send(method="notifications/progress", params={"progressToken": token, **progress})
            if step == arguments.get("held_at"):
                _wait_for(Path(arguments["until"]))

    def _read(self, uri: str) -> dict[str, Any]:
        if uri.endswith(".txt"):
            contents = {"uri": uri, "mimeType": "text/plain", "text": f"line 1\nline 2 {ESCAPE}\n"}
        else:
            contents = {"uri": uri, "blob": _encoded(BLOB)}
        return {"contents": [contents]}

    def _prompt(self, params: dict[str, Any]) -> dict[str, Any]:
        said = json.dumps(params.get("arguments") or {}, sort_keys=True)
        image = {"type": "image", "data": _encoded(PNG), "mimeType": "image/png"}
        messages = [
            {"role": "user", "content": _text(f"greet {said}")},
            {"role": "assistant", "content": image},
        ]
        return {"description": "A greeting", "messages": messages}

    def _answer(self, message: dict[str, Any], result: dict[str, Any]) -> None:
        if "io.modelcontextprotocol/protocolVersion" in str(message.get("params")):
            result = {"resultType": "complete", **result}
            if message["method"].endswith(("/list", "/read")):
                result |= {"ttlMs": 0, "cacheScope": "private"}
        self._send(id=message["id"], result=result)

    def _fail(self, message: dict[str, Any], code: int, text: str, data: object = None) -> None:
        error = {"code": code, "message": text} | ({"data": data} if data else {})
        self._send(id=message["id"], error=error)

    def _send(self, **members: Any) -> None:
        line = json.dumps({"jsonrpc": "2.0", **members}, ensure_ascii=False)
        sys.stdout.buffer.write(line.encode() + b"\n")
        sys.stdout.buffer.flush()


_ABOUT = {
    "capabilities": {"tools": {}, "resources": {}, "prompts": {}, "logging": {}},
    "serverInfo": {"name": "showcase", "version": "1"},
}


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--era", choices=["legacy", "modern"], default="legacy")
    parser.add_argument("--without", action="append", default=[], help="a method that it lacks")
    parser.add_argument("--endless", choices=["same", "fresh"], help="cursors of endless lists")
    parser.add_argument("--insistent", action="store_true", help="asks for ever")
    parser.add_argument("--record", help="a file to which every line received is appended")
    options = parser.parse_args(arguments)
    server = Server(options)
    for line in sys.stdin.buffer:
        if options.record:
            with Path(options.record).open("ab") as record:
                record.write(line)
        server.take(json.loads(line))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
