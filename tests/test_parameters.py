from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from m2m_ssh_client import SSHServerParameters
from m2m_ssh_client.parameters import (
    DEFAULT_CLIENT_KEY,
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_PORT,
    DEFAULT_USERNAME,
    Parameters,
    ParametersError,
)

PIN = "SHA256:" + "A" * 42 + "E"


def test_the_defaults_are_those_of_the_peer() -> None:
    params = SSHServerParameters()
    assert params.host == "localhost"
    assert (DEFAULT_PORT, DEFAULT_USERNAME) == (8022, "mcp")
    assert Path("~/.ssh/m2m_mcp_server_ssh_client") == DEFAULT_CLIENT_KEY
    assert (params.use_key_server, params.key_server_port) == (False, 8000)
    assert params.passphrase is None
    assert not params.disable_host_key_checking


def test_what_the_configuration_may_say_is_not_given_by_default() -> None:
    params = SSHServerParameters()
    names = ["port", "username", "client_key", "known_hosts"]
    names += ["connect_timeout", "keepalive", "keepalive_count"]
    assert [getattr(params, name) for name in names] == [None] * len(names)


def test_the_defaults_ask_for_a_shell_and_a_message_of_at_most_256_mib() -> None:
    params = SSHServerParameters()
    assert (params.command, params.subsystem, params.command_line()) == ((), None, None)
    assert params.max_message_size == 256 * 1024 * 1024
    assert params.host_key is None
    assert 0 < DEFAULT_CONNECT_TIMEOUT <= 60


@pytest.mark.parametrize(
    "good",
    [
        {"host": "h"},
        {"host": "user@h"},
        {"host": "a@b@h"},
        {"host": "user@h", "username": "user"},
        {"host": "ssh://user@h:22"},
        {"host": "ssh://[2001:db8::1]:22"},
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
        {"host": "user@"},
        {"host": "@h"},
        {"host": "-oProxyCommand=x"},
        {"host": "h;id"},
        {"host": "$(id)"},
        {"host": "user@h", "username": "other"},
        {"host": "ssh://h:22", "port": 23},
        {"host": "ssh://h:ssh"},
        {"username": "-x"},
        {"username": "a;b"},
        {"key_fingerprint": "MD5:1"},
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
        (("run", "it's"), """run 'it'"'"'s'"""),
        (("run", ""), "run ''"),
        (("run", "--", "x"), "run -- x"),
        (("two words", "x"), "'two words' x"),
    ],
)
def test_one_argument_is_a_command_line_and_several_are_quoted(
    command: tuple[str, ...], line: str | None
) -> None:
    assert SSHServerParameters(command=command).command_line() == line


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("h", (None, "h", None)),
        ("user@h", ("user", "h", None)),
        ("a@b@h", ("a@b", "h", None)),
        ("ssh://h", (None, "h", None)),
        ("ssh://user@h:2222/", ("user", "h", 2222)),
        ("ssh://user@[2001:db8::1]:22", ("user", "2001:db8::1", 22)),
        ("2001:db8::1", (None, "2001:db8::1", None)),
    ],
)
def test_a_host_may_be_written_as_ssh_takes_it(host: str, expected: tuple[Any, ...]) -> None:
    params = SSHServerParameters(host=host)
    assert (params.username, params.host, params.port) == expected


def test_types_are_converted_for_python_programs() -> None:
    given: dict[str, Any] = {"client_key": "~/k", "command": ["a", "b"], "port": "22"}
    params = SSHServerParameters(**given)
    assert (params.client_key, params.command, params.port) == (Path("~/k"), ("a", "b"), 22)


def test_a_command_that_is_one_text_is_a_command_line() -> None:
    given: dict[str, Any] = {"command": "cd /srv && exec ./run 'a b'"}
    params = SSHServerParameters(**given)
    assert params.command == ("cd /srv && exec ./run 'a b'",)
    assert params.command_line() == "cd /srv && exec ./run 'a b'"


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": "ssh"},
        {"command": 5},
        {"command": " "},
        {"command": [1]},
        {"client_key": 1},
        {"reconnect": "x"},
    ],
)
def test_other_types_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SSHServerParameters(**wrong)


def test_every_problem_is_told_by_its_parameter() -> None:
    with pytest.raises(ParametersError) as caught:
        Parameters(port=0, host="", command=("a",), subsystem="b")
    assert set(caught.value.problems) == {"port", "host", ""}


def test_the_passphrase_is_in_no_text_of_the_parameters() -> None:
    params = SSHServerParameters(passphrase="open sesame")
    assert params.passphrase == "open sesame"
    assert "sesame" not in repr(params) + str(params)
    wrong: dict[str, Any] = {"passphrase": "open sesame", "port": 0, "nonsense": 1}
    with pytest.raises(ValidationError) as caught:
        SSHServerParameters(**wrong)
    assert "sesame" not in str(caught.value)


def test_parameters_do_not_change() -> None:
    params = SSHServerParameters()
    with pytest.raises(FrozenInstanceError):
        setattr(params, "host", "other")  # noqa: B010 - type checkers refuse the plain form


@pytest.mark.parametrize("variable", ["", "=x", "1A=x", "A B=x", "A-B", "A=x\0y"])
def test_what_is_no_variable_is_refused(variable: str) -> None:
    with pytest.raises(ParametersError, match="NAME=VALUE"):
        Parameters(env=("GOOD=1", variable))


def test_the_values_of_variables_are_nobodys_business() -> None:
    assert "s3cr3t" not in repr(Parameters(env=("TOKEN=s3cr3t",)))
    with pytest.raises(ParametersError) as caught:
        Parameters(env=("TO KEN=s3cr3t",))
    assert "s3cr3t" not in str(caught.value)
