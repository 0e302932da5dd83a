"""The table of what the newest OpenSSH says, against this client, and against the ssh that is installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ssh.config.newest import CASES, REFUSED, Case
from support import programs

from m2m_ssh_client.errors import ConfigError
from m2m_ssh_client.ssh.config import resolve

NAMES = {"connecttimeout": "connect_timeout"}
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.text or case.option)


@pytest.fixture
def config(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOOD", "ada")
    monkeypatch.setenv("BAD", "a;b")
    path = tmp_path / "config"
    path.write_text(case.text)
    return path


@every_case
def test_we_say_what_the_newest_openssh_says(case: Case, config: Path) -> None:
    try:
        found = resolve("alias", files=[config], options=[case.option] if case.option else [])
    except ConfigError:
        assert case.newest == REFUSED
    else:
        assert str(getattr(found, NAMES.get(case.keyword, case.keyword))) == case.newest


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Match host = alias", "write `host=VALUE`: OpenSSH 10 refuses blanks around the `=`"),
        ("Match sessiontype=exec", "write `sessiontype NAME`: OpenSSH 10 takes no `=` there"),
        (
            "PubkeyAcceptedKeyTypes +ssh-rsa,ssh-dss",
            "pubkeyacceptedkeytypes: take out ssh-dss: OpenSSH 10 refuses DSA",
        ),
    ],
)
def test_the_error_says_what_to_change(line: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(f"Port 1\n{line}\n")
    with pytest.raises(ConfigError) as failure:
        resolve("alias", files=[path])
    assert failure.value.message == f"{path}:2: {reason}"


@pytest.mark.interop
@pytest.mark.skipif(sys.platform == "win32", reason="9.2 of Debian is in the table")
@every_case
def test_the_installed_ssh_says_what_the_table_has(case: Case, config: Path) -> None:
    version = installed_version()
    if version != (9, 2) and version < (10, 5):
        pytest.skip("the table has nothing of a version between")
    option = ["-o", case.option] if case.option else []
    argv = [str(programs.require("ssh")), "-G", "-F", str(config), *option, "--", "alias"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    said = REFUSED
    if done.returncode == 0:
        (said,) = re.findall(f"^{case.keyword} (.*)$", done.stdout, re.MULTILINE)
    assert said == (case.before if version == (9, 2) else case.newest)


def installed_version() -> tuple[int, int]:
    said = subprocess.run(
        [programs.require("ssh"), "-V"], capture_output=True, text=True, timeout=20
    ).stderr
    found = re.search(r"OpenSSH\w*_(\d+)\.(\d+)", said)
    assert found, said
    return int(found[1]), int(found[2])
