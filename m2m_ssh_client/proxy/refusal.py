"""Answers for a host whose session fails before there is a proxy to answer it.

The host gets the reason as a JSON-RPC error instead of a closed pipe. The module needs only the
standard library, because memory may be short.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from m2m_ssh_client import descriptors

# The proxy also waits this long when it could not connect: a host of both eras sends two requests.
_LINGER_TIME = 4.0
_READ_SIZE = 4096
_LONGEST = 1024 * 1024  # bytes of a line: the first lines of a session are far shorter
_PROXY_ERROR = -32000  # as in `proxy.frames.frame`, which is not loaded here


def refuse(reason: str, stdin: int = 0, stdout: int = 1) -> None:
    """Answer each request with the reason until the host leaves, for four seconds at most.

    Return at once if stdin is a terminal.
    """
    if os.isatty(stdin):
        return
    answering = threading.Thread(
        target=_answer, args=(reason, stdin, stdout), name="m2m-refusal", daemon=True
    )
    try:
        answering.start()
    except RuntimeError:  # no memory for a thread: answer here until the host closes the pipe
        _answer(reason, stdin, stdout)
    else:
        answering.join(_LINGER_TIME)


def _answer(reason: str, stdin: int, stdout: int) -> None:
    begun = b""
    with suppress(OSError):  # the host has gone
        while chunk := descriptors.read(stdin, _READ_SIZE):
            *lines, begun = (begun + chunk).split(b"\n")
            _refuse_lines(reason, lines, stdout)
            begun = begun[:_LONGEST]
        _refuse_lines(reason, [begun], stdout)


def _refuse_lines(reason: str, lines: list[bytes], stdout: int) -> None:
    error = {"code": _PROXY_ERROR, "message": reason}
    for line in lines:
        for id_ in _request_ids(line):
            answer = {"jsonrpc": "2.0", "id": id_, "error": error}
            descriptors.write(stdout, json.dumps(answer).encode() + b"\n")


def _request_ids(line: bytes) -> Iterator[Any]:
    """Yield the ids of the requests in a line."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return
    for message in found if isinstance(found, list) else [found]:
        if isinstance(message, dict) and "method" in message and "id" in message:
            yield message["id"]
