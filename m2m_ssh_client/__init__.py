"""Use an MCP server on another machine, over SSH, as if it were local.

`ssh_client` is a transport for the MCP SDK. Importing this package loads neither the SDK nor
paramiko; each public name loads its module on first use.
"""

from __future__ import annotations

from m2m_ssh_client._version import __version__

TYPE_CHECKING = False  # as type checkers know it; typing takes longer to load than all else here
if TYPE_CHECKING:
    from typing import Any

    from m2m_ssh_client.api import SSHServerParameters
    from m2m_ssh_client.errors import SSHClientError
    from m2m_ssh_client.transport import ssh_client

__all__ = ["SSHClientError", "SSHServerParameters", "__version__", "ssh_client"]

_HOME = {
    "SSHClientError": "m2m_ssh_client.errors",
    "SSHServerParameters": "m2m_ssh_client.api",
    "ssh_client": "m2m_ssh_client.transport",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
