"""Command lines without what may be secret in them. Masking too much beats masking too little."""

from __future__ import annotations

import re

# A word of a shell: pieces in quotes and without, up to a blank or an operator.
_WORD = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s'"\\;|&])*"""
_QUOTED_ASSIGNMENT = re.compile(r"'([A-Za-z_]\w*)=[^']*'")
_ASSIGNMENT = re.compile(rf"(?<![\w-])([A-Za-z_]\w*)={_WORD}", re.DOTALL)
_TELLING = r"[\w-]*(?:token|secret|passw|passphrase|credential|auth|cookie|key)[\w-]*"
_OPTION = re.compile(rf"(--?{_TELLING})(=|\s+){_WORD}", re.IGNORECASE | re.DOTALL)
_HEADER = re.compile(rf"({_TELLING}:\s*)[^'\"\r\n]+", re.IGNORECASE)
_SCHEME = re.compile(r"\b(bearer|basic)\s+[\w.~+/-]+=*", re.IGNORECASE)
_SSHPASS = re.compile(rf"(\bsshpass\s+-p\s*){_WORD}", re.DOTALL)
_USER_OF_URL = re.compile(r"(?<=://)[^\s/@]+@")


def masked(text: str) -> str:
    """The text without the values of variables, of options and headers with a telling name, and of a URL's user."""
    text = _QUOTED_ASSIGNMENT.sub(r"'\1=…'", text)
    text = _ASSIGNMENT.sub(r"\1=…", text)
    text = _OPTION.sub(r"\1\2…", text)
    text = _HEADER.sub(r"\1…", text)
    text = _SCHEME.sub(r"\1 …", text)
    text = _SSHPASS.sub(r"\1…", text)
    return _USER_OF_URL.sub("…@", text)
