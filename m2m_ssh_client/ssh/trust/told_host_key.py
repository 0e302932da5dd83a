"""The host key that a key server has told: whether to trust it, and the memory of it.

The caller's order: `checked_host_key()`, then `temporary_known_hosts()`, then
`KeyServer.register()`, then SSH with `trust_in()` that file.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from m2m_ssh_client.errors import HostKeyError, KnownHostsError, reason
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Trust
from m2m_ssh_client.ssh.trust.known_hosts import entry, on_file
from m2m_ssh_client.ssh.trust.known_hosts_writing import rewrite
from m2m_ssh_client.ssh.trust.verifier import HostVerifier, Standing
from m2m_ssh_client.text import printable, quoted

if TYPE_CHECKING:
    from m2m_ssh_client.ssh.trust.key_server import KeyServer

logger = logging.getLogger(__name__)


@contextmanager
def temporary_known_hosts(host: str, port: int, key: PublicKey) -> Iterator[Path]:
    """Provide a known_hosts file that trusts this key for this server, and remove it afterwards.

    Raises KnownHostsError if it cannot be written.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="m2m-ssh-", ignore_cleanup_errors=True)
    except OSError as exc:
        raise KnownHostsError(
            f"No temporary folder for the host key: {reason(exc)}", "Check TMPDIR and the disk."
        ) from exc
    with folder as name:  # mkdtemp's mode: 0700
        path = Path(name) / "known_hosts"
        HostVerifier(Trust(host, port, (path,))).add(key)
        yield path


def trust_in(known_hosts: Path, host: str, port: int, trust: Trust) -> Trust:
    """Return trust in this file alone, with the policy of `trust`: a pin, sizes, revocations."""
    files = trust._replace(name=host, port=port, user_files=(known_hosts,), global_files=())
    return files._replace(strict="yes", unchecked=False, command="", learns=False)


def checked_host_key(
    server: KeyServer, host: str, port: int, trust: Trust, client_key: Path
) -> PublicKey:
    """Return the key server's key, unless the pin, the user's files or our memory disagree.

    The memory is a known_hosts file beside the client key; over verified HTTPS, the key may differ
    from it. If `trust` is read-only, so is the memory. Raises HostKeyError, KnownHostsError and
    KeyServerError.
    """
    key = server.server_public_key()
    if trust.pin is not None and key.fingerprint != trust.pin:
        raise HostKeyError(
            f"Host key verification failed: the key server's key for {host} is "
            f"{key.fingerprint}, and --host-key demands {trust.pin}",
            "Do not connect before you know why they differ.",
        )
    own = HostVerifier(trust._replace(pin=None, strict="yes"))
    if own.finding(key).standing is not Standing.UNKNOWN:
        own.verify(key.blob)  # the user's own files know this host: they must agree
    memory = client_key.with_name(client_key.name + ".known_hosts")
    try:
        remember_or_refuse(
            host, port, key, memory, read_only=trust.read_only, verified=server.verified
        )
    except KnownHostsError as exc:
        if not server.verified:
            raise
        logger.warning("The host key cannot be remembered: %s", exc.message)
    return key


def remember_or_refuse(
    host: str,
    port: int,
    key: PublicKey,
    memory: Path,
    *,
    read_only: bool = False,
    verified: bool = False,
) -> None:
    """Trust a key on first use, if it came over plain HTTP; `memory` is a known_hosts file, 0600.

    Keys from `verified` HTTPS are remembered too, in the place of others for this server: an
    attacker who blocks HTTPS must get neither a first use nor an old key accepted. Raises
    HostKeyError if `memory` has only other keys and this one is not verified, or if it is revoked;
    KnownHostsError if the file cannot be read or written.
    """
    verifier = HostVerifier(Trust(host, port, (memory,)))
    standing = verifier.finding(key).standing
    if standing is Standing.CHANGED and verified:
        if not read_only:
            _remember_instead(on_file(host, port), entry(host, port, key), memory)
    elif standing is not Standing.UNKNOWN:
        verifier.verify(key.blob)
    elif not read_only:
        verifier.add(key)


def _remember_instead(name: str, line: str, memory: Path) -> None:
    """Put this line in the place of those for this name alone. Raises KnownHostsError."""
    start = f"{name} ".encode("utf-8", "surrogateescape")

    def replaced(content: bytes) -> bytes:
        others = [each for each in content.splitlines() if not each.startswith(start)]
        return b"".join(each + b"\n" for each in others) + line.encode("utf-8", "surrogateescape")

    try:
        rewrite(memory, replaced)
    except OSError as exc:
        raise KnownHostsError(
            f"The host key cannot be written to {quoted(memory)}: {reason(exc)}",
            "Make that file and its folder writable for you",
        ) from exc
    logger.warning("The host key of %s has changed, as verified HTTPS says", printable(name))
