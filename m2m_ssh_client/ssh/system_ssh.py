"""The system's own `ssh`, which can do some things that this program cannot."""

from __future__ import annotations


def or_by_ssh(what: str = "") -> str:
    """Return advice to add to another one, where there is an `ssh`; else nothing."""
    import shutil  # not needed to start

    return f" Or let the ssh of this machine carry{what}: --via ssh." if shutil.which("ssh") else ""
