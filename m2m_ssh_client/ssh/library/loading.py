"""paramiko, loaded without the parts that nothing here uses; only for the command's process."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from m2m_ssh_client.lean_imports import left_out

_UNUSED = (
    "agent",
    "auth_strategy",
    "client",
    "config",
    "hostkeys",
    "proxy",
    "sftp",
    "sftp_attr",
    "sftp_client",
    "sftp_file",
    "sftp_handle",
    "sftp_server",
    "sftp_si",
)
"""Modules of paramiko that it imports, but the transport does not need."""


def load_paramiko() -> None:
    """Import paramiko in half the time. Any thread, while no other thread imports.

    Left out are its own modules that nothing here uses; `invoke`, which only its `Match exec` needs
    and which loads asyncio and unittest.mock; importlib.metadata, by which it finds the version for
    its banner; and PyNaCl, of which it uses Ed25519 alone, as cryptography has it.
    """
    if "paramiko" in sys.modules:
        return
    from m2m_ssh_client.ssh.library import ed25519

    metadata = ModuleType("importlib.metadata")
    metadata.version = _version  # type: ignore[attr-defined]
    instead = {"invoke": None, "importlib.metadata": metadata, **ed25519.as_nacl()}
    with left_out((f"paramiko.{name}" for name in _UNUSED), instead):
        from paramiko import packet
    from m2m_ssh_client.ssh.library.mac import authentication_code

    its: Any = packet  # the stubs have another type for it
    its.compute_hmac = authentication_code


def _version(name: str) -> str:
    """Return the version in the name of the folder that installers create beside the package."""
    spec = find_spec(name)
    beside = Path(spec.origin or "").parent.parent if spec else Path()
    folder = next(beside.glob(f"{name}-*.dist-info"), None)
    return folder.stem.partition("-")[2] if folder else "5"
