from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

import m2m_ssh_client
from m2m_ssh_client import options
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.hosts.entries import (
    arguments_of,
    argv_of,
    client,
    is_in_cache,
    is_ours,
    written,
)

OURS = "/opt/bin/m2m-mcp-server-ssh-client"
SCRIPT = "m2m-mcp-server-ssh-client" + (".exe" if sys.platform == "win32" else "")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path.cwd()


# Starting the program


def test_the_script_that_was_started_is_the_command(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "bin").mkdir()
    (here / "bin" / SCRIPT).touch()
    monkeypatch.setattr(sys, "argv", ["bin/m2m-ssh-client"])
    assert client() == [str(here / "bin" / SCRIPT)]


def test_the_script_of_this_interpreter_comes_next_and_then_the_module(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/nowhere/__main__.py"])
    monkeypatch.setattr(sys, "executable", str(here / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(here / "scripts"))
    main = Path(m2m_ssh_client.__file__).with_name("__main__.py")
    assert client() == [str(here / "python"), str(main)]
    assert is_ours(client())
    (here / "scripts").mkdir()
    (here / "scripts" / SCRIPT).touch()
    assert client() == [str(here / "scripts" / SCRIPT)]
    (here / SCRIPT).touch()
    assert client() == [str(here / SCRIPT)]


@pytest.mark.parametrize(
    ("tagged", "found"), [("cache", True), ("cache/env/x", False), (None, False)]
)
def test_an_installation_in_a_cache_is_noticed(
    tmp_path: Path, tagged: str | None, found: bool
) -> None:
    prefix = tmp_path / "cache" / "env" / "x"
    prefix.mkdir(parents=True)
    if tagged:
        (tmp_path / tagged / "CACHEDIR.TAG").touch()
    assert is_in_cache(prefix) == found


# Writing options


def test_options_are_written_as_typed_but_for_paths(here: Path) -> None:
    log = f"{here}//log"  # as typed, too
    typed = ["--host=h", "--port", "22", "--client-key", "k", "--known-hosts=d/f", "-F", "c"]
    typed += ["-o", "User=x", "-oPort=3", "--log-file", log, "--use-key-server"]
    assert written(typed, ["User=x", "Port=3"]) == [
        *("--host=h", "--port", "22", "--client-key", str(here / "k")),
        *(f"--known-hosts={here / 'd/f'}", "-F", str(here / "c")),
        *("-o", "User=x", "-oPort=3", "--log-file", log, "--use-key-server"),
    ]


@pytest.mark.parametrize("value", ["none", "None"])
def test_the_configuration_called_none_is_no_file(value: str) -> None:
    assert written(["-F", value], []) == ["-F", value]
    assert written([f"-F{value}"], []) == [f"-F{value}"]
    assert written([f"--ssh-config={value}"], []) == [f"--ssh-config={value}"]
    assert written(["--log-file", value], []) == ["--log-file", value]


def test_a_path_at_home_is_written_out() -> None:
    assert written(["-F~/c", "--client-key", "~/k"], []) == [
        f"-F{Path.home() / 'c'}",
        *("--client-key", str(Path.home() / "k")),
    ]


def test_every_option_that_takes_a_file_is_known() -> None:
    parser = argparse.ArgumentParser()
    options.add_all(parser)
    takes = [action for action in parser._actions if action.metavar == "FILE"]
    assert {name for action in takes for name in action.option_strings} == {
        *options.FILES,
        *options.OPTIONAL_FILES,
    }


@pytest.mark.parametrize("typed", [["--passphrase", "x"], ["--passphrase=x"]])
def test_a_passphrase_is_not_written(typed: list[str]) -> None:
    with pytest.raises(UsageError, match=r"--passphrase-file, or M2M_SSH_PASSPHRASE") as caught:
        written(["--host", "h", *typed], [])
    assert "x\n" not in str(caught.value)


@pytest.mark.parametrize(
    "option",
    [
        "IdentityFile=keys/id",
        "identityfile keys/id",
        'UserKnownHostsFile = "~/a" b',
        "RevokedHostKeys=r",
        "IdentityFile=\x1b[2J",
    ],
)
def test_a_relative_file_in_a_line_of_configuration_is_refused(option: str) -> None:
    with pytest.raises(UsageError, match="another folder") as caught:
        written(["-o", option], [option])
    assert str(caught.value).isprintable()


@pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")
@pytest.mark.parametrize(
    "option",
    ["IdentityFile=/k", "IdentityFile ~/k", "IdentityAgent=SSH_AUTH_SOCK", "IdentityAgent none", "User=x", "X"],
)  # fmt: skip
def test_other_lines_of_configuration_are_written(option: str) -> None:
    assert written(["-o", option], [option]) == ["-o", option]


# Recognising entries


@pytest.mark.parametrize(
    "argv",
    [
        [OURS, "--host", "h"],
        ["m2m-ssh-client"],
        ["C:\\Python\\Scripts\\m2m-mcp-server-ssh-client.exe", "--host", "h"],
        ["/usr/bin/python3", "-m", "m2m_ssh_client", "--host", "h"],
        ["/usr/bin/python3", "/opt/lib/m2m_ssh_client/__main__.py", "--host", "h"],
        ["C:\\Python\\python.exe", "C:\\lib\\m2m_ssh_client\\__main__.py"],
        ["/usr/bin/uvx", "m2m-mcp-server-ssh-client==0.2.0", "--host", "h"],
        ["uvx", "--from", "m2m-mcp-server-ssh-client@latest", "m2m-ssh-client"],
    ],
)
def test_an_entry_of_this_program_is_known(argv: list[str]) -> None:
    assert is_ours(argv)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["npx", "-y", "server"],
        ["ssh", "h", "--", "m2m-ssh-client"],
        ["m2m-mcp-server-ssh-server"],
        ["python", "-m", "m2m_ssh_clients"],
        ["python", "/opt/lib/other/__main__.py"],
        ["http://h/m2m-ssh-client/mcp"],
    ],
)
def test_an_entry_of_another_program_is_not(argv: list[str]) -> None:
    assert not is_ours(argv)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([OURS, "--host", "h"], ["--host", "h"]),
        (["/usr/bin/python3", "-m", "m2m_ssh_client", "h"], ["h"]),
        (["/usr/bin/python3", "/opt/lib/m2m_ssh_client/__main__.py", "h"], ["h"]),
        (["uvx", "m2m-mcp-server-ssh-client==0.2.0", "h", "--", "m2m-ssh-client"], ["h", "--", "m2m-ssh-client"]),
        (["uvx", "--from", "m2m-mcp-server-ssh-client@latest", "m2m-ssh-client", "h"], ["h"]),
        (["pipx", "run", "--spec", "m2m-mcp-server-ssh-client", "m2m-ssh-client", "h"], ["h"]),
    ],
)  # fmt: skip
def test_the_words_for_this_program_are_those_behind_it(argv: list[str], words: list[str]) -> None:
    assert arguments_of(argv) == words


@pytest.mark.parametrize(
    ("entry", "argv"),
    [
        ({"command": "a", "args": ["b", 3]}, ["a", "b", "3"]),
        ({"command": "a"}, ["a"]),
        ({"command": {"path": "a", "args": ["b"]}}, ["a", "b"]),
        ({"url": "http://h", "headers": {"Authorization": "x"}}, ["http://h"]),
        ({"command": 1}, []),
        ({"command": "a", "args": "b"}, ["a"]),
        ({}, []),
        (None, []),
        ("text", []),
    ],
)
def test_the_command_line_of_an_entry_is_found(entry: object, argv: list[str]) -> None:
    assert argv_of(entry) == argv


def test_an_entry_of_another_program_has_no_arguments_for_this_one() -> None:
    assert arguments_of(["uvx", "other", "--", "m2m-ssh-client"]) is None
