"""An answer for a host whose session cannot begin: the reason, instead of silence and a closed pipe.

For what fails before there is a proxy, which would say it otherwise. Needs next to nothing: memory may be short.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from m2m_ssh_client import descriptors

# As long as the proxy stays to tell that it could not connect. A host of both eras asks twice.
_LINGER_TIME = 4.0
_READ_SIZE = 4096
_LONGEST = 1024 * 1024  # bytes of a line: the first ones of a session are far shorter
_PROXY_ERROR = -32000  # as `proxy.frames` has it, which is not loaded for this


def refuse(reason: str, stdin: int = 0, stdout: int = 1) -> None:
    """Answer each request with the reason, until the host leaves, for a few seconds. Not a person at a terminal."""
    if os.isatty(stdin):
        return
    answering = threading.Thread(
        target=_answer, args=(reason, stdin, stdout), name="m2m-refusal", daemon=True
    )
    try:
        answering.start()
    except RuntimeError:  # there may be no memory for a thread either; then the host is to end this
        _answer(reason, stdin, stdout)
    else:
        answering.join(_LINGER_TIME)


def _answer(reason: str, stdin: int, stdout: int) -> None:
    begun = b""
    with suppress(OSError):  # nobody is there any more
        while chunk := descriptors.read(stdin, _READ_SIZE):
            *lines, begun = (begun + chunk).split(b"\n")
            _tell(reason, lines, stdout)
            begun = begun[:_LONGEST]
        _tell(reason, [begun], stdout)


def _tell(reason: str, lines: list[bytes], stdout: int) -> None:
    error = {"code": _PROXY_ERROR, "message": reason}
    for line in lines:
        for id_ in _asked(line):
            answer = {"jsonrpc": "2.0", "id": id_, "error": error}
            descriptors.write(stdout, json.dumps(answer).encode() + b"\n")


def _asked(line: bytes) -> Iterator[Any]:
    """The ids of the requests in a line."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return
    for message in found if isinstance(found, list) else [found]:
        if isinstance(message, dict) and "method" in message and "id" in message:
            yield message["id"]
