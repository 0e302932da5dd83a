"""Job objects: a program and all that it starts end when we say so, or when we are gone.

Windows ends what is in a job when the job's last handle is closed, and closes ours however our
process ends. A program that means to stay may leave the job (CREATE_BREAKAWAY_FROM_JOB).
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from weakref import WeakKeyDictionary, finalize

if sys.platform != "win32":
    raise ImportError("for Windows alone")

import ctypes
from ctypes import Structure, byref, c_size_t, c_uint64, sizeof, wintypes

# Suspended, so that it starts nothing before it is in the job. It gets no Ctrl-C of our console,
# and no window.
FLAGS = 4 | subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
"""For the start of a program that is to be held."""

_EXTENDED_LIMITS = 9
_MAY_LEAVE, _END_ON_CLOSE = 0x800, 0x2000
_STATUS = 1  # the exit status of what is ended


class _Limits(Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION, of which only the flags are used."""

    _fields_ = (
        ("Times", c_uint64 * 2),
        ("LimitFlags", wintypes.DWORD),
        ("Sizes", c_size_t * 2),
        ("ActiveProcessLimit", wintypes.DWORD),
        ("Affinity", c_size_t),
        ("Classes", wintypes.DWORD * 2),
        ("Counters", c_uint64 * 6),
        ("Memory", c_size_t * 4),
    )


_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel32.CreateJobObjectW.restype = wintypes.HANDLE
_jobs: WeakKeyDictionary[subprocess.Popen[bytes], wintypes.HANDLE] = WeakKeyDictionary()


def hold(process: subprocess.Popen[bytes]) -> None:
    """Put a program that was started with FLAGS into a job of its own, and let it run.

    The job is as old as the object. Where a job of ours forbids others, it runs without one.
    """
    handle = wintypes.HANDLE(int(vars(process)["_handle"]))  # which subprocess keeps to itself
    job = wintypes.HANDLE(_kernel32.CreateJobObjectW(None, None))
    finalize(process, _kernel32.CloseHandle, job)
    _jobs[process] = job
    limits = _Limits(LimitFlags=_MAY_LEAVE | _END_ON_CLOSE)
    _kernel32.SetInformationJobObject(job, _EXTENDED_LIMITS, byref(limits), sizeof(limits))
    _kernel32.AssignProcessToJobObject(job, handle)
    ctypes.WinDLL("ntdll").NtResumeProcess(handle)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program that is held, and all that it has started, even if it has ended itself."""
    _kernel32.TerminateJobObject(_jobs[process], _STATUS)
    with suppress(OSError):
        process.kill()
