"""The other host keys of a machine, learnt once a session has run for a while (UpdateHostKeys)."""

from __future__ import annotations

import threading

from m2m_ssh_client import threads
from m2m_ssh_client.ssh import algorithms
from m2m_ssh_client.ssh.library.ssh_transport import Transport
from m2m_ssh_client.ssh.settings import HostSettings
from m2m_ssh_client.ssh.trust.verifier import HostVerifier, key_type_of

_SETTLED = 3.0  # seconds of a session; until then, everything else comes first


def learn_later(
    settings: HostSettings,
    transport: Transport,
    verifier: HostVerifier,
    closed: threading.Event,
    patience: float,
) -> None:
    """Start a thread that learns what the server has announced, if it has; see `trust.learning`.

    `closed` ends the wait. `patience` is in seconds, for the server's proof.
    """
    if not settings.trust.learns:
        return
    announced, transport.announced_host_keys = transport.announced_host_keys, ()
    if not announced:
        return

    def later() -> None:
        if closed.wait(_SETTLED):
            return
        from m2m_ssh_client.ssh.trust import learning  # here, to load it after the start

        types = {key_type_of(name) for name in algorithms.host_keys(settings.algorithms.host_key)}
        said = learning.Announcement(
            transport.host_key_blob,
            announced,
            transport.session_id or b"",
            lambda keys: transport.ask(learning.PROVE, keys, patience),
        )
        learning.learn(settings.trust, verifier, types, said)

    threads.start("host-keys", later)
