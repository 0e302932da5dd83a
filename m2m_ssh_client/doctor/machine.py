"""The steps of one machine: banner, key exchange, host key, authentication."""

from __future__ import annotations

import re
from collections.abc import Iterator

from m2m_ssh_client.doctor.steps import Status, Step, failed
from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.ssh.connection import Stage, host_key_policy
from m2m_ssh_client.ssh.library.ssh_transport import Transport
from m2m_ssh_client.ssh.login.identities import Identity
from m2m_ssh_client.ssh.login.login_record import LoginRecord
from m2m_ssh_client.ssh.opener import key_to_make
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Trust
from m2m_ssh_client.ssh.trust.verifier import Finding, HostVerifier, Standing
from m2m_ssh_client.text import printable, quoted, shortened

# Released in April 2019.
_OLDEST_OPENSSH = 8
_POST_QUANTUM = re.compile("mlkem|sntrup")
_BEST_KEX = "mlkem768x25519-sha256"
_HIDDEN_MAC = re.compile("gcm|poly1305")  # these ciphers need no separate MAC


def steps(stage: Stage, failure: SSHClientError | None) -> Iterator[Step]:
    """Yield the steps that were reached; the last one failed if `failure` is of this machine."""
    transport = stage.transport
    if transport is None:
        return
    if not transport.server_version:
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
    version = printable(transport.server_version)
    protocol, _, software = version.removeprefix("SSH-").partition("-")
    found = {"banner": version, "protocol": protocol, "software": software}
    release = re.match(r"OpenSSH_(\d+)\.", software)
    if release and int(release.group(1)) < _OLDEST_OPENSSH:
        advice = "This server is from before 2019: have it updated."
        return Step("banner", Status.WARNING, found, software, advice)
    return Step("banner", Status.OK, found, software)


def _no_banner(transport: Transport, failure: SSHClientError, *, by_command: bool) -> Step:
    said = [shortened(printable(line)) for line in transport.greeting]
    if not by_command and not said and "Timed out" not in failure.message:
        advice = (
            "An SSH server that closes the connection before its banner either has too many logins "
            "in progress (MaxStartups in its sshd_config), or blocks this address (fail2ban, "
            "hosts.deny). Wait a minute and try again; its log says which."
        )
    elif not by_command and said and said[0].startswith("HTTP/"):
        advice = "A web server answers on this port: correct --port."
    else:
        advice = failure.hint
    return failed("banner", failure, {"said": said}, advice=advice, details=tuple(said[:5]))


def _key_exchange(transport: Transport) -> Step:
    kex, host_key, cipher, mac = transport.agreement
    if _HIDDEN_MAC.search(cipher):
        mac = ""
    post_quantum = bool(_POST_QUANTUM.search(kex))
    found = {
        "kex": kex,
        "host_key_algorithm": host_key,
        "cipher": cipher,
        "mac": mac or "part of the cipher",
        "post_quantum": post_quantum,
    }
    summary = ", ".join([kex, f"host key {host_key}", cipher, *([mac] if mac else [])])
    if post_quantum:
        return Step("key_exchange", Status.OK, found, f"{summary}; post-quantum")
    lacks_it_here = _BEST_KEX not in transport.offer.key_exchanges
    advice = (
        "This client offers no post-quantum key exchange: check KexAlgorithms in the "
        "configuration, and update the Python package cryptography."
        if lacks_it_here
        else "A recording of this connection may become readable one day: a server with "
        f"{_BEST_KEX} (OpenSSH 9.9) prevents that."
    )
    return Step("key_exchange", Status.WARNING, found, f"{summary}; not post-quantum", advice)


def _host_key(stage: Stage, blob: bytes, failure: SSHClientError | None) -> Step:
    trust = stage.settings.trust
    try:
        verifier, _ = host_key_policy(stage.settings)
        key, finding = verifier.judged(blob)
    except SSHClientError as exc:
        if stage.login is None:
            return failed("host_key", failure or exc)
        # For an unchecked or pinned key, files that cannot be read do not matter.
        summary = f"accepted; the files cannot be read: {exc.message}"
        return Step("host_key", Status.WARNING, {"error": exc.message}, summary, exc.hint)
    found: dict[str, object] = {
        "type": key.key_type,
        "bits": key.bits,
        "fingerprint": key.fingerprint,
        "standing": finding.standing.value,
        "place": finding.line.place if finding.line else None,
    }
    if stage.login is None and failure is not None:
        return _refused_host_key(trust, finding, failure, found)
    return _accepted_host_key(trust, verifier, key, finding, found)


def _refused_host_key(
    trust: Trust, finding: Finding, failure: SSHClientError, found: dict[str, object]
) -> Step:
    unknown = finding.standing is Standing.UNKNOWN and trust.pin is None
    if not unknown or not trust.command:
        return failed("host_key", failure, found)
    found["trust_command"] = trust.command
    advice = (
        "Ask the machine's administrator for its fingerprint, then run this command, which shows "
        f"the keys and asks: {printable(trust.command)}"
    )
    return failed("host_key", failure, found, advice=advice)


def _accepted_host_key(
    trust: Trust, verifier: HostVerifier, key: PublicKey, finding: Finding, found: dict[str, object]
) -> Step:
    shown = f"{key.short_type.upper()} {key.fingerprint}"
    if trust.pin is not None:
        return Step("host_key", Status.OK, found, f"{shown}, as required by --host-key")
    if trust.unchecked:
        advice = (
            "Anyone on the network path can read and change everything: omit "
            "--disable-host-key-checking."
        )
        return Step("host_key", Status.WARNING, found, f"{shown}, not checked", advice)
    if finding.standing is Standing.KNOWN:
        where = f", on file at {finding.line.place}" if finding.line else ""
        return Step("host_key", Status.OK, found, f"{shown}{where}")
    if finding.standing is Standing.UNKNOWN:
        found["would_be_added_to"] = str(verifier.file)
        summary = f"{shown}, not on file; a connection would add it to {quoted(verifier.file)}"
        advice = f"StrictHostKeyChecking is {trust.strict}, so it is trusted unseen: compare it."
        return Step("host_key", Status.WARNING, found, summary, advice)
    error = verifier.error(key, finding)
    summary = f"INSECURE, but accepted because StrictHostKeyChecking is off: {error.message}"
    return Step("host_key", Status.WARNING, found, summary, error.hint)


def _authentication(stage: Stage, login: LoginRecord, failure: SSHClientError | None) -> Step:
    user = printable(stage.settings.login.user)
    found: dict[str, object] = {
        "user": user,
        "accepted": [_facts(each) for each in login.taken],
        "refused": [_facts(each) for each in login.tried],
        "not_tried": [each.message for each in login.skipped],
        "methods": list(login.methods),
        "agent": login.agent,
        "said": login.said,
    }
    details = tuple(_told(login))
    if login.succeeded:
        summary = f"as {user} {_how(login)}"
        return Step("authentication", Status.OK, found, summary, details=details)
    assert failure is not None  # noqa: S101 - a failed login has one
    advice = ""
    missing = key_to_make(stage.settings.login)
    if missing and not login.tried:
        found["would_be_made"] = str(missing)
        advice = (
            f"A connection first creates the key {quoted(missing)}: connect once, and add the "
            "line in its error to ~/.ssh/authorized_keys there."
        )
    return failed("authentication", failure, found, advice=advice)


def _how(login: LoginRecord) -> str:
    ways = [str(each) for each in login.taken]
    if login.interactive:
        ways.append("keyboard-interactive, which asked nothing")
    return f"with {' and '.join(ways)}" if ways else "without a key: the server requires none"


def _told(login: LoginRecord) -> Iterator[str]:
    for line in login.said:
        yield f"the server says: {line}"
    if login.agent:
        yield login.agent
    for each in () if login.succeeded else login.taken:
        yield f"accepted, but not sufficient: {each}"
    for each in login.tried:
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
