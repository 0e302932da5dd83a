"""The program that a shell looked up and did not find, told by real shells."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from m2m_ssh_client.remote_command import quoted
from m2m_ssh_client.ssh.missing_program import is_missed, program_of, second_way
from m2m_ssh_client.ssh.settings import Request

if sys.platform == "win32":
    pytest.skip("a mode, path or shell of POSIX", allow_module_level=True)

SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "fish", "tcsh") if shutil.which(shell)]


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("uvx mcp-server-git", "uvx"),
        ("  uvx", "uvx"),
        ("MODE=x A=/b/c uvx --with 'a; b' x", "uvx"),
        ("env MODE=x uvx x", "uvx"),
        ("exec uvx x", "uvx"),
        ("serve --greeting 'it'\\''s; fine & dandy'", "serve"),
        ("/opt/serve", ""),
        ("./serve", ""),
        ("~/bin/serve", ""),
        ("'uvx' x", ""),
        ("prepare; uvx x", ""),
        ("uvx x; prepare", ""),
        ("prepare && uvx x", ""),
        ("prepare | uvx x", ""),
        ('uvx "$(prepare)"', ""),
        ("uvx `prepare`", ""),
        ("uvx x \\' ; prepare '", ""),
        ("prepare\nuvx", ""),
        ("", ""),
    ],
)
def test_only_a_simple_command_has_a_program_to_look_up(command: str, program: str) -> None:
    assert program_of(Request(command)) == program


def test_folder_and_variables_around_a_command_play_no_part() -> None:
    assert program_of(Request("cd /srv && serve x", inner="serve x")) == "serve"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("prefix", ["", "env "])
def test_every_shell_names_the_program_that_it_does_not_find(shell: str, prefix: str) -> None:
    said, status = complaint(shell, f"{prefix}no-such-server --all")
    assert is_missed("no-such-server", status, said)
    assert not is_missed("no-such", status, said)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_program_that_ran_is_not_named_as_missing(shell: str) -> None:
    """It has run already, and ended with 127 because it did not find something itself."""
    said, status = complaint(shell, f"sh -c {quoted('touch /dev/null; no-such-server')}")
    assert status == 127
    assert second_way(Request("sh -c '…'"), status, said) is None


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (2, "serve: Command not found."),
        (1, "serve: git: Command not found."),
        (1, "serve: command not found"),
        (None, "serve: Command not found."),
    ],
)
def test_the_words_of_csh_count_only_as_it_says_them(status: int | None, said: str) -> None:
    assert second_way(Request("serve x"), 1, ["serve: Command not found."]) is not None
    assert second_way(Request("serve x"), status, [said]) is None


def test_the_second_way_is_the_login_shell_and_there_is_no_third() -> None:
    said = ["sh: 1: serve: not found"]
    first = Request("cd /srv && serve x", inner="serve x", environment=(("A", "1"),))
    second = second_way(first, 127, said)
    assert second is not None
    assert second.command is not None
    assert second.command.endswith(f" 'echo {second.marker}; cd /srv && serve x'")
    assert second.environment == first.environment
    assert second_way(second, 127, said) is None


def complaint(shell: str, command: str) -> tuple[list[str], int]:
    done = subprocess.run(
        [str(shutil.which(shell)), "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()[-5:], done.returncode
