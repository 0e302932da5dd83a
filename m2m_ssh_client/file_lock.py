"""An advisory lock on an open file. The system releases it when the process ends, however it ends.

The lock is `flock`; on Windows, a locked byte far behind the end, so that readers never wait.
"""

from __future__ import annotations

import sys
from contextlib import suppress

if sys.platform == "win32":
    _FAR = 1 << 30  # behind the end of any such file

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Lock the file, and return False if somebody else has locked it.

        `shared` locks do not exclude each other. Raises OSError if the file cannot be locked.
        """
        from m2m_ssh_client.windows import calls

        return calls.lock(descriptor, _FAR, shared=shared)

    def unlock(descriptor: int) -> None:
        """Release the lock."""
        from m2m_ssh_client.windows import calls

        with suppress(OSError):
            calls.unlock(descriptor, _FAR)

else:
    import fcntl

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Lock the file, and return False if somebody else has locked it.

        `shared` locks do not exclude each other. Raises OSError if the file cannot be locked.
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
