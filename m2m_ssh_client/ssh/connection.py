"""One SSH connection: connect → verify the host key → authenticate → open channels, one for each remote process.

Everything blocks, and everything is bounded by one deadline: a timer that closes the connection, which makes
every wait of paramiko's return. `close()` does the same from any thread and at any time. Nothing is sent to a
machine whose host key was not verified, beyond what the key exchange itself needs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko
from paramiko.packet import Packetizer

from m2m_ssh_client.errors import (
    AuthenticationError,
    ChannelRefusedError,
    ConnectionLostError,
    HostKeyError,
    SSHClientError,
    UnreachableError,
)
from m2m_ssh_client.parameters import SSHServerParameters
from m2m_ssh_client.ssh import sockets
from m2m_ssh_client.ssh.channel import ChannelCarrier
from m2m_ssh_client.ssh.host_key import HostKey
from m2m_ssh_client.ssh.keys import public_key_line
from m2m_ssh_client.ssh.known_hosts import KnownHosts
from m2m_ssh_client.ssh.liveness import Liveness
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)
# Where nobody has set up logging, or no longer, Python would print paramiko's last words, a traceback, on stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

# AES-GCM first: one pass in one library call for each packet, where CTR needs a MAC beside it. What OpenSSH's own
# defaults (ssh_config(5)) leave out, CBC, 3DES, MD5, truncated and SHA-1 MACs, is not offered.
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)

_LONGEST_PACKET = 256 * 1024  # bytes


class _BoundedPackets(Packetizer):
    """Refuses packets longer than OpenSSH sends or takes (its PACKET_MAX_SIZE).

    The length is the one part of a packet that is believed before it is authenticated: one damaged bit in it, and
    paramiko would wait for gigabytes, taking every answer for a part of them.
    """

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        if n > _LONGEST_PACKET:
            raise paramiko.SSHException(f"Bad packet length: {n} bytes")
        return super().read_all(n, check_rekey)


class Connection:
    """A connection to the machine that the parameters name. `open()` once; `close()` from any thread."""

    def __init__(
        self, params: SSHServerParameters, key: paramiko.PKey, known_hosts: Sequence[Path]
    ) -> None:
        self._params = params
        self._key = key
        self._known_hosts = known_hosts
        self._transport: paramiko.Transport | None = None
        self._liveness: Liveness | None = None
        self._closed = threading.Event()
        self._timed_out = False
        self._phase = "connecting"
        self._silence = 0.0  # seconds, if that is what ended it

    @property
    def alive(self) -> bool:
        """Whether it is open, as far as anybody knows."""
        return self._transport is not None and self._transport.is_active()

    def open(self) -> None:
        """Connect, verify the host key, authenticate.

        Raises an SSHClientError that says which step failed; the connection is closed then.
        """
        with self._bounded() as deadline:
            self._open(deadline)

    def channel(self) -> ChannelCarrier:
        """Ask for the remote command, subsystem or shell: a fresh process. Raises as `open` does."""
        with self._bounded():
            if self._transport is None:
                raise ConnectionLostError("The SSH connection is not open")
            self._phase = "opening the session"
            return ChannelCarrier(self, self._transport, self._request(self._transport))

    def close(self) -> None:
        """End the connection at once, also while it is being opened."""
        self._closed.set()
        if self._liveness is not None:
            self._liveness.stop()
        transport = self._transport
        if transport is not None:
            transport.close()
            with suppress(OSError):
                transport.sock.close()

    def lost(self) -> ConnectionLostError:
        """Why it is not alive any more."""
        host = self._params.host
        if self._silence:
            text = f"The SSH connection was lost: no sign of life from {host} for {self._silence:.0f} s"
            return ConnectionLostError(text)
        cause = self._transport.get_exception() if self._transport is not None else None
        why = f": {printable(str(cause))}" if cause is not None and str(cause) else ""
        return ConnectionLostError(f"The SSH connection to {host} was lost{why}")

    @contextmanager
    def _bounded(self) -> Iterator[float]:
        """Close the connection at the deadline, which ends every wait, and put failures in words."""
        timeout = self._params.connect_timeout
        timer = threading.Timer(timeout, self._time_out)
        timer.daemon = True
        timer.start()
        try:
            yield time.monotonic() + timeout
        except SSHClientError:
            self.close()
            if self._timed_out:
                raise self._timeout_error() from None
            raise
        except (paramiko.SSHException, OSError, EOFError) as exc:
            self.close()
            raise self._explained(exc) from exc
        finally:
            timer.cancel()

    def _open(self, deadline: float) -> None:
        params = self._params
        trusted = self._trusted()
        sock = sockets.connect(params.host, params.port, deadline, self._closed.is_set)
        try:
            transport = self._transport = paramiko.Transport(sock, packetizer_class=_BoundedPackets)
        except BaseException:
            sock.close()
            raise
        if self._closed.is_set():  # closed between the connect and the transport's making
            raise ConnectionLostError("Closed while connecting")
        self._phase = "negotiating the encryption"
        self._prefer_algorithms(transport, trusted)
        transport.banner_timeout = transport.handshake_timeout = deadline - time.monotonic()
        transport.auth_timeout = transport.channel_timeout = deadline - time.monotonic()
        transport.start_client(timeout=deadline - time.monotonic())
        self._verify_host_key(transport, trusted)
        self._phase = "authenticating"
        self._authenticate(transport)
        self._watch(transport, sock)

    def _watch(self, transport: paramiko.Transport, sock: sockets.LiveSocket) -> None:
        def probe() -> None:
            # Every server answers, most of them with a refusal, and that is sign enough.
            with suppress(paramiko.SSHException, OSError, EOFError):
                transport.global_request("keepalive@openssh.com", wait=True)

        def dead(silence: float) -> None:
            self._silence = silence
            self.close()

        self._liveness = Liveness(
            self._params.keepalive,
            self._params.keepalive_count,
            lambda: sock.last_received,
            probe,
            dead,
        )
        self._liveness.start()

    def _trusted(self) -> KnownHosts | None:
        """The host keys on file; None where they do not count: a pin decides, or checking is off."""
        if self._params.disable_host_key_checking or self._params.host_key is not None:
            return None
        return KnownHosts.load(self._known_hosts)

    def _prefer_algorithms(self, transport: paramiko.Transport, trusted: KnownHosts | None) -> None:
        options = transport.get_security_options()
        options.ciphers = _CIPHERS
        options.digests = _MACS
        if trusted is not None:
            # Key types on file first (as ssh does), so that a server with several keys shows the one we know.
            on_file = trusted.key_types(self._params.host, self._params.port)
            if "ssh-rsa" in on_file:
                on_file += [
                    "rsa-sha2-512",
                    "rsa-sha2-256",
                ]  # RFC 8332: same keys, better signatures
            known = [name for name in on_file if name in options.key_types]
            options.key_types = (*known, *(n for n in options.key_types if n not in known))

    def _verify_host_key(self, transport: paramiko.Transport, trusted: KnownHosts | None) -> None:
        remote = transport.get_remote_server_key()
        key = HostKey(remote.get_name(), remote.asbytes())
        params = self._params
        if params.host_key is not None and key.fingerprint != params.host_key:
            raise HostKeyError(
                f"Host key verification failed: {params.host} port {params.port} has the "
                f"{key.key_type} key {key.fingerprint}, and --host-key demands {params.host_key}",
                "If the key was changed on purpose, check its fingerprint on that machine "
                "(ssh-keygen -l) and change --host-key; otherwise somebody may be in between.",
            )
        if trusted is not None:
            trusted.verify(params.host, params.port, key)
        logger.info("host key of %s: %s %s", params.host, key.key_type, key.fingerprint)

    def _authenticate(self, transport: paramiko.Transport) -> None:
        user = self._params.username
        try:
            more = transport.auth_publickey(user, self._key)
        except paramiko.BadAuthenticationType as exc:
            raise self._refused(f"the server accepts only {', '.join(exc.allowed_types)}") from exc
        except paramiko.AuthenticationException as exc:
            if not transport.is_active() or "timeout" in str(exc).lower():
                raise
            raise self._refused("the server does not accept this key for this user") from exc
        if more:
            raise self._refused(f"the server wants {', '.join(more)} as well")

    def _refused(self, why: str) -> AuthenticationError:
        params = self._params
        line = public_key_line(self._key)
        return AuthenticationError(
            f"Authentication failed for {params.username}@{params.host} port {params.port} "
            f"with {params.client_key}: {why}",
            "Check --username and --client-key, or add this line to ~/.ssh/authorized_keys of that "
            f"user on that machine: {line}",
        )

    def _request(self, transport: paramiko.Transport) -> paramiko.Channel:
        try:
            channel = transport.open_session()
        except paramiko.ChannelException as exc:
            raise ChannelRefusedError(
                f"The server refused to open a session: {exc.text}",
                "This account may be limited to port forwarding or SFTP; ask its administrator.",
            ) from exc
        params = self._params
        command = params.command_line()
        try:
            if command is not None:
                channel.exec_command(command)
            elif params.subsystem is not None:
                channel.invoke_subsystem(params.subsystem)
            else:
                channel.invoke_shell()
        except paramiko.SSHException as exc:
            if not transport.is_active():
                raise
            raise self._request_refused(command) from exc
        return channel

    def _request_refused(self, command: str | None) -> ChannelRefusedError:
        if command is not None:
            return ChannelRefusedError(
                f"The server refused to run the command {shortened(command, 80)!r}",
                "Without `-- command` a shell is asked for, with --subsystem NAME a subsystem.",
            )
        if self._params.subsystem is not None:
            return ChannelRefusedError(
                f"The server has no subsystem {self._params.subsystem!r}",
                "It needs a line `Subsystem NAME COMMAND` in its sshd_config; or pass a command after `--`.",
            )
        return ChannelRefusedError(
            "The server refused a shell", "Pass the remote MCP server's command after `--`."
        )

    def _time_out(self) -> None:
        self._timed_out = True
        self.close()

    def _timeout_error(self) -> UnreachableError:
        params = self._params
        return UnreachableError(
            f"Timed out after {params.connect_timeout:g} s while {self._phase} "
            f"({params.host} port {params.port})",
            "Is the machine up, is --port an SSH server's? More time: --connect-timeout SECONDS.",
        )

    def _explained(self, exc: Exception) -> SSHClientError:
        """paramiko's and the operating system's words for a failure while opening, in ours."""
        params = self._params
        text = shortened(printable(str(exc) or type(exc).__name__))
        if self._timed_out or "timeout" in text.lower():
            return self._timeout_error()
        if isinstance(exc, paramiko.ssh_exception.IncompatiblePeer):
            return UnreachableError(
                f"No encryption in common with {params.host} port {params.port}: {text}",
                "That SSH server is very old, or allows only what this client lacks; see its "
                "sshd_config (Ciphers, MACs, KexAlgorithms, HostKeyAlgorithms).",
            )
        return UnreachableError(
            f"{params.host} port {params.port} ended the connection while {self._phase}: {text}",
            "Is that an SSH server (--port)? If it is, its log says why it hung up.",
        )
