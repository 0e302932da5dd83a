"""What can go wrong, in the words of the person who can mend it.

One class for each thing that somebody would do something different about. Every error carries a
message (what happened) and a hint (what to do now); `str()` gives both on one line, which is what goes to
stderr and into the JSON-RPC error that the host shows. Errors of paramiko, requests and the operating
system are mapped onto these where the foreign call is made, with the cause chained.
"""

from __future__ import annotations

COMMAND_NOT_FOUND = 127
"""Exit status of a shell that does not find a command (POSIX, Shell Command Language)."""

_MOST_SAID = 300  # characters of an unexpected exception


class SSHClientError(Exception):
    """The base: a failure meant for the user, shown without a traceback.

    `permanent` tells the supervision of reconnects that time will not mend it.
    """

    exit_status = 1
    permanent = True

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        return f"{self.message.rstrip('.')}. {self.hint}"


class UsageError(SSHClientError):
    """The options cannot mean anything; exit status 2, as for any usage error."""

    exit_status = 2


class ConfigError(SSHClientError):
    """The OpenSSH configuration (files and `-o` lines) cannot be read, or says what makes no sense."""


class AppConfigError(SSHClientError):
    """The configuration file of an application that is an MCP host cannot be read or edited; it was left as it is."""


class UnreachableError(SSHClientError):
    """The machine did not answer: unresolvable name, refused, timeout, no SSH there.

    `network_down` tells that this may be for want of a network here, as when a laptop wakes up.
    """

    permanent = False

    def __init__(self, message: str, hint: str = "", *, network_down: bool = False) -> None:
        super().__init__(message, hint)
        self.network_down = network_down


class ConnectionLostError(SSHClientError):
    """An established SSH connection ended although nobody here closed it."""

    permanent = False


class SilentConnectionError(ConnectionLostError):
    """The other end has shown no sign of life for too long."""


class HostKeyError(SSHClientError):
    """The machine's host key is unknown, different from the one on file, or revoked."""


class KnownHostsError(SSHClientError):
    """A known_hosts file cannot be read or written (a missing file is no error)."""


class KeyFileError(SSHClientError):
    """A client key cannot be used: missing, unreadable, exposed, encrypted, or not a key."""


class AuthenticationError(SSHClientError):
    """The machine is the right one, and refused this user with these keys."""


class KeyServerError(SSHClientError):
    """A request to the key server failed, or its answer cannot be trusted."""

    permanent = False


class ChannelRefusedError(SSHClientError):
    """Authenticated, but the machine refused the session, command, subsystem or shell."""


class RemoteExitError(SSHClientError):
    """The remote command ended: `status` as the SSH server reported it, None if it did not."""

    permanent = False

    def __init__(self, message: str, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint)
        self.status = status


class NotMCPError(SSHClientError):
    """The far side does not answer as an MCP server would (a login shell, for example)."""


class MessageTooLongError(SSHClientError):
    """A line exceeded the agreed maximum (`--max-message-size`)."""

    @classmethod
    def over(cls, limit: int) -> MessageTooLongError:
        """Return the error for this limit, in bytes."""
        return cls(
            f"A message is longer than {limit} bytes",
            "If that is intended, raise the limit with --max-message-size.",
        )


def unexpected(exc: BaseException) -> SSHClientError:
    """Even a fault of ours, or a library's, is told to whoever waits for an answer."""
    while grouped := getattr(
        exc, "exceptions", ()
    ):  # of an ExceptionGroup, which Python 3.10 has not
        exc = grouped[0]
    return SSHClientError(
        f"Unexpected failure: {repr(exc)[:_MOST_SAID]}",  # which escapes what a terminal would act on
        "Unless this machine is short of memory, this is a bug: please report it, with what the log says.",
    )
