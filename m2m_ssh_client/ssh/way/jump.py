"""The way through a jump host, and errors for a jump host that refuses."""

from __future__ import annotations

import paramiko
from paramiko.common import OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED, OPEN_FAILED_CONNECT_FAILED

from m2m_ssh_client.errors import UnreachableError
from m2m_ssh_client.ssh.library.tunnel import ChannelSocket, TunnelRefusedError, open_tunnel
from m2m_ssh_client.text import printable, shortened


def tunnel(
    transport: paramiko.Transport, host: str, port: int, timeout: float, jump_host: str
) -> ChannelSocket:
    """Make `jump_host`, at the other end, connect to `host`; `timeout` in seconds.

    The jump host looks the name up. Raises UnreachableError; paramiko's exceptions if the
    connection to the jump host ends meanwhile.
    """
    try:
        return open_tunnel(transport, host, port, timeout)
    except TunnelRefusedError as exc:
        reason = shortened(printable(exc.reason))
        target = f"{shortened(printable(host))} port {port}"
        raise _refused(exc.code, reason, target, jump_host) from exc


def _refused(code: int, reason: str, target: str, jump_host: str) -> UnreachableError:
    if code == OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED:
        return UnreachableError(
            f"The jump host {jump_host} does not forward connections to {target}: {reason}",
            "Its administrator decides: AllowTcpForwarding and PermitOpen in its sshd_config, "
            "restrictions in authorized_keys.",
        )
    if code == OPEN_FAILED_CONNECT_FAILED:
        return UnreachableError(
            f"The jump host {jump_host} cannot connect to {target}: {reason}",
            "The name is looked up and the connection is made by the jump host: try both there.",
        )
    return UnreachableError(
        f"The jump host {jump_host} refused to connect to {target}: {reason}",
        "Its log says why.",
    )
