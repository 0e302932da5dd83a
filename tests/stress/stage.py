"""Where stories are played: an SSH server whose sessions run the remote, and a network before it that can be broken."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from faults.play import BreakableSshd
from stress import remote
from stress.play import PATIENCE, Play
from stress.record import Record
from stress.story import Story
from support.fault_proxy import FaultProxy
from support.host import PACKAGE_PARENT
from support.sshd import SshdKeys, make_privilege_separation_folder

from m2m_ssh_client.keeping import stream
from m2m_ssh_client.keeping.keeper_command import keeper_command

_GONE_WITHIN = 5.0  # seconds from the end of a story to the end of its sessions
_PRIVATE = ("SSH_ASKPASS",)


def remote_command(folder: Path, control: str = "control") -> list[str]:
    return [sys.executable, "-S", "-E", str(Path(remote.__file__)), str(folder / control)]


class Stage:
    """A context manager; plays one story at a time. `package` is the folder that has the program under test."""

    def __init__(self, package: str = PACKAGE_PARENT) -> None:
        self._package = package
        self._stack = ExitStack()
        self._kept = 0  # stories

    def __enter__(self) -> Stage:
        make_privilege_separation_folder()
        top = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="stress-")))
        self._folder = top / "story"
        self._home = top / "home"
        for folder in (self._folder, self._home, top / "keys"):
            folder.mkdir()
        command = shlex.join(remote_command(self._folder))
        # The same for a shell request as for a command, but for a keeper's.
        run = 'eval "exec $SSH_ORIGINAL_COMMAND"'
        choice = f"case $SSH_ORIGINAL_COMMAND in python3*) {run};; *) exec {command};; esac"
        extra = ["MaxStartups 100", f"ForceCommand {choice}"]
        self._sshd = BreakableSshd(SshdKeys.generate(top / "keys"), top / "sshd", extra)
        self._stack.enter_context(self._sshd)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        if self._kept:
            _forget_killed_keepers()

    @property
    def port(self) -> int:
        return self._sshd.port

    def play(self, story: Story, *, patience: float = PATIENCE) -> Record:
        with FaultProxy(self._sshd.port) as network:
            play = self.begin(story, network, patience=patience)
            try:
                with play:
                    return play.run()
            finally:
                self._clear()

    def begin(
        self,
        story: Story,
        network: FaultProxy,
        *,
        patience: float = PATIENCE,
        env: Mapping[str, str] | None = None,
    ) -> Play:
        """A program that has been started for this story."""
        known_hosts = self._folder / "known_hosts"
        lines = self._sshd.known_hosts.read_text()
        known_hosts.write_text(lines.replace(f":{self._sshd.port} ", f":{network.port} "))
        connection = [*self._sshd.client_options(), "--port", str(network.port)]
        connection += ["-F", "none", "--known-hosts", str(known_hosts)]
        argv = [sys.executable, "-m", "m2m_ssh_client", *connection, *story.options]
        if "--keep" in story.options:
            argv += ["--", *self._kept_command()]
        elif not story.shell:
            argv += ["--", "remote"]
        return Play(
            story,
            argv,
            {**self._environment(), **(env or {})},
            self._folder,
            network,
            kill_sessions=self._sshd.kill_sessions,
            patience=patience,
        )

    def _kept_command(self) -> list[str]:
        """A command for this story alone: a keeper may start it when the story is over."""
        self._kept += 1
        name = f"control-{self._kept}"
        (self._folder / name).symlink_to("control")
        return remote_command(self._folder, name)

    def _environment(self) -> Mapping[str, str]:
        own = {name: value for name, value in os.environ.items() if name not in _PRIVATE}
        folders = {
            f"XDG_{name}_HOME": str(self._home) for name in ("CACHE", "CONFIG", "DATA", "STATE")
        }
        return {
            **own,
            "HOME": str(self._home),
            "SSH_AUTH_SOCK": "",
            "PYTHONPATH": self._package,
            **folders,
        }

    def _clear(self) -> None:
        """No session of this story may show up in the next one."""
        deadline = time.monotonic() + _GONE_WITHIN
        while sessions := self._sshd.sessions():
            if time.monotonic() > deadline - _GONE_WITHIN / 2:
                self._sshd.kill_sessions()
            assert time.monotonic() < deadline, f"sessions that do not end: {sessions}"
            time.sleep(0.01)
        for path in self._folder.iterdir():
            path.unlink()


def _forget_killed_keepers() -> None:
    """Have the sockets of those removed that could not do it themselves: to list them does."""
    said = stream.order(stream.LIST, b"0")
    subprocess.run(
        ["sh", "-c", keeper_command()],
        input=said,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=30,
    )
