"""The first members of an object of which not all is there, or not all is valid."""

from __future__ import annotations

import re

_LONGEST = 4096  # bytes
TOKEN = re.compile(rb'[ \t\r]*(?:"((?:[^"\\]|\\.)*)"|([{}\[\]:,])|[-+.\w]+)', re.DOTALL)
"""A token of JSON: groups 1 and 2 are a string's content, and a bracket, colon or comma."""


def read_head(text: bytes) -> dict[bytes, bytes]:
    """Return the members of the object that the text begins with, as far as its first 4 KiB tell.

    Names keep their spelling. Values are JSON text, empty for objects, arrays, and for a last value
    that may go on behind the text.
    """
    members: dict[bytes, bytes] = {}
    text = text[:_LONGEST]
    at = depth = 0
    last, name = b"", None
    while match := TOKEN.match(text, at):
        string, mark = match.groups()
        at = match.end()
        if mark in (b",", b"}") and depth == 1 and name is not None:
            members[name], name = last, None
        if mark in (b"{", b"["):
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
        elif mark == b":" and depth == 1 and string is None:
            name, last = last[1:-1], b""
            members[name] = b""
        if depth == 0:
            break
        if depth == 1:
            last = b"" if mark else match.group().strip()
    return members
