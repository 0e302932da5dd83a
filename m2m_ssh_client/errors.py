"""Errors for the person who can fix them.

There is one class for each kind of remedy. Every error has a message (the event) and a hint (the
remedy); `str()` joins both on one line, for stderr and for the JSON-RPC error that the host shows.
Errors of paramiko, requests and the operating system are mapped onto these classes at the foreign
call, with the cause chained.
"""

from __future__ import annotations

COMMAND_NOT_FOUND = 127
"""Exit status of a shell that does not find a command (POSIX, Shell Command Language)."""

# The numbers of Windows for sockets and names, and what Linux says there. Windows has a sentence in
# the user's language, and `os.strerror` nothing. (Microsoft, "Windows Sockets Error Codes".)
_OF_WINSOCK = {
    10013: "Permission denied",
    10048: "Address already in use",
    10049: "Cannot assign requested address",
    10050: "Network is down",
    10051: "Network is unreachable",
    10052: "Network dropped connection on reset",
    10053: "Software caused connection abort",
    10054: "Connection reset by peer",
    10055: "No buffer space available",
    10057: "Transport endpoint is not connected",
    10058: "Cannot send after transport endpoint shutdown",
    10060: "Connection timed out",
    10061: "Connection refused",
    10064: "Host is down",
    10065: "No route to host",
    11001: "Name or service not known",
    11002: "Temporary failure in name resolution",
    11003: "Non-recoverable failure in name resolution",
    11004: "No address associated with hostname",
}

_MOST_SAID = 300  # characters of an unexpected exception


class SSHClientError(Exception):
    """Base class: a failure meant for the user, shown without a traceback.

    `permanent` marks failures that another attempt to connect cannot cure.
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
    """The options make no sense together or by themselves; exit status 2."""

    exit_status = 2


class ConfigError(SSHClientError):
    """The OpenSSH configuration (files and `-o` lines) is unreadable or invalid."""


class AppConfigError(SSHClientError):
    """The configuration file of an MCP host cannot be read or edited; it is unchanged."""


class UnreachableError(SSHClientError):
    """The machine did not answer: unresolvable name, connection refused, timeout, no SSH there.

    `network_down` says that this machine may be without a network, as when a laptop wakes up.
    `reached`: a server took the connection and ended it; many of those in a short time make an sshd
    lock this machine out. `wait`: the server turns this machine away for so many seconds or more.
    """

    permanent = False

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        network_down: bool = False,
        reached: bool = False,
        wait: float = 0.0,
    ) -> None:
        super().__init__(message, hint)
        self.network_down = network_down
        self.reached = reached
        self.wait = wait


class ConnectionLostError(SSHClientError):
    """An established SSH connection ended without being closed here."""

    permanent = False


class SilentConnectionError(ConnectionLostError):
    """The other end left too many keepalives unanswered."""


class HostKeyError(SSHClientError):
    """The machine's host key is unknown, different from the one on file, or revoked."""


class KnownHostsError(SSHClientError):
    """A known_hosts file cannot be read or written (a missing file is fine)."""


class KeyFileError(SSHClientError):
    """A client key cannot be used: missing, unreadable, exposed, encrypted, or not a key."""


class AuthenticationError(SSHClientError):
    """The machine is the right one, but refused this user with these keys."""


class KeyServerError(SSHClientError):
    """A request to the key server failed, or its answer cannot be trusted."""

    permanent = False


class ChannelRefusedError(SSHClientError):
    """The machine accepted the login, but refused the session, command, subsystem or shell."""


class RemoteExitError(SSHClientError):
    """The remote command ended; `status` is the reported exit status, None without one."""

    permanent = False

    def __init__(self, message: str, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint)
        self.status = status


class NotMCPError(SSHClientError):
    """The far side does not answer like an MCP server; it may be a login shell."""


class MessageTooLongError(SSHClientError):
    """A line exceeded the limit, `--max-message-size`."""

    @classmethod
    def over(cls, limit: int) -> MessageTooLongError:
        """Return the error for this limit, in bytes."""
        return cls(
            f"A message is longer than {limit} bytes",
            "If that is intended, raise the limit with --max-message-size.",
        )


def reason(exc: BaseException) -> str:
    """Return why it happened, without a number: "Connection refused" on every platform."""
    number = getattr(exc, "winerror", None) or getattr(exc, "errno", None) or 0
    said = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return _OF_WINSOCK.get(number, said)


def unexpected(exc: BaseException) -> SSHClientError:
    """Return the error to report for a bug here or in a library."""
    while grouped := getattr(exc, "exceptions", ()):  # ExceptionGroup, unknown to Python 3.10
        exc = grouped[0]
    return SSHClientError(
        f"Unexpected failure: {repr(exc)[:_MOST_SAID]}",  # repr: it escapes control characters
        "Unless this machine is short of memory, this is a bug: please report it with the log.",
    )
