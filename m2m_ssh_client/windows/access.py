"""Files and folders whose access control list is this user's alone, or that of another file.

This user's alone means as OpenSSH for Windows asks it of a private key: the system and
administrators have access, too. A list is there from the first moment: it goes into the call that
makes the file. Calls of Windows that fail raise OSError.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from subprocess import list2cmdline
from typing import Any

if sys.platform != "win32":
    raise ImportError("for Windows alone")

import ctypes
from ctypes import POINTER, Structure, byref, c_void_p, sizeof, wintypes

from m2m_ssh_client.windows import calls

_ADVAPI = ctypes.WinDLL("advapi32", use_last_error=True)
_KERNEL = ctypes.WinDLL("kernel32", use_last_error=True)

_TOKEN_QUERY, _TOKEN_USER = 8, 1
_FILE_OBJECT, _DACL = 1, 4
_INHERIT_REQUEST, _INHERITED, _PROTECTED = 0x0100, 0x0400, 0x1000  # SECURITY_DESCRIPTOR_CONTROL
_LISTS = 8  # FILE_PERSISTENT_ACLS
_REVISION = 1  # of the language of descriptors
_NAME_SIZE = 256  # characters, of an account or a domain

_ALLOWED, _ALLOWED_CALLBACK = 0, 9  # types of an entry
_FOR_WHAT_IS_INSIDE = 8  # its flag: it says nothing about the folder itself
# What others may do: read, or change the content, the list or the owner; the generic rights, too.
READ, CHANGE = 0x9000_0001, 0x500C_0006
_EVERYONE, _OWNER = "S-1-1-0", "S-1-3-4"
_SYSTEM, _ADMINISTRATORS = "S-1-5-18", "S-1-5-32-544"


class _Attributes(Structure):
    """SECURITY_ATTRIBUTES."""

    _fields_ = (
        ("nLength", wintypes.DWORD),
        ("lpSecurityDescriptor", c_void_p),
        ("bInheritHandle", wintypes.BOOL),
    )


class _List(Structure):
    """ACL, the head of a list."""

    _fields_ = (
        ("Revision", wintypes.BYTE),
        ("Sbz1", wintypes.BYTE),
        ("Size", wintypes.WORD),
        ("Count", wintypes.WORD),
        ("Sbz2", wintypes.WORD),
    )


class _Entry(Structure):
    """ACCESS_ALLOWED_ACE; an account's identifier begins at its last member."""

    _fields_ = (
        ("Type", wintypes.BYTE),
        ("Flags", wintypes.BYTE),
        ("Size", wintypes.WORD),
        ("Mask", wintypes.DWORD),
        ("SidStart", wintypes.DWORD),
    )


_KERNEL.GetCurrentProcess.restype = wintypes.HANDLE
_KERNEL.LocalFree.argtypes = (c_void_p,)


def make_folder(path: Path) -> None:
    """Make the folder, whose new files get the same list."""
    if not _KERNEL.CreateDirectoryW(wintypes.LPCWSTR(str(path)), byref(_attributes("OICI"))):
        raise _failure()


def opened(path: Path, flags: int) -> int:
    """Open the file, which gets the list if it is new, and return its descriptor."""
    return calls.opened(path, flags, byref(_attributes()))


def made_like(path: Path, model: Path) -> int:
    """Make a file with the list of another, and return its descriptor.

    Made with it, a file would also inherit from its folder, which may be more open than where the
    other file comes from. So it is made with all of it as its own, and is then told which part
    was inherited. File systems that keep no lists, and shares where nobody may change one, refuse
    the latter; who may read it stays the same.
    """
    found = _list(model)
    inherits = not _controls(found) & _PROTECTED
    _set_controls(found, _PROTECTED, _PROTECTED)
    attributes = _Attributes(sizeof(_Attributes), ctypes.addressof(found), False)
    descriptor = calls.opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, byref(attributes))
    if inherits:
        both = _INHERIT_REQUEST | _INHERITED
        _set_controls(found, _PROTECTED | both, both)
        _ADVAPI.SetFileSecurityW(wintypes.LPCWSTR(str(path)), _DACL, found)
    return descriptor


def others(path: Path, rights: int = READ | CHANGE) -> dict[str, str]:
    """Return the names of other accounts with any of these rights, by their identifiers."""
    found, descriptor = POINTER(_List)(), c_void_p()
    failed = _ADVAPI.GetNamedSecurityInfoW(
        *(wintypes.LPCWSTR(str(path)), _FILE_OBJECT, _DACL, None, None),
        *(byref(found), None, byref(descriptor)),
    )
    if failed:
        raise ctypes.WinError(failed)
    try:
        if not found:  # no list: everybody may do everything
            return {_EVERYONE: "Everyone"}
        ours = {user(), _SYSTEM, _ADMINISTRATORS, _OWNER}
        allowed = dict(_allowed(found, rights))
        return {sid: _name(address) for sid, address in allowed.items() if sid not in ours}
    finally:
        _KERNEL.LocalFree(descriptor)


def mending(path: Path) -> str:
    """Return what leaves the file to this user; administrators need no entry."""
    if not _has_lists(path):
        return "This drive keeps no access control lists. Move the file to one that does (NTFS)."
    removed = [word for sid in others(path) for word in ("/remove:g", f"*{sid}")]
    argv = ["icacls", str(path), "/inheritance:r", *removed, "/grant:r", f"*{user()}:F"]
    return f"Run: {list2cmdline(argv)}"


def _has_lists(path: Path) -> bool:
    """Return False if the drive or share says that it keeps none, as FAT does."""
    root, flags = ctypes.create_unicode_buffer(calls.LONGEST_PATH), wintypes.DWORD(_LISTS)
    name, size = wintypes.LPCWSTR(str(path)), wintypes.DWORD(calls.LONGEST_PATH)
    if _KERNEL.GetVolumePathNameW(name, root, size):
        _KERNEL.GetVolumeInformationW(root, None, 0, None, None, byref(flags), None, 0)
    return bool(flags.value & _LISTS)


@cache
def user() -> str:
    """Return the identifier (SID) of the account that this process runs as."""
    token, size = wintypes.HANDLE(), wintypes.DWORD()
    process = wintypes.HANDLE(_KERNEL.GetCurrentProcess())
    if not _ADVAPI.OpenProcessToken(process, _TOKEN_QUERY, byref(token)):
        raise _failure()
    try:
        _ADVAPI.GetTokenInformation(token, _TOKEN_USER, None, 0, byref(size))
        found = ctypes.create_string_buffer(size.value)  # TOKEN_USER: begins with a pointer
        if not _ADVAPI.GetTokenInformation(token, _TOKEN_USER, found, size, byref(size)):
            raise _failure()
        return _text(c_void_p.from_buffer(found))
    finally:
        _KERNEL.CloseHandle(token)


def _attributes(inheritance: str = "") -> _Attributes:
    """Return what makes a new file this user's alone; its descriptor is kept for ever."""
    return _Attributes(sizeof(_Attributes), _descriptor(inheritance), False)


@cache
def _descriptor(inheritance: str) -> int | None:
    """Protected (P) from what it would inherit; full access (FA) for three accounts."""
    accounts = (user(), _SYSTEM, _ADMINISTRATORS)
    text = "D:P" + "".join(f"(A;{inheritance};FA;;;{account})" for account in accounts)
    found = c_void_p()
    if not _ADVAPI.ConvertStringSecurityDescriptorToSecurityDescriptorW(
        wintypes.LPCWSTR(text), _REVISION, byref(found), None
    ):
        raise _failure()
    return found.value


def _list(path: Path) -> ctypes.Array[ctypes.c_char]:
    """Return a descriptor with nothing but the file's list."""
    name, size = wintypes.LPCWSTR(str(path)), wintypes.DWORD()
    _ADVAPI.GetFileSecurityW(name, _DACL, None, 0, byref(size))
    found = ctypes.create_string_buffer(size.value)
    if not _ADVAPI.GetFileSecurityW(name, _DACL, found, size, byref(size)):
        raise _failure()
    return found


def _controls(descriptor: ctypes.Array[ctypes.c_char]) -> int:
    found, revision = wintypes.WORD(), wintypes.DWORD()
    if not _ADVAPI.GetSecurityDescriptorControl(descriptor, byref(found), byref(revision)):
        raise _failure()
    return found.value


def _set_controls(descriptor: ctypes.Array[ctypes.c_char], which: int, bits: int) -> None:
    if not _ADVAPI.SetSecurityDescriptorControl(
        descriptor, wintypes.WORD(which), wintypes.WORD(bits)
    ):
        raise _failure()


def _allowed(entries: Any, rights: int) -> Iterator[tuple[str, c_void_p]]:
    """Yield the identifier of each account with any of these rights, and its address."""
    entry = POINTER(_Entry)()
    for number in range(entries.contents.Count):
        if not _ADVAPI.GetAce(entries, number, byref(entry)):
            raise _failure()
        about = entry.contents
        if about.Type not in (_ALLOWED, _ALLOWED_CALLBACK) or about.Flags & _FOR_WHAT_IS_INSIDE:
            continue
        if about.Mask & rights:
            address = c_void_p(ctypes.addressof(about) + _Entry.SidStart.offset)
            yield _text(address), address


def _text(sid: c_void_p) -> str:
    found = wintypes.LPWSTR()
    if not _ADVAPI.ConvertSidToStringSidW(sid, byref(found)):
        raise _failure()
    try:
        return found.value or ""
    finally:
        _KERNEL.LocalFree(found)


def _name(sid: c_void_p) -> str:
    """Return the account's name, or its identifier if nobody knows it here."""
    name, domain = (ctypes.create_unicode_buffer(_NAME_SIZE) for _ in range(2))
    sizes, kind = (wintypes.DWORD(_NAME_SIZE), wintypes.DWORD(_NAME_SIZE)), wintypes.DWORD()
    found = _ADVAPI.LookupAccountSidW(
        *(None, sid, name, byref(sizes[0])), *(domain, byref(sizes[1]), byref(kind))
    )
    return name.value if found else _text(sid)


def _failure() -> OSError:
    return ctypes.WinError(ctypes.get_last_error())
