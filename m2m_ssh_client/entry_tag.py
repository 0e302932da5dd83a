"""A short tag of a command line, which says in logs and reports whose entry started a relay.

Command lines may hold secrets, so the tag must not tell anything about them, and not even confirm a
guess, wherever a log is pasted. It is therefore made with a key that never leaves this machine.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from m2m_ssh_client import user_only_files
from m2m_ssh_client.log_file import default_path

_KEY_SIZE = 32
_FLAGS = os.O_WRONLY | os.O_EXCL | getattr(os, "O_BINARY", 0)


def tag(arguments: Sequence[str]) -> str:
    """Return six hexadecimal digits for the arguments of this program; "" without a key for it."""
    import hashlib  # takes long to load, and is not needed to start

    with suppress(OSError, RuntimeError):
        key = _key(default_path().with_name("tag.key"))
        if len(key) == _KEY_SIZE:
            text = "\0".join(arguments).encode("utf-8", "surrogateescape")
            return hashlib.sha256(key + text).hexdigest()[:6]
    return ""


def _key(path: Path) -> bytes:
    """Return the key, made on first use. Raises OSError."""
    with suppress(FileNotFoundError):
        return path.read_bytes()
    user_only_files.make_folder(path.parent)
    with suppress(FileExistsError), os.fdopen(user_only_files.opened(path, _FLAGS), "wb") as file:
        file.write(os.urandom(_KEY_SIZE))
    return path.read_bytes()
