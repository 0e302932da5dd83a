"""Public keys and certificates: a client's, a machine's, an authority's."""

from __future__ import annotations

import base64
import hashlib
from typing import NamedTuple

from m2m_ssh_client.ssh.wire import Reader, strings

# RFC 5656 §3.1: the curve's own name, and the length in bytes of an uncompressed point on it.
_CURVES = {
    "ecdsa-sha2-nistp256": (b"nistp256", 65),
    "ecdsa-sha2-nistp384": (b"nistp384", 97),
    "ecdsa-sha2-nistp521": (b"nistp521", 133),
}
# In bits. OpenSSH's own limits (default RequiredRSASize, SSHBUF_MAX_BIGNUM): with a higher minimum,
# a machine that `ssh` knows would be unknown here, and people would turn the check off.
_RSA_SIZES = range(1024, 16384 + 1)
# In characters: a 16384-bit RSA key takes 2,800, the rest is for a comment.
_LONGEST_KEY_TEXT = 8192

CERTIFICATE_SUFFIX = "-cert-v01@openssh.com"

# How many strings make up a public key of the type: a certificate has them behind its nonce
# (PROTOCOL.certkeys).
FIELDS = {
    "ssh-rsa": 2,
    "ssh-dss": 4,
    "ssh-ed25519": 1,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519@openssh.com": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
}
HOST_KEY_TYPES = ("ssh-rsa", "ssh-ed25519", *_CURVES)

# RFC 8332: names of signatures with an RSA key, which `ssh` takes for the key's type too.
_RSA_SIGNATURES = ("rsa-sha2-256", "rsa-sha2-512")


class PublicKey(NamedTuple):
    """A public key or a certificate in wire format; `key_type` is the type named inside `blob`.

    RFC 4253 §6.6. `of` and `parse` take every type, for keys that only an agent has to understand.
    The constructors for host keys are strict: they take one well-formed key of a type that can be
    verified here.
    """

    key_type: str
    blob: bytes

    @classmethod
    def of(cls, blob: bytes) -> PublicKey:
        """Read a blob of a type that need not be known here. Raises ValueError."""
        key_type = Reader(blob).string().decode("ascii")
        if not key_type.isprintable():  # RFC 4251 §6
            raise ValueError("not the name of a type")
        return cls(key_type, blob)

    @classmethod
    def parse(cls, text: bytes) -> PublicKey:
        """Read the first key in lines of `type base64 [comment]`. Raises ValueError.

        `ssh` reads .pub files in the same way.
        """
        for line in text.splitlines():
            key_type, _, rest = line.strip().partition(b" ")
            if key_type and not key_type.startswith(b"#"):
                key = cls.of(base64.b64decode((rest.split() or [b""])[0], validate=True))
                if key.key_type.encode() == key_type:
                    return key
                break
        raise ValueError("not a public key")

    @classmethod
    def read_host_key(cls, blob: bytes) -> PublicKey:
        """Read a plain key as a server sends it. Raises ValueError unless it can be a host key."""
        inner_type, *fields = Reader(blob).strings() or [b""]
        key_type = inner_type.decode("ascii", "replace")
        if not _well_formed(key_type, fields):
            raise ValueError("not a well-formed public key of a known type")
        return cls(key_type, blob)

    @classmethod
    def parse_host_key(cls, text: str) -> PublicKey:
        """Read `type base64 [comment]`, from a source that need not be trusted.

        Raises ValueError unless that is exactly one well-formed key of a type that can be a host
        key here, in one line of printable text. The reason does not repeat the text.
        """
        if len(text) > _LONGEST_KEY_TEXT or not text.isprintable():
            raise ValueError("not one line of printable text")
        key_type, _, rest = text.partition(" ")
        return decode(key_type, rest.partition(" ")[0])

    @property
    def is_certificate(self) -> bool:
        return self.key_type.endswith(CERTIFICATE_SUFFIX)

    @property
    def plain(self) -> PublicKey:
        """The key that a user certificate is about; a plain key itself.

        Raises ValueError for a host's certificate, and for a malformed or unknown one.
        """
        if not self.is_certificate:
            return self
        base = self.key_type.removesuffix(CERTIFICATE_SUFFIX)
        plain_type = f"{base}@openssh.com" if base.startswith("sk-") else base
        if plain_type not in FIELDS:
            raise ValueError(f"a certificate of the unknown type {plain_type}")
        reader = Reader(self.blob)
        _, _, *fields = reader.strings(2 + FIELDS[plain_type])
        if reader.rest[8:12] != b"\0\0\0\x01":  # behind the serial number: 1 for users, 2 for hosts
            raise ValueError("not a user certificate")
        return PublicKey(plain_type, strings(plain_type.encode(), *fields))

    @property
    def bits(self) -> int:
        """The size of a host key, as `ssh-keygen -l` prints it."""
        inner_type, *fields = Reader(self.blob).strings()
        if inner_type == b"ssh-rsa":
            return int.from_bytes(fields[1], "big").bit_length()
        return int(inner_type.removeprefix(b"ecdsa-sha2-nistp")) if b"ecdsa" in inner_type else 256

    @property
    def short_type(self) -> str:
        """The type as in the names of sshd's key files: ed25519, ecdsa, rsa."""
        return self.key_type.removeprefix("ssh-").partition("-")[0]

    @property
    def base64(self) -> str:
        return base64.b64encode(self.blob).decode()

    @property
    def line(self) -> str:
        """`type base64`, as in authorized_keys."""
        return f"{self.key_type} {self.base64}"

    @property
    def fingerprint(self) -> str:
        """`SHA256:…` without padding, as `ssh-keygen -l` prints it.

        For a user certificate, it is the fingerprint of its key.
        """
        try:
            blob = self.plain.blob
        except ValueError:
            blob = self.blob
        return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def decode(key_type: str, encoded: str) -> PublicKey:
    """Return the key of this type in base64.

    Raises ValueError unless it is well-formed, of a known type, and in canonical base64.
    """
    key = PublicKey.read_host_key(_decoded(encoded))
    if key.key_type != key_type:
        raise ValueError("the key is of another type than it says")
    return key


def decode_on_file(key_type: str, encoded: str) -> PublicKey:
    """Do the same, and accept types that no server can show here, known or not.

    The newest `ssh` counts lines of types that it does not know, too: another key is a changed one.
    """
    if key_type in _RSA_SIGNATURES:
        key_type = "ssh-rsa"
    if key_type in HOST_KEY_TYPES:
        return decode(key_type, encoded)
    key = PublicKey.of(_decoded(encoded))
    if key.key_type != key_type:
        raise ValueError("the key is of another type than it says")
    return key


def _decoded(encoded: str) -> bytes:
    blob = base64.b64decode(encoded, validate=True)
    # Decoding forgives stray bits at the end: two texts would then be one key.
    if base64.b64encode(blob).decode() != encoded:
        raise ValueError("not the canonical base64 of a key")
    return blob


def _well_formed(key_type: str, fields: list[bytes]) -> bool:
    if key_type == "ssh-ed25519":
        return [len(field) for field in fields] == [32]
    if len(fields) != 2:
        return False
    first, second = fields
    if key_type == "ssh-rsa":
        exponent, modulus = _odd_number(first), _odd_number(second)
        return 3 <= exponent < modulus and modulus.bit_length() in _RSA_SIZES
    curve, length = _CURVES.get(key_type, (b"", 0))
    return first == curve and len(second) == length and second.startswith(b"\x04")


def _odd_number(mpint: bytes) -> int:
    """Return a positive odd number in its shortest form (RFC 4251 §5), or 0 for anything else."""
    value = int.from_bytes(mpint, "big", signed=True)
    shortest = len(mpint) == value.bit_length() // 8 + 1
    return value if value > 0 and value % 2 and shortest else 0
