"""Save images, audio and other bytes of a result to new files; never overwrite one."""

from __future__ import annotations

import os
import re
import sys
from itertools import count
from mimetypes import MimeTypes
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from m2m_ssh_client.errors import SSHClientError, reason
from m2m_ssh_client.text import printable

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_CHARACTERS = 80
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
# Names that Windows reserves for devices, whatever their suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
# The standard library's own table, not this machine's, and types missing from it in Python 3.10.
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
# What stays the suffix of a file in the current folder: nothing there is run, imported or obeyed by
# a program that finds it (conftest.py, package.json, a.desktop). SVG can contain scripts.
_HARMLESS = {
    *(".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"),
    *(".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".wav", ".weba", ".webm"),
    *(".bin", ".csv", ".pdf"),
}


def save(data: bytes, folder: Path | None, source: str, mime_type: str | None) -> Path:
    """Write a new file and return its path.

    Its name derives from `source`, a tool's name or a URI; that and the type come from the server.
    Without a folder, which the person would have chosen for such files, it is the current one, and
    a suffix that a program could act on is followed by `.bin`.
    Raises an SSHClientError if the file cannot be written.
    """
    stem, suffix = _name(source, mime_type)
    if folder is None:
        folder = Path()
        if suffix.lower() not in _HARMLESS:
            suffix += ".bin"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            path = folder / f"{stem}{f'-{number}' if number > 1 else ''}{suffix}"
            try:
                with _new(path) as file:
                    file.write(data)
            except FileExistsError:
                continue
            return path
    except OSError as exc:
        raise SSHClientError(
            f"Cannot save to {printable(str(folder))}: {reason(exc)}",
            "Name another folder with --save-to.",
        ) from exc
    raise AssertionError("unreachable: the numbers never end")


if sys.platform == "win32":

    def _new(path: Path) -> BinaryIO:
        from m2m_ssh_client.windows import calls

        return os.fdopen(calls.opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb")

else:

    def _new(path: Path) -> BinaryIO:
        return path.open("xb")


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
    """Return the suffix of a type; empty if it is unknown or unspecific."""
    bare = (mime_type or "").partition(";")[0].strip().lower()
    if bare == "application/octet-stream":
        return ""
    return _MORE_TYPES.get(bare) or _TYPES.guess_extension(bare) or ""
