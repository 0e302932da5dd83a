"""The argv of the program that carries: by a template, and for OpenSSH by our options."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh.settings import Request
from m2m_ssh_client.ssh.via.program_line import program_line, split

RUN = Request("uvx 'a server'")
QUIET = ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"]


def argv(via: str, request: Request = RUN, **more: Any) -> list[str]:
    return program_line(Parameters(host="lab", via=via, **more), request).argv


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("tsh ssh {destination} {command}", ["tsh", "ssh", "ada@lab", "uvx 'a server'"]),
        ("x -p {port} {user} {host} {command}", ["x", "-p", "22", "ada", "lab", "uvx 'a server'"]),
        ("docker exec -i box {words}", ["docker", "exec", "-i", "box", "uvx", "a server"]),
        ("'a program' \"in quotes\" {words}", ["a program", "in quotes", "uvx", "a server"]),
        ("x --host={host} {command}", ["x", "--host={host}", "uvx 'a server'"]),
        ("x '$HOME' ; {command}", ["x", "$HOME", ";", "uvx 'a server'"]),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")
def test_a_place_becomes_one_argument_and_no_shell_reads_it(
    template: str, words: list[str]
) -> None:
    assert argv(template, username="ada", command=["uvx", "a server"]) == words


def test_a_value_is_an_argument_whatever_is_in_it() -> None:
    request = Request("a; b 'c' {host} $(d)\n")
    assert argv("x {command}", request)[1] == "a; b 'c' {host} $(d)\n"


def test_a_template_without_a_command_is_fine_if_none_was_given() -> None:
    assert argv("x {host}", Request()) == ["x", "lab"]


@pytest.mark.parametrize(
    ("via", "more", "said"),
    [
        ("x {host}", {}, "no place for the remote command"),
        ("x {command}", {"client_key": Path("key")}, "--client-key has no meaning"),
        ("x {command}", {"ssh_options": ("A=b",)}, "--ssh-option has no meaning"),
        ("ssh", {"host_key": "SHA256:" + "A" * 43}, "--host-key has no meaning"),
        ("ssh", {"use_key_server": True}, "--use-key-server has no meaning"),
        ("ssh", {"passphrase_file": Path("x")}, "--passphrase-file has no meaning"),
    ],
)
def test_what_cannot_be_meant_is_refused(via: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        argv(via, **more)


@pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")
def test_an_open_quote_is_refused() -> None:
    with pytest.raises(UsageError, match="No closing quotation"):
        argv("x 'y {command}")


if sys.platform == "win32":

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (r"C:\Windows\ssh.exe -T lab", [r"C:\Windows\ssh.exe", "-T", "lab"]),
            (r'"C:\Program Files\x.exe" "a b" c', [r"C:\Program Files\x.exe", "a b", "c"]),
            (r'x "a \"b\"" c\d', ["x", 'a "b"', r"c\d"]),
            (r'x "a\\" b', ["x", "a\\", "b"]),
        ],
    )
    def test_windows_splits_as_its_programs_do(text: str, words: list[str]) -> None:
        assert split(text) == words


# OpenSSH.


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, QUIET),
        ({"port": 2222, "username": "ada"}, ["-p", "2222", "-l", "ada", *QUIET]),
        ({"client_key": Path("/k")}, ["-i", os.fspath(Path("/k")), *QUIET]),
        ({"ssh_config": "none"}, ["-F", "none", *QUIET]),
        ({"ssh_options": ("ProxyJump=a,b",)}, ["-o", "ProxyJump=a,b", *QUIET]),
        (
            {"known_hosts": Path("a b")},
            ["-o", 'UserKnownHostsFile="a b"', *QUIET],
        ),
        (
            {"disable_host_key_checking": True},
            ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={os.devnull}", *QUIET],
        ),
        (
            {"keepalive": 0.0, "keepalive_count": 5},
            ["-o", "ServerAliveInterval=0", "-o", "ServerAliveCountMax=5"],
        ),
        ({"connect_timeout": 7.5}, ["-o", "ConnectTimeout=8", *QUIET]),
    ],
)
def test_our_options_are_translated_for_ssh(more: dict[str, Any], words: list[str]) -> None:
    ssh, *rest = argv("ssh", **more)
    assert Path(ssh).stem == "ssh"
    assert rest == ["-T", *words, "--", "lab", "uvx 'a server'"]


def test_a_subsystem_and_a_shell_are_asked_of_ssh() -> None:
    assert argv("ssh", Request(subsystem="mcp"))[-4:] == ["-s", "--", "lab", "mcp"]
    assert argv("ssh", Request())[-2:] == ["--", "lab"]


def test_values_of_variables_are_in_the_environment_and_not_on_the_command_line() -> None:
    request = Request("x", variables=(("TOKEN", "S3CRET"),))
    line = program_line(Parameters(host="lab", via="ssh"), request)
    assert "SendEnv=TOKEN" in line.argv
    assert not [word for word in line.argv if "S3CRET" in word]
    assert line.env["TOKEN"] == "S3CRET"


def test_our_passphrase_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2M_SSH_PASSPHRASE", "S3CRET")
    line = program_line(Parameters(host="lab", via="ssh"), RUN)
    assert "S3CRET" not in line.env.values()
