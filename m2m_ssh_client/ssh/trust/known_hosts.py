"""OpenSSH's host-key files: the keys, authorities and revocations on file for a machine's name.

The format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"; where the manual is silent, the
behaviour of OpenSSH's `ssh`. `verifier` draws the conclusions. One point is simpler than in `ssh`:
a tab may follow a marker (`ssh` ignores a `@revoked` with a tab).

Lines whose keys cannot be used here (DSA, FIDO, certificates, types that are not known) count: a
machine with only such a key on file is known, and any other key that it shows is a changed one.
`ssh` 10.5 says so too; 9.2 ignores lines of types that it does not know.

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

from m2m_ssh_client.errors import KnownHostsError, reason
from m2m_ssh_client.ssh.public_key import PublicKey, decode_on_file
from m2m_ssh_client.text import quoted

_log = logging.getLogger(__name__)

REVOKED = b"@revoked"
AUTHORITY = b"@cert-authority"

_SSH_PORT = 22

# In bytes: the room for one pattern in OpenSSH's match_pattern_list; a longer one voids its list.
_LONGEST_PATTERN = 1023
_SALT_SIZE = hashlib.sha1(usedforsecurity=False).digest_size

# Characters that separate, negate, match or mark something in the names field.
_NOT_IN_A_NAME = re.compile(r"[\x00-\x20\x7f,*?!|@#]")


class Entry(NamedTuple):
    """One line: `marker` is REVOKED, AUTHORITY or empty."""

    marker: bytes
    names: bytes
    key: PublicKey
    path: Path
    line: int

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"

    @property
    def is_for_one_name(self) -> bool:
        return not re.search(rb"[*?!]", self.names)


class KnownHosts:
    """The entries of several files, in the order of the files and of their lines."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries

    @classmethod
    def load(cls, paths: Iterable[Path], *, skip_unreadable: bool = False) -> KnownHosts:
        """Read the files; a missing one is empty, and a line that makes no sense is skipped.

        Raises KnownHostsError for a file that exists and cannot be read, unless those are skipped.
        """
        entries: list[Entry] = []
        skipped: list[str] = []
        for path in paths:
            try:
                file, content = read_file(path)
            except KnownHostsError as exc:
                if not skip_unreadable:
                    raise
                _log.warning("%s. Keys that it revokes are accepted", exc.message)
                continue
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
        return cls(entries)

    def entries_for(self, name: str) -> list[Entry]:
        """Return the lines for this name, spelt as by `on_file` or HostKeyAlias."""
        raw = name.encode("utf-8", "surrogateescape")
        return [entry for entry in self._entries if _names_match(entry.names, raw)]

    def has_other_names(self, name: str, key: PublicKey) -> bool:
        """Return whether this key is on file under other names than this one, too."""
        raw = name.encode("utf-8", "surrogateescape")
        lines = [entry for entry in self._entries if entry.key == key]
        return any(b"," in each.names or not _names_match(each.names, raw) for each in lines)


def on_file(host: str, port: int = _SSH_PORT) -> str:
    """Return the machine's name on file; like `ssh`, lower only the case of ASCII letters."""
    host = host.encode("utf-8", "surrogateescape").lower().decode("utf-8", "surrogateescape")
    return host if port == _SSH_PORT else f"[{host}]:{port}"


def entry(host: str, port: int | None, key: PublicKey, *, hashed: bool = False) -> str:
    """Return the line for a known_hosts file, with its newline.

    Without a port, `host` is a literal name. Raises KnownHostsError for a host that would mean
    something else there (`*`, a list, a blank).
    """
    if not host or _NOT_IN_A_NAME.search(host):
        raise KnownHostsError(
            f"{host!r} cannot be the name of a machine in a known_hosts file",
            "Use the machine's plain host name or its address",
        )
    name = on_file(host, port or _SSH_PORT)
    return f"{_hashed(name) if hashed else name} {key.key_type} {key.base64}\n"


def read_file(path: Path) -> tuple[Path, bytes]:
    """Return the path without `~`, and the content; a missing file is empty.

    Raises KnownHostsError.
    """
    try:
        path = path.expanduser()
        if not path.is_dir():  # asked first, since Windows calls that "Permission denied"
            return path, path.read_bytes()
    except FileNotFoundError:
        return path, b""
    except (OSError, RuntimeError, ValueError) as exc:  # no home folder; a NUL in the path
        raise _unreadable(path, f"cannot be read: {reason(exc)}") from exc
    raise _unreadable(path, "is a directory")


def _unreadable(path: Path, reason: str) -> KnownHostsError:
    return KnownHostsError(
        f"The known_hosts file {quoted(path)} {reason}",
        "Make it a readable file, or name another one with --known-hosts",
    )


def _parse_line(line: bytes, path: Path, number: int) -> Entry | None:
    """Parse one line; None for a blank line or a comment, ValueError for a broken one."""
    # OpenSSH reads C strings: a line ends at a NUL, too. No `@revoked` may get lost that way.
    text = line.partition(b"\0")[0].strip(b" \t\r")
    if not text or text.startswith(b"#"):
        return None
    fields = re.split(rb"[ \t]+", text)
    marker = fields.pop(0) if text.startswith(b"@") else b""
    if marker not in (b"", REVOKED, AUTHORITY) or len(fields) < 3:
        raise ValueError("not `[marker] names type key [comment]`")
    names, key_type, encoded = fields[:3]
    return Entry(marker, names, decode_on_file(key_type.decode(), encoded.decode()), path, number)


def _names_match(names: bytes, name: bytes) -> bool:
    if names.startswith(b"|"):
        return _hash_matches(names, name)
    matched = False
    for pattern in names.lower().split(b","):
        negated = pattern.startswith(b"!")
        pattern = pattern[negated:]
        if len(pattern) > _LONGEST_PATTERN:
            return False
        if pattern_matches(pattern, name):
            if negated:
                return False
            matched = True
    return matched


def pattern_matches(pattern: bytes, name: bytes) -> bool:
    """Match a name with `*` and `?` of ssh_config(5), PATTERNS; nothing else is special."""
    if b"*" not in pattern and b"?" not in pattern:
        return pattern == name
    # Brackets are ordinary characters in this format: `[*.example.com]:2222`.
    return fnmatchcase(name, pattern.replace(b"[", b"[[]"))


def _hash_matches(hashed: bytes, name: bytes) -> bool:
    """Compare a name with `|1|salt|HMAC-SHA1(salt, name)|`, one name and never a list."""
    version, _, rest = hashed[1:].partition(b"|")
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in rest.split(b"|"))
    except ValueError:
        return False
    return version == b"1" and len(salt) == _SALT_SIZE and hmac.digest(salt, name, "sha1") == digest


def _hashed(name: str) -> str:
    import secrets

    salt = secrets.token_bytes(_SALT_SIZE)
    digest = hmac.digest(salt, name.encode("utf-8", "surrogateescape"), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
