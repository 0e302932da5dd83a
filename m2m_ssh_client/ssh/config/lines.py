"""One line of a configuration file: its keyword and its words, cut where OpenSSH 9 cuts them.

Bytes that are not UTF-8 travel as surrogates, so that a path keeps its exact bytes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from m2m_ssh_client.text import printable, shortened

_BLANK = " \t\r\n"
_END_OF_KEYWORD = re.compile(r'[ \t\r\n"=]')


class Line(NamedTuple):
    """A keyword in lower case, its value to the end of the line, and the value's words."""

    keyword: str
    rest: str
    words: tuple[str, ...]


def parse(text: str) -> Line | None:
    """Parse a line; None for an empty line or a comment.

    Raises ValueError if there is no value, or a quote without its pair.
    """
    # To C, a NUL ends the line. The first character stays, whatever it is.
    text = text.partition("\0")[0]
    text = text[:1] + text[1:].rstrip(_BLANK + "\f")
    keyword, rest = _first_word(text)
    if keyword == "":
        keyword, rest = _first_word(rest)
    if not keyword or keyword.startswith("#"):
        return None
    rest = rest.lstrip(_BLANK)
    if not rest:
        raise ValueError(f"{shown(keyword)}: no argument")
    return Line(lower(keyword), rest, split(rest))


def keyword_of(text: str) -> str:
    """Return a line's keyword in lower case, even if the rest makes no sense; "" without one."""
    keyword, rest = _first_word(text)
    return lower((keyword or _first_word(rest)[0] or "").strip(_BLANK))


def lower(text: str) -> str:
    """Return ASCII text in lower case; other text stays, so that it cannot turn into a keyword."""
    return text.lower() if text.isascii() else text


def shown(text: str) -> str:
    """Return text from a file, fit for a message."""
    return shortened(printable(text.encode("utf-8", "surrogateescape")), 80)


def split(text: str) -> tuple[str, ...]:
    """Return the words between blanks and tabs, up to a `#` that starts a word.

    Quotes of both kinds and backslashes have their usual effect.
    """
    words: list[str] = []
    position = 0
    while True:
        while text[position : position + 1] in (" ", "\t"):
            position += 1
        if position >= len(text) or text[position] == "#":
            return tuple(words)
        word, position = _word(text, position)
        words.append(word)


def _word(text: str, position: int) -> tuple[str, int]:
    """Return the word that starts there, and the place where it ends."""
    parts: list[str] = []
    quote = ""
    while position < len(text):
        char, following = text[position], text[position + 1 : position + 2]
        # A backslash before anything else is one itself, as in paths of Windows.
        if char == "\\" and (following in ("'", '"', "\\") or (following == " " and not quote)):
            parts.append(following)
            position += 1
        elif char in " \t" and not quote:
            break
        elif char in "'\"" and quote in ("", char):
            quote = "" if quote else char
        else:
            parts.append(char)
        position += 1
    if quote:
        raise ValueError("invalid quotes")
    return "".join(parts), position


def _first_word(text: str) -> tuple[str | None, str]:
    """Return the text before the first blank, `=` or end of a quote, and the rest.

    Returns None for a quote without its pair.
    """
    end = _END_OF_KEYWORD.search(text)
    if end is None:
        return text, ""
    word, rest = text[: end.start()], text[end.end() :]
    if end.group() == '"':
        inside, quote, rest = rest.partition('"')
        return (word + inside if quote else None), rest.lstrip(_BLANK)
    rest = rest.lstrip(_BLANK)
    if end.group() != "=" and rest.startswith("="):
        rest = rest[1:].lstrip(_BLANK)
    return word, rest
