"""What was given wins over the configuration, which wins over the defaults."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from m2m_ssh_client.api import SSHServerParameters
from m2m_ssh_client.errors import ConfigError
from m2m_ssh_client.parameters import DEFAULT_CLIENT_KEY
from m2m_ssh_client.ssh.config.tokens import local_user
from m2m_ssh_client.ssh.destination import Destination, resolve
from m2m_ssh_client.ssh.settings import HostSettings, Request

CONFIG = """
Host lab
    HostName 10.1.2.3
    Port 2222
    User ada
    IdentityFile ~/.ssh/lab_key
    ConnectTimeout 7
    ServerAliveInterval 40
    ServerAliveCountMax 2
    RemoteCommand run-it --all
    SetEnv MODE=quiet
    SendEnv LC_* EDITOR
    LogLevel DEBUG2
Host inner
    ProxyJump carol@first:2201,second
Host second
    User dave
    Port 2202
    UserKnownHostsFile ~/second_known_hosts
    IdentityFile ~/second_key
Host via-command
    ProxyCommand connect %h %p
Host both-ways
    ProxyJump second
    ProxyCommand connect %h %p
Host aliased
    HostName 10.1.2.4
    HostKeyAlias known-as
    StrictHostKeyChecking ask
    UserKnownHostsFile ~/a ~/b
    GlobalKnownHostsFile none
    RevokedHostKeys ~/revoked
    HashKnownHosts yes
Host circle
    ProxyJump circle
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text(CONFIG)
    path.chmod(0o600)
    return path


def destination(config: Path | str, host: str, **options: Any) -> Destination:
    given = {"host": host, "ssh_config": str(config), **options}
    return resolve(SSHServerParameters(**given))


def settings(config: Path | str, host: str, **options: Any) -> HostSettings:
    return destination(config, host, **options).settings


def at(found: HostSettings) -> tuple[str, str, int]:
    return found.login.user, found.address.host, found.address.port


def home(*names: str) -> tuple[Path, ...]:
    return tuple(Path.home() / name for name in names)


def test_without_a_configuration_the_defaults_hold() -> None:
    found = destination("none", "lab")
    assert at(found.settings) == ("mcp", "lab", 8022)
    assert found.request == Request()
    assert found.request.may_be_shell
    assert (found.connect_timeout, found.keepalive, found.keepalive_count) == (25, 15, 3)
    assert found.settings.login.files == ()
    assert found.settings.login.default_files[0] == DEFAULT_CLIENT_KEY.expanduser()
    assert found.settings.trust.user_files == home(".ssh/known_hosts", ".ssh/known_hosts2")
    assert found.settings.trust.strict == "yes"
    assert found.settings.jump is None


@pytest.mark.parametrize(
    "options",
    [
        {"command": ["serve"]},
        {"subsystem": "mcp"},
        {"ssh_options": ["RemoteCommand=serve"]},
        {"ssh_options": ["RemoteCommand=mcp", "SessionType=subsystem"]},
    ],
    ids=str,
)
def test_for_an_ordinary_ssh_server_the_defaults_are_those_of_ssh(options: dict[str, Any]) -> None:
    found = settings("none", "lab", **options)
    assert at(found) == (local_user(), "lab", 22)
    assert found.address.other_port == 8022
    assert "--port 22" in found.trust.command


@pytest.mark.parametrize(
    "options",
    [
        {"command": ["serve"], "use_key_server": True},
        {"command": ["serve"], "key_server_url": "https://keys.example"},
        {"ssh_options": ["RemoteCommand=serve"], "use_key_server": True},
        {},
    ],
    ids=str,
)
def test_for_the_m2m_server_the_defaults_are_its_own(options: dict[str, Any]) -> None:
    found = settings("none", "lab", **options)
    assert at(found) == ("mcp", "lab", 8022)
    assert found.address.other_port == 22
    assert "--port 8022" in found.trust.command


@pytest.mark.parametrize(
    "options", [{"port": 22}, {"host": "lab:22"}, {"ssh_options": ["Port=22"]}], ids=str
)
def test_for_a_port_that_was_named_no_other_one_is_looked_at(options: dict[str, Any]) -> None:
    found = settings("none", **{"host": "lab", "command": ["serve"], **options})
    assert found.address.port == 22
    assert found.address.other_port is None


def test_conditions_and_tokens_see_the_defaults_of_ssh(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"Match user {local_user()}\n  UserKnownHostsFile /of-%r-%p\n")
    config.chmod(0o600)
    assert settings(config, "lab", command=["serve"]).trust.user_files == (
        Path(f"/of-{local_user()}-22"),
    )


@pytest.mark.parametrize(
    ("command", "may_be"),
    [
        (["bash"], True),
        (["/bin/sh", "-l"], True),
        (["exec zsh --login"], True),
        (["bash", "-c", "serve"], False),
        (["bash serve.sh"], False),
        (["bashful"], False),
        (["serve"], False),
    ],
)
def test_a_command_that_is_only_a_shell_may_read_what_is_sent(
    command: list[str], may_be: bool
) -> None:
    assert destination("none", "lab", command=command).request.may_be_shell == may_be


def test_an_alias_takes_what_its_block_says(config: Path) -> None:
    found = destination(config, "lab")
    assert at(found.settings) == ("ada", "10.1.2.3", 2222)
    assert found.settings.login.files == home(".ssh/lab_key")
    assert (found.connect_timeout, found.keepalive, found.keepalive_count) == (25, 40, 2)
    assert found.settings.address.timeout == 7
    assert found.request.command == "run-it --all"
    assert found.log_level == logging.DEBUG


def test_what_was_given_wins(config: Path) -> None:
    found = destination(
        config,
        "lab",
        port=22,
        username="eve",
        client_key="~/mine",
        connect_timeout=3,
        keepalive=1,
        keepalive_count=9,
        command=["serve", "a b"],
    )
    assert at(found.settings) == ("eve", "10.1.2.3", 22)
    assert found.settings.login.files == home("mine", ".ssh/lab_key")
    assert found.settings.login.required == Path.home() / "mine"
    assert (found.connect_timeout, found.keepalive, found.keepalive_count) == (3, 1, 9)
    assert found.settings.address.timeout == 7
    assert found.request.command == "serve 'a b'"


def test_a_default_that_was_given_is_given(config: Path) -> None:
    assert at(settings(config, "lab", port=8022, username="mcp")) == ("mcp", "10.1.2.3", 8022)


def test_options_win_over_the_file_and_give_way_to_what_was_given(config: Path) -> None:
    options = ["Port=7", "User=frank"]
    assert at(settings(config, "lab", ssh_options=options)) == ("frank", "10.1.2.3", 7)
    assert at(settings(config, "lab", ssh_options=options, port=8)) == ("frank", "10.1.2.3", 8)


def test_a_subsystem_may_come_from_the_configuration() -> None:
    options = ["SessionType=subsystem", "RemoteCommand=mcp"]
    assert destination("none", "lab", ssh_options=options).request == Request(subsystem="mcp")


def test_a_subsystem_that_was_given_replaces_the_configured_command(config: Path) -> None:
    request = destination(config, "lab", subsystem="mcp").request
    assert (request.command, request.subsystem) == (None, "mcp")


def test_the_environment_is_what_may_be_sent_and_what_is_set(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith("LC_") or name == "EDITOR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("SECRET", "no")
    monkeypatch.setenv("MODE", "loud")
    assert dict(destination(config, "lab").request.environment) == {"LC_ALL": "C", "MODE": "quiet"}


def test_a_jump_host_has_its_own_configuration_and_the_defaults_of_ssh(config: Path) -> None:
    found = settings(config, "inner")
    assert at(found) == ("mcp", "inner", 8022)
    assert found.jump is not None
    assert at(found.jump) == ("dave", "second", 2202)
    assert found.jump.trust.user_files == home("second_known_hosts")
    assert found.jump.login.files == home("second_key")
    assert found.jump.jump is not None
    assert at(found.jump.jump) == ("carol", "first", 2201)
    assert found.jump.jump.jump is None


def test_the_user_and_port_of_an_unknown_jump_host_are_those_of_ssh() -> None:
    found = settings("none", "lab", ssh_options=["ProxyJump=bastion"])
    assert found.jump is not None
    assert at(found.jump) == (local_user(), "bastion", 22)
    assert found.jump.trust.user_files == home(".ssh/known_hosts", ".ssh/known_hosts2")


def test_a_jump_host_gets_the_given_files_where_its_configuration_names_none() -> None:
    given = {"client_key": "/k", "known_hosts": "/h", "key_fingerprint": "SHA256:" + "A" * 43}
    found = settings("none", "lab", ssh_options=["ProxyJump=bastion"], **given)
    assert found.jump is not None
    assert found.jump.login.files == (Path("/k"),)
    assert found.jump.login.required is None
    assert found.jump.login.fingerprint is None
    assert found.jump.trust.user_files == (Path("/h"),)


def test_what_is_said_of_the_target_alone_does_not_count_for_its_jump_hosts() -> None:
    found = settings(
        "none", "lab", ssh_options=["ProxyJump=bastion"], disable_host_key_checking=True
    )
    assert found.trust.unchecked
    assert found.jump is not None
    assert not found.jump.trust.unchecked


def test_a_circle_of_jump_hosts_is_an_error(config: Path) -> None:
    with pytest.raises(ConfigError, match="circle"):
        destination(config, "circle")


def test_a_proxy_command_has_its_tokens_expanded(config: Path) -> None:
    found = settings(config, "via-command", port=77)
    assert found.proxy_command == "connect via-command 77"


def test_of_two_ways_the_first_counts(config: Path) -> None:
    found = settings(config, "both-ways")
    assert found.jump is not None
    assert found.proxy_command is None


def test_the_host_key_is_looked_up_by_the_configured_name_in_the_configured_files(
    config: Path,
) -> None:
    trust = settings(config, "aliased").trust
    assert (trust.name, trust.port) == ("known-as", None)
    assert trust.user_files == home("a", "b")
    assert trust.global_files == ()
    assert trust.revoked_files == (Path.home() / "revoked",)
    assert trust.strict == "yes"
    assert trust.hash_names


def test_the_machine_is_looked_up_as_host_name_and_port(config: Path) -> None:
    trust = settings(config, "lab").trust
    assert (trust.name, trust.port) == ("10.1.2.3", 2222)


def test_identities_only_and_no_identity_leave_the_defaults_out(config: Path) -> None:
    only = settings(config, "lab", ssh_options=["IdentitiesOnly=yes"]).login
    assert only.identities_only
    assert only.default_files == ()
    # ssh_config(5): without a configured key, IdentitiesOnly means the default ones.
    assert settings("none", "lab", ssh_options=["IdentitiesOnly=yes"]).login.default_files
    assert settings("none", "lab", ssh_options=["IdentityFile=none"]).login.default_files == ()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ("/run/agent", "SSH_AUTH_SOCK")),
        (["IdentityAgent=none"], (None, "IdentityAgent")),
        (["IdentityAgent=/other"], ("/other", "IdentityAgent")),
    ],
)
def test_the_agent_is_the_configured_one_or_that_of_the_environment(
    options: list[str], expected: tuple[str | None, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    login = settings("none", "lab", ssh_options=options).login
    assert (login.agent, login.agent_by) == expected


@pytest.mark.skipif("sys.platform == 'win32'", reason="Windows' agents have fixed places")
@pytest.mark.parametrize(
    ("variable", "options", "sought"),
    [
        (None, [], True),
        ("/run/agent", [], True),
        ("", [], False),
        (None, ["IdentityAgent=none"], False),
        (None, ["IdentityAgent=/other"], False),
    ],
)
def test_an_agent_is_sought_unless_one_or_none_is_wanted(
    variable: str | None, options: list[str], sought: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK")
    if variable is not None:
        monkeypatch.setenv("SSH_AUTH_SOCK", variable)
    assert settings("none", "lab", ssh_options=options).login.seek_agent is sought


def test_the_command_that_adds_an_unknown_machine_is_ready_to_paste(config: Path) -> None:
    found = settings(config, "ada@inner", port=99)
    start = "m2m-mcp-server-ssh-client trust --host"
    assert found.trust.command == f"{start} inner --port 99 --username ada -F {config}"
    assert found.jump is not None
    assert found.jump.trust.command == f"{start} second --port 2202 -F {config}"


def test_a_configuration_that_makes_no_sense_is_an_error_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("Host *\n  Prot 22\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"config(:| line )2"):
        destination(path, "lab")


@pytest.mark.parametrize("name", ["/dev/null", os.devnull, "none"])
def test_known_hosts_nowhere_are_neither_read_nor_written(name: str) -> None:
    options = [f"UserKnownHostsFile={name}", f"GlobalKnownHostsFile={name}"]
    trust = settings("none", "lab", ssh_options=options).trust
    assert (trust.user_files, trust.global_files) == ((), ())
