"""The name of an entry stands for its options, in every command that connects."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from m2m_ssh_client import cli, options
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.hosts.apps import APPS, Machine
from m2m_ssh_client.hosts.formats import JSONC
from m2m_ssh_client.hosts.installed import servers
from m2m_ssh_client.hosts.named import understood
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.terminal import command as using

OURS = "/opt/bin/m2m-mcp-server-ssh-client"
STORED = ["--host", "ada@lab:2222", "-o", "Compression=yes", "--env", "A=1", "-i", "/k"]
RUN = ["--", "uvx", "serve"]


@pytest.fixture(autouse=True)
def _files_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APPDATA", "LOCALAPPDATA", "CLAUDE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)


def put(app: str, **entries: Any) -> Path:
    (file,) = APPS[app].files(Machine.this())
    file.parent.mkdir(parents=True, exist_ok=True)
    text = ""
    for name, each in entries.items():
        text = APPS[app].format.with_member(text, (APPS[app].key, name), each)
    file.write_text(text)
    return file


def entry(*args: str, **more: Any) -> dict[str, Any]:
    return {"command": OURS, "args": list(args), **more}


def read(*words: str) -> Parameters:
    """Return what `doctor` would connect with."""
    args, command = understood(cli.command("doctor").parser("doctor"), list(words))
    return options.parameters(args, command)


@pytest.mark.parametrize("app", APPS)
def test_the_name_stands_for_the_options_in_each_application(app: str) -> None:
    put(app, other={"command": "npx"}, lab=entry(*STORED, *RUN))
    found = read("lab")
    assert (found.host, found.username, found.port) == ("lab", "ada", 2222)
    assert found.command == ("uvx", "serve")
    assert found.ssh_options == ("Compression=yes",)
    assert found.client_key == Path("/k")


def test_what_is_typed_comes_before_what_is_stored() -> None:
    put("cursor", lab=entry(*STORED, *RUN))
    words = ["-p", "22", "-l", "bob", "lab", "-oCompression=no", "--env", "A=2", "-i", "/other"]
    found = read(*words, "--", "run")
    assert (found.host, found.username, found.port) == ("lab", "bob", 22)
    assert found.ssh_options == ("Compression=no", "Compression=yes")  # the first counts
    assert found.env == ("A=1", "A=2")  # the last counts
    assert (found.client_key, found.command) == (Path("/other"), ("run",))


def test_a_typed_command_or_subsystem_takes_the_place_of_the_stored_one() -> None:
    put("cursor", sub=entry("lab", "--subsystem", "mcp"), run=entry("lab", *RUN))
    found = read("sub", "--", "other")
    assert (found.subsystem, found.command) == (None, ("other",))
    found = read("run", "--subsystem", "other")
    assert (found.subsystem, found.command) == ("other", ())


def test_a_typed_way_to_trust_takes_the_place_of_the_stored_one() -> None:
    put("cursor", lab=entry("lab", "--known-hosts", "/known", *RUN))
    found = read("lab", "--key-server-url", "https://keys.example")
    assert (found.known_hosts, found.key_server_url) == (None, "https://keys.example")


def test_the_option_host_always_means_a_machine() -> None:
    put("cursor", lab=entry(*STORED, *RUN))
    assert read("--host", "lab").username is None
    args, _ = options.understood(cli.parser(), ["lab"])
    assert args.host == "lab"  # the relay reads no files of hosts


def test_a_word_that_is_no_entry_of_this_program_is_a_machine() -> None:
    put("cursor", db={"command": "npx", "args": ["db"]})
    put("zed", lab=entry(*STORED)).write_text('{"lab"')  # broken: `list` reports it
    assert [read(word).host for word in ("db", "lab")] == ["db", "lab"]


def test_a_user_without_a_home_folder_names_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    assert read("lab").host == "lab"


def test_other_commands_take_the_name_too() -> None:
    put("cursor", lab=entry(*STORED, "--keepalive", "5", *RUN))
    for words in (["tools", "lab"], ["call", "lab", "add", "a=1"], ["read", "lab", "demo://x"]):
        command = using.understood(cli.command(words[0]).parser(words[0]), words[1:])
        assert (command.args.host, command.args.port) == ("lab", 2222)
        assert command.remote_command == ("uvx", "serve")
    args, stored = understood(cli.command("trust").parser("trust"), ["lab"])
    assert (args.host, args.username, stored) == ("lab", "ada", ("uvx", "serve"))
    assert not hasattr(args, "keepalive")


def test_an_equal_entry_of_two_applications_counts_once_and_a_different_one_is_refused() -> None:
    put("cursor", lab=entry(*STORED, *RUN))
    same = {**entry(*STORED, *RUN), "command": "/usr/bin/m2m-ssh-client"}
    put("vscode", lab=same)
    assert read("lab").port == 2222
    put("zed", lab=entry(*STORED, env={"M2M_SSH_PASSPHRASE": "do-not-show"}))
    with pytest.raises(UsageError, match="not the same in Cursor and VS Code and Zed") as caught:
        read("lab")
    assert "do-not-show" not in str(caught.value)


def test_the_variables_of_an_entry_are_set_unless_they_are_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("M2M_A", "here")
    env = {"M2M_A": "stored", "M2M_B": "stored", "M2M_C": "${input:c}", "M2M_D": 5, "=\0": "x"}
    put("cursor", lab=entry(*STORED, env=env))
    for name in ("M2M_B", "M2M_C", "M2M_D"):
        monkeypatch.setenv(name, "")  # so that the test's end removes it
        monkeypatch.delenv(name)
    read("lab")
    assert (os.environ["M2M_A"], os.environ["M2M_B"]) == ("here", "stored")
    assert {"M2M_C", "M2M_D"}.isdisjoint(os.environ)


def test_an_invalid_entry_is_named_in_the_error() -> None:
    put("cursor", lab=entry("--prot", "22"), far=entry("--port", "0"))
    with pytest.raises(UsageError, match="The entry 'lab': Unknown option --prot"):
        read("lab")
    with pytest.raises(UsageError, match="The entry 'far': --port must be"):
        read("far")


def test_a_file_without_the_name_is_not_parsed() -> None:
    file = put("cursor", **{"grüß-lab": entry("lab")})
    app = APPS["cursor"]
    assert [each.name for each in servers(app, file, "grüß-lab")] == ["grüß-lab"]
    app = app._replace(format=JSONC._replace(parse=pytest.fail))
    assert list(servers(app, file, "far")) == []


def test_a_name_beside_the_option_host_is_a_word_too_many() -> None:
    put("cursor", lab=entry(*STORED, *RUN))
    with pytest.raises(UsageError, match="Unexpected: lab"):
        read("--host", "other", "lab")


def test_the_entry_that_install_writes_can_be_named() -> None:
    words = ["cursor", "lab", "--yes", "-l", "ada", "lab.example", *RUN]
    assert cli.main(["install", *words]) == 0
    found = read("lab")
    assert (found.host, found.username, found.command) == ("lab.example", "ada", ("uvx", "serve"))
