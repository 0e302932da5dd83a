"""The key server step: fetch and check its answer; register and store nothing."""

from __future__ import annotations

import time
from contextlib import ExitStack

from m2m_ssh_client.doctor.steps import Status, Step, failed
from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.parameters import DEFAULT_CLIENT_KEY, Parameters
from m2m_ssh_client.ssh.settings import HostSettings
from m2m_ssh_client.ssh.trust.key_server import KeyServer
from m2m_ssh_client.ssh.trust.told_host_key import (
    checked_host_key,
    temporary_known_hosts,
    trust_in,
)


def step(
    params: Parameters, settings: HostSettings, temporary: ExitStack, connect_timeout: float
) -> tuple[Step, HostSettings]:
    """Return the step, and settings that use the fetched host key while `temporary` is open."""
    deadline = time.monotonic() + connect_timeout
    host, port = settings.address.host, settings.address.port
    client_key = (params.client_key or DEFAULT_CLIENT_KEY).expanduser()
    url = params.key_server_url
    server = KeyServer(host, params.key_server_port, url=url, deadline=deadline)
    found: dict[str, object] = {"port": params.key_server_port}
    if url is not None:
        found = {"url": url}
    try:
        key = checked_host_key(server, host, port, settings.trust, client_key)
        known_hosts = temporary.enter_context(temporary_known_hosts(host, port, key))
    except SSHClientError as exc:
        return failed("key_server", exc, found), settings
    found |= {"type": key.key_type, "fingerprint": key.fingerprint, "https": server.verified}
    login = settings.login
    told = settings._replace(
        trust=trust_in(known_hosts, host, port, settings.trust)._replace(read_only=True),
        login=login._replace(
            files=(client_key, *login.files), required=client_key if client_key.exists() else None
        ),
    )
    summary = f"the host key is {key.short_type.upper()} {key.fingerprint}"
    if server.verified:
        return Step("key_server", Status.OK, found, f"{summary}, over HTTPS"), told
    advice = (
        "Anyone on the network path could have replaced it: compare it with the fingerprint from "
        "the machine's administrator."
    )
    step = Step("key_server", Status.WARNING, found, f"{summary}, over plain HTTP", advice)
    return step, told
