"""The `demo` command: run the real client against servers on loopback, and narrate each step.

The client, its keys and its temporary known_hosts live in a temporary home folder. On exit, also by
SIGTERM or Ctrl-C, the client ends first, then the servers and their children; the folder is removed
last. With --serve, the servers keep running, and the keys stay in the user's state folder, so that
a host's configuration for them stays true.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from m2m_ssh_client import demo, logs, options
from m2m_ssh_client.demo.host import Host, StepFailedError
from m2m_ssh_client.demo.servers import servers
from m2m_ssh_client.demo.story import HELLO, Output, Story, converse
from m2m_ssh_client.errors import SSHClientError, UsageError
from m2m_ssh_client.hosts.entries import client
from m2m_ssh_client.log_file import default_path
from m2m_ssh_client.text import printable, quoted_line
from m2m_ssh_client.usage import Parser, command_parser

# By its path and not by `-m`, which imports from the current folder first.
_SAMPLE = (sys.executable, str(Path(demo.__file__).with_name("sample_server.py")))

_SUMMARY = """\
What just happened
  A program that can only talk MCP to a child process used an MCP server behind SSH. Client and
  server learned each other's keys from the key server. Then every message passed unchanged through
  one encrypted channel.

Next steps
  `{client} demo --serve` keeps the servers running for your own MCP host.
  `{client} demo --serve -- COMMAND` serves any stdio MCP server instead of the sample.
  `{client} USER@HOST -- COMMAND` uses a machine with an SSH server.
"""


def main(name: str, arguments: list[str]) -> int:
    """Show or serve the demo; return the exit status. Raises UsageError."""
    given, command = options.split_command(arguments)
    args = parser(name).understood(given)
    if command is not None and not (args.serve and command):
        raise UsageError("a command after `--` requires `demo --serve`")
    return run(serve=args.serve, command=command or ())


def parser(name: str) -> Parser:
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
        help="keep the servers running, on ports 8022 and 8000, until Ctrl-C; with `-- COMMAND`, "
        "serve that stdio MCP server instead of the sample. Only the client key that it makes in "
        "your state folder is let in",
    )
    return parser


def run(
    serve: bool, command: Sequence[str], *, ssh_port: int = 8022, key_server_port: int = 8000
) -> int:
    """Show the exchange once, or serve until Ctrl-C or SIGTERM; return the exit status.

    `command` is the argv of an MCP server to serve instead of the sample. The ports apply to
    serving; the plain demo takes free ones.
    """
    if command and not serve:
        raise UsageError(
            "A command for the demo requires --serve.", "Pass `demo --serve -- COMMAND`."
        )
    out = Output(sys.stdout)
    with _signals_as_interrupt(), logs.configured(None, None):
        try:
            if serve:
                return _serve(out, command, ssh_port, key_server_port)
            folder = tempfile.TemporaryDirectory(prefix="m2m-demo-", ignore_cleanup_errors=True)
            with folder as home:
                return _show(out, Path(home))
        except SSHClientError as exc:
            sys.stderr.write(f"{exc}\n")
            return exc.exit_status
        except KeyboardInterrupt:
            out.line("Stopped everything.")
            return 0 if serve else 128 + signal.SIGINT


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt, so that they clean up too."""
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


def _show(out: Output, home: Path) -> int:
    temporary = home / "tmp"
    temporary.mkdir()
    story = Story(out, temporary)
    out.line("This demo stays on this machine, with free ports and a temporary home folder.")
    with servers(_SAMPLE, 0, 0, story.event, home) as running:
        out.line(f"  SSH server  127.0.0.1 port {running.ssh.port}")
        out.line(f"  key server  http://127.0.0.1:{running.key_server.port}")
        argv = [*client(), *running.client_arguments]
        out.line(f"  client      {quoted_line(argv)}")
        out.line()
        host = Host(argv, _environment(home, temporary), story.notification)
        try:
            with host:
                converse(host, story)
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


def _environment(home: Path, temporary: Path) -> dict[str, str]:
    """Return our environment with the demo's home and temporary folder, and without the agent."""
    there = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    there |= dict.fromkeys(("HOME", "USERPROFILE"), str(home))
    return {name: v for name, v in os.environ.items() if name != "SSH_AUTH_SOCK"} | there


def _serve(out: Output, command: Sequence[str], ssh_port: int, key_server_port: int) -> int:
    def event(text: str) -> None:
        out.line(printable(text))

    served = command or _SAMPLE
    with servers(served, ssh_port, key_server_port, event, _kept_keys()) as running:
        argv = [*client(), *running.client_arguments]
        configuration = {"mcpServers": {"m2m-demo": {"command": argv[0], "args": argv[1:]}}}
        out.line(f"SSH server on 127.0.0.1 port {running.ssh.port}")
        out.line(f"Key server on http://127.0.0.1:{running.key_server.port}")
        out.line(f"Both lead to: {quoted_line(served)}")
        out.line(f"Only this key is let in: {printable(str(running.client_key))}")
        out.line()
        out.line("Configuration for an MCP host (Claude Desktop, Cursor and others):")
        out.line(json.dumps(configuration, indent=2))
        out.line()
        out.line("MCP Inspector, in another terminal:")
        out.line(f"  npx -y @modelcontextprotocol/inspector {quoted_line(argv)}")
        out.line()
        if sys.platform != "win32":
            out.line("By hand, in another terminal:")
            out.line(f"  (echo {shlex.quote(json.dumps(HELLO))}; sleep 3) | {quoted_line(argv)}")
            out.line()
        out.line("Ctrl-C stops both servers. Events:")
        while True:
            time.sleep(3600)


def _kept_keys() -> Path:
    """Return the folder for the keys of a demo that serves. Raises SSHClientError."""
    try:
        return default_path().with_name("demo")
    except RuntimeError as exc:
        raise SSHClientError(f"There is no folder for the keys: {exc}", "Set HOME.") from exc
