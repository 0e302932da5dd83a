"""Lists of a server, as text: its pages, and the entries on them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.terminal.json_text import items, size_of

MOST_ENTRIES = 200_000


class Pages:
    """The pages of the list that `method` returns, `most` bytes of them at the most."""

    def __init__(self, method: str, most: int) -> None:
        self._method = method
        self._left = self._most = most
        self._pages: list[msgspec.Raw] = []

    def add(self, page: msgspec.Raw) -> None:
        """Add a page. Raises an SSHClientError if it is not a list, or makes it too long."""
        if bytes(memoryview(page)[:1]) != b"[":
            raise self._not_mcp()
        self._left -= size_of(page)
        if self._left < 0:
            raise SSHClientError(
                f"The server's answers to {self._method} are longer than {self._most} bytes",
                "If that is intended, raise the limit with --max-message-size.",
            )
        self._pages.append(page)

    def entries(self, check: Callable[[], None] = lambda: None) -> list[bytes]:
        """Return the text of each entry, and forget the pages.

        `check` is called now and then, and may raise. Raises an SSHClientError if the entries are
        not objects, or too many.
        """
        found: list[bytes] = []
        while self._pages:
            for text in items(self._pages.pop(0), check):
                if text[:1] != b"{":
                    raise self._not_mcp()
                found.append(text)
                if len(found) > MOST_ENTRIES:
                    raise SSHClientError(
                        f"The server's {self._method} has more than {MOST_ENTRIES} entries"
                    )
        return found

    def _not_mcp(self) -> SSHClientError:
        return SSHClientError(f"The server's answer to {self._method} is not MCP: no list")
