"""Command lines without what may be secret in them. Masking too much beats masking too little."""

from __future__ import annotations

import re

_VALUE = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s'";|&]*)"""
_QUOTED_ASSIGNMENT = re.compile(r"'([A-Za-z_]\w*)=[^']*'")
_ASSIGNMENT = re.compile(rf"(?<![\w-])([A-Za-z_]\w*)={_VALUE}")
_OPTION = re.compile(
    rf"(--?[\w-]*(?:token|secret|passw|passphrase|credential|auth|key)[\w-]*)(=|\s+){_VALUE}",
    re.IGNORECASE,
)
_USER_OF_URL = re.compile(r"(?<=://)[^\s/@]+@")


def masked(text: str) -> str:
    """The text with the values of variables, of options with a telling name and of a URL's user left out."""
    text = _QUOTED_ASSIGNMENT.sub(r"'\1=…'", text)
    text = _ASSIGNMENT.sub(r"\1=…", text)
    text = _OPTION.sub(r"\1\2…", text)
    return _USER_OF_URL.sub("…@", text)
