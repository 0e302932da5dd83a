"""Login shells, and what an administrator forbids, through a real sshd with an account for each."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import programs, shells
from support.host import Host, client_argv
from support.received import read_all
from support.sshd import Guest, Sshd, SshdKeys

from m2m_ssh_client.api import SSHServerParameters
from m2m_ssh_client.ssh.opener import Opener

if sys.platform == "win32":
    pytest.skip("sshd with the shells of POSIX systems behind it", allow_module_level=True)

pytestmark = pytest.mark.interop

CONFIG = """
Match User sftp-only
  ForceCommand internal-sftp
Match User forced
  ForceCommand echo Good evening
Match User jailed
  ChrootDirectory /run/sshd
Match User no-session
  MaxSessions 0
Match User forced-by-key,sftp-by-key,restricted
  AuthorizedKeysFile .ssh/%u
"""
LIMITS = {
    "forced-by-key": 'command="echo Good evening"',
    "sftp-by-key": 'restrict,command="internal-sftp"',
    "restricted": "restrict",
}
SHELLS = [*shells.NAMES, "rbash"]
PAGE = Path(__file__).parents[2] / "docs" / "shells.md"
ACCOUNTS = {
    "rbash": "/bin/rbash",
    "nologin": "/usr/sbin/nologin",
    "false": "/bin/false",
    "no-shell": "/no/such/shell",
    **dict.fromkeys(("sftp-only", "forced", "jailed", "no-session", *LIMITS), "/bin/sh"),
}
START_FILES = (".profile", ".bashrc", ".zshenv", ".tcshrc", ".config/fish/config.fish")
FOLDER = "it's !here"
AWKWARD = ["it's", "", "!x", "=ls", "$HOME", '"`id`"', "\\", "two\nlines", "ü", "x" * 50_000]


@pytest.fixture(scope="module")
def machine(sshd_keys: SshdKeys) -> Iterator[Sshd]:
    """Its accounts are named like their shells, or like what they may not do."""
    if os.geteuid() != 0:
        programs.unavailable("only root can give a server accounts")
    for name in set(shells.NAMES) - set(shells.found()):
        programs.unavailable(f"the shell {name!r} is not installed")
    accounts = {**{name: shells.path(name) for name in shells.NAMES}, **ACCOUNTS}
    # Not below pytest's folders, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="sshd-shells-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        guest = Guest(others=tuple(accounts.items()))
        subsystem = "Subsystem sftp internal-sftp"
        with Sshd(sshd_keys, folder, [subsystem, *CONFIG.splitlines()], guest) as server:
            (server.home / FOLDER).mkdir()
            (server.home / ".ssh").mkdir()
            key = sshd_keys.client_key.with_suffix(".pub").read_text()
            for account, limits in LIMITS.items():
                (server.home / ".ssh" / account).write_text(f"{limits} {key}")
            for file in START_FILES:
                path = server.home / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("echo Good morning\n")
            yield server


def output(machine: Sshd, account: str, *command: str, **wishes: Any) -> str:
    far = Opener(
        SSHServerParameters(
            host="127.0.0.1",
            port=machine.port,
            username=account,
            client_key=machine.keys.client_key,
            known_hosts=machine.known_hosts,
            ssh_config="none",
            command=command,
            **wishes,
        )
    )
    with closing(far):
        return read_all(far.open()).decode()


def refusal(machine: Sshd, account: str, *words: str) -> str:
    """The error that a host gets."""
    given = machine.client_options()
    given[given.index("--username") + 1] = account
    with Host(client_argv("-F", "none", *given, *words)) as host:
        text = host.initialize()["error"]["message"]
        assert isinstance(text, str)
        return text


@pytest.mark.parametrize("account", SHELLS)
def test_the_program_gets_what_was_given_whatever_the_login_shell(
    machine: Sshd, account: str
) -> None:
    show = 'printf "%s|" "$MODE" "${PWD##*/}" "$@"'
    has_cd = account != "rbash"
    # Each combination without a server: tests/test_remote_command.py.
    for in_folder, with_variable, by_login_shell in (
        (False, False, False),
        (has_cd, True, False),
        (has_cd, True, True),
    ):
        said = output(
            machine,
            account,
            *("sh", "-c", show, "sh", *AWKWARD),
            cwd=f"~/{FOLDER}" if in_folder else None,
            env=(f"MODE={AWKWARD}",) if with_variable else (),
            env_in_command=with_variable,
            login_shell=by_login_shell,
        )
        if not by_login_shell:
            said = said.removeprefix("Good morning\n")
        mode, folder, *words = said.split("|")[:-1]
        assert words == AWKWARD
        assert mode == (str(AWKWARD) if with_variable else "")
        assert folder == (FOLDER if in_folder else "home")


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ("nologin", ["it printed: This account is currently not available", "ask its administrat"]),
        ("false", ["exit status 1", "its shell is nologin or false", "ask its administrator"]),
        ("no-shell", ["Authentication failed", "or whose shell is missing"]),
        ("sftp-only", ["it printed: This service allows sftp connections only", "ForceCommand"]),
        ("forced", ["it printed: Good evening", "ForceCommand in sshd_config, command= in"]),
        ("jailed", ["/bin/sh: No such file or directory", "because of ChrootDirectory in its"]),
        ("no-session", ["refused to open a session", "MaxSessions 0", "administrator"]),
        ("forced-by-key", ["it printed: Good evening", "command= in authorized_keys", "ask its"]),
        ("sftp-by-key", ["it printed: This service allows sftp connections only", "ask its"]),
    ],
)
def test_a_refusal_says_what_the_server_did_and_whom_to_ask(
    machine: Sshd, account: str, words: list[str]
) -> None:
    text = refusal(machine, account, "--", "serve")
    assert all(word in text for word in words), text


@pytest.mark.parametrize("account", ["sh", "sftp-only", "sftp-by-key"])
def test_a_server_for_files_is_named(machine: Sshd, account: str) -> None:
    text = refusal(machine, account, "--subsystem", "sftp")
    assert "exit status 11" in text
    assert "sftp-server, which only transfers files" in text


def test_a_key_that_is_restricted_runs_commands_but_opens_no_way(machine: Sshd) -> None:
    assert output(machine, "restricted", "echo", "hello") == "hello\n"
    text = refusal(machine, "sh", "-J", f"restricted@127.0.0.1:{machine.port}", "--", "serve")
    assert "does not forward connections to 127.0.0.1 port" in text
    assert "Its administrator decides" in text
    assert "restrictions in authorized_keys" in text


def test_what_is_said_in_place_of_a_login_shell_is_in_the_error(machine: Sshd) -> None:
    text = refusal(machine, "nologin", "--login-shell", "--", "serve")
    assert "it printed: This account is currently not available" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--", "/bin/cat", "x"], "/bin/cat: restricted"),
        (["--cwd", "/", "--", "cat"], "rbash: line 1: cd: restricted"),
    ],
)
def test_a_restricted_shell_is_named(machine: Sshd, words: list[str], said: str) -> None:
    text = refusal(machine, "rbash", *words)
    assert said in text
    assert "This account has a restricted shell" in text


def test_csh_says_in_its_way_that_there_is_no_such_program(machine: Sshd) -> None:
    text = refusal(machine, "tcsh", "--", "no-such-server")
    assert "no-such-server: Command not found." in text
    assert "absolute path" in text


def test_the_login_shell_looks_for_a_program_that_csh_does_not_find(machine: Sshd) -> None:
    (machine.home / ".tcshrc").write_text("")  # what prints may have run
    (machine.home / ".login").write_text("setenv PATH ~/programs:$PATH\n")
    program = machine.home / "programs" / "only-there"
    program.parent.mkdir()
    answer = '{"jsonrpc": "2.0", "id": 1, "result": {"words": "\'"$*"\'"}}'
    program.write_text(f"#!/bin/sh\nread line; echo '{answer}'; cat\n")
    program.chmod(0o755)
    given = machine.client_options()
    given[given.index("--username") + 1] = "tcsh"
    with Host(client_argv("-F", "none", *given, "--", "only-there", "a !b")) as host:
        assert host.initialize()["result"]["words"] == "a !b"
        assert "only-there is not in the short PATH" in host.stderr


def test_the_page_lists_the_shells_of_this_test() -> None:
    table = PAGE.read_text().split("\n\n")[2]
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == SHELLS
