"""The start of the server on the remote machine, with what it would have without a keeper."""

import os
import signal
import sys

assert sys.platform != "win32"  # noqa: S101 - for the type checker


def become(command: bytes, stdin: int, stdout: int, stderr: int) -> None:
    """Become the server. Never returns."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for each in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(each, signal.SIG_DFL)
        for number, descriptor in enumerate((stdin, stdout, stderr)):
            os.dup2(descriptor, number)
        _as_without_python()
        shell = _shell()
        argv = [os.path.basename(shell), "-c", os.fsdecode(command)]
        os.execv(shell, argv)  # noqa: S606 - the user's own shell, as for sshd # nosec B606
    finally:
        os._exit(127)


def _as_without_python() -> None:
    """Take back what the interpreter does to the environment in the C locale (PEP 538)."""
    try:
        with open("/proc/self/environ", "rb") as given:
            if b"\0LC_CTYPE=" not in b"\0" + given.read():
                os.environ.pop("LC_CTYPE", None)
    except OSError:
        pass


def _shell() -> str:
    """Return the user's shell, which sshd would use."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
    except KeyError:
        return "/bin/sh"
