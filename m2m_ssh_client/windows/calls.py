"""Calls of Windows that Python has no function for; the names are those of its documentation.

Each raises OSError, with the number and the words of Windows, unless it says something else.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    raise ImportError("for Windows alone")

import ctypes
import msvcrt
from ctypes import POINTER, byref, c_ulong, c_void_p, sizeof, wintypes

_ACCESS_DENIED = 5
_INVALID_PARAMETER = 87  # OpenProcess: there is no such process
_LOCK_VIOLATION = 33
_SEM_TIMEOUT = 121

_SYNCHRONIZE, _QUERY_LIMITED_INFORMATION = 0x0010_0000, 0x1000
_READ, _WRITE = 0x8000_0000, 0x4000_0000  # GENERIC_READ, GENERIC_WRITE
_ACCESS = {os.O_RDONLY: _READ, os.O_WRONLY: _WRITE, os.O_RDWR: _READ | _WRITE}
_SHARE_ALL = 7  # reading, writing, and another name
_CREATE_NEW, _OPEN_EXISTING, _OPEN_ALWAYS = 1, 3, 4
_ATTRIBUTE_NORMAL, _OPEN_REPARSE_POINT = 0x80, 0x0020_0000
_INVALID_HANDLE = c_void_p(-1).value
_FAIL_IMMEDIATELY, _EXCLUSIVE = 1, 2
_ENABLE_VIRTUAL_TERMINAL_PROCESSING = 4
LONGEST_PATH = 32_768  # characters

_PROCESS_BASIC_INFORMATION = 0
_PIPE_LOCAL_INFORMATION = 24
_PIPE_CLOSING = 4


class _Overlapped(ctypes.Structure):
    _fields_ = (
        ("Internal", c_void_p),
        ("InternalHigh", c_void_p),
        ("Offset", wintypes.DWORD),
        ("OffsetHigh", wintypes.DWORD),
        ("hEvent", wintypes.HANDLE),
    )


class _StatusBlock(ctypes.Structure):
    _fields_ = (("Status", c_void_p), ("Information", c_void_p))


class _PipeInformation(ctypes.Structure):
    """FILE_PIPE_LOCAL_INFORMATION: ten ULONGs, of which the ninth is NamedPipeState."""

    _fields_ = (("Before", c_ulong * 8), ("NamedPipeState", c_ulong), ("NamedPipeEnd", c_ulong))


class _ProcessInformation(ctypes.Structure):
    """PROCESS_BASIC_INFORMATION: the last of its six members is the parent's number."""

    _fields_ = (("Before", c_void_p * 5), ("InheritedFromUniqueProcessId", c_void_p))


_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_ntdll = ctypes.WinDLL("ntdll")


def _function(name: str, result: Any, *arguments: Any) -> Any:
    found = getattr(_kernel32, name)
    found.restype, found.argtypes = result, arguments
    return found


_HANDLE, _BOOL, _DWORD, _TEXT = wintypes.HANDLE, wintypes.BOOL, wintypes.DWORD, wintypes.LPCWSTR
_TIME = POINTER(wintypes.FILETIME)
_CloseHandle = _function("CloseHandle", _BOOL, _HANDLE)
_CreateFile = _function(
    "CreateFileW", _HANDLE, _TEXT, _DWORD, _DWORD, c_void_p, _DWORD, _DWORD, _HANDLE
)
_GetConsoleMode = _function("GetConsoleMode", _BOOL, _HANDLE, wintypes.PDWORD)
_SetConsoleMode = _function("SetConsoleMode", _BOOL, _HANDLE, _DWORD)
_GetProcessTimes = _function("GetProcessTimes", _BOOL, _HANDLE, *[_TIME] * 4)
_LockFileEx = _function(
    "LockFileEx", _BOOL, _HANDLE, _DWORD, _DWORD, _DWORD, _DWORD, POINTER(_Overlapped)
)
_OpenProcess = _function("OpenProcess", _HANDLE, _DWORD, _BOOL, _DWORD)
_QueryFullProcessImageName = _function(
    "QueryFullProcessImageNameW", _BOOL, _HANDLE, _DWORD, wintypes.LPWSTR, wintypes.PDWORD
)
_UnlockFileEx = _function(
    "UnlockFileEx", _BOOL, _HANDLE, _DWORD, _DWORD, _DWORD, POINTER(_Overlapped)
)
_WaitForSingleObject = _function("WaitForSingleObject", _DWORD, _HANDLE, _DWORD)
_WaitNamedPipe = _function("WaitNamedPipeW", _BOOL, _TEXT, _DWORD)


def _failure() -> OSError:
    return ctypes.WinError(ctypes.get_last_error())


def lock(descriptor: int, offset: int, *, shared: bool) -> bool:
    """Lock one byte, which may be behind the end; return False if somebody else has locked it."""
    how = _FAIL_IMMEDIATELY | (0 if shared else _EXCLUSIVE)
    place = _Overlapped(Offset=offset)
    if _LockFileEx(msvcrt.get_osfhandle(descriptor), how, 0, 1, 0, byref(place)):
        return True
    if ctypes.get_last_error() == _LOCK_VIOLATION:
        return False
    raise _failure()


def unlock(descriptor: int, offset: int) -> None:
    """Release the lock on one byte."""
    place = _Overlapped(Offset=offset)
    if not _UnlockFileEx(msvcrt.get_osfhandle(descriptor), 0, 1, 0, byref(place)):
        raise _failure()


def opened(path: Path, flags: int, security: Any = None) -> int:
    """Open a file as os.open does, binary, and return its descriptor.

    Unlike one of os.open, it can be renamed or removed meanwhile. `security` points to the
    SECURITY_ATTRIBUTES of a new file. CREATE_NEW alone, for O_EXCL, would follow a link whose
    target does not exist; here the link itself is what exists already.
    """
    how, attributes = _OPEN_EXISTING, _ATTRIBUTE_NORMAL
    if flags & os.O_CREAT:
        how = _OPEN_ALWAYS
        if flags & os.O_EXCL:
            how, attributes = _CREATE_NEW, attributes | _OPEN_REPARSE_POINT
    access = _ACCESS[flags & (os.O_WRONLY | os.O_RDWR)]
    handle = _CreateFile(str(path), access, _SHARE_ALL, security, how, attributes, None)
    if handle == _INVALID_HANDLE:
        raise _failure()
    return msvcrt.open_osfhandle(handle, flags & os.O_APPEND)


def wait_for_pipe(path: str, seconds: float) -> bool:
    """Wait until a named pipe takes a client; return False if it is busy all that time."""
    if _WaitNamedPipe(path, max(1, round(seconds * 1000))):  # 0 would be the pipe's own default
        return True
    if ctypes.get_last_error() == _SEM_TIMEOUT:
        return False
    raise _failure()


def has_no_reader(descriptor: int) -> bool:
    """Return True if this is a pipe whose reading end is closed.

    Waits for a write in progress, as any call on a handle without overlapped I/O does. The
    call is NtQueryInformationFile, since kernel32 has none that tells without reading or writing.
    """
    status, found = _StatusBlock(), _PipeInformation()
    failed = _ntdll.NtQueryInformationFile(
        wintypes.HANDLE(msvcrt.get_osfhandle(descriptor)),
        *(byref(status), byref(found), c_ulong(sizeof(found))),
        c_ulong(_PIPE_LOCAL_INFORMATION),
    )
    return not failed and found.NamedPipeState == _PIPE_CLOSING


def take_escapes(descriptor: int) -> bool:
    """Let a console take escape sequences, as programs have to; return False if it cannot.

    The legacy console of Windows 10 cannot. cmd and PowerShell set the mode anew for themselves.
    """
    console, mode = msvcrt.get_osfhandle(descriptor), wintypes.DWORD()
    return bool(
        _GetConsoleMode(console, byref(mode))
        and _SetConsoleMode(console, mode.value | _ENABLE_VIRTUAL_TERMINAL_PROCESSING)
    )


class Process:
    """A process that is held open, so that no other one gets its number. Close it."""

    def __init__(self, number: int) -> None:
        """Raises LookupError if there is no such process, or it is none of this user's."""
        handle = _OpenProcess(_SYNCHRONIZE | _QUERY_LIMITED_INFORMATION, False, number)
        if not handle:
            if ctypes.get_last_error() in (_ACCESS_DENIED, _INVALID_PARAMETER):
                raise LookupError(number)
            raise _failure()
        self._handle = handle

    def close(self) -> None:
        """Let go of it."""
        _CloseHandle(self._handle)

    def ended(self, seconds: float) -> bool:
        """Wait that many seconds at most; return whether it has ended."""
        return bool(_WaitForSingleObject(self._handle, round(seconds * 1000)) == 0)

    @property
    def parent(self) -> int:
        """The number of the process that started it, which may be another process's by now."""
        found = _ProcessInformation()
        failed = _ntdll.NtQueryInformationProcess(
            *(
                wintypes.HANDLE(self._handle),
                _PROCESS_BASIC_INFORMATION,
                byref(found),
                c_ulong(sizeof(found)),
                None,
            )
        )
        return 0 if failed else int(found.InheritedFromUniqueProcessId or 0)

    @property
    def started(self) -> int:
        """The time of its start, in units of 100 ns."""
        times = [wintypes.FILETIME() for _ in range(4)]
        if not _GetProcessTimes(self._handle, *map(byref, times)):
            raise _failure()
        return int(times[0].dwHighDateTime) << 32 | int(times[0].dwLowDateTime)

    @property
    def program(self) -> Path:
        """The path of its executable."""
        size = wintypes.DWORD(LONGEST_PATH)
        name = ctypes.create_unicode_buffer(size.value)
        if not _QueryFullProcessImageName(self._handle, 0, name, byref(size)):
            raise _failure()
        return Path(name.value)


def split_command_line(text: str) -> list[str]:
    """Split as programs do (CommandLineToArgvW; "Parsing C++ command-line arguments")."""
    split = ctypes.WinDLL("shell32", use_last_error=True).CommandLineToArgvW
    split.argtypes, split.restype = (wintypes.LPCWSTR, POINTER(ctypes.c_int)), c_void_p
    count = ctypes.c_int()
    address = split(text, byref(count))
    if not address:
        raise ctypes.WinError(ctypes.get_last_error())
    words = (wintypes.LPWSTR * count.value).from_address(address)
    return [word for word in words if word is not None]
