"""Foreign text on its way to a terminal, and the marker in front of a remote command's output."""

from __future__ import annotations

import io
import json
import sys
import unicodedata

from fuzz.target import replaced

from m2m_ssh_client.masking import masked
from m2m_ssh_client.ssh.process.output_marker import BehindMarker
from m2m_ssh_client.terminal import output
from m2m_ssh_client.text import printable, printable_lines, quoted, shortened

_MARKER = "m2m:0123:begin"


def check_text(data: bytes) -> None:
    """Bytes, and the text that they are with whatever is no UTF-8 as surrogates."""
    for foreign in (data, data.decode("utf-8", "surrogateescape")):
        shown = printable(foreign)
        assert len(shown.splitlines()) <= 1
        _cannot_steer(shown)
        assert printable(shown) == shown
        assert len(shortened(shown, 80)) <= 80
    text = data.decode("utf-8", "surrogateescape")
    _cannot_steer(printable_lines(text).replace("\n", ""))
    quoted(text)
    masked(text)
    _written(text)


def check_marker(data: bytes) -> None:
    """The first byte is the size of the pieces."""
    size, stream = (data[0] + 1, data[1:]) if data else (1, b"")
    passed: list[bytes] = []
    dropped: list[int] = []
    behind = BehindMarker(_MARKER, passed.append, dropped.append)
    for start in range(0, len(stream), size):
        behind(stream[start : start + size])
    lines = stream.split(b"\n")
    at = next(
        (i for i, x in enumerate(lines[:-1]) if x.rstrip(b"\r").endswith(_MARKER.encode())), None
    )
    expected = b"" if at is None else b"\n".join(lines[at + 1 :])
    assert b"".join(passed) == expected
    assert sum(dropped) == len(stream) - len(expected)


def _written(text: str) -> None:
    """As the commands write it."""
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    with replaced((sys, "stdout", stdout)):
        output.write_text(text)
        stdout.flush()
        _cannot_steer(stdout.buffer.getvalue().decode().replace("\n", ""))
        stdout.seek(0)
        stdout.truncate()
        output.write_json({"text": text})
        written = stdout.buffer.getvalue().decode("utf-8", "surrogatepass")
    _cannot_steer(written.replace("\n", ""))
    assert json.loads(written) == {"text": text}


def _cannot_steer(shown: str) -> None:
    assert not [c for c in shown if c != "\t" and unicodedata.category(c) in ("Cc", "Zl", "Zp")]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
