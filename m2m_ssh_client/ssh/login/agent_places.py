"""Places where agents listen, for hosts that start us without SSH_AUTH_SOCK.

Hosts built on the MCP SDKs pass on six variables, and SSH_AUTH_SOCK is not one of them. The agent
of the user's session is still there, at a place that its manual names.

Another user could plant a socket, and would learn which keys are wanted where. So a socket counts
only if it and its folder belong to this user, and if nobody else could put another in its place.
Agents are asked for their keys, and for nothing else, until one is chosen.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from m2m_ssh_client.ssh.login.agent import Agent, AgentError

# Sockets of sessions that ended pile up in folders for temporary files.
_MOST_TRIED = 20
# Seconds. A service manager may have to start the agent first; a smartcard is slow to be listed.
_PATIENCE = 1.5
_MOST_TIME = 3.0

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

_RUNTIME = (
    ("gcr/ssh", "GNOME"),  # gcr-ssh-agent
    ("keyring/ssh", "GNOME"),  # gnome-keyring-daemon(1)
    ("openssh_agent", "ssh-agent"),  # Debian's user unit
    ("ssh-agent.socket", "ssh-agent"),  # those of Fedora and Arch
    ("gnupg/S.gpg-agent.ssh", "gpg-agent"),  # gpg-agent(1), --enable-ssh-support
)
_HOME = (
    (".gnupg/S.gpg-agent.ssh", "gpg-agent"),
    (".1password/agent.sock", "1Password"),
    (".bitwarden-ssh-agent.sock", "Bitwarden"),
)
_LIBRARY = (
    ("Group Containers/2BUA8C4S2C.com.1password/t/agent.sock", "1Password"),
    ("Containers/com.maxgoedjen.Secretive.SecretAgent/Data/socket.ssh", "Secretive"),
)
_LAUNCHD = ("/private/tmp", "/private/var/run")


class Place(NamedTuple):
    """A socket where an agent may listen, and the kind of agent that is known to listen there."""

    path: Path
    kind: str


def first_with_keys(cancelled: Callable[[], bool]) -> Agent | None:
    """Return the first agent that answers and holds a key; the caller closes it. Bounded."""
    deadline = time.monotonic() + _MOST_TIME
    for place, _ in zip(places(), range(_MOST_TRIED), strict=False):
        patience = min(_PATIENCE, deadline - time.monotonic())
        if patience <= 0:
            break
        agent = Agent(str(place.path), cancelled, found=place.kind, patience=patience)
        with suppress(AgentError):
            if agent.keys():
                return agent
        agent.close()
    return None


def places(environment: Mapping[str, str] = os.environ) -> Iterator[Place]:
    """Yield the sockets that only this user can have put there, the likeliest first.

    None on Windows, where the agents have fixed places.
    """
    if sys.platform == "win32":
        return
    for place in _known(environment):
        folder, name = place.path.parent, place.path.name
        with suppress(OSError, RuntimeError):  # it is not there; or links in a circle
            if folder.is_symlink():  # anybody can make one in a folder for temporary files
                continue
            real = folder.resolve(strict=True) / name
            if _is_own(real):
                yield place._replace(path=real)


def _known(environment: Mapping[str, str]) -> Iterator[Place]:
    home = Path.home()
    if sys.platform == "darwin":
        for folder in _LAUNCHD:
            yield from _newest(Path(folder).glob("com.apple.launchd.*/Listeners"), "launchd")
        yield from (Place(home / "Library" / name, kind) for name, kind in _LIBRARY)
    # OpenSSH since 10.1: ssh-agent(1), FILES.
    yield from _newest((home / ".ssh" / "agent").glob("s.*"), "ssh-agent")
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{_user()}")
    yield from (Place(runtime / name, kind) for name, kind in _RUNTIME)
    yield from (Place(home / name, kind) for name, kind in _HOME)
    # OpenSSH before 10.1.
    temporary = Path(environment.get("TMPDIR") or "/tmp")  # noqa: S108 # nosec B108
    yield from _newest(temporary.glob("ssh-*/agent.*"), "ssh-agent")


def _newest(paths: Iterable[Path], kind: str) -> list[Place]:
    """Return the places, the newest first: older ones may be those of sessions that ended."""
    aged: list[tuple[float, Path]] = []
    with suppress(OSError):  # the folder cannot be read
        for path in paths:
            with suppress(OSError):
                aged.append((path.lstat().st_mtime, path))
    return [Place(path, kind) for _, path in sorted(aged, reverse=True)]


def _is_own(path: Path) -> bool:
    """Return whether this is a socket of the user that nobody else can replace. Raises OSError.

    The folder of the path is resolved.
    """
    itself, folder, *above = (each.lstat() for each in (path, *path.parents))
    return (
        stat.S_ISSOCK(itself.st_mode)
        and itself.st_uid == folder.st_uid == _user()
        and not folder.st_mode & _OTHERS_WRITE
        and all(map(_keeps_what_is_in_it, above))
    )


def _keeps_what_is_in_it(folder: os.stat_result) -> bool:
    """Return whether others cannot rename what this user has in the folder."""
    safe = not folder.st_mode & _OTHERS_WRITE or folder.st_mode & stat.S_ISVTX
    return bool(safe) and folder.st_uid in (0, _user())


def _user() -> int:
    if sys.platform == "win32":
        raise NotImplementedError
    return os.geteuid()
