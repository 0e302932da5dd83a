"""PuTTY's agent on Windows, which talks through windows instead of a pipe."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from paramiko import win_pageant

    def connect() -> win_pageant.PageantConnection | None:
        """Return a connection to it; None if it does not run."""
        return win_pageant.PageantConnection() if win_pageant.can_talk_to_agent() else None
