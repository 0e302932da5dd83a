"""Commands that start fast: a process that has loaded everything forks one for each of them.

Loading the SDK takes most of the time of a command that uses it. A forked command has its own arguments, environment,
folder, descriptors, signals and exit status, and ends as Python ends; only what Python does at its start it shares
with the others. What is started is `client`, a process that hands all of this over, passes signals on and ends as the
command does: tests use it as they use any program.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

_HEADER = 8  # bytes: the length of the request
_STARTING = 60.0  # seconds
_LOADED = (
    "anyio._backends._asyncio",
    "m2m_ssh_client.cli",
    "m2m_ssh_client.ssh.connection",
    "m2m_ssh_client.ssh.opener",
    "m2m_ssh_client.terminal.client",
    *(
        f"m2m_ssh_client.commands.{name}"
        for name in ("call", "list", "prompt", "read", "server_lists")
    ),
)

if sys.platform != "win32":

    @contextmanager
    def program(env: Mapping[str, str]) -> Iterator[list[str]]:
        """The argv that stands for `python -m m2m_ssh_client`, as long as it is needed."""
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "s"))
            argv = [sys.executable, str(Path(__file__)), "server", path]
            server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
            try:
                assert server.stdout is not None
                ready, _, _ = select.select([server.stdout], [], [], _STARTING)
                assert ready, "the process that forks commands has not started in time"
                assert os.read(server.stdout.fileno(), 100), "it has ended: its stderr says why"
                yield [sys.executable, "-S", "-E", str(Path(__file__)), "client", path]
            finally:
                server.communicate(timeout=_STARTING)

    def _client(path: str, arguments: Sequence[str]) -> int:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            request = json.dumps([arguments, dict(os.environ), str(Path.cwd())]).encode()
            socket.send_fds(connection, [len(request).to_bytes(_HEADER, "big")], [0, 1, 2])
            for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(each, lambda number, _: connection.sendall(bytes([number])))
            connection.sendall(request)
            status = int(connection.makefile().read())
        if status < 0:
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        return status

    def _serve(path: str) -> list[str]:
        """Fork until stdin ends; returns in each command, with its arguments."""
        for name in _LOADED:
            import_module(name)
        gc.freeze()  # the end of a command looks at nothing that it shares, and copies none of it
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(64)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that none stays as a zombie
            os.write(1, b"ready\n")
            sources: list[socket.socket | int] = [listener, 0]
            while listener in select.select(sources, [], [])[0]:
                connection, _ = listener.accept()
                with connection:
                    if os.fork() == 0:
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        listener.close()
                        return _supervised(connection)
        sys.exit(0)

    def _supervised(connection: socket.socket) -> list[str]:
        """Fork the command, in which this returns; here it is watched until its end."""
        size, descriptors, _, _ = socket.recv_fds(connection, _HEADER, 3)
        with connection.makefile("rb", buffering=0) as file:
            request = b""
            while len(request) < int.from_bytes(size, "big"):
                request += file.read(int.from_bytes(size, "big") - len(request)) or b""
        pid = os.fork()
        if pid == 0:
            connection.close()
            return _become(descriptors, *json.loads(request))
        for each in (0, 1, 2, *descriptors):
            os.close(each)
        threading.Thread(target=_pass_signals_on, args=(connection, pid), daemon=True).start()
        _, status = os.waitpid(pid, 0)
        connection.sendall(b"%d" % os.waitstatus_to_exitcode(status))
        os._exit(0)

    def _pass_signals_on(connection: socket.socket, pid: int) -> None:
        while number := connection.recv(1):
            os.kill(pid, number[0])
        os.kill(pid, signal.SIGKILL)  # whoever started the client has killed it

    def _become(
        descriptors: Sequence[int], arguments: list[str], env: Mapping[str, str], folder: str
    ) -> list[str]:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(env)
        sys.argv[1:] = arguments
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", 1, "utf-8", "backslashreplace", closefd=False)
        return arguments

    if __name__ == "__main__":
        if sys.argv[1] == "client":
            sys.exit(_client(sys.argv[2], sys.argv[3:]))
        given = _serve(sys.argv[2])
        sys.exit(import_module("m2m_ssh_client.cli").main(given))
