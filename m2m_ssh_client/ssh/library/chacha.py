"""chacha20-poly1305@openssh.com (OpenSSH's PROTOCOL.chacha20poly1305), for servers without AES."""

from __future__ import annotations

import paramiko
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.poly1305 import Poly1305

_POLY_KEY = 32  # bytes
_TAG = 16  # bytes


class ChaCha20Poly1305:
    """The cipher of one direction. The number of a packet is its nonce.

    The length of a packet is encrypted by itself, with the second half of the key.
    """

    least = 8  # bytes of a packet, and what its length is a multiple of

    def __init__(self, key: bytes) -> None:
        self._key, self._length_key = key[:32], key[32:]
        self.served = 0

    def size(self, length: bytes, number: int) -> int:
        """Return the size of a packet from its encrypted length, which nothing protects yet."""
        return int.from_bytes(_crypted(self._length_key, number, 0, length), "big")

    def sealed(self, packet: bytes, length: bytes, number: int) -> tuple[bytes, bytes]:
        """Return the length and the packet encrypted, the latter with its tag."""
        length = _crypted(self._length_key, number, 0, length)
        packet = _crypted(self._key, number, 1, packet)
        return length, packet + Poly1305.generate_tag(self._tag_key(number), length + packet)

    def opened(self, packet: memoryview, length: bytes, number: int) -> bytes:
        """Return the packet decrypted. Raises SSHException if the other end did not send it."""
        content, tag = bytes(packet[:-_TAG]), bytes(packet[-_TAG:])
        try:
            Poly1305.verify_tag(self._tag_key(number), length + content, tag)
        except InvalidSignature:
            raise paramiko.SSHException("A packet was damaged on its way") from None
        return _crypted(self._key, number, 1, content)

    def _tag_key(self, number: int) -> bytes:
        return _crypted(self._key, number, 0, bytes(_POLY_KEY))


def _crypted(key: bytes, number: int, block: int, data: bytes) -> bytes:
    """Return the data combined with the key's stream from this block of 64 bytes on."""
    nonce = block.to_bytes(8, "little") + number.to_bytes(8, "big")
    return Cipher(ChaCha20(key, nonce), mode=None).encryptor().update(data)
