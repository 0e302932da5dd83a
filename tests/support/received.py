"""A receiver that keeps everything a carrier delivers."""

from __future__ import annotations

import threading

from m2m_ssh_client.flow.remote_stdio import Carrier

_PATIENCE = 30.0  # seconds


class Received:
    """Starts the carrier and keeps everything that it delivers."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._ended = threading.Event()
        carrier.start(self)

    def stdout(self, data: bytes) -> None:
        self._stdout += data
        self._carrier.grant(len(data))

    def stderr(self, data: bytes) -> None:
        self._stderr += data
        self._carrier.grant(len(data))

    def ended(self) -> None:
        self._ended.set()

    def has_ended(self, within: float) -> bool:
        return self._ended.wait(within)

    def to_the_end(self) -> tuple[bytes, bytes]:
        """All of stdout and all of stderr, once neither brings more."""
        assert self._ended.wait(_PATIENCE), f"no end after {len(self._stdout)} bytes"
        return bytes(self._stdout), bytes(self._stderr)


def read_all(carrier: Carrier) -> bytes:
    """The carrier's stdout to its end."""
    return Received(carrier).to_the_end()[0]
