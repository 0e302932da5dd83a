"""The end of a remote process in words."""

from __future__ import annotations

from m2m_ssh_client.errors import COMMAND_NOT_FOUND, RemoteExitError
from m2m_ssh_client.ssh.settings import Request
from m2m_ssh_client.text import shortened

_NAME_HINT = (
    "A command over SSH runs without a login shell, so its PATH is short: give the absolute path "
    "after `--`, or let a login shell find it: --login-shell."
)
_PATH_HINT = (
    "Is there a program at this path? If so, its first line (#!) may name one that is not found. A "
    "command over SSH runs without a login shell, so its PATH is short: try --login-shell."
)


def exit_error(status: int | None, signal: str | None, request: Request) -> RemoteExitError:
    """Return the error for this exit status, or for the signal if there is none."""
    if status == COMMAND_NOT_FOUND:
        return _not_found(request)
    if status is not None:
        return RemoteExitError(
            f"The remote server ended with exit status {status}",
            "Run the same command over ssh by hand to see what it says.",
            status,
        )
    if signal:
        return RemoteExitError(f"The remote server was ended by SIG{shortened(signal, 40)}")
    return RemoteExitError("The remote server closed its output without an exit status")


def _not_found(request: Request) -> RemoteExitError:
    message = f"The remote command was not found (exit status {COMMAND_NOT_FOUND})"
    if not request.marker:
        hint = _PATH_HINT if _is_path(request) else _NAME_HINT
        return RemoteExitError(message, hint, COMMAND_NOT_FOUND)
    from m2m_ssh_client.ssh.missing_program import program_of

    program = shortened(program_of(request), 80) or "it"
    return RemoteExitError(
        f"{message}, not even by the user's login shell",
        f"Is {program} installed there, for this user? If so, give its absolute path after `--`.",
        COMMAND_NOT_FOUND,
    )


def _is_path(request: Request) -> bool:
    program, *_ = (request.inner or request.command or "").split() or [""]
    return "/" in program
