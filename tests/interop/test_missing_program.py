"""A program that only the login shell finds, over a real sshd: for hosts, commands, and doctor."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import showcase_server
from support.counting_server import Books, command
from support.far import Far
from support.host import Host, client_argv, modern_meta
from support.sshd import Sshd

if sys.platform == "win32":
    pytest.skip("sshd with POSIX shells behind it", allow_module_level=True)

pytestmark = pytest.mark.interop

StartSshd = Callable[..., Sshd]

WORDS = ["serve-books", "with words", "$HOME"]


class Machine:
    """Its user has `serve-books` in ~/.local/bin, where only ~/.profile leads."""

    def __init__(self, sshd: Sshd, folder: Path) -> None:
        self.sshd = sshd
        self.books_folder = folder / "books"
        self.books_folder.mkdir()
        self.books = Books(self.books_folder)
        self.starts = folder / "starts"
        self.program = sshd.home / ".local" / "bin" / "serve-books"
        self.program.parent.mkdir(parents=True)
        self.serve(command(self.books_folder))
        (sshd.home / ".profile").write_text("echo Good morning\nPATH=$HOME/.local/bin:$PATH\n")
        self.far = Far(sshd.client_options(), folder)

    def serve(self, server: list[str]) -> None:
        """Let the program run this server."""
        text = f'#!/bin/sh\nprintf "%s|" "$@" >> {self.starts}\nexec {shlex.join(server)}\n'
        self.program.write_text(text)
        self.program.chmod(0o755)

    def host(self, *options: str, words: list[str] = WORDS) -> Host:
        return Host(client_argv(*self.sshd.client_options(), *options, "--", *words))


@pytest.fixture
def machine(start_sshd: StartSshd, tmp_path: Path) -> Machine:
    return Machine(start_sshd(), tmp_path)


def message(**fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **fields}).encode() + b"\n"


def test_all_that_a_host_has_sent_reaches_the_program_once(machine: Machine) -> None:
    """Also what is never repeated otherwise: the first process never ran."""
    with machine.host() as host:
        initialize = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}
        call = {"name": "count", "arguments": {"key": "k"}}
        host.send(
            message(id=1, method="initialize", params=initialize)
            + message(method="notifications/initialized")
            + message(id=2, method="tools/call", params=call)
        )
        assert all("result" in host.receive() for _ in range(2))
        host.close_stdin()
        assert host.wait() == 0
        assert host.stderr.count("not in the short PATH of remote commands") == 1
    assert machine.books.methods(1) == ["initialize", "notifications/initialized", "tools/call"]
    assert machine.books.executions == {"k": 1}
    assert machine.starts.read_text() == "with words|$HOME|"


def test_a_probe_for_the_era_reaches_the_program_as_well(machine: Machine) -> None:
    with machine.host() as host:
        assert "result" in host.request("server/discover", {"_meta": modern_meta()})
        assert machine.books.methods(1) == ["server/discover"]


def test_the_login_shell_is_kept_for_the_next_process(machine: Machine) -> None:
    with machine.host() as host:
        assert "result" in host.initialize()
        host.call("crash", {"key": "end"})
        machine.books.wait_until_told(2, "initialize")
        assert "result" in host.call("count", {"key": "k"})
        assert host.stderr.count("serve-books: command not found") <= 1
        assert host.stderr.count("not in the short PATH of remote commands") == 1


def test_it_can_be_forbidden(machine: Machine) -> None:
    with machine.host("--no-login-shell") as host:
        text = host.initialize()["error"]["message"]
        assert "was not found (exit status 127); its stderr: " in text
        assert "--login-shell" in text
        assert host.wait() == 1
    assert not machine.starts.exists()


def test_a_program_that_the_login_shell_does_not_find_either_is_named(machine: Machine) -> None:
    with machine.host(words=["no-such-server", "x"]) as host:
        text = host.initialize()["error"]["message"]
        assert "not even by the user's login shell" in text
        assert "Is no-such-server installed there, for this user?" in text
        assert host.wait() == 1


def test_what_may_have_run_is_not_run_again(machine: Machine) -> None:
    script = f"echo run >> {machine.starts}; serve-books"
    for words in ([script], ["sh", "-c", script]):
        with machine.host(words=words) as host:
            assert "(exit status 127)" in host.initialize()["error"]["message"]
            assert host.wait() == 1
    assert machine.starts.read_text() == "run\nrun\n"


def test_it_holds_for_the_commands_of_a_terminal(machine: Machine) -> None:
    machine.serve(showcase_server.command())
    done = machine.far("call", "typed", "text=a", "count=3", "flag=true", server=WORDS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"text": "a", "count": 3, "flag": True}
    assert "not in the short PATH of remote commands" in done.stderr


def test_doctor_says_where_the_login_shell_finds_it(machine: Machine) -> None:
    done = machine.far("doctor", "--json", "--cwd", "/", server=WORDS)
    assert done.returncode == 0, done.stdout
    step = next(step for step in json.loads(done.stdout) if step["name"] == "mcp")
    assert step["status"] == "warning"
    assert step["found"]["program"] == str(machine.program)
    assert f"the login shell finds {machine.program}" in step["advice"]
    done = machine.far("doctor", "--json", "--no-login-shell", server=WORDS)
    assert done.returncode == 1
    assert "absolute path" in done.stdout
