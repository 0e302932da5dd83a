"""Ed25519 (RFC 8032) by cryptography, under the names of PyNaCl that paramiko's Ed25519Key uses."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class VerifyKey:
    """A public key of 32 bytes. Raises ValueError for others."""

    def __init__(self, key: bytes) -> None:
        self._bytes = bytes(key)
        self._key = Ed25519PublicKey.from_public_bytes(self._bytes)

    def encode(self) -> bytes:
        return self._bytes

    def verify(self, data: bytes, signature: bytes) -> bytes:
        """Return the data. Raises InvalidSignature."""
        self._key.verify(bytes(signature), bytes(data))
        return data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyKey) and other._bytes == self._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)


class SigningKey:
    """A private key, from its seed of 32 bytes. Raises ValueError for others."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(seed))
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.verify_key = VerifyKey(public)

    def sign(self, data: bytes) -> Any:
        """Return an object with the `signature` of 64 bytes."""
        return SimpleNamespace(signature=self._key.sign(bytes(data)))


def as_nacl() -> dict[str, ModuleType]:
    """Return the modules of PyNaCl that paramiko imports, with these classes."""
    nacl, signing, exceptions = (
        ModuleType(name) for name in ("nacl", "nacl.signing", "nacl.exceptions")
    )
    vars(signing).update(SigningKey=SigningKey, VerifyKey=VerifyKey)
    vars(exceptions).update(BadSignatureError=InvalidSignature)
    vars(nacl).update(signing=signing, exceptions=exceptions)
    return {"nacl": nacl, "nacl.signing": signing, "nacl.exceptions": exceptions}
