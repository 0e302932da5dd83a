"""Other spellings of the same JSON, for far sides that read it with more than a JSON parser.

Whatever their size, lines are spelt by a few passes of compiled code: a call may carry megabytes, and the event loop
stands still meanwhile.
"""

from __future__ import annotations

import json
import re

# What may stand in a string as it is: nothing that any shell acts on. (A backslash begins an escape of JSON's here.)
_HARMLESS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _.,:@-\\"
_SPACE = b" \t\r"
_QUOTE, _BACKSLASH = b'"', b"\\"
# Stand in for these two while the rest is escaped. JSON allows neither control character in a string (RFC 8259, 7).
_AS_QUOTE, _AS_BACKSLASH = b"\1", b"\2"
# Line breaks to Python's str.splitlines, though not to JSON: U+0085, U+2028, U+2029 in UTF-8.
_UNICODE_LINE_BREAK = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")


def shell_safe(line: bytes) -> bytes:
    """Spell valid JSON so that a shell that gets it by mistake can do nothing with it.

    In strings, every character that means something to any shell (`$`, backquote, `;`, `!`, quotes, …) becomes
    a JSON escape; white space between tokens goes. What is left is one word that names no command.
    """
    # Every backslash is in a string and begins an escape, so that these pairs are found where they are meant.
    for pair in (b"\\\\", b'\\"', b"\\/"):
        line = line.replace(pair, _escape(pair[1:]))
    parts = line.split(_QUOTE)  # from here on a quote begins or ends a string
    parts[0::2] = _QUOTE.join(parts[0::2]).translate(None, _SPACE).split(_QUOTE)
    if len(parts) > 1:
        parts[1::2] = _harmless(_QUOTE.join(parts[1::2])).split(_QUOTE)
    return _QUOTE.join(parts)


def _harmless(strings: bytes) -> bytes:
    """Escape what may do harm in the contents of strings, which quotes keep apart."""
    if not strings.isascii():
        text = strings.replace(_QUOTE, _AS_QUOTE).replace(_BACKSLASH, _AS_BACKSLASH).decode()
        strings = json.dumps(text)[1:-1].encode()
        strings = strings.replace(b"\\u0001", _QUOTE).replace(b"\\u0002", _BACKSLASH)
    for byte in set(strings.translate(None, _HARMLESS + _QUOTE)):
        strings = strings.replace(bytes([byte]), b"\\u%04x" % byte)
    return strings


def without_unicode_line_breaks(line: bytes) -> bytes:
    """Spell JSON with U+0085, U+2028 and U+2029 as escapes.

    m2m-mcp-server-ssh-server cuts its input with Python's universal line breaks and would split such a message.
    """
    if line.isascii():
        return line
    return _UNICODE_LINE_BREAK.sub(lambda match: _escape(match.group()), line)


def _escape(character: bytes) -> bytes:
    return b"\\u%04x" % ord(character.decode())
