"""A ProxyCommand that carries between its stdin and stdout and a port on loopback, and does nothing else."""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress


def main() -> None:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:

        def send() -> None:
            with suppress(OSError):
                while data := os.read(0, 1 << 16):
                    server.sendall(data)
                server.shutdown(socket.SHUT_WR)

        threading.Thread(target=send, daemon=True).start()
        with suppress(OSError):  # broken off, which is what happens here
            while data := server.recv(1 << 16):
                os.write(1, data)
    os._exit(0)  # the thread may wait for stdin


if __name__ == "__main__":
    main()
