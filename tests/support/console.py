"""A program in a console of Windows, as Windows Terminal has them: a pseudo console (ConPTY)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

if sys.platform != "win32":
    raise ImportError("for Windows alone")

import ctypes
import msvcrt
from ctypes import byref, c_size_t, c_void_p, sizeof, wintypes

_KERNEL = ctypes.WinDLL("kernel32", use_last_error=True)
_PSEUDOCONSOLE, _EXTENDED, _STD_HANDLES = 0x0002_0016, 0x0008_0000, 0x100
_UNICODE_ENVIRONMENT = 0x400
_WIDTH, _HEIGHT = 160, 50
_ENOUGH = 60.0  # seconds; a busy machine needs twenty to load the SDK under Wine
_FORWARD = re.compile(r"\x1b\[(\d+)C")
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\))")

# Its own handles are not a console's under Wine, but a program that it starts gets some.
_LAUNCHER = """
import ctypes, subprocess, sys
for name in ("SetConsoleCP", "SetConsoleOutputCP"):
    assert getattr(ctypes.WinDLL("kernel32"), name)(int(sys.argv[1]))
keys, screen = open("CONIN$", "rb", buffering=0), open("CONOUT$", "wb", buffering=0)
argv = sys.argv[2:]
sys.exit(subprocess.call(argv, stdin=keys, stdout=screen, stderr=screen))
"""


class _Startup(ctypes.Structure):
    """STARTUPINFOEXW, of which only what is used has a name."""

    _fields_ = (
        ("cb", wintypes.DWORD),
        ("Before", c_void_p * 3),
        ("Sizes", wintypes.DWORD * 7),
        ("dwFlags", wintypes.DWORD),
        ("After", c_void_p * 5),
        ("lpAttributeList", c_void_p),
    )


class _Started(ctypes.Structure):
    """PROCESS_INFORMATION."""

    _fields_ = (
        ("hProcess", wintypes.HANDLE),
        ("hThread", wintypes.HANDLE),
        ("Numbers", wintypes.DWORD * 2),
    )


class _Size(ctypes.Structure):
    _fields_ = (("X", wintypes.SHORT), ("Y", wintypes.SHORT))


class Console:
    """A console with a program in it; what that prints, and keys for it."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], code_page: int) -> None:
        keys_out, keys_in = _pipe()
        screen_out, screen_in = _pipe()
        self._console = c_void_p()
        _KERNEL.CreatePseudoConsole.argtypes = (
            _Size,
            *[wintypes.HANDLE] * 2,
            wintypes.DWORD,
            c_void_p,
        )
        failed = _KERNEL.CreatePseudoConsole(
            _Size(_WIDTH, _HEIGHT), keys_out, screen_in, 0, byref(self._console)
        )
        assert not failed, hex(failed)
        for handle in (keys_out, screen_in):
            _KERNEL.CloseHandle(handle)
        self._keys = msvcrt.open_osfhandle(keys_in.value or 0, 0)
        self._screen = msvcrt.open_osfhandle(screen_out.value or 0, os.O_RDONLY)
        self._raw = b""
        self._news = threading.Condition()
        line = [sys.executable, "-c", _LAUNCHER, str(code_page), *argv]
        self._process = self._started(line, env)
        self._job = wintypes.HANDLE(_KERNEL.CreateJobObjectW(None, None))
        assert _KERNEL.AssignProcessToJobObject(self._job, self._process)
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        _KERNEL.TerminateJobObject(self._job, 1)
        for handle in (self._process, self._job):
            _KERNEL.CloseHandle(handle)
        _KERNEL.ClosePseudoConsole(self._console)
        os.close(self._keys)
        # Wine leaves the screen open, which the thread reads until this process ends.

    def type(self, keys: str) -> None:
        os.write(self._keys, keys.encode())

    @property
    def escapes(self) -> str:
        """What came, with what colours it."""
        return self._raw.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        return _ESCAPE.sub("", _FORWARD.sub(lambda found: " " * int(found[1]), self.escapes))

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + _ENOUGH
        with self._news:
            while words not in self.text:
                assert self._news.wait(deadline - time.monotonic()), self.text

    def status(self) -> int:
        """Wait for the end of the program and return its exit status."""
        assert _KERNEL.WaitForSingleObject(self._process, int(_ENOUGH * 1000)) == 0, self.text
        status = wintypes.DWORD()
        assert _KERNEL.GetExitCodeProcess(self._process, byref(status))
        return status.value

    def _started(self, argv: Sequence[str], env: Mapping[str, str]) -> wintypes.HANDLE:
        size = c_size_t()
        _KERNEL.InitializeProcThreadAttributeList(None, 1, 0, byref(size))
        attributes = ctypes.create_string_buffer(size.value)
        assert _KERNEL.InitializeProcThreadAttributeList(attributes, 1, 0, byref(size))
        assert _KERNEL.UpdateProcThreadAttribute(
            *(attributes, 0, c_size_t(_PSEUDOCONSOLE), self._console),
            *(c_size_t(sizeof(self._console)), None, None),
        )
        # Handles that are none, or it would get this process's own.
        startup = _Startup(
            cb=sizeof(_Startup), dwFlags=_STD_HANDLES, lpAttributeList=ctypes.addressof(attributes)
        )
        started = _Started()
        block = "".join(f"{name}={value}\0" for name, value in env.items()) + "\0"
        assert _KERNEL.CreateProcessW(
            *(None, ctypes.create_unicode_buffer(subprocess.list2cmdline(argv)), None, None, False),
            *(_EXTENDED | _UNICODE_ENVIRONMENT, ctypes.create_unicode_buffer(block), None),
            *(byref(startup), byref(started)),
        ), ctypes.get_last_error()
        _KERNEL.CloseHandle(wintypes.HANDLE(started.hThread))
        return wintypes.HANDLE(started.hProcess)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._screen, 4096)
            except OSError:
                return
            if not data:
                return
            with self._news:
                self._raw += data
                self._news.notify_all()


def _pipe() -> tuple[wintypes.HANDLE, wintypes.HANDLE]:
    reading, writing = wintypes.HANDLE(), wintypes.HANDLE()
    assert _KERNEL.CreatePipe(byref(reading), byref(writing), None, 0)
    return reading, writing
