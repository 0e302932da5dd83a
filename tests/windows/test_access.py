"""Access control lists: what we make is the user's alone, and a key that is not is refused."""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import wintypes
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "win32":
    pytest.skip("access control lists", allow_module_level=True)

from m2m_ssh_client import user_only_files
from m2m_ssh_client.errors import ConfigError, KeyFileError
from m2m_ssh_client.hosts.editing import planned
from m2m_ssh_client.ssh.config.files import File, lines
from m2m_ssh_client.ssh.login.key_files import ensure_client_key, load_client_key, read_key_file
from m2m_ssh_client.ssh.login.passphrases import _from_file
from m2m_ssh_client.windows import access, calls

ADVAPI = ctypes.WinDLL("advapi32")
EVERYONE = "S-1-1-0"
FILE_OBJECT, LIST, PROTECTED_DACL = 1, 4, wintypes.DWORD(0x8000_0004)


def in_words(descriptor: ctypes.c_void_p) -> str:
    text = wintypes.LPWSTR()
    assert ADVAPI.ConvertSecurityDescriptorToStringSecurityDescriptorW(
        *(descriptor, 1, LIST, ctypes.byref(text), None)
    )
    return text.value or ""


def list_of(path: Path) -> str:
    descriptor = ctypes.c_void_p()
    assert not ADVAPI.GetNamedSecurityInfoW(
        *(wintypes.LPCWSTR(str(path)), FILE_OBJECT, LIST, None, None, None, None),
        ctypes.byref(descriptor),
    )
    return in_words(descriptor)


def made(path: Path, *accounts: str, rights: str = "FA") -> Path:
    """A file whose list has these accounts, with these rights, and us."""
    path.touch()
    text = "D:P" + "".join(f"(A;;{rights};;;{account})" for account in accounts)
    descriptor, entries = ctypes.c_void_p(), ctypes.c_void_p()
    ignored = wintypes.BOOL()
    assert ADVAPI.ConvertStringSecurityDescriptorToSecurityDescriptorW(
        *(wintypes.LPCWSTR(f"{text}(A;;FA;;;{access.user()})"), 1),
        *(ctypes.byref(descriptor), None),
    )
    assert ADVAPI.GetSecurityDescriptorDacl(
        *(descriptor, ctypes.byref(ignored), ctypes.byref(entries), ctypes.byref(ignored))
    )
    assert not ADVAPI.SetNamedSecurityInfoW(
        *(wintypes.LPWSTR(str(path)), FILE_OBJECT, PROTECTED_DACL, None, None, entries, None)
    )
    return path


def test_a_file_that_everyone_may_read_is_told_from_one_that_nobody_else_may(
    tmp_path: Path,
) -> None:
    open_to_all = made(tmp_path / "all", EVERYONE, rights="FR")
    assert list(access.others(open_to_all)) == [EVERYONE]
    assert access.others(open_to_all)[EVERYONE]  # its name, in the language of the system
    assert access.others(made(tmp_path / "ours")) == {}


@pytest.mark.parametrize("account", ["SY", "BA"])
def test_the_system_and_administrators_are_no_others(tmp_path: Path, account: str) -> None:
    assert access.others(made(tmp_path / "file", account)) == {}


def test_a_private_key_that_others_may_read_is_refused_with_what_mends_it(tmp_path: Path) -> None:
    ensure_client_key(tmp_path / "good")
    path = made(tmp_path / "a key", EVERYONE, rights="FR")
    path.write_bytes((tmp_path / "good").read_bytes())
    with pytest.raises(KeyFileError, match="can be read by others") as caught:
        read_key_file(path)
    mending = f'icacls "{path}" /inheritance:r /remove:g *{EVERYONE} /grant:r *{access.user()}:F'
    assert caught.value.hint == f"Run: {mending}"


def test_a_passphrase_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "file", EVERYONE, rights="FR")
    path.write_bytes(b"secret")
    with pytest.raises(KeyFileError, match="open to others"):
        _from_file(path)


@pytest.mark.parametrize(("rights", "refused"), [("FR", False), ("FRFW", True)])
def test_a_configuration_that_others_may_change_is_not_read(
    rights: str, refused: bool, tmp_path: Path
) -> None:
    """What others may read is in order, as for `ssh`."""
    path = made(tmp_path / "config", EVERYONE, rights=rights)
    path.write_bytes(b"User ada\n")
    file = File(path, private=True)
    if not refused:
        assert lines(file)[0] == "User ada"
        return
    with pytest.raises(ConfigError, match="can be changed by others"):
        lines(file)


def test_a_key_that_is_made_is_the_users_alone_and_so_is_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "key"
    assert ensure_client_key(path)
    load_client_key(path, None)
    for each in (path, path.parent, path.parent.parent):
        assert access.others(each) == {}


def test_the_list_has_the_user_the_system_and_administrators_and_inherits_nothing() -> None:
    for inheritance in ("", "OICI"):
        descriptor = ctypes.c_void_p(access._descriptor(inheritance))
        accounts = (access.user(), "SY", "BA")
        rows = "".join(f"(A;{inheritance};FA;;;{account})" for account in accounts)
        assert in_words(descriptor) == f"D:P{rows}"


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_made_has_the_list_from_the_call_that_makes_it(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown by a list that nothing would hand on: we may read, and not write."""
    descriptor = ctypes.c_void_p()
    assert ADVAPI.ConvertStringSecurityDescriptorToSecurityDescriptorW(
        *(wintypes.LPCWSTR(f"D:P(A;;FR;;;{access.user()})"), 1, ctypes.byref(descriptor), None)
    )
    monkeypatch.setattr(access, "_descriptor", lambda _: descriptor.value)
    if what == "file":
        os.close(user_only_files.opened(tmp_path / what, os.O_WRONLY))
    else:
        user_only_files.make_folder(tmp_path / what)
    ours = [row for row in list_of(tmp_path / what).split("(") if access.user() in row]
    assert ours
    assert not any("FA" in row for row in ours)


@pytest.mark.parametrize("accounts", [(), (EVERYONE,)])
def test_an_edited_file_and_its_backup_have_the_list_that_the_file_had(
    accounts: tuple[str, ...], tmp_path: Path
) -> None:
    """Whatever the folder hands on, and whatever a new file of ours would get."""
    path = made(tmp_path / "mcp.json", *accounts, rights="FR")
    before = list_of(path)
    assert (EVERYONE in access.others(path)) == bool(accounts)
    backup = planned(path, lambda _: "new").write()
    assert backup
    assert [list_of(each) for each in (path, backup)] == [before, before]


def test_a_file_that_is_made_for_an_application_is_the_users_alone(tmp_path: Path) -> None:
    planned(tmp_path / "mcp.json", lambda _: "new").write()
    assert access.others(tmp_path / "mcp.json") == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("D:P(A;;FA;;;SY)", ["D:P(A;;FA;;;SY)"]),
        ("D:AI(A;ID;FA;;;SY)", ["D:PAI(A;ID;FA;;;SY)", "D:ARAI(A;ID;FA;;;SY)"]),
    ],
)
def test_a_list_is_a_files_own_until_it_is_told_what_was_inherited(
    text: str, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown by what the calls get, as Wine keeps neither flag."""
    descriptor, size = ctypes.c_void_p(), wintypes.DWORD()
    assert ADVAPI.ConvertStringSecurityDescriptorToSecurityDescriptorW(
        *(wintypes.LPCWSTR(text), 1, ctypes.byref(descriptor), ctypes.byref(size))
    )
    found = ctypes.create_string_buffer(ctypes.string_at(descriptor, size.value), size.value)
    seen = []

    def opened(path: Path, flags: int, attributes: Any) -> int:
        seen.append(in_words(ctypes.c_void_p(attributes._obj.lpSecurityDescriptor)))
        return os.open(path, flags)

    def set_list(_path: object, _what: int, descriptor: Any) -> int:
        seen.append(in_words(descriptor))
        return 1

    monkeypatch.setattr(access, "_list", lambda _: found)
    monkeypatch.setattr(calls, "opened", opened)
    monkeypatch.setattr(access._ADVAPI, "SetFileSecurityW", set_list)
    os.close(access.made_like(tmp_path / "new", tmp_path / "old"))
    assert seen == told
