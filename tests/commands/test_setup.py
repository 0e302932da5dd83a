"""What `setup` asks, and what it suggests; tests/interop has the whole."""

from __future__ import annotations

import pytest

from m2m_ssh_client.commands import setup
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.parameters import Parameters


@pytest.mark.parametrize(
    ("params", "name"),
    [
        (Parameters(host="lab", command=("uvx", "mcp-server-git", "--repo", "x")), "lab-git"),
        (Parameters(host="lab.example", command=("cd /srv && ./serve",)), "lab-cd"),
        (Parameters(host="10.0.0.7", command=("python3 weather.py",)), "10-0-0-7-weather"),
        (Parameters(host="::1", command=("/opt/bin/notes-mcp",)), "1-notes"),
        (Parameters(host="lab", subsystem="mcp"), "lab-mcp"),
        (Parameters(host="lab"), "lab-mcp"),
    ],
    ids=str,
)
def test_the_suggested_name_says_machine_and_server(params: Parameters, name: str) -> None:
    assert setup._name(params) == name


def test_without_a_machine_and_without_a_terminal_it_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="no machine"):
        setup.main("setup", [])
    with pytest.raises(UsageError, match="no terminal"):
        setup.main("setup", ["lab", "--", "serve"])


def test_the_options_of_setup_are_left_out_of_the_entry() -> None:
    given = ["--app", "cursor", "lab", "--name=x", "-p", "22", "--name", "y", "-o", "Port=1"]
    assert setup._without_own(given) == ["lab", "-p", "22", "-o", "Port=1"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("lab", "--host lab"),
        ("-p 22 lab --cwd /srv", "--host lab -p 22 --cwd /srv"),
        ("-l lab lab", "--host lab -l lab"),
        ("lab -l lab", "--host lab -l lab"),
        ("--host lab -l ada", "--host lab -l ada"),
    ],
)
def test_the_machine_is_told_as_one_and_not_as_an_entry(words: str, told: str) -> None:
    given = words.split()
    destination = None if "--host" in given else "lab"
    assert setup._with_host(setup.parser("setup"), given, destination) == told.split()


def test_ssh_gets_what_it_needs_to_reach_the_same_machine() -> None:
    params = Parameters(
        host="ada@lab:2222", ssh_config="none", ssh_options=("ProxyJump=hop",), known_hosts=None
    )
    assert setup.ssh_words(params) == ["-F", "none", "-o", "ProxyJump=hop", "-p", "2222", "ada@lab"]
