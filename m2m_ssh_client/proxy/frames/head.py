"""The first members of a JSON object that is incomplete or partly invalid."""

from __future__ import annotations

import re

_LONGEST = 4096  # bytes
TOKEN = re.compile(rb'[ \t\r]*(?:"((?:[^"\\]|\\.)*)"|([{}\[\]:,])|[-+.\w]+)', re.DOTALL)
"""A JSON token. Group 1 is the content of a string; group 2 is a bracket, a colon or a comma."""


def read_head(text: bytes) -> dict[bytes, bytes]:
    """Return the members of the object at the start of the text, from its first 4 KiB.

    Names keep their spelling. Values are JSON text. The value is empty for objects and arrays, and
    for a last value that may be incomplete.
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
