"""The remote command's environment, folder and login shell, through an ordinary sshd."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from support.received import read_all
from support.sshd import Sshd

from m2m_ssh_client.api import SSHServerParameters
from m2m_ssh_client.errors import ConfigError
from m2m_ssh_client.ssh.opener import Opener

if sys.platform == "win32":
    pytest.skip("sshd with POSIX shells behind it", allow_module_level=True)

pytestmark = pytest.mark.interop

StartSshd = Callable[..., Sshd]


def remote(sshd: Sshd, command: str | None, **options: Any) -> Opener:
    return Opener(
        SSHServerParameters(
            host="127.0.0.1",
            port=sshd.port,
            username=sshd.username,
            client_key=sshd.keys.client_key,
            known_hosts=sshd.known_hosts,
            ssh_config="none",
            command=(command,) if command else (),
            **options,
        )
    )


def output(sshd: Sshd, command: str | None, **options: Any) -> str:
    with closing(remote(sshd, command, **options)) as far:
        return read_all(far.open()).decode()


SHOW = 'printf "%s|%s" "$MODE" "$SECRET"'


def test_variables_arrive_where_sshd_accepts_them_and_a_refusal_is_told(
    start_sshd: StartSshd, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")
    sshd = start_sshd("AcceptEnv MODE")
    said = output(sshd, SHOW, env=("MODE=very quiet", "SECRET"))
    assert said == "very quiet|"
    (told,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "AcceptEnv SECRET" in told
    assert "--env-in-command" in told
    assert "s3cr3t" not in caplog.text


def test_nothing_is_told_where_all_is_accepted_or_only_the_configuration_asked(
    start_sshd: StartSshd, caplog: pytest.LogCaptureFixture
) -> None:
    sshd = start_sshd("AcceptEnv MODE SECRET")
    options = ("SetEnv MODE=configured OTHER=refused",)
    assert output(sshd, SHOW, env=("SECRET=x",), ssh_options=options) == "configured|x"
    assert output(sshd, SHOW, env=("MODE=given",), ssh_options=options) == "given|"
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_in_the_command_line_they_need_nobodys_leave(
    start_sshd: StartSshd, caplog: pytest.LogCaptureFixture
) -> None:
    sshd = start_sshd()
    env = ('MODE=it\'s "quoted" $HOME', "SECRET=")
    assert output(sshd, SHOW, env=env, env_in_command=True) == 'it\'s "quoted" $HOME|'
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_variable_with_a_subsystem_is_asked_for_too(start_sshd: StartSshd) -> None:
    sshd = start_sshd("AcceptEnv MODE", "Subsystem show printenv MODE")
    assert output(sshd, None, subsystem="show", env=("MODE=x",)) == "x\n"


def test_it_runs_in_the_folder_and_through_the_login_shell(
    start_sshd: StartSshd, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sshd = start_sshd()
    (sshd.home / "work").mkdir()
    (sshd.home / ".profile").write_text("echo Good morning\nPATH=/people/know:$PATH\n")
    said = output(sshd, "pwd; echo $PATH", cwd="~/work", login_shell=True)
    folder, path = said.splitlines()
    assert folder == str(sshd.home / "work")
    assert path.startswith("/people/know:")
    assert "before the remote command: Good morning" in caplog.text


def test_without_a_login_shell_the_path_is_the_short_one(start_sshd: StartSshd) -> None:
    sshd = start_sshd()
    (sshd.home / ".profile").write_text("echo Good morning\nPATH=/people/know:$PATH\n")
    assert "/people/know" not in output(sshd, "echo $PATH")


@pytest.mark.parametrize(
    "wish", [{"cwd": "/"}, {"login_shell": True}, {"env": ("A=1",), "env_in_command": True}]
)
def test_wishes_for_a_command_need_one(start_sshd: StartSshd, wish: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="for a remote command, and there is none"):
        output(start_sshd(), None, **wish)


def test_a_variable_that_we_do_not_have_is_an_error(
    start_sshd: StartSshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODE", raising=False)
    with pytest.raises(ConfigError, match="--env MODE: this program has no such"):
        output(start_sshd(), SHOW, env=("MODE",))
