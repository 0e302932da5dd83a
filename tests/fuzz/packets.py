"""What an SSH server says before it is encrypted, and what may be in a packet that is: paramiko reads it, too."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import paramiko
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from paramiko.packet import Packetizer

from m2m_ssh_client.ssh.library.packets import LeftToParamiko, Packets

_ENGINE, _NONCE, _TAG = AESGCM(bytes(16)), bytes(12), 16
_DATA = 94  # RFC 4254 section 9: SSH_MSG_CHANNEL_DATA


class _Link:
    """Brings these bytes, so many at a time, and then its end."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._data, self._piece = data, piece

    def recv(self, size: int) -> bytes:
        size = min(size, self._piece)
        data, self._data = self._data[:size], self._data[size:]
        return data

    def close(self) -> None: ...


def check_greeting(content: bytes) -> None:
    """The first byte says in what pieces the rest comes."""
    piece, content = content[:1] or b"\0", content[1:]
    packets = Packets(_Link(content, piece[0] + 1))
    *before, _ = content.split(b"\n")
    lines = [line.removesuffix(b"\r") for line in before]
    skipped = list(takewhile(lambda line: not line.startswith(b"SSH-"), lines))
    try:
        version = packets.readline(1.0)
    except EOFError:
        assert len(skipped) == len(lines)
    except UnicodeDecodeError:
        assert not _is_text(lines[len(skipped)])
    except paramiko.SSHException:
        assert b"\0" in content or len(content) > 1024
        return
    else:
        assert version.encode() == lines[len(skipped)]
    assert packets.greeting == tuple(
        line.decode("utf-8", "backslashreplace") for line in skipped[:100]
    )


def check_packets(content: bytes) -> None:
    """The first byte as above; then the packets, as they are when encrypted, each behind its length in a byte."""
    piece, content = content[:1] or b"\0", content[1:]
    stream, number = b"", 0
    while content:
        size = content[0] * 16
        packet, content = content[1 : 1 + size], content[1 + size :]
        packet += bytes(-len(packet) % 16)
        length, nonce = len(packet).to_bytes(4, "big"), _NONCE[:4] + number.to_bytes(8, "big")
        stream += length + _ENGINE.encrypt(nonce, packet, length)
        number += 1
    theirs: Any = _encrypted(_oracle(_Link(stream, 1 << 20)))
    found: list[tuple[int, int, bytes]] = []

    class Channels(LeftToParamiko):
        def deliver_data(self, channel: int, data: bytes) -> bool:
            found.append((_DATA, channel, data))
            return True

    ours: Any = _encrypted(Packets(_Link(stream, piece[0] + 1), Channels()))
    try:
        while True:
            kind, message = ours.read_message()
            found.append((kind, -1, message.asbytes()))
    except EOFError:
        assert len(found) == number
    except paramiko.SSHException:
        assert len(found) < number
    for kind, channel, data in found:
        their_kind, message = theirs.read_message()
        assert kind == their_kind
        if channel >= 0:
            assert (channel, data) == (message.get_int(), message.get_binary())
            assert not message.get_remainder()
        else:
            assert data == message.asbytes()


def _encrypted(packets: Any) -> Any:
    packets.set_inbound_cipher(
        block_engine=_ENGINE,
        block_size=16,
        mac_engine=None,
        mac_size=_TAG,
        mac_key=None,
        etm=False,
        aead=True,
        iv_in=_NONCE,
    )
    return packets


def _oracle(link: Any) -> Packetizer:
    return Packetizer(link)


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except ValueError:
        return False
    return True
