"""Strings and numbers as SSH sends them (RFC 4251 section 5): written, and read strictly."""

from __future__ import annotations


def strings(*fields: bytes) -> bytes:
    """Return the fields as strings, each behind its length."""
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


class Reader:
    """Take fields off the front of `data`, one after the other; ValueError where they end early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def rest(self) -> bytes:
        """The bytes that have not been taken yet."""
        return self._data[self._at :]

    @property
    def ended(self) -> bool:
        """Nothing is left to take."""
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        """Take that many bytes."""
        end = self._at + size
        if end > len(self._data):
            raise ValueError("it ends early")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, size: int) -> int:
        """Take an unsigned number of that many bytes."""
        return int.from_bytes(self.take(size), "big")

    def string(self) -> bytes:
        """Take one string."""
        return self.take(self.number(4))

    def strings(self, count: int | None = None) -> list[bytes]:
        """Take that many strings, or all that there are to the end of the data."""
        if count is not None:
            return [self.string() for _ in range(count)]
        found: list[bytes] = []
        while not self.ended:
            found.append(self.string())
        return found
