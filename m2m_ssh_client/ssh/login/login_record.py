"""The course of a login, for errors and for doctor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from m2m_ssh_client.text import shortened

if TYPE_CHECKING:
    from m2m_ssh_client.errors import KeyFileError
    from m2m_ssh_client.ssh.login.identities import Identity


class LoginRecord:
    """The course of a login, written by `authenticate` while it goes on.

    `methods` is the server's latest list of what it accepts. The keys in `tried` were refused; the
    server took those in `taken`, which may not be enough; those in `skipped` were not offered, for
    these reasons. `agent` is a remark on the agent. `said` are
    the lines that the server showed meanwhile (SSH_MSG_USERAUTH_BANNER, RFC 4252 section 5.4), fit
    for a terminal. `prompts` are what it asked by keyboard-interactive; `interactive` is True if it
    took that without a question.
    """

    def __init__(self) -> None:
        self.methods: Sequence[str] = ()
        self.tried: list[Identity] = []
        self.taken: list[Identity] = []
        self.skipped: list[KeyFileError] = []
        self.agent = ""
        self.said: list[str] = []
        self.prompts: Sequence[str] = ()
        self.interactive = False
        self.succeeded = False


def said_meanwhile(record: LoginRecord) -> str:
    """Return what the server said during a login, for the end of a sentence."""
    return f'it said "{shortened(" ".join(record.said), 300)}"'
