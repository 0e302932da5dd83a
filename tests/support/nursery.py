"""The process that has loaded what programs need, and forks one for each request: KIND DESCRIPTOR.

It ends when the other end of its connection is closed, as when the process there is killed.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

SIZE = 8  # bytes: the length of a request; the number of a process
_CONNECTING = (
    "m2m_ssh_client.program",
    "m2m_ssh_client.cli",
    "m2m_ssh_client.ssh.opener",
    "m2m_ssh_client.ssh.connection",
    "m2m_ssh_client.ssh.login.authentication",
)
_RELAYING = (
    "m2m_ssh_client.masking",
    "m2m_ssh_client.relay",
    "m2m_ssh_client.status.snapshot",
    "anyio._backends._asyncio",
)
_NEEDED = {
    "relay": _RELAYING,
    "registering relay": (*_RELAYING, "m2m_ssh_client.ssh.trust.key_server"),
    "terminal": (
        *(f"m2m_ssh_client.commands.{name}" for name in ("call", "prompt", "read", "server_lists")),
        "m2m_ssh_client.terminal.client",
        "anyio._backends._asyncio",
    ),
    "doctor": ("m2m_ssh_client.commands.doctor",),
    "trust": ("m2m_ssh_client.commands.trust",),
}
_COMMANDS = {
    **dict.fromkeys(("call", "prompt", "prompts", "read", "resources", "tools"), "terminal"),
    "doctor": "doctor",
    "trust": "trust",
}
"""The commands that are forked, and what each needs."""
_SAMPLE = "m2m_ssh_client.demo.sample_server"
_FOR_SAMPLE = ("mcp.server.mcpserver", "mcp.server.fastmcp", "anyio._backends._asyncio")


def kind(words: Sequence[str]) -> str | None:
    """What has to be loaded for a module with these arguments; None if none of this helps it."""
    module, first, *_ = [*words, "", ""]
    if module == _SAMPLE:
        return "sample"
    # The help tells a place that depends on the environment, and is made while modules are loaded.
    if module != "m2m_ssh_client" or not {"--version", "--help", "-h"}.isdisjoint(words):
        return None
    if first in _COMMANDS:
        return _COMMANDS[first]
    if not first.startswith("-"):
        return None
    # A key server is asked over TLS, which a relay that asks none has not loaded.
    return "registering relay" if any("key-server" in word for word in words) else "relay"


def _load(kind: str) -> None:
    if kind == "sample":
        for name in _FOR_SAMPLE:
            with suppress(ImportError):  # each line of the SDK has one of the two
                import_module(name)
        return
    from m2m_ssh_client.lean_imports import leave_out_openssl
    from m2m_ssh_client.ssh.library.loading import load_paramiko

    if kind == "relay":
        leave_out_openssl()
    load_paramiko()
    for name in (*_CONNECTING, *_NEEDED[kind]):
        import_module(name)


if sys.platform == "linux":

    def _serve(connection: socket.socket) -> str | None:
        """Fork until the other end is closed; returns the module to run in each fork."""
        while True:
            size, descriptors, _, _ = socket.recv_fds(connection, SIZE, 3)
            if not size:
                return None
            request = connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
            if _forked(connection):
                return _become(descriptors, **json.loads(request))
            for each in descriptors:
                os.close(each)

    def _forked(connection: socket.socket) -> bool:
        """Fork, and give the fork away; true in it, once its parent is the one that it is to have."""
        told, tells = os.pipe()
        waits, lets_go = os.pipe()
        between = os.fork()
        if between == 0:
            pid = os.fork()
            if pid:
                os.write(tells, pid.to_bytes(SIZE, "big"))
                os._exit(0)
            os.close(lets_go)
            os.read(waits, 1)
            return True
        os.waitpid(between, 0)
        connection.sendall(os.read(told, SIZE))
        for each in (told, tells, waits, lets_go):
            os.close(each)
        return False

    def _become(
        descriptors: Sequence[int],
        argv: list[str],
        env: dict[str, str],
        folder: str,
        session: bool,
        group: int,
    ) -> str:
        """Be a process that has just been started like this; returns the module to run."""
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.chdir(folder)
        if session:
            os.setsid()
        if group >= 0:
            os.setpgid(0, group)
        os.environ.clear()
        os.environ.update(env)
        time.tzset()
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            old = getattr(sys, name)
            how = {"encoding": old.encoding, "errors": old.errors, "newline": "\n"}
            line = 1 if name == "stderr" else -1
            stream = open(number, "w" if number else "r", line, closefd=False, **how)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        _interpreter, _m, module, *sys.argv[1:] = argv
        sys.path.insert(0, folder)  # as `-m` has it
        return module

    def main() -> NoReturn:
        del sys.path[0]  # the folder of this file
        kind, descriptor = sys.argv[1:]
        _load(kind)
        gc.collect()
        gc.freeze()  # the end of a program looks at nothing that it shares, and copies none of it
        connection = socket.socket(fileno=int(descriptor))
        module = _serve(connection)
        if module is None:
            sys.exit(0)
        connection.detach()  # closed by now
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        sys.exit(0)

    if __name__ == "__main__":
        main()
