"""The far side of every measurement: answers as fast as Python can, so that what is measured is the way there.

Looks at the ends of a line only, and so understands what `session.py` writes and what the peers make of it. A call
with `"size":N` is answered with N bytes; before one with `"noise":N`, a line of so many bytes that is no message.
"""

from __future__ import annotations

import re
import sys

_ID = re.compile(rb'"id":\s*(\d+)')
_METHOD = re.compile(rb'"method":\s*"([a-z/]+)"')
_SIZE = re.compile(rb'"size":\s*(\d+)')
_NOISE = re.compile(rb'"noise":\s*(\d+)')
_END = 300  # bytes
_MILLION = b"x" * 1_000_000

_INFO = b'"serverInfo":{"name":"benchmark","version":"1"}'
_INITIALIZE = b'{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},' + _INFO + b"}"
_TOOLS = b'{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}'


def main() -> None:
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while line := source.readline():
        ends = line if len(line) <= 2 * _END else line[:_END] + line[-_END:]
        id_, method = _ID.search(ends), _METHOD.search(ends)
        if noise := _NOISE.search(ends):
            for _ in range(int(noise[1]) // len(_MILLION)):
                sink.write(_MILLION)
            sink.write(b"\n")
        if id_ and method:
            result = _result(method[1], ends)
            sink.write(b'{"jsonrpc":"2.0","id":%b,"result":%b}\n' % (id_[1], result))
            sink.flush()


def _result(method: bytes, request: bytes) -> bytes:
    if method == b"initialize":
        return _INITIALIZE
    if method == b"tools/list":
        return _TOOLS
    size = _SIZE.search(request)
    text = b"x" * int(size[1]) if size else b""
    return b'{"content":[{"type":"text","text":"%b"}]}' % text


if __name__ == "__main__":
    main()
