"""The demo: the real client against servers on loopback, told step by step, or kept running to try.

Everything lives in a temporary home folder: the client's key, its temporary known_hosts, the
servers' keys (in memory only). Leaving, also by SIGTERM or Ctrl-C, ends the client first, then the
servers and what they have started, and removes the folder last.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from m2m_ssh_client import logs, options
from m2m_ssh_client.demo.host import Host, StepFailedError
from m2m_ssh_client.demo.servers import servers
from m2m_ssh_client.errors import SSHClientError, UsageError
from m2m_ssh_client.hosts.entries import client
from m2m_ssh_client.text import encodable, printable, quoted_line, shortened
from m2m_ssh_client.usage import command_parser

_SAMPLE = (sys.executable, "-m", "m2m_ssh_client.demo.sample_server")

# What happens up to the first MCP message, in order: the event by which the servers see it, and the
# story.
_STEPS = (
    (
        r"GET /server_pub_key: status 200",
        "The client asks the key server which host key the SSH server has.",
    ),
    (
        r"file .*",
        "It writes that key, and nothing else, to a temporary known_hosts file.",
    ),
    (
        r"registered the client key .*",
        "It has made a key pair of its own, and registers the public half.",
    ),
    (
        r"connection from .*",
        "It connects over SSH. The server shows its host key, the client compares it with the file.",
    ),
    (
        r"'mcp' offers key .*: authorized",
        "The host key is right, so the client goes on, and offers its own key.",
    ),
    (
        r"'mcp' is authenticated.*",
        "By a signature it has proved that it holds the private half.",
    ),
    (
        r"granted: shell.*",
        "It requests a shell. Behind that, the server starts the sample MCP server.",
    ),
)
_TOOLS = {"echo", "add", "where_am_i", "count_slowly"}

_HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "demo-host", "version": "1"},
    },
}

_SUMMARY = """\
What just happened
  A program that only knows how to talk MCP to a child process used an MCP server behind SSH. Who
  the server is, the client learnt from the key server; who the client is, the server learnt there
  too. From then on every message went both ways through one encrypted channel, unchanged.

How to go on
  `{client} demo --serve` keeps the servers running, for your own MCP host.
  `{client} demo --serve -- COMMAND` does so with any stdio MCP server in place of the sample.
  `{client} --host HOST --port 22 --username USER -- COMMAND` uses a machine that has an SSH server.
"""


def main(name: str, arguments: list[str]) -> int:
    """Raises UsageError."""
    given, command = options.split_command(arguments)
    args = parser(name).parse_args(given)
    if command is not None and not (args.serve and command):
        raise UsageError("a command after `--` goes with `demo --serve`")
    return run(serve=args.serve, command=command or ())


def parser(name: str) -> argparse.ArgumentParser:
    parser = command_parser(
        name,
        "Start an SSH server, a key server and a sample MCP server on loopback, in a temporary\n"
        "home, and run the real client against them.",
        ("", "--serve", "--serve -- npx -y @modelcontextprotocol/server-everything"),
        words="[options] [-- COMMAND ...]",
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="keep them running, on ports 8022 and 8000, until Ctrl-C; with `-- COMMAND`, serve "
        "that stdio MCP server instead of the sample",
    )
    return parser


def run(
    serve: bool, command: Sequence[str], *, ssh_port: int = 8022, key_server_port: int = 8000
) -> int:
    """Show the exchange once, or serve until Ctrl-C or SIGTERM; returns the exit status.

    `command` is the argv of the MCP server to serve instead of the sample one. The ports apply to
    serving; the plain demo takes free ones.
    """
    if command and not serve:
        raise UsageError("A command for the demo needs --serve.", "Pass `demo --serve -- COMMAND`.")
    out = _Output(sys.stdout)
    folder = tempfile.TemporaryDirectory(prefix="m2m-demo-", ignore_cleanup_errors=True)
    with _signals_as_interrupt(), logs.configured(None, None), folder as home:
        try:
            if serve:
                return _serve(out, Path(home), command, ssh_port, key_server_port)
            return _show(out, Path(home))
        except SSHClientError as exc:
            sys.stderr.write(f"{exc}\n")
            return exc.exit_status
        except KeyboardInterrupt:
            out.line("Everything is ended and removed.")
            return 0 if serve else 128 + signal.SIGINT


class _Output:
    """Lines on stdout, from any thread; what the console cannot show becomes an escape."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def line(self, text: str = "") -> None:
        shown = encodable(text, self._stream.encoding)
        with self._lock, suppress(OSError):  # nobody reads any more: the demo still has to clean up
            self._stream.write(shown + "\n")
            self._stream.flush()


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP clean up as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    numbers = [signal.Signals[name] for name in names if name in signal.Signals.__members__]
    before = [(number, signal.signal(number, signal.default_int_handler)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _show(out: _Output, home: Path) -> int:
    temporary = home / "tmp"
    temporary.mkdir()
    story = _Story(out, temporary)
    out.line(
        "This is a demo on this machine alone, with free ports and in a temporary home folder."
    )
    with servers(_SAMPLE, 0, 0, story.event) as running:
        out.line(f"  SSH server  127.0.0.1 port {running.ssh.port}")
        out.line(f"  key server  http://127.0.0.1:{running.key_server.port}")
        argv = [sys.executable, "-m", "m2m_ssh_client", *running.client_arguments(home)]
        out.line(f"  client      {quoted_line(argv)}")
        out.line()
        host = Host(argv, _environment(home, temporary), story.notification)
        try:
            with host:
                _converse(host, story)
            story.ended(host.status)
        except StepFailedError as exc:
            out.line()
            out.line(f"FAILED: {exc}")
            out.line("The client's stderr:")
            for line in host.stderr:
                out.line(f"  {line}")
            return 1
    out.line()
    for line in _SUMMARY.format(client=quoted_line(client())).splitlines():
        out.line(line)
    return 0


class _Story:
    """Numbers the steps, whichever thread brings them, and knows which one comes next."""

    def __init__(self, out: _Output, temporary: Path) -> None:
        self._out = out
        self._temporary = temporary
        self._lock = threading.RLock()  # guards what follows
        self._number = 0
        self._ahead = deque(_STEPS)

    def event(self, text: str) -> None:
        """What a server has seen."""
        with self._lock:
            if text.startswith("registered"):  # the client waits for the answer: its file is there
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
        """Raise if a step before the first MCP message has not been seen."""
        with self._lock:
            if self._ahead:
                raise StepFailedError(f"this was never seen: {self._ahead[0][1]}")

    def ended(self, status: int | None) -> None:
        self.expect(status == 0, f"the client ended with status {status}")
        left = [str(path) for path in self._temporary.iterdir()]
        self.expect(not left, f"the client left behind {left}")
        self.detail("exit status 0, the temporary known_hosts is gone")

    def _show_known_hosts(self) -> None:
        for path in self._temporary.rglob("known_hosts"):
            mode = "" if sys.platform == "win32" else f", mode {path.stat().st_mode & 0o777:04o}"
            self.event(f"file {path.name}{mode}: {path.read_text().strip()}")


def _converse(host: Host, story: _Story) -> None:
    """What an MCP host does: greet, look around, call, read. Raises StepFailedError."""
    hello = host.request("initialize", _HELLO["params"])
    story.all_told()
    host.notify("notifications/initialized")
    story.step("From here on it is MCP, message by message: initialize, then what a host does.")
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
    call("Another one, with numbers.", *_tool("add", a=20, b=22), "42", *text)
    slow = _tool("count_slowly", steps=3, seconds=0.6)
    slow[1]["_meta"] = {"progressToken": "demo"}
    call("One that takes its time, and reports progress.", *slow, "counted to 3", *text)
    progress = [m for m in host.notifications if m.get("method") == "notifications/progress"]
    story.expect(len(progress) == 3, f"{len(progress)} progress notifications instead of 3")
    welcome, place = {"uri": "demo://welcome"}, ("contents", 0, "text")
    call("It reads a resource.", "resources/read", welcome, "Welcome to", *place)
    greet = {"name": "greet", "arguments": {"name": "Ada"}}
    prompt = ("messages", 0, "content", "text")
    call("It gets a prompt.", "prompts/get", greet, "greet Ada", *prompt)
    story.step("It closes the client's stdin, and all of it ends.")


def _tool(name: str, **arguments: object) -> tuple[str, dict[str, Any]]:
    return "tools/call", {"name": name, "arguments": arguments}


def _at(document: Any, *path: Any) -> Any:
    """What stands at a path in a JSON document, or None."""
    for key in path:
        try:
            document = document[key]
        except (LookupError, TypeError):
            return None
    return document


def _compact(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _environment(home: Path, temporary: Path) -> dict[str, str]:
    """Ours, but with the demo's home and temporary folder, and without the user's agent."""
    there = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    there |= dict.fromkeys(("HOME", "USERPROFILE"), str(home))
    return {name: v for name, v in os.environ.items() if name != "SSH_AUTH_SOCK"} | there


def _serve(
    out: _Output, home: Path, command: Sequence[str], ssh_port: int, key_server_port: int
) -> int:
    with servers(
        command or _SAMPLE, ssh_port, key_server_port, lambda text: out.line(printable(text))
    ) as running:
        argv = [*client(), *running.client_arguments(home)]
        configuration = {"mcpServers": {"m2m-demo": {"command": argv[0], "args": argv[1:]}}}
        out.line(f"SSH server on 127.0.0.1 port {running.ssh.port}")
        out.line(f"Key server on http://127.0.0.1:{running.key_server.port}")
        out.line(f"Both lead to: {quoted_line(command or _SAMPLE)}")
        out.line()
        out.line("An MCP host (Claude Desktop, Cursor and others) uses it with this configuration:")
        out.line(json.dumps(configuration, indent=2))
        out.line()
        out.line("MCP Inspector, in another terminal:")
        out.line(f"  npx -y @modelcontextprotocol/inspector {quoted_line(argv)}")
        out.line()
        if sys.platform != "win32":
            out.line("By hand, in another terminal:")
            out.line(f"  (echo {shlex.quote(json.dumps(_HELLO))}; sleep 3) | {quoted_line(argv)}")
            out.line()
        out.line("Ctrl-C ends both servers and removes the client's key. What happens meanwhile:")
        while True:
            time.sleep(3600)
