"""The failures of a connection in words: what happened, where, and what to do."""

from __future__ import annotations

from typing import NamedTuple

import paramiko

from m2m_ssh_client.errors import (
    ChannelRefusedError,
    ConnectionLostError,
    SSHClientError,
    UnreachableError,
    reason,
)
from m2m_ssh_client.ssh.library.ssh_transport import Transport
from m2m_ssh_client.ssh.login.login_record import LoginRecord, said_meanwhile
from m2m_ssh_client.ssh.settings import Address, Request
from m2m_ssh_client.ssh.system_ssh import or_by_ssh
from m2m_ssh_client.ssh.turned_away import turned_away
from m2m_ssh_client.text import printable, shortened


class Progress(NamedTuple):
    """The state of a connection; `by_proxy` is what its ProxyCommand said."""

    address: Address
    phase: str
    transport: Transport | None
    login: LoginRecord | None
    by_proxy: str | None

    @property
    def place(self) -> str:
        return f"{self.address.host} port {self.address.port}"

    @property
    def said(self) -> str:
        """The server's words for people, as the end of a sentence."""
        if self.login is not None and self.login.said:
            return f"; {said_meanwhile(self.login)}"
        if self.transport is None or self.transport.server_version or not self.transport.greeting:
            return ""
        return f'; it said "{shortened(printable(self.transport.greeting[0]), 80)}"'


class Limit(NamedTuple):
    """A time limit in seconds, and the setting that raises it."""

    seconds: float
    setting: str


def timed_out(at: Progress, limit: Limit) -> UnreachableError:
    return UnreachableError(
        f"Timed out after {limit.seconds:g} s while {at.phase} ({at.place}){at.said}",
        f"Is the machine up, and is --port right? For more time: {limit.setting}.",
    )


def explained(at: Progress, exc: Exception, limit: Limit) -> SSHClientError:
    """Translate a failure of paramiko or the operating system while opening.

    `limit` is for a failure that is a time-out.
    """
    text = shortened(printable(reason(exc)))
    if at.by_proxy:
        return UnreachableError(
            f"No connection to {at.place}: {at.by_proxy}",
            "Run the ProxyCommand of your SSH configuration by hand to see what it says.",
        )
    if "timeout" in text.lower():
        return timed_out(at, limit)
    if isinstance(exc, paramiko.ssh_exception.IncompatiblePeer):
        return UnreachableError(
            f"No encryption in common with {at.place}: {shortened(printable(reason(exc)), 1000)}",
            "Its sshd_config (Ciphers, MACs, KexAlgorithms, HostKeyAlgorithms) or yours decides."
            + or_by_ssh(),
        )
    refused = turned_away(at.transport.greeting) if at.transport is not None else None
    if refused is not None:
        text = f'{at.place} {refused.why}: it said "{refused.said}"'
        return UnreachableError(text, refused.hint, reached=True, wait=refused.wait)
    return UnreachableError(
        f"{at.place} ended the connection while {at.phase}: {text}{at.said}",
        "Is that an SSH server (--port)? If it is, its log says why it hung up.",
        reached=at.transport is not None,
    )


def lost(at: Progress) -> ConnectionLostError:
    """Return the reason why a connection that was open is not any more."""
    cause = at.transport.get_exception() if at.transport is not None else None
    why = at.by_proxy or printable(str(cause or ""))
    return ConnectionLostError(
        f"The SSH connection to {at.address.host} was lost{why and ': '}{why}"
    )


def session_refused(exc: paramiko.ChannelException) -> ChannelRefusedError:
    return ChannelRefusedError(
        f"The server refused to open a session: {exc.text}",
        "This account may be limited to port forwarding (MaxSessions 0 in its sshd_config): ask the "
        "machine's administrator.",
    )


def request_refused(request: Request) -> ChannelRefusedError:
    if request.command is not None:
        from m2m_ssh_client.masking import masked

        command = shortened(masked(request.shown or request.command), 80)
        return ChannelRefusedError(
            f"The server refused to run the command {command!r}",
            "Leave out `-- command` to request a shell, or pass --subsystem NAME for a subsystem.",
        )
    if request.subsystem is not None:
        return ChannelRefusedError(
            f"The server has no subsystem {request.subsystem!r}",
            "Add a line `Subsystem NAME COMMAND` to its sshd_config, or pass a command after `--`.",
        )
    return ChannelRefusedError(
        "The server refused a shell", "Pass the remote MCP server's command after `--`."
    )
