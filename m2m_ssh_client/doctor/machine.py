"""What one machine on the way showed: banner, key exchange, host key, authentication."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from m2m_ssh_client.doctor.steps import Status, Step, failed
from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.ssh.connection import Stage, judge
from m2m_ssh_client.ssh.library.transport import Transport
from m2m_ssh_client.ssh.login.authentication import LoginRecord
from m2m_ssh_client.ssh.login.identities import Identity
from m2m_ssh_client.ssh.opener import key_to_make
from m2m_ssh_client.ssh.trust.verifier import Standing
from m2m_ssh_client.text import printable, quoted, shortened

# Its first release is of April 2019.
_OLDEST_OPENSSH = 8
_POST_QUANTUM = re.compile("mlkem|sntrup")
_BEST_KEX = "mlkem768x25519-sha256"
_HIDDEN_MAC = re.compile("gcm|poly1305")  # these ciphers authenticate by themselves


def steps(stage: Stage, failure: SSHClientError | None) -> Iterator[Step]:
    """Those that were reached, of which the last one failed if `failure` is this machine's."""
    transport = stage.transport
    if transport is None:
        return
    if not transport.remote_version:
        if failure is not None:
            yield _no_banner(
                transport, failure, by_command=stage.settings.proxy_command is not None
            )
        return
    yield _banner(transport)
    if not transport.host_key_blob:
        if failure is not None:
            yield failed("key_exchange", failure)
        return
    yield _key_exchange(transport)
    yield _host_key(stage, transport.host_key_blob, failure)
    if stage.login is not None:
        yield _authentication(stage, stage.login, failure)


def _banner(transport: Transport) -> Step:
    version = printable(transport.remote_version)
    protocol, _, software = version.removeprefix("SSH-").partition("-")
    found = {"banner": version, "protocol": protocol, "software": software}
    release = re.match(r"OpenSSH_(\d+)\.", software)
    if release and int(release.group(1)) < _OLDEST_OPENSSH:
        advice = "That server is from before 2019: have it updated."
        return Step("banner", Status.WARNING, found, software, advice)
    return Step("banner", Status.OK, found, software)


def _no_banner(transport: Transport, failure: SSHClientError, *, by_command: bool) -> Step:
    said = [shortened(printable(line)) for line in transport.greeting]
    text = " ".join(said)
    if by_command:
        advice = failure.hint
    elif "MaxStartups" in text or not (said or "Timed out" in failure.message):
        advice = (
            "An SSH server that hangs up before its banner has too many connections that are not logged in yet "
            "(MaxStartups in its sshd_config) and drops new ones, or blocks this address (fail2ban, "
            "hosts.deny). Wait a minute and try again; its log says which it was."
        )
    elif "Not allowed at this time" in text:
        advice = (
            "That sshd punishes this address for failed logins (PerSourcePenalties in its sshd_config): "
            "wait some minutes, and end what keeps failing."
        )
    elif said and said[0].startswith("HTTP/"):
        advice = "A web server answers there: --port is another one's."
    else:
        advice = failure.hint
    return failed("banner", failure, {"said": said}, advice=advice, details=tuple(said[:5]))


def _key_exchange(transport: Transport) -> Step:
    tables: Any = transport  # its algorithms are in no stub
    cipher = str(tables.local_cipher)
    mac = "" if _HIDDEN_MAC.search(cipher) else str(tables.local_mac)
    post_quantum = bool(_POST_QUANTUM.search(transport.key_exchange))
    found = {
        "kex": transport.key_exchange,
        "host_key_algorithm": str(tables.host_key_type),
        "cipher": cipher,
        "mac": mac or "part of the cipher",
        "post_quantum": post_quantum,
    }
    summary = ", ".join(
        [
            transport.key_exchange,
            f"host key {tables.host_key_type}",
            cipher,
            *([mac] if mac else []),
        ]
    )
    if post_quantum:
        return Step("key_exchange", Status.OK, found, f"{summary}; post-quantum")
    lacks_it_here = _BEST_KEX not in tables.preferred_kex
    advice = (
        "This side does not offer a post-quantum key exchange: see KexAlgorithms in the configuration, and update "
        "the Python package cryptography."
        if lacks_it_here
        else f"Who records this connection may read it one day: a server with {_BEST_KEX} (OpenSSH 9.9) prevents that."
    )
    return Step("key_exchange", Status.WARNING, found, f"{summary}; not post-quantum", advice)


def _host_key(stage: Stage, blob: bytes, failure: SSHClientError | None) -> Step:
    trust = stage.settings.trust
    try:
        verifier, _ = judge(stage.settings)
        key, finding = verifier.judged(blob)
    except SSHClientError as exc:
        if stage.login is None:
            return failed("host_key", failure or exc)
        # Where the key is not checked, or pinned, nobody had to read the files.
        summary = f"accepted; the files cannot be read: {exc.message}"
        return Step("host_key", Status.WARNING, {"error": exc.message}, summary, exc.hint)
    shown = f"{key.short_type.upper()} {key.fingerprint}"
    found: dict[str, object] = {
        "type": key.key_type,
        "bits": key.bits,
        "fingerprint": key.fingerprint,
        "standing": finding.standing.value,
        "place": finding.line.place if finding.line else None,
    }
    if stage.login is None and failure is not None:
        unknown = finding.standing is Standing.UNKNOWN and trust.pin is None
        if not unknown or not trust.command:
            return failed("host_key", failure, found)
        found["trust_command"] = trust.command
        advice = (
            "Ask the machine's administrator for its fingerprint, and run this, which shows the keys and asks: "
            f"{printable(trust.command)}"
        )
        return failed("host_key", failure, found, advice=advice)
    if trust.pin is not None:
        return Step("host_key", Status.OK, found, f"{shown}, as it was demanded")
    if trust.unchecked:
        advice = "Anyone on the path can read and change everything: leave out --disable-host-key-checking."
        return Step("host_key", Status.WARNING, found, f"{shown}, not checked", advice)
    if finding.standing is Standing.KNOWN:
        where = f", on file at {finding.line.place}" if finding.line else ""
        return Step("host_key", Status.OK, found, f"{shown}{where}")
    if finding.standing is Standing.UNKNOWN:
        found["would_be_added_to"] = str(verifier.file)
        summary = f"{shown}, not on file; a connection would add it to {quoted(verifier.file)}"
        advice = (
            f"It is trusted unseen, because StrictHostKeyChecking is {trust.strict}: compare it."
        )
        return Step("host_key", Status.WARNING, found, summary, advice)
    error = verifier.error(key, finding)
    summary = f"INSECURE, and accepted because StrictHostKeyChecking is off: {error.message}"
    return Step("host_key", Status.WARNING, found, summary, error.hint)


def _authentication(stage: Stage, login: LoginRecord, failure: SSHClientError | None) -> Step:
    user = printable(stage.settings.login.user)
    used = login.tried[-1:] if login.succeeded else []
    refused = login.tried[: len(login.tried) - len(used)]
    found: dict[str, object] = {
        "user": user,
        "accepted": [_facts(each) for each in (*login.taken, *used)],
        "refused": [_facts(each) for each in refused],
        "not_tried": [each.message for each in login.skipped],
        "methods": list(login.methods),
        "agent": login.agent,
    }
    details = tuple(_told(login, refused))
    if login.succeeded:
        how = f"with {used[0]}" if used else "without any key: the server wants none"
        return Step("authentication", Status.OK, found, f"as {user} {how}", details=details)
    assert failure is not None  # noqa: S101 - it is what ended it
    advice = ""
    missing = key_to_make(stage.settings.login)
    if missing and not login.tried:
        found["would_be_made"] = str(missing)
        advice = (
            f"A connection makes the key {quoted(missing)} first: try one, and its error has the line to add to "
            "~/.ssh/authorized_keys there."
        )
    return failed("authentication", failure, found, advice=advice)


def _told(login: LoginRecord, refused: Sequence[Identity]) -> Iterator[str]:
    for each in login.taken:
        yield f"taken, and not enough: {each}"
    for each in refused:
        yield f"refused: {each}"
    for error in login.skipped:
        yield f"not tried: {error.message}"


def _facts(identity: Identity) -> dict[str, str]:
    public = identity.public
    return {
        "type": public.key_type if public else "",
        "fingerprint": public.fingerprint if public else "",
        "from": printable(identity.signer.source),
    }
