"""OpenSSH host-key files: who is known under which name, and is this key theirs?

The rules are those of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT", and, where the manual is silent, of
what OpenSSH's `ssh` does with `StrictHostKeyChecking=yes`. Four of them are easy to get wrong:

- One matching entry is enough, wherever it stands and whatever else is on file for the name.
- Any other plain entry makes the key a *changed* one, also an entry of a different key type.
- On a port other than 22 the name is `[host]:port`. Only when no plain entry has that name do the
  entries for the bare `host` count, and there a different key leaves the machine *unknown*: another
  SSH server on the same machine is nothing unusual.
- `@revoked` wins over a matching entry under the same name.

On two points this is plainer than `ssh`: a tab may follow a marker (`ssh` ignores a `@revoked` with
a tab), and entries of key types that cannot be used here (DSA, FIDO) are skipped like broken lines.

`KnownHosts.load` reads the files once, blocking. Its result never changes; any thread may use it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from m2m_ssh_client.errors import HostKeyError, KnownHostsError
from m2m_ssh_client.ssh.host_key import HostKey, decode
from m2m_ssh_client.text import quoted

_log = logging.getLogger(__name__)

_SSH_PORT = 22

# The types accepted here, and what `ssh-keyscan -t` and the names of sshd's key files call them.
_SHORT_TYPE = {
    "ssh-ed25519": "ed25519",
    "ecdsa-sha2-nistp256": "ecdsa",
    "ecdsa-sha2-nistp384": "ecdsa",
    "ecdsa-sha2-nistp521": "ecdsa",
    "ssh-rsa": "rsa",
}
_REVOKED = b"@revoked"
_AUTHORITY = b"@cert-authority"

# In bytes: the room for one pattern in OpenSSH's match_pattern_list; a longer one voids its list.
_LONGEST_PATTERN = 1023
_SALT_SIZE = hashlib.sha1(usedforsecurity=False).digest_size

# Characters that separate, negate, match or mark something in the names field.
_NOT_IN_A_NAME = re.compile(r"[\x00-\x20\x7f,*?!|@#]")


class _Entry(NamedTuple):
    marker: bytes
    names: bytes
    key: HostKey
    path: Path
    line: int

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"


class KnownHosts:
    """The entries of several files, in the order of the files and of their lines."""

    def __init__(self, entries: Sequence[_Entry], files: Sequence[Path]) -> None:
        self._entries = entries
        self._files = files

    @classmethod
    def load(cls, paths: Iterable[Path]) -> KnownHosts:
        """Read the files; a missing one is empty, a line that makes no sense is skipped.

        Raises KnownHostsError for a file that is there and cannot be read.
        """
        entries: list[_Entry] = []
        files: list[Path] = []
        skipped: list[str] = []
        for path in paths:
            file, content = _read(path)
            files.append(file)
            for number, line in enumerate(content.split(b"\n"), start=1):
                try:
                    entry = _parse_line(line, file, number)
                except ValueError:
                    skipped.append(f"{file}:{number}")
                    continue
                if entry is not None:
                    entries.append(entry)
        if skipped:
            _log.debug("host-key lines skipped, broken or of another type: %s", ", ".join(skipped))
        return cls(entries, files)

    def key_types(self, host: str, port: int) -> list[str]:
        """The key types on file, to be offered first so that the server shows the known key.

        Unlike `ssh`, which looks at `[host]:port` alone, this follows the fall-back to the bare
        name: a server with several keys is then not refused for showing the wrong one.
        """
        return list(dict.fromkeys(entry.key.key_type for entry in self._usable(host, port)))

    def names(self, host: str, port: int) -> bool:
        """Whether a plain key is on file for just this host and port, without the fall-back."""
        return any(not entry.marker for entry in self._entries_for(_names(host, port)[0]))

    def verify(self, host: str, port: int, key: HostKey) -> None:
        """Return if `key` is on file for this machine, raise HostKeyError if it is not."""
        names = _names(host, port)
        authority = other = None
        for name in names:
            entries = self._entries_for(name)
            plain = [entry for entry in entries if not entry.marker]
            for entry in entries:
                if entry.marker == _REVOKED and entry.key == key:
                    raise _revoked(host, port, key, entry)
            if any(entry.key == key for entry in plain):
                return
            if plain and name == names[0]:
                same_type = [entry for entry in plain if entry.key.key_type == key.key_type]
                raise _changed(host, port, key, (same_type or plain)[0])
            other = next(iter(plain), None)
            authorities = (entry for entry in entries if entry.marker == _AUTHORITY)
            authority = authority or next(authorities, None)
        raise self._unknown(host, port, key, authority, other)

    def _entries_for(self, name: bytes) -> list[_Entry]:
        return [entry for entry in self._entries if _names_match(entry.names, name)]

    def _usable(self, host: str, port: int) -> list[_Entry]:
        for name in _names(host, port):
            entries = self._entries_for(name)
            plain = [entry for entry in entries if not entry.marker]
            if plain:
                revoked = {entry.key for entry in entries if entry.marker == _REVOKED}
                return [entry for entry in plain if entry.key not in revoked]
        return []

    def _unknown(
        self, host: str, port: int, key: HostKey, authority: _Entry | None, other: _Entry | None
    ) -> HostKeyError:
        if authority is not None:
            case = (
                f"and only a certificate authority (@cert-authority, {authority.place}) is on file "
                "for this machine; host certificates are not supported yet"
            )
        elif other is not None:
            case = (
                "and no key is on file for that port; "
                f"{other.place} has a different key for {host} without a port"
            )
        else:
            case = "and no key is on file for this machine"
        short = _SHORT_TYPE.get(key.key_type, key.key_type)
        remedy = f"pass --host-key {key.fingerprint}"
        if self._files:
            scan = f"ssh-keyscan -t {short} -p {port} {quoted(host)} >> {quoted(self._files[0])}"
            remedy = f"run `{scan}` or {remedy}"
        return HostKeyError(
            _failed(host, port, key, case),
            "Compare the fingerprint with the one that the machine's administrator gives you, or "
            f"that `ssh-keygen -lf /etc/ssh/ssh_host_{short}_key.pub` prints on that machine. "
            f"If they are the same, {remedy}",
        )


def entry(host: str, port: int, key: HostKey) -> str:
    """The line for a known_hosts file, with its newline.

    Raises KnownHostsError for a host that would mean something else there (`*`, a list, a blank).
    """
    if not host or _NOT_IN_A_NAME.search(host):
        raise KnownHostsError(
            f"{host!r} cannot be the name of a machine in a known_hosts file",
            "Use the machine's plain host name or its address",
        )
    return f"{_name(host, port)} {key.key_type} {key.base64}\n"


def _read(path: Path) -> tuple[Path, bytes]:
    try:
        path = path.expanduser()
        if not path.is_dir():  # asked first, since Windows calls that "Permission denied"
            return path, path.read_bytes()
    except FileNotFoundError:
        return path, b""
    except (OSError, RuntimeError, ValueError) as exc:  # no home folder; a NUL in the path
        reason = getattr(exc, "strerror", None) or str(exc)
        raise _unreadable(path, f"cannot be read: {reason}") from exc
    raise _unreadable(path, "is a directory")


def _unreadable(path: Path, reason: str) -> KnownHostsError:
    return KnownHostsError(
        f"The known_hosts file {quoted(path)} {reason}",
        "Make it a readable file, or name another one with --known-hosts",
    )


def _parse_line(line: bytes, path: Path, number: int) -> _Entry | None:
    """One line as an entry; None if it is blank or a comment, ValueError if it is broken."""
    # OpenSSH reads C strings: a line ends at NUL too, and no `@revoked` may get lost over that.
    text = line.partition(b"\0")[0].strip(b" \t\r")
    if not text or text.startswith(b"#"):
        return None
    fields = re.split(rb"[ \t]+", text)
    marker = fields.pop(0) if text.startswith(b"@") else b""
    if marker not in (b"", _REVOKED, _AUTHORITY) or len(fields) < 3:
        raise ValueError("not `[marker] names type key [comment]`")
    names, key_type, encoded = fields[:3]
    return _Entry(marker, names, decode(key_type.decode(), encoded.decode()), path, number)


def _name(host: str, port: int) -> str:
    """The machine's name on file; `ssh` lowers the case of the letters of ASCII only."""
    host = host.encode("utf-8", "surrogateescape").lower().decode("utf-8", "surrogateescape")
    return host if port == _SSH_PORT else f"[{host}]:{port}"


def _names(host: str, port: int) -> list[bytes]:
    """The names to look under, in this order."""
    names = dict.fromkeys((_name(host, port), _name(host, _SSH_PORT)))
    return [name.encode("utf-8", "surrogateescape") for name in names]


def _names_match(names: bytes, name: bytes) -> bool:
    if names.startswith(b"|"):
        return _hash_matches(names, name)
    matched = False
    for pattern in names.lower().split(b","):
        negated = pattern.startswith(b"!")
        pattern = pattern[negated:]
        if len(pattern) > _LONGEST_PATTERN:
            return False
        if _pattern_matches(pattern, name):
            if negated:
                return False
            matched = True
    return matched


def _pattern_matches(pattern: bytes, name: bytes) -> bool:
    if b"*" not in pattern and b"?" not in pattern:
        return pattern == name
    # Brackets are ordinary characters in this format: `[*.example.com]:2222`.
    return fnmatchcase(name, pattern.replace(b"[", b"[[]"))


def _hash_matches(hashed: bytes, name: bytes) -> bool:
    """`|1|salt|HMAC-SHA1 of the name keyed with the salt|`, one name and never a list."""
    version, _, rest = hashed[1:].partition(b"|")
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in rest.split(b"|"))
    except ValueError:
        return False
    return version == b"1" and len(salt) == _SALT_SIZE and hmac.digest(salt, name, "sha1") == digest


def _failed(host: str, port: int, key: HostKey, case: str) -> str:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    shown = f"{address} showed the {key.key_type} key {key.fingerprint}"
    return f"Host key verification failed: {shown}, {case}"


def _revoked(host: str, port: int, key: HostKey, entry: _Entry) -> HostKeyError:
    return HostKeyError(
        _failed(host, port, key, f"which is marked as revoked at {entry.place}"),
        "Do not connect: somebody else may hold that key. "
        "Ask the machine's administrator for its new key",
    )


def _changed(host: str, port: int, key: HostKey, entry: _Entry) -> HostKeyError:
    case = (
        f"but {entry.place} has a different key on file for it ({entry.key.key_type} "
        f"{entry.key.fingerprint}). The machine's key has changed, or this is an attack"
    )
    # `ssh-keygen -R` drops whole lines, and one with patterns speaks for other machines too.
    if re.search(rb"[*?!]", entry.names):
        remedy = f"correct line {entry.line} of {quoted(entry.path)}"
    else:
        name = quoted(_name(host, port))
        remedy = f"forget the old one with `ssh-keygen -R {name} -f {quoted(entry.path)}`"
    return HostKeyError(
        _failed(host, port, key, case),
        f"Only when the machine's administrator has confirmed the new fingerprint, {remedy}",
    )
