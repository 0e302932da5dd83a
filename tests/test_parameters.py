from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from m2m_ssh_client import SSHServerParameters

PIN = "SHA256:" + "A" * 42 + "E"


def test_the_defaults_are_those_of_the_peer() -> None:
    params = SSHServerParameters()
    assert (params.host, params.port, params.username) == ("localhost", 8022, "mcp")
    assert params.client_key == Path("~/.ssh/m2m_mcp_server_ssh_client")
    assert params.known_hosts == Path("~/.ssh/known_hosts")
    assert (params.use_key_server, params.key_server_port) == (False, 8000)
    assert params.passphrase is None
    assert not params.disable_host_key_checking


def test_the_defaults_ask_for_a_shell_and_a_message_of_at_most_256_mib() -> None:
    params = SSHServerParameters()
    assert (params.command, params.subsystem, params.command_line()) == ((), None, None)
    assert params.max_message_size == 256 * 1024 * 1024
    assert params.host_key is None
    assert 0 < params.connect_timeout <= 60


@pytest.mark.parametrize(
    "good",
    [
        {"host": "h"},
        {"host": "x" * 255},
        {"host": "2001:db8::1"},
        {"host": "fe80::1%eth0"},
        {"host": "bücher.example"},
        {"port": 1},
        {"port": 65535},
        {"key_server_port": 1},
        {"key_server_port": 65535},
        {"username": "DOMAIN\\user name"},
        {"connect_timeout": 0.001},
        {"connect_timeout": 3600},
        {"max_message_size": 1024},
        {"host_key": PIN},
        {"host_key": PIN, "use_key_server": True},
        {"subsystem": "mcp"},
        {"command": ["a", "b"]},
        {"command": ("two\nlines",)},
    ],
    ids=str,
)
def test_what_makes_sense_is_accepted(good: dict[str, Any]) -> None:
    SSHServerParameters(**good)


@pytest.mark.parametrize(
    "bad",
    [
        {"host": ""},
        {"host": "x" * 256},
        {"host": " h"},
        {"host": "h "},
        {"host": "h\n"},
        {"host": "a\nb"},
        {"host": "a\rb"},
        {"host": "a\0b"},
        {"port": 0},
        {"port": -1},
        {"port": 65536},
        {"port": "ssh"},
        {"key_server_port": 0},
        {"key_server_port": 70000},
        {"username": ""},
        {"username": "a\nb"},
        {"username": " a"},
        {"subsystem": ""},
        {"subsystem": "a\nb"},
        {"connect_timeout": 0},
        {"connect_timeout": -1},
        {"connect_timeout": 3601},
        {"connect_timeout": float("inf")},
        {"connect_timeout": float("nan")},
        {"max_message_size": 0},
        {"max_message_size": 1023},
        {"host_key": ""},
        {"host_key": "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48"},
        {"host_key": PIN[:-1]},
        {"host_key": PIN + "A"},
        {"host_key": PIN + "\n"},
        {"host_key": PIN.lower()},
        {"command": ["a"], "subsystem": "mcp"},
        {"disable_host_key_checking": True, "use_key_server": True},
        {"disable_host_key_checking": True, "host_key": PIN},
        {"hots": "a slip of the pen"},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SSHServerParameters(**bad)


def test_the_padding_of_a_fingerprint_does_not_matter() -> None:
    assert SSHServerParameters(host_key=PIN + "=").host_key == PIN


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ((), None),
        (("uvx server",), "uvx server"),
        (("cd /srv && exec ./run --all > /dev/null",), "cd /srv && exec ./run --all > /dev/null"),
        (("run", "--all"), "run --all"),
        (("run", "a b"), "run 'a b'"),
        (("run", "$HOME", "`id`", ";"), "run '$HOME' '`id`' ';'"),
        (("run", "it's"), "run 'it'\"'\"'s'"),
        (("run", ""), "run ''"),
        (("run", "--", "x"), "run -- x"),
        (("two words", "x"), "'two words' x"),
    ],
)
def test_one_argument_is_a_command_line_and_several_are_quoted(
    command: tuple[str, ...], line: str | None
) -> None:
    assert SSHServerParameters(command=command).command_line() == line


def test_the_passphrase_is_in_no_text_of_the_parameters() -> None:
    params = SSHServerParameters.model_validate({"passphrase": "open sesame"})
    assert params.passphrase is not None
    assert params.passphrase.get_secret_value() == "open sesame"
    for text in (repr(params), str(params), params.model_dump_json(), str(params.model_dump())):
        assert "sesame" not in text


def test_parameters_do_not_change() -> None:
    params = SSHServerParameters()
    with pytest.raises(ValidationError):
        setattr(params, "host", "other")  # noqa: B010 - type checkers refuse the plain form
