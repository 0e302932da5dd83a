"""The time that a command may take (`--timeout`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from m2m_ssh_client.errors import SSHClientError

T = TypeVar("T")


class Limit:
    """A time limit of `seconds`, from now on; infinite by default."""

    def __init__(self, seconds: float = float("inf")) -> None:
        self.seconds = seconds
        self.left_until = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return self.left_until - time.monotonic()

    @left.setter
    def left(self, seconds: float) -> None:
        self.left_until = time.monotonic() + seconds

    def check(self) -> None:
        """Raise an SSHClientError if no time is left, while the answer is read or shown."""
        if self.left < 0:
            raise self.error("The answer is too long to be shown within")

    def error(self, what: str) -> SSHClientError:
        return SSHClientError(f"{what} {self.seconds:g} s (raise the limit with --timeout)")

    def uncounted(self, write: Callable[[T], object], piece: T) -> None:
        """Write without counting the time, for which a person may read page by page."""
        left = self.left
        try:
            write(piece)
        finally:
            self.left = left
