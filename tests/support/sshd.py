"""A real OpenSSH server on a free loopback port, with keys and configuration of its own."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from support import programs

_START_TIMEOUT = 10.0  # seconds
_HOST_KEY_TYPES = ("ed25519", "ecdsa", "rsa")
# Newer servers punish an address whose clients fail, which ours do on purpose.
_ONLY_IF_KNOWN = ("PerSourcePenalties no",)


@dataclass(frozen=True)
class SshdKeys:
    """Made once for all servers of a test session: making an RSA key takes a while.

    `client_key` may log in; `stranger_key` is a good key that no server accepts.
    """

    folder: Path
    client_key: Path
    stranger_key: Path

    @classmethod
    def generate(cls, folder: Path) -> SshdKeys:
        ssh_keygen = programs.require("ssh-keygen")

        def make(name: str, kind: str) -> Path:
            path = folder / name
            bits = ["-b", "2048"] if kind == "rsa" else []
            arguments = ["-q", "-N", "", "-C", name, "-t", kind, *bits, "-f", str(path)]
            subprocess.run([ssh_keygen, *arguments], check=True, timeout=30, capture_output=True)
            return path

        for kind in _HOST_KEY_TYPES:
            make(f"host_{kind}", kind)
        return cls(folder, make("client", "ed25519"), make("stranger", "ed25519"))

    def host_key(self, kind: str) -> Path:
        return self.folder / f"host_{kind}"

    def public_host_key(self, kind: str) -> str:
        """`ssh-ed25519 AAAA…`, without the comment."""
        text = self.host_key(kind).with_suffix(".pub").read_text()
        return " ".join(text.split()[:2])


@dataclass(frozen=True)
class Guest:
    """An account that exists for one server only: in the mount namespace where that server runs.

    OpenSSH treats root's sessions differently: it does not send them signals, for one. With `pam`,
    these are the rules of PAM for that server, which uses it. `others` are further accounts of the
    same user, each with its login shell.
    """

    name: str = "mcp-guest"
    uid: int = 61234
    pam: str = ""
    others: tuple[tuple[str, str], ...] = ()

    def known_to(self, argv: list[str], folder: Path) -> list[str]:
        """The argv which runs `argv` where the account exists."""
        accounts = folder / "passwd"
        lines = [
            f"{name}:*:{self.uid}:{self.uid}::{folder / 'home'}:{shell}\n"
            for name, shell in ((self.name, "/bin/sh"), *self.others)
        ]
        accounts.write_text(Path("/etc/passwd").read_text() + "".join(lines))
        instead = {"/etc/passwd": accounts}
        if self.pam:
            instead["/etc/pam.d/sshd"] = folder / "pam"
            instead["/etc/pam.d/sshd"].write_text(self.pam)
        mounts = " && ".join(f"mount --bind '{ours}' {path}" for path, ours in instead.items())
        unshare = [str(programs.require("unshare")), "--mount", "sh", "-c"]
        if subprocess.run([*unshare, mounts], capture_output=True).returncode:
            programs.unavailable("this machine allows no mount namespaces, even to root")
        return [*unshare, f'{mounts} && exec "$@"', "sh", *argv]


class Sshd:
    """`sshd -D -e` with `extra` lines added to its configuration; a context manager.

    Works as root and as an ordinary user, who is then the only one who can log in. Sessions see
    `home` as their home folder, so that the start-up files of whoever runs the tests play no part.
    `guest` makes an account that is not root's where root runs the tests.
    """

    def __init__(
        self, keys: SshdKeys, folder: Path, extra: Sequence[str] = (), guest: Guest | None = None
    ) -> None:
        self.keys = keys
        self._guest = guest
        self.username = guest.name if guest else getpass.getuser()
        self.port = free_port()
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.known_hosts = folder / "known_hosts"
        self.write_known_hosts(self.known_hosts)
        self._folder = folder
        self._log = bytearray()
        self._config = folder / "sshd_config"
        self._config.write_text("\n".join([*self._settings(), *extra, ""]))
        self._process = self._start()

    def __enter__(self) -> Sshd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The listening server's; its children serve one connection each."""
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.decode(errors="replace")

    def write_known_hosts(self, path: Path, kinds: Sequence[str] = _HOST_KEY_TYPES) -> None:
        keys = [self.keys.public_host_key(kind) for kind in kinds]
        path.write_text("".join(f"[127.0.0.1]:{self.port} {key}\n" for key in keys))

    def client_options(self) -> list[str]:
        """What our command needs in order to log in here."""
        options = {
            "--host": "127.0.0.1",
            "--port": str(self.port),
            "--username": self.username,
            "--client-key": str(self.keys.client_key),
            "--known-hosts": str(self.known_hosts),
        }
        return [word for pair in options.items() for word in pair]

    def openssh_argv(self, *command: str, batch: str = "yes") -> list[str]:
        """The same session with OpenSSH's own client, to compare with."""
        settings = {
            "UserKnownHostsFile": self.known_hosts,
            "IdentityFile": self.keys.client_key,
            "IdentitiesOnly": "yes",
            "BatchMode": batch,
            "Port": self.port,
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        ssh = str(programs.require("ssh"))
        return [ssh, "-F", "none", "-T", *options, f"{self.username}@127.0.0.1", "--", *command]

    @contextmanager
    def login_in_progress(self) -> Iterator[socket.socket]:
        """A connection that the server has taken, and that does not log in."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            # Whoever looked whether the server had started may still be in the way.
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as waiting:
                if waiting.recv(4) == b"SSH-":
                    yield waiting
                    return
        raise AssertionError(f"the server takes nobody:\n{self.log}")

    def stop(self) -> None:
        """Ends the server; sessions under way end with their clients."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._drain.join(1)

    def _settings(self) -> list[str]:
        authorized_keys = self._folder / "authorized_keys"
        authorized_keys.write_text(self.keys.client_key.with_suffix(".pub").read_text())
        pam = "yes" if self._guest and self._guest.pam else "no"
        settings = [
            f"ListenAddress 127.0.0.1:{self.port}",
            *(f"HostKey {self.keys.host_key(kind)}" for kind in _HOST_KEY_TYPES),
            f"AuthorizedKeysFile {authorized_keys}",
            f"PidFile {self._folder / 'sshd.pid'}",
            f"SetEnv HOME={self.home}",
            "StrictModes no",
            f"UsePAM {pam}",
            "PasswordAuthentication no",
            f"KbdInteractiveAuthentication {pam}",
            "PermitRootLogin yes",
            "PrintMotd no",
            "LogLevel VERBOSE",
        ]
        return settings + [line for line in _ONLY_IF_KNOWN if self._is_known(line)]

    def _is_known(self, line: str) -> bool:
        probe = self._folder / "probe_config"
        probe.write_text(f"HostKey {self.keys.host_key('ed25519')}\n{line}\n")
        done = subprocess.run(
            [programs.require("sshd"), "-t", "-f", probe], capture_output=True, timeout=10
        )
        return done.returncode == 0

    def _start(self) -> subprocess.Popen[bytes]:
        argv = [str(programs.require("sshd")), "-D", "-e", "-f", str(self._config)]
        if self._guest:
            argv = self._guest.known_to(argv, self._folder)
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self._folder,
        )
        self._drain = threading.Thread(target=self._read_log, args=(process,), daemon=True)
        self._drain.start()
        deadline = time.monotonic() + _START_TIMEOUT
        while not _answers(self.port):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise AssertionError(f"sshd did not start:\n{self.log}")
            time.sleep(0.01)
        return process

    def _read_log(self, process: subprocess.Popen[bytes]) -> None:
        # Sessions inherit the pipe and may outlive the server, hence a daemon thread.
        assert process.stderr is not None
        with process.stderr as stderr:
            while chunk := os.read(stderr.fileno(), 1 << 16):
                self._log += chunk


def make_privilege_separation_folder() -> None:
    """As root, sshd wants the folder that a service manager would have made."""
    if sys.platform != "win32" and os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, parents=True, exist_ok=True)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.settimeout(1)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
