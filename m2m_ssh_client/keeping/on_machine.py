"""The program of the exec request on the remote machine: it starts, attaches to and lists keepers.

To attach, it passes its own stdin and stdout to the keeper (SCM_RIGHTS) and then only waits, so
there is one process between sshd and the server, not two.
"""

import os
import signal
import socket
import struct
import sys

assert sys.platform != "win32"  # noqa: S101 - for the type checker

from m2m_ssh_client.keeping.keeper import PIPE, Keeper, is_ours  # noqa: E402 - as above
from m2m_ssh_client.keeping.stream import (  # noqa: E402
    ATTACH,
    ATTACHED,
    END_SERVER,
    GONE,
    OFFSET,
    READY,
    START,
)

# Local and short: a socket's path has at most 104 bytes, and a home on NFS may take none. Unlike
# XDG_RUNTIME_DIR it outlives the login. Whoever else can write there cannot enter the folder.
PARENTS = ("/tmp", "~")  # noqa: S108 # nosec B108

_LONGEST_ORDER = 8 * 1024 * 1024


def folders(parents: "tuple[str, ...]" = PARENTS) -> "list[str]":
    """Return the folders where sockets may be: those that are the user's alone."""
    found = []
    for parent in parents:
        path = os.path.expanduser(parent).rstrip("/") + "/.m2m-kept-" + str(os.getuid())
        try:
            state = os.lstat(path)
        except OSError:
            continue
        if state.st_mode == 0o040700 and state.st_uid == os.getuid():
            found.append(path)
    return found


def _listen(name: str) -> "tuple[socket.socket, str]":
    """Return a socket of this name in the first folder that can have one. Raises OSError."""
    failure = OSError(0, "no folder is the user's alone")
    for parent in PARENTS:
        try:
            os.mkdir(os.path.expanduser(parent) + "/.m2m-kept-" + str(os.getuid()), 0o700)
        except OSError as exc:
            failure = exc
        for folder in folders((parent,)):
            listener = socket.socket(socket.AF_UNIX)
            mask = os.umask(0o077)
            try:
                listener.bind(folder + "/" + name)
                listener.listen(8)
                return listener, folder + "/" + name
            except OSError as exc:
                failure = exc
            finally:
                os.umask(mask)
    raise failure


def _keep(name: str, seconds: float, label: bytes, command: bytes) -> bytes:
    """Start a server under a keeper of its own; return an error, if there is one."""
    try:
        listener, path = _listen(name)
    except OSError as exc:
        return os.fsencode(exc.strerror or str(exc))
    if not os.fork():
        _live(listener, path, seconds, label, command)
    listener.close()
    os.wait()
    return b""


def _live(listener: socket.socket, path: str, seconds: float, label: bytes, command: bytes) -> None:
    """Be the keeper, away from the login. Never returns."""
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        os.close(nothing)
        keeper = Keeper(listener, seconds, label)
        try:
            keeper.start(command)
            os.chdir("/")
            keeper.run()
        finally:
            keeper.abandon()
            os.unlink(path)
            os.rmdir(os.path.dirname(path))  # fails if another keeper is there
    finally:
        os._exit(0)


def _attach(name: str, offset: int) -> bytes:
    """Pass our stdio to the keeper and wait until it lets go of it; return why that failed."""
    for each in folders():
        caller = socket.socket(socket.AF_UNIX)
        try:
            caller.connect(each + "/" + name)
        except OSError:
            continue
        if not is_ours(caller):
            continue
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("2i", 0, 1))]
        caller.sendmsg([b"A" + OFFSET.pack(offset)], passed)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(2):
            os.dup2(nothing, number)
        caller.recv(1)
        return b""
    return GONE


def _ask(what: bytes, number: int) -> None:
    """Print what each keeper says; ask the one with this process id, or each for 0."""
    for folder in folders():
        for name in _names(folder):
            caller = socket.socket(socket.AF_UNIX)
            caller.settimeout(2)
            try:
                caller.connect(folder + "/" + name)
            except ConnectionRefusedError:  # the keeper was killed
                _remove(folder + "/" + name)
                caller.close()
                continue
            except OSError:
                continue
            try:
                caller.sendall(b"L")
                said = caller.recv(4096)
                if what == END_SERVER and number in (0, int(said.split(b"\t")[0])):
                    caller = socket.socket(socket.AF_UNIX)
                    caller.connect(folder + "/" + name)
                    caller.sendall(b"E")
                    caller.recv(4096)
                elif what == END_SERVER:
                    continue
                os.write(1, said)
            except (OSError, ValueError):
                continue


def _names(folder: str) -> "list[str]":
    try:
        return sorted(os.listdir(folder))
    except OSError:  # the last keeper has just removed it
        return []


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # somebody else who asks was quicker
        pass


def _ordered() -> "list[bytes]":
    text = _exactly(OFFSET.size)
    size = OFFSET.unpack(text)[0] if text else 0
    if not 0 < size <= _LONGEST_ORDER:
        sys.exit(1)
    return _exactly(size).split(b"\0")


def _exactly(size: int) -> bytes:
    """Read that many bytes and not one more: what follows is the keeper's. Empty at the end."""
    text = b""
    while len(text) < size:
        data = os.read(0, min(size - len(text), PIPE))
        if not data:
            return b""
        text += data
    return text


def main() -> None:
    """Do what the client orders: start, attach, list or end."""
    os.write(1, READY + b"\n")
    what, *rest = _ordered()
    if what == START:
        name, seconds, label, command = rest
        failure = _keep(name.decode(), float(seconds), label, command)
        failure = failure or _attach(name.decode(), 0)
    elif what == ATTACH:
        name, offset = rest
        failure = _attach(name.decode(), int(offset))
    else:
        _ask(what, int(rest[0]))
        return
    if failure:
        os.write(1, ATTACHED + b"- " + failure + b"\n")
        sys.exit(3)


if __name__ == "__main__":
    main()
