"""Run a command line for a parent that knows only frames: COMMAND.

Its stdin has frames of a length (four bytes, big-endian) and as many bytes for the command; an empty
one is the end of file. Its stdout has such frames, which begin with 1 (stdout) or 2 (stderr). It
ends as the command does.
"""

import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, BinaryIO

_writing = threading.Lock()


def feed(stdin: IO[bytes]) -> None:
    frames: BinaryIO = sys.stdin.buffer
    with suppress(OSError, ValueError):
        while size := int.from_bytes(frames.read(4), "big"):
            stdin.write(frames.read(size))
            stdin.flush()
    with suppress(OSError):
        stdin.close()


def tell(mark: bytes, stream: IO[bytes]) -> None:
    while data := os.read(stream.fileno(), 1 << 15):
        with _writing:
            sys.stdout.buffer.write((len(data) + 1).to_bytes(4, "big") + mark + data)
            sys.stdout.buffer.flush()


def main() -> int:
    pipe = subprocess.PIPE
    process = subprocess.Popen(["/bin/sh", "-c", sys.argv[1]], stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    threading.Thread(target=feed, args=(process.stdin,), daemon=True).start()
    tellers = [
        threading.Thread(target=tell, args=each)
        for each in ((b"\1", process.stdout), (b"\2", process.stderr))
    ]
    for each in tellers:
        each.start()
    for each in tellers:
        each.join()
    status = process.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.stdout.flush()
    os._exit(main())  # whatever still waits for input
