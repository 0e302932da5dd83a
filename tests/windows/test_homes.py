"""Home folders on other machines, with long names, and with programs that look into new files."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

if sys.platform != "win32":
    pytest.skip("shares and locks as Windows has them", allow_module_level=True)

from m2m_ssh_client import file_lock, user_only_files
from m2m_ssh_client.errors import AppConfigError, KeyFileError
from m2m_ssh_client.hosts.editing import planned
from m2m_ssh_client.log_file import RotatingFile, default_path
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh.destination import resolve
from m2m_ssh_client.ssh.login.key_files import ensure_client_key, load_client_key, read_key_file
from m2m_ssh_client.ssh.trust.known_hosts_writing import appending
from m2m_ssh_client.status import report_file
from m2m_ssh_client.text import shown
from m2m_ssh_client.windows import access

ENOUGH = 20.0  # seconds


def on_a_share(folder: Path) -> Path:
    """Under Wine the one that it was given, on Windows the folder by way of this machine's own."""
    if given := os.environ.get("M2M_TESTS_SHARE"):
        return Path(given, folder.name)
    return Path(rf"\\localhost\{folder.drive[0]}$", *folder.parts[1:])


@pytest.fixture(params=["share", "long"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    long = tmp_path.joinpath(*["ü" * 90] * 3)
    home = on_a_share(tmp_path) if request.param == "share" else long
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    for name in ("LOCALAPPDATA", "APPDATA"):
        monkeypatch.setenv(name, str(home / "AppData" / name))
    return home


def test_all_that_is_kept_at_home_is_kept_there(home: Path) -> None:
    key, known_hosts = home / ".ssh/key", home / ".ssh/known_hosts"
    assert ensure_client_key(key)
    load_client_key(key, None)
    assert shown(key) == r"~\.ssh\key"
    with appending(known_hosts) as append:
        append("lab ssh-ed25519 AAAA\n")
        descriptor = user_only_files.opened(known_hosts, os.O_RDWR)
        assert not file_lock.try_lock(descriptor)
        os.close(descriptor)
    assert known_hosts.read_bytes() == b"lab ssh-ed25519 AAAA\n"
    (home / ".ssh/config").write_text("Include more\n")
    (home / ".ssh/more").write_text("Host lab\n  Port 2200\n")
    assert resolve(Parameters("lab")).settings.address.port == 2200

    log = RotatingFile(default_path(), most=1)
    log.open()
    log.close()
    assert default_path().is_relative_to(home)
    report = report_file.ReportFile()
    report.write(b"{}\n")
    assert list(report_file.contents()) == [b"{}\n"]
    report.close()
    assert not list(report_file.contents())


@pytest.mark.parametrize("home", ["share"], indirect=True)
def test_an_entry_is_written_there(home: Path) -> None:
    """Not with a long name: Wine 8 does not resolve those."""
    file = home / "AppData/mcp.json"
    planned(file, lambda _: "one").write()
    assert planned(file, lambda _: "two").write()
    assert (file.read_text(), file.with_name("mcp.json.bak").read_text()) == ("two", "one")


def test_a_file_that_another_program_looks_into_is_replaced_once_it_is_closed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mcp.json"
    file.write_text("old")
    looking = file.open()
    timer = threading.Timer(0.3, looking.close)
    timer.start()
    planned(file, lambda _: "new").write()
    timer.join(ENOUGH)
    assert file.read_text() == "new"


def test_a_file_that_stays_open_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_only_files, "_PATIENCE", 0.1)
    file = tmp_path / "mcp.json"
    file.write_text("old")
    with file.open(), pytest.raises(AppConfigError, match="cannot be written"):
        planned(file, lambda _: "new").write()
    assert file.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mcp.json", "mcp.json.bak"]


def test_for_a_key_on_a_drive_without_lists_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, everybody is said to have access, and `icacls` would change nothing."""
    ensure_client_key(tmp_path / "key")
    monkeypatch.setattr(access, "others", lambda _: {"S-1-1-0": "Everyone"})
    with pytest.raises(KeyFileError) as caught:
        read_key_file(tmp_path / "key")
    assert str(caught.value.hint).startswith("Run: icacls")  # this drive keeps some
    monkeypatch.setattr(access, "_has_lists", lambda _: False)
    with pytest.raises(KeyFileError) as caught:
        read_key_file(tmp_path / "key")
    assert "keeps no access control lists" in str(caught.value.hint)
