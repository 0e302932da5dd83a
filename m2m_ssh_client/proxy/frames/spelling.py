"""Other spellings of the same JSON, for peers that read a line with more than a JSON parser.

A call may carry megabytes, and the event loop waits while it is rewritten. So lines of any size are
rewritten in a few passes of compiled code.
"""

from __future__ import annotations

import json
import re

# No shell acts on these in a string. (A backslash here begins an escape of JSON's.)
_HARMLESS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _.,:@-\\"
_SPACE = b" \t\r"
_QUOTE, _BACKSLASH = b'"', b"\\"
# Placeholders for these two while the rest is escaped. JSON allows no raw control characters in
# strings (RFC 8259, section 7).
_AS_QUOTE, _AS_BACKSLASH = b"\1", b"\2"
# U+0085, U+2028 and U+2029 in UTF-8: line breaks to Python's `str.splitlines`, but not to JSON.
_UNICODE_LINE_BREAK = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")


def shell_safe(line: bytes) -> bytes:
    """Rewrite valid JSON so that a shell that gets it by mistake cannot act on it.

    In strings, each character with a meaning to any shell (`$`, backquote, `;`, `!`, quotes, …)
    becomes a JSON escape. White space between tokens is removed. The result is one word, which is
    not the name of a command.
    """
    # Each backslash begins an escape in a string, so these pairs cannot be found by accident.
    for pair in (b"\\\\", b'\\"', b"\\/"):
        line = line.replace(pair, _escape(pair[1:]))
    parts = line.split(_QUOTE)  # from here on, each quote begins or ends a string
    parts[0::2] = _QUOTE.join(parts[0::2]).translate(None, _SPACE).split(_QUOTE)
    if len(parts) > 1:
        parts[1::2] = _harmless(_QUOTE.join(parts[1::2])).split(_QUOTE)
    return _QUOTE.join(parts)


def _harmless(strings: bytes) -> bytes:
    """Escape the contents of strings, which are separated by quotes."""
    if not strings.isascii():
        text = strings.replace(_QUOTE, _AS_QUOTE).replace(_BACKSLASH, _AS_BACKSLASH).decode()
        strings = json.dumps(text)[1:-1].encode()
        strings = strings.replace(b"\\u0001", _QUOTE).replace(b"\\u0002", _BACKSLASH)
    for byte in set(strings.translate(None, _HARMLESS + _QUOTE)):
        strings = strings.replace(bytes([byte]), b"\\u%04x" % byte)
    return strings


def without_unicode_line_breaks(line: bytes) -> bytes:
    """Rewrite JSON with U+0085, U+2028 and U+2029 as escapes.

    m2m-mcp-server-ssh-server splits its input at Python's universal line breaks, and so would split
    such a message.
    """
    if line.isascii():
        return line
    return _UNICODE_LINE_BREAK.sub(lambda match: _escape(match.group()), line)


def _escape(character: bytes) -> bytes:
    return b"\\u%04x" % ord(character.decode())
