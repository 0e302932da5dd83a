"""An advisory lock on an open file. The system releases it when the process ends, however it ends.

The lock is `flock`; on Windows, a locked byte far behind the end, so that readers never wait.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30  # behind the end of any such file, and as far as locking() can count

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:  # noqa: ARG001 - unknown here
        """Lock the file, and return False if somebody else has locked it.

        `shared` locks do not exclude each other, except on Windows. Raises OSError.
        """
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Release the lock."""
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Lock the file, and return False if somebody else has locked it.

        `shared` locks do not exclude each other, except on Windows. Raises OSError.
        """
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Release the lock."""
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
