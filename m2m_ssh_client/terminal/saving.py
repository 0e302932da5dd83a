"""Images, audio and other bytes of a result → files that never take another's place."""

from __future__ import annotations

import re
from itertools import count
from mimetypes import MimeTypes
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.text import printable

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_CHARACTERS = 80
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
# Names that Windows keeps for devices, whatever stands behind the dot.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
# As the standard library's own table says it, not this machine's; and what that does not have in Python 3.10.
_TYPES = MimeTypes()
_MORE_TYPES = {
    "audio/flac": ".flac",
    "audio/mp3": ".mp3",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/wav": ".wav",
    "audio/webm": ".weba",
    "image/jpg": ".jpg",
    "image/webp": ".webp",
}


def save(data: bytes, folder: Path, source: str, mime_type: str | None) -> Path:
    """Write a new file and return its path.

    `source` is a tool's name or a URI, of which the file's name is made; both are the server's words. Raises an
    SSHClientError if it cannot be written.
    """
    stem, suffix = _name(source, mime_type)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            path = folder / f"{stem}{f'-{number}' if number > 1 else ''}{suffix}"
            try:
                with path.open("xb") as file:
                    file.write(data)
            except FileExistsError:
                continue
            return path
    except OSError as exc:
        raise SSHClientError(
            f"{printable(str(folder))} takes no file: {exc.strerror}", "Another folder: --save-to."
        ) from exc
    raise AssertionError("numbers do not end")


def _name(source: str, mime_type: str | None) -> tuple[str, str]:
    name = _last_part(source)
    own, suffix = PurePosixPath(name).suffix, _suffix(mime_type)
    says_the_same = suffix in ("", _suffix(_TYPES.guess_type(f"x{own}")[0]))
    if _SUFFIX.fullmatch(own) and (says_the_same or suffix == own.lower()):
        suffix = own
    stem = _UNFIT.sub("-", name.removesuffix(suffix)).strip("-.")[:_MOST_CHARACTERS] or "result"
    return (f"_{stem}" if _DEVICE.match(stem) else stem), suffix or ".bin"


def _last_part(source: str) -> str:
    try:
        parts = urlsplit(source)
    except ValueError:
        return source
    if not parts.scheme:
        return source
    return unquote(parts.path).rstrip("/").rpartition("/")[2] or parts.netloc or source


def _suffix(mime_type: str | None) -> str:
    """Empty where the type is unknown, or says nothing."""
    bare = (mime_type or "").partition(";")[0].strip().lower()
    if bare == "application/octet-stream":
        return ""
    return _MORE_TYPES.get(bare) or _TYPES.guess_extension(bare) or ""
