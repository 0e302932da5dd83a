"""SSH servers that are not OpenSSH, started on loopback: as they come, or the least that uses a library."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from support import installed, programs
from support.sshd import SshdKeys, free_port

ASYNCSSH = "2.24.1"
CONCH = "26.10.0"
SSH2 = "1.17.0"

_START_TIMEOUT = 20.0  # seconds
_HERE = Path(__file__).parent


class OtherServer(NamedTuple):
    port: int
    username: str
    known_hosts: Path
    client_key: Path
    killed: str = "SIGKILL"
    """What it tells of a process that SIGKILL has ended."""

    def options(self) -> list[str]:
        """What our command needs in order to log in here."""
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--username", self.username]
        files = ["--client-key", str(self.client_key), "--known-hosts", str(self.known_hosts)]
        return [*place, *files, "-F", "none"]

    def openssh_argv(self, *command: str) -> list[str]:
        """The same session with OpenSSH's own client."""
        settings = {
            "UserKnownHostsFile": self.known_hosts,
            "IdentityFile": self.client_key,
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "Port": self.port,
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        ssh = str(programs.require("ssh"))
        return [ssh, "-F", "none", "-T", *options, f"{self.username}@127.0.0.1", "--", *command]


@contextmanager
def started(name: str, keys: SshdKeys, folder: Path) -> Iterator[OtherServer]:
    """Start the server of this name; it ends with the context."""
    port = free_port()
    argv = _ARGV[name](port, keys, folder)
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {keys.public_host_key('ed25519')}\n")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    user = getpass.getuser()
    try:
        deadline = time.monotonic() + _START_TIMEOUT
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{name} did not start: {(folder / 'log').read_text()}")
            time.sleep(0.02)
        told = {"killed": "status 137"} if name == "Erlang" else {}
        yield OtherServer(port, user, known_hosts, keys.client_key, **told)
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            return sock.recv(4) == b"SSH-"
    except OSError:
        return False


def _dropbear(port: int, keys: SshdKeys, folder: Path) -> list[str]:
    dropbear, convert = programs.require("dropbear"), programs.require("dropbearconvert")
    host_key = folder / "dropbear_key"
    subprocess.run(
        [convert, "openssh", "dropbear", keys.host_key("ed25519"), host_key],
        check=True,
        capture_output=True,
        timeout=20,
    )
    serve = [str(dropbear), "-F", "-E", "-m", "-s", "-r", str(host_key), "-p", f"127.0.0.1:{port}"]
    return _in_another_home(serve, keys, folder)


def _tinyssh(port: int, keys: SshdKeys, folder: Path) -> list[str]:
    tinysshd = programs.require("tinysshd")
    host_key = serialization.load_ssh_private_key(keys.host_key("ed25519").read_bytes(), None)
    assert isinstance(host_key, ed25519.Ed25519PrivateKey)
    public = host_key.public_key().public_bytes_raw()
    kept = folder / "tinyssh"
    kept.mkdir()
    (kept / "ed25519.pk").write_bytes(public)
    (kept / ".ed25519.sk").write_bytes(host_key.private_bytes_raw() + public)
    inetd = [sys.executable, str(_HERE / "inetd.py"), str(port)]
    return _in_another_home([*inetd, str(tinysshd), "-v", "--", str(kept)], keys, folder)


def _in_another_home(serve: list[str], keys: SshdKeys, folder: Path) -> list[str]:
    """For a server that knows authorized_keys only in the account's home: root can put it elsewhere."""
    if sys.platform == "win32" or os.geteuid() != 0:
        programs.unavailable("only root can give an account another home folder")
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    authorized = home / ".ssh" / "authorized_keys"
    authorized.write_text(keys.client_key.with_suffix(".pub").read_text())
    authorized.chmod(0o600)
    home.chmod(0o700)
    accounts = folder / "passwd"
    others = Path("/etc/passwd").read_text().splitlines()[1:]
    # Some want no folder on the way there that others may write into, such as /tmp.
    first = f"{getpass.getuser()}:*:0:0::/mnt:/bin/sh"
    accounts.write_text("\n".join([first, *others, ""]))
    script = f"mount --bind '{accounts}' /etc/passwd && mount --bind '{home}' /mnt && exec \"$@\""
    there = [str(programs.require("unshare")), "--mount", "sh", "-c", script, "sh"]
    if subprocess.run([*there, "true"], capture_output=True).returncode:
        programs.unavailable("this machine allows no mount namespaces, even to root")
    return [*there, *serve]


def _libssh(port: int, keys: SshdKeys, folder: Path) -> list[str]:
    program = folder / "server"
    compiler = [str(programs.require("cc")), "-O1", "-D_GNU_SOURCE", "-o", str(program)]
    built = subprocess.run(
        [*compiler, str(_HERE / "libssh_server.c"), "-lssh"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if built.returncode:
        programs.unavailable(f"a server with libssh cannot be built: {built.stderr[-500:]}")
    return [str(program), *_arguments(port, keys)]


def _conch(port: int, keys: SshdKeys, _: Path) -> list[str]:
    python = installed.python_with(f"twisted[conch]=={CONCH}")
    return [str(python), str(_HERE / "conch_server.py"), *_arguments(port, keys)]


def _asyncssh(port: int, keys: SshdKeys, _: Path) -> list[str]:
    python = installed.python_with(f"asyncssh=={ASYNCSSH}")
    return [str(python), str(_HERE / "asyncssh_server.py"), *_arguments(port, keys)]


def _ssh2(port: int, keys: SshdKeys, _: Path) -> list[str]:
    node, modules = programs.require("node"), installed.npm_folder(f"ssh2@{SSH2}") / "node_modules"
    return [str(node), str(_HERE / "ssh2_server.js"), str(modules), *_arguments(port, keys)]


def _erlang(port: int, keys: SshdKeys, folder: Path) -> list[str]:
    process = [sys.executable, str(_HERE / "framed_process.py")]
    return [*_erlang_alone(port, keys, folder), *process]


def _erlang_alone(port: int, keys: SshdKeys, folder: Path) -> list[str]:
    kept = folder / "erlang"
    kept.mkdir()
    (kept / "ssh_host_ed25519_key").write_bytes(keys.host_key("ed25519").read_bytes())
    (kept / "authorized_keys").write_bytes(keys.client_key.with_suffix(".pub").read_bytes())
    escript = [str(programs.require("escript")), str(_HERE / "erlang_server.escript")]
    return [*escript, str(port), str(kept)]


def _arguments(port: int, keys: SshdKeys) -> list[str]:
    client = keys.client_key.with_suffix(".pub")
    return [str(port), str(keys.host_key("ed25519")), str(client)]


_ARGV = {
    "dropbear": _dropbear,
    "TinySSH": _tinyssh,
    "libssh": _libssh,
    "asyncssh": _asyncssh,
    "Conch": _conch,
    "ssh2": _ssh2,
    "Erlang": _erlang,
    "Erlang alone": _erlang_alone,
}
