"""The demo's narration: numbered steps from the servers' events, then the conversation over MCP."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from m2m_ssh_client.demo.host import Host, StepFailedError
from m2m_ssh_client.text import encodable, printable, shortened

# Steps up to the first MCP message, in order: the event that the servers report, and the narration.
_STEPS = (
    (
        r"GET /server_pub_key: status 200",
        "The client asks the key server for the host key of the SSH server.",
    ),
    (
        r"file .*",
        "It writes that key, and nothing else, to a temporary known_hosts file.",
    ),
    (
        r"registered the client key .*",
        "It has a key pair, and registers the public half.",
    ),
    (
        r"connection from .*",
        "It connects over SSH, and compares the server's host key with the file.",
    ),
    (
        r"'mcp' offers key .*: authorized",
        "The host key matches, so the client offers its own key.",
    ),
    (
        r"'mcp' is authenticated.*",
        "A signature proves that it holds the private half.",
    ),
    (
        r"granted: shell.*",
        "It requests a shell. The server starts the sample MCP server instead.",
    ),
)
_TOOLS = {"echo", "add", "where_am_i", "count_slowly"}

HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "demo-host", "version": "1"},
    },
}


class Output:
    """Writes lines to stdout, from any thread; characters unknown to the console are escaped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def line(self, text: str = "") -> None:
        shown = encodable(text, self._stream.encoding)
        with self._lock, suppress(OSError):  # without a reader, the demo still has to clean up
            self._stream.write(shown + "\n")
            self._stream.flush()


class Story:
    """Narrates and numbers the steps, from any thread, and knows which one comes next."""

    def __init__(self, out: Output, temporary: Path) -> None:
        self._out = out
        self._temporary = temporary
        self._lock = threading.RLock()  # guards the attributes below
        self._number = 0
        self._ahead = deque(_STEPS)

    def event(self, text: str) -> None:
        """Report an event of a server, with the step that it completes."""
        with self._lock:
            if text.startswith("registered"):  # the client waits for the answer, so its file exists
                self._show_known_hosts()
            if self._ahead and re.fullmatch(self._ahead[0][0], text):
                self.step(self._ahead.popleft()[1])
            self.detail(text)

    def notification(self, message: Mapping[str, Any]) -> None:
        self.detail(f"<- {_compact(message.get('method'))} {_compact(message.get('params'))}")

    def step(self, text: str) -> None:
        with self._lock:
            self._number += 1
            self._out.line(f"{self._number:2}. {text}")

    def detail(self, text: str) -> None:
        self._out.line(f"      {shortened(printable(text), 160)}")

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            raise StepFailedError(f"step {self._number}: {what}")

    def all_told(self) -> None:
        """Raise StepFailedError if a step before the first MCP message is missing."""
        with self._lock:
            if self._ahead:
                raise StepFailedError(f"this step is missing: {self._ahead[0][1]}")

    def ended(self, status: int | None) -> None:
        self.expect(status == 0, f"the client ended with status {status}")
        left = [str(path) for path in self._temporary.iterdir()]
        self.expect(not left, f"the client left behind {left}")
        self.detail("exit status 0, the temporary known_hosts is gone")

    def _show_known_hosts(self) -> None:
        for path in self._temporary.rglob("known_hosts"):
            mode = "" if sys.platform == "win32" else f", mode {path.stat().st_mode & 0o777:04o}"
            self.event(f"file {path.name}{mode}: {path.read_text().strip()}")


def converse(host: Host, story: Story) -> None:
    """Act as an MCP host: initialize, list, call, read. Raises StepFailedError."""
    hello = host.request("initialize", HELLO["params"])
    story.all_told()
    host.notify("notifications/initialized")
    story.step("From here on it is MCP. The host sends initialize, then uses the server.")
    name = _at(hello, "serverInfo", "name")
    story.detail(f"-> initialize  <- {name}, protocol {_at(hello, 'protocolVersion')}")
    story.expect(name == "m2m-demo", f"the server calls itself {name!r}")

    def call(step: str, method: str, params: dict[str, Any], expected: str, *where: Any) -> None:
        story.step(step)
        story.detail(f"-> {method} {_compact(params)}")
        found = _at(host.request(method, params), *where)
        story.detail(f"<- {found}")
        story.expect(expected in str(found), f"expected {expected!r}, the answer was {found!r}")

    story.step("It lists the tools.")
    tools = _at(host.request("tools/list", {}), "tools")
    names = {tool.get("name") for tool in tools if isinstance(tool, dict)} if tools else set()
    story.detail(f"<- {', '.join(sorted(map(str, names)))}")
    story.expect(names == _TOOLS, "these are not the sample server's tools")
    text = ("content", 0, "text")
    call("It calls a tool.", *_tool("echo", text="Hello over SSH"), "Hello over SSH", *text)
    call("It calls another one, with numbers.", *_tool("add", a=20, b=22), "42", *text)
    slow = _tool("count_slowly", steps=3, seconds=0.6)
    slow[1]["_meta"] = {"progressToken": "demo"}
    call("It calls a slow one, which reports progress.", *slow, "counted to 3", *text)
    progress = [m for m in host.notifications if m.get("method") == "notifications/progress"]
    story.expect(len(progress) == 3, f"{len(progress)} progress notifications instead of 3")
    welcome, place = {"uri": "demo://welcome"}, ("contents", 0, "text")
    call("It reads a resource.", "resources/read", welcome, "Welcome to", *place)
    greet = {"name": "greet", "arguments": {"name": "Ada"}}
    prompt = ("messages", 0, "content", "text")
    call("It gets a prompt.", "prompts/get", greet, "greet Ada", *prompt)
    story.step("It closes the client's stdin, and everything ends.")


def _tool(name: str, **arguments: object) -> tuple[str, dict[str, Any]]:
    return "tools/call", {"name": name, "arguments": arguments}


def _at(document: Any, *path: Any) -> Any:
    """Return the value at a path in a JSON document, or None."""
    for key in path:
        try:
            document = document[key]
        except (LookupError, TypeError):
            return None
    return document


def _compact(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
