"""The server's lines, as the SDK gets them from the commands: answers to our requests stay text.

The SDK would turn a result into objects, check these, and copy them: up to 800 times the memory of
its text. So it gets an error instead, which it hands on without a look at the data: the result's
text. Of what it does read, no message is longer than a mebibyte.
"""

from __future__ import annotations

import logging

import msgspec

from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.proxy.frames.frame import (
    INVALID_REQUEST,
    LONGEST_OBJECTS,
    PROXY_ERROR,
    Frame,
    Id,
    NotJSONError,
    error_line,
    parse,
    parts,
)
from m2m_ssh_client.proxy.memory.open_requests import answerable_under
from m2m_ssh_client.sdk_lines import Received, error_with, from_line, whole_characters

logger = logging.getLogger(__name__)

_HANDSHAKE = ("initialize", "server/discover")
_TOO_LONG = f"It is longer than {LONGEST_OBJECTS} bytes"


class Answers:
    """Reads the server's lines."""

    def __init__(self) -> None:
        self._handshake: set[Id] = set()

    def note(self, id_: Id, method: str) -> None:
        """Note a request. The SDK reads the results of its own, the handshake."""
        if method in _HANDSHAKE:
            self._handshake.add(id_)

    def read(self, line: bytes) -> tuple[list[Received], list[bytes]]:
        """Convert a line, as `sdk_lines.from_line`. It is JSON-RPC: the proxy passed it on.

        Raises an SSHClientError if it has so many levels that only the proxy had room for them.
        """
        received: list[Received] = []
        refused: list[bytes] = []
        try:
            frames = parts(parse(whole_characters(line)))
        except NotJSONError as exc:
            raise SSHClientError(f"A message of the server cannot be read: {exc}") from exc
        for frame in frames:
            more, also_refused = self._read(frame)
            received += more
            refused += also_refused
        return received, refused

    def _read(self, frame: Frame) -> tuple[list[Received], list[bytes]]:
        (message,) = frame.messages
        id_ = message.id
        if id_ is not None and message.result and not self._is_handshake(id_):
            return [error_with(id_, message.result)], []
        if len(frame.line) <= LONGEST_OBJECTS:
            return from_line(frame.line)
        if id_ is None:
            logger.info("skipped a notification: %s", _TOO_LONG)
            return [], []
        if message.is_request:
            return [], [error_line(id_, INVALID_REQUEST, _TOO_LONG)]
        return from_line(error_line(id_, PROXY_ERROR, f"The answer cannot be read. {_TOO_LONG}."))

    def _is_handshake(self, id_: Id) -> bool:
        return not self._handshake.isdisjoint(answerable_under(id_))


def result_in(failure: BaseException) -> msgspec.Raw | None:
    """Return the result in an exception of the SDK, if it is one that has it as its data."""
    data = getattr(getattr(failure, "error", None), "data", None)
    return data if isinstance(data, msgspec.Raw) else None
