"""The connections of a proxy so far, for a person who asks what is going on."""

from __future__ import annotations

import threading
import time


class History:
    """Counts connections and losses, and keeps the last error.

    The proxy changes it when its connection changes, and never for a message. Any thread may read
    it. Times are those of `time.time`.
    """

    def __init__(self) -> None:
        self.started = self.since = time.time()
        """The time of the last change of state."""
        self.connections = 0
        self.losses = 0
        self.is_away = False
        """A connection was lost, and there is no other one yet."""
        self.error = ""
        self.error_time = 0.0
        self.changed = threading.Event()
        """Set by each change; whoever waits for it clears it."""

    def connected(self) -> None:
        """Note a new connection, with a fresh server."""
        self.connections += 1
        self.is_away = False
        self.change()

    def lost(self, error: str) -> None:
        """Note the end of a connection."""
        self.losses += 1
        self.is_away = True
        self.since = time.time()
        self.failed(error)

    def failed(self, error: str) -> None:
        """Note an attempt to connect that failed."""
        self.error, self.error_time = error, time.time()
        self.changed.set()

    def change(self) -> None:
        """Note another state, such as that after the first answer."""
        self.since = time.time()
        self.changed.set()
