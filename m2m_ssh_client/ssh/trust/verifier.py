"""The judgement on a machine's key or certificate: the content of the files, and its consequences.

The rules are those of ssh_config(5) and sshd(8); where the manuals are silent, of OpenSSH's `ssh`.
These are easy to get wrong:

- One matching entry is enough, wherever it stands and whatever else is on file for the name.
- Any other plain entry makes the key a *changed* one, even an entry of a different key type.
- On a port other than 22 the name is `[host]:port`. The entries for the bare `host` count only if
  no
  plain entry has that name, and then a different key leaves the machine *unknown*: a second SSH
  server on one machine is nothing unusual.
- `@revoked` wins over a matching entry under the same name, and applies to authorities too.
- A certificate that no trusted authority has signed, or that is not valid for this machine now,
  counts as the plain key in it.

One point is stricter than in `ssh`: with `accept-new`, a key that is revoked under the bare name is
not added for `[host]:port`. A pin, and no checking at all, are settings of our own: nothing that is
revoked passes them either.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from m2m_ssh_client.errors import HostKeyError, KnownHostsError, reason
from m2m_ssh_client.ssh.public_key import CERTIFICATE_SUFFIX, PublicKey
from m2m_ssh_client.ssh.settings import Trust
from m2m_ssh_client.ssh.trust.host_certificate import HostCertificate, is_certificate
from m2m_ssh_client.ssh.trust.known_hosts import (
    AUTHORITY,
    REVOKED,
    Entry,
    KnownHosts,
    entry,
    on_file,
)
from m2m_ssh_client.ssh.trust.known_hosts_writing import appending
from m2m_ssh_client.text import printable, quoted
from m2m_ssh_client.usage import pasteable

if TYPE_CHECKING:
    from m2m_ssh_client.ssh.trust.revoked_keys import RevokedKeys

logger = logging.getLogger(__name__)

_DEFAULT_FILE = Path("~/.ssh/known_hosts")


class Standing(Enum):
    """The files' verdict on a key that a machine shows."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


class Finding(NamedTuple):
    """A standing, and the line that decided it (None for RevokedHostKeys, or if no line spoke).

    For an unknown key, `line` holds another key for the bare name, if there is one. `fault` is why
    the shown certificate did not count.
    """

    standing: Standing
    line: Entry | None = None
    fault: str = ""


class HostVerifier:
    """The judge of what one machine shows, once or several times.

    `ca_algorithms` are the CASignatureAlgorithms; errors for an unknown machine suggest
    `trust_command`. The files are read on first use, and again before something is added. Blocking;
    one thread at a time.
    """

    def __init__(
        self, trust: Trust, ca_algorithms: Sequence[str] | None = None, trust_command: str = ""
    ) -> None:
        self._trust = trust
        self._ca_algorithms = ca_algorithms
        self._trust_command = trust_command

    def key_algorithms(self, available: Sequence[str]) -> list[str]:
        """Return the HostKeyAlgorithms in an order in which a server shows a key that is on file.

        `available` are algorithms in our order of preference. If no certificate is among them,
        those of the same types come first, as in `ssh`'s default. Then, as in `ssh`: if the first
        is of a type on file, the order stays; else types on file come first, and all certificates
        if an authority speaks for the machine. Raises KnownHostsError.
        """
        if self._trust.unchecked or self._trust.pin is not None:
            return list(available)
        offered = list(available)
        if not any(name.endswith(CERTIFICATE_SUFFIX) for name in offered):
            offered = [*(name + CERTIFICATE_SUFFIX for name in offered), *offered]
        entries = self._known_hosts.entries_for(self._names[0])
        revoked = {each.key for each in entries if each.marker == REVOKED}
        plain = {each.key for each in entries if not each.marker}
        types = {key.key_type for key in plain - revoked}
        certified = any(each.marker == AUTHORITY for each in entries)
        if offered and key_type_of(offered[0]) in types:
            return offered

        def is_first(name: str) -> bool:
            return key_type_of(name) in types or (certified and name.endswith(CERTIFICATE_SUFFIX))

        return sorted(offered, key=lambda name: not is_first(name))

    def verify(self, blob: bytes) -> PublicKey:
        """Return the machine's key if the settings accept `blob`, the key or certificate shown.

        Under `accept-new` and `no`, an unknown key is added to the first user file. A revoked key
        is refused even if it is pinned, or if nothing is checked. Raises HostKeyError, and
        KnownHostsError for files that cannot be read and are needed.
        """
        key, certificate = self._read(blob)
        self._check_size(key)
        if self._is_revoked(key, certificate):
            raise self.error(key, Finding(Standing.REVOKED))
        if self._trust.pin is None and not self._trust.unchecked:
            self._decide(key, certificate)
            return key
        if self._trust.pin is not None:
            self._compare_with_pin(key)
        finding = self._judge(self._load(skip_unreadable=True), key, certificate)
        if finding.standing is Standing.REVOKED:
            raise self.error(key, finding)
        return key

    def judged(self, blob: bytes) -> tuple[PublicKey, Finding]:
        """Return the key in what a machine showed, and the files' verdict on it.

        Raises as `finding`, and HostKeyError.
        """
        key, certificate = self._read(blob)
        if self._is_revoked(key, certificate):
            return key, Finding(Standing.REVOKED)
        return key, self._judge(self._known_hosts, key, certificate)

    def finding(self, key: PublicKey) -> Finding:
        """Return the files' verdict on a plain key, whatever the settings are.

        Raises KnownHostsError.
        """
        if self._is_revoked(key, None):
            return Finding(Standing.REVOKED)
        return self._judge(self._known_hosts, key, None)

    @property
    def file(self) -> Path:
        """The file that new keys are added to. Raises KnownHostsError if there is none."""
        if not self._trust.user_files:
            raise KnownHostsError(
                f"There is no known_hosts file to add {self._shown} to",
                "Name one with --known-hosts",
            )
        return self._trust.user_files[0].expanduser()

    def add(self, key: PublicKey, *, beside_other_types: bool = False) -> Finding:
        """Add an unknown key to the first user file; return the files' verdict then.

        The files are read again for that, under a lock against other processes, and nothing is
        added if they know the key now or rule it out. With `beside_other_types`, a key is added
        even if keys of other types are on file, which makes it a changed one to `ssh`. Raises
        KnownHostsError.
        """
        path = self.file
        line = self._line(key)
        try:
            with appending(path) as append:
                finding = self._judge(self._load(), key, None)
                other_type = finding.line is not None and finding.line.key.key_type != key.key_type
                if finding.standing is Standing.CHANGED and not (beside_other_types and other_type):
                    return finding
                if finding.standing in (Standing.KNOWN, Standing.REVOKED):
                    return finding
                append(line)
        except OSError as exc:
            raise KnownHostsError(
                f"The host key cannot be written to {quoted(path)}: {reason(exc)}",
                "Make that file and its folder writable for you",
            ) from exc
        logger.info("added the %s key %s to %s", key.key_type, key.fingerprint, path)
        return Finding(Standing.KNOWN)

    @property
    def _names(self) -> list[str]:
        """The names to look under, in this order."""
        trust = self._trust
        if trust.port is None:
            return [on_file(trust.name)]
        return list(dict.fromkeys((on_file(trust.name, trust.port), on_file(trust.name))))

    @property
    def _shown(self) -> str:
        name, port = printable(self._trust.name), self._trust.port
        if port is None:
            return name
        return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"

    @cached_property
    def _known_hosts(self) -> KnownHosts:
        return self._load()

    @cached_property
    def _revoked(self) -> list[RevokedKeys]:
        if not self._trust.revoked_files:
            return []
        from m2m_ssh_client.ssh.trust.revoked_keys import RevokedKeys

        return [RevokedKeys(path) for path in self._trust.revoked_files]

    def _is_revoked(self, key: PublicKey, certificate: HostCertificate | None) -> bool:
        return any(each.include(key, certificate) for each in self._revoked)

    def _load(self, *, skip_unreadable: bool = False) -> KnownHosts:
        paths = [*self._trust.user_files, *self._trust.global_files]
        return KnownHosts.load(paths, skip_unreadable=skip_unreadable)

    def _read(self, blob: bytes) -> tuple[PublicKey, HostCertificate | None]:
        try:
            if is_certificate(blob):
                certificate = HostCertificate.parse(blob)
                return certificate.key, certificate
            return PublicKey.read_host_key(blob), None
        except ValueError as exc:
            raise HostKeyError(
                f"Host key verification failed: {self._shown} showed no usable key ({exc})",
                "Ask the machine's administrator, or connect with ssh to see its verdict.",
            ) from exc

    def _check_size(self, key: PublicKey) -> None:
        """Require the size in RequiredRSASize (ssh_config(5))."""
        if key.key_type == "ssh-rsa" and key.bits < self._trust.rsa_bits:
            raise HostKeyError(
                f"Host key verification failed: {self._shown} has an RSA key of {key.bits} bits, "
                f"and RequiredRSASize demands {self._trust.rsa_bits}",
                "Give that machine a larger key, or an Ed25519 key, or change RequiredRSASize.",
            )

    def _compare_with_pin(self, key: PublicKey) -> None:
        if key.fingerprint == self._trust.pin:
            return
        place, port = printable(self._trust.name), self._trust.port
        if port is not None:
            place += f" port {port}"
        raise HostKeyError(
            f"Host key verification failed: {place} has the "
            f"{key.key_type} key {key.fingerprint}, and --host-key demands {self._trust.pin}",
            "If the key was changed on purpose, check its fingerprint on that machine "
            "(ssh-keygen -l) and change --host-key; otherwise somebody may be in between.",
        )

    def _decide(self, key: PublicKey, certificate: HostCertificate | None) -> None:
        """Apply StrictHostKeyChecking (ssh_config(5)) to the files' verdict."""
        finding = self._judge(self._known_hosts, key, certificate)
        if finding.standing is Standing.UNKNOWN and self._may_add:
            finding = self._added(key, finding)
        if finding.standing is Standing.KNOWN:
            return
        error = self.error(key, finding)
        if self._trust.strict != "no" or finding.standing is Standing.UNKNOWN:
            raise error
        logger.warning(
            "INSECURE, and accepted because StrictHostKeyChecking is off: %s", error.message
        )

    @property
    def _may_add(self) -> bool:
        return self._trust.strict != "yes" and bool(self._trust.user_files)

    def _added(self, key: PublicKey, finding: Finding) -> Finding:
        self._line(key)  # raises for a name that cannot be on file
        if self._trust.read_only:
            return Finding(Standing.KNOWN)
        try:
            found = self.add(key)
        except KnownHostsError as exc:
            # `ssh` goes on, too: the files have nothing against this key.
            logger.warning("the host key of %s will be unknown again: %s", self._shown, exc)
            return Finding(Standing.KNOWN)
        if found.standing is Standing.KNOWN:
            logger.warning(
                "the host key of %s was unknown and is trusted from now on: %s %s",
                *(self._shown, key.key_type, key.fingerprint),
            )
        return found._replace(fault=finding.fault)

    def _line(self, key: PublicKey) -> str:
        trust = self._trust
        return entry(trust.name, trust.port, key, hashed=trust.hash_names)

    def _judge(
        self,
        known_hosts: KnownHosts,
        key: PublicKey,
        certificate: HostCertificate | None,
        names: Sequence[str] | None = None,
    ) -> Finding:
        """Judge by the entries for these names; a later name counts if the earlier are unknown."""
        name, *others = self._names if names is None else names
        entries = known_hosts.entries_for(name)
        shown = _with_authority(key, certificate)
        for each in entries:
            if each.marker == REVOKED and each.key in shown:
                return Finding(Standing.REVOKED, each)
        if certificate is None:
            return self._judge_plain(known_hosts, key, entries, others)
        authority = _line_of(certificate.authority, entries, AUTHORITY)
        plain = self._judge(known_hosts, key, None, [name, *others])
        fault = "no trusted authority has signed it"
        if authority is not None:
            fault = certificate.fault(on_file(self._trust.name), self._ca_algorithms)
            if not fault:
                return Finding(Standing.KNOWN, authority)
        elif others:
            bare = self._judge(known_hosts, key, certificate, others)
            revoked = bare.standing is Standing.REVOKED and plain.standing is Standing.UNKNOWN
            if bare.standing is Standing.KNOWN or revoked:
                return bare
            fault = bare.fault or fault
        return plain._replace(fault=fault)

    def _judge_plain(
        self, known_hosts: KnownHosts, key: PublicKey, entries: list[Entry], others: list[str]
    ) -> Finding:
        line = _line_of(key, entries, b"")
        if line is not None:
            return Finding(Standing.KNOWN, line)
        plain = [each for each in entries if not each.marker]
        if plain:
            same_type = [each for each in plain if each.key.key_type == key.key_type]
            return Finding(Standing.CHANGED, (same_type or plain)[0])
        if not others:
            return Finding(Standing.UNKNOWN)
        finding = self._judge(known_hosts, key, None, others)
        if finding.standing is Standing.CHANGED:
            return Finding(Standing.UNKNOWN, finding.line)
        return finding

    def error(self, key: PublicKey, finding: Finding) -> HostKeyError:
        """Return the error for a key of this standing, with what to do about it."""
        shown = f"{self._shown} showed the {key.key_type} key {key.fingerprint}"
        if finding.fault:
            shown += f" in a certificate that does not count ({finding.fault})"
        case, hint = self._case(key, finding)
        return HostKeyError(f"Host key verification failed: {shown}, {case}", hint)

    def _case(self, key: PublicKey, finding: Finding) -> tuple[str, str]:
        """Return what is wrong, and what to do about it."""
        if finding.standing is Standing.REVOKED:
            return self._revoked_case(finding.line)
        if finding.standing is Standing.CHANGED and finding.line is not None:
            return self._changed_case(finding.line)
        return self._unknown_case(finding.line), self._remedy(key)

    def _revoked_case(self, line: Entry | None) -> tuple[str, str]:
        files = " ".join(map(quoted, self._trust.revoked_files))
        place = f"at {line.place}" if line else f"in RevokedHostKeys {files}"
        hint = (
            "Do not connect: somebody else may hold that key. "
            "Ask the machine's administrator for its new key"
        )
        return f"which is marked as revoked {place}", hint

    def _changed_case(self, line: Entry) -> tuple[str, str]:
        case = (
            f"but {line.place} has a different key on file for it ({line.key.key_type} "
            f"{line.key.fingerprint}). The machine's key has changed, or this is an attack"
        )
        return case, changed_hint(self._names[0], line)

    def _unknown_case(self, other: Entry | None) -> str:
        authority = next(
            (
                each
                for name in self._names
                for each in self._known_hosts.entries_for(name)
                if each.marker == AUTHORITY
            ),
            None,
        )
        if authority is not None:
            only = f"certificate authority (@cert-authority, {authority.place})"
            return f"and only a {only} is on file for this machine"
        if other is not None:
            name = printable(self._trust.name)
            elsewhere = f"{other.place} has a different key for {name} without a port"
            return f"and no key is on file for that port; {elsewhere}"
        return "and no key is on file for this machine"

    def _remedy(self, key: PublicKey) -> str:
        short = key.short_type
        remedy = f"pass --host-key {key.fingerprint}"
        if command := self._trust_command or _trust_command(self._trust):
            remedy = f"run `{printable(command)}` or {remedy}"
        return (
            "Compare the fingerprint with the one that the machine's administrator gives you, or "
            f"that `ssh-keygen -lf /etc/ssh/ssh_host_{short}_key.pub` prints on that machine. "
            f"If they are the same, {remedy}"
        )


def changed_hint(name: str, line: Entry) -> str:
    """Return what to do about a line with a different key for this name."""
    # `ssh-keygen -R` removes whole lines, and a line with patterns speaks for other machines, too.
    if line.is_for_one_name:
        remedy = f"forget the old one with `ssh-keygen -R {quoted(name)} -f {quoted(line.path)}`"
    else:
        remedy = f"correct line {line.line} of {quoted(line.path)}"
    return f"Only when the machine's administrator has confirmed the new fingerprint, {remedy}"


def _trust_command(trust: Trust) -> str:
    """Return the command that trusts a machine reached by its name and port alone.

    It is empty if there is no file to add to, or if the machine needs more options.
    """
    if trust.port is None or not trust.user_files:
        return ""
    options = ["--host", trust.name, "--port", str(trust.port)]
    if trust.user_files[0].expanduser() != _DEFAULT_FILE.expanduser():
        options += ["--known-hosts", str(trust.user_files[0])]
    return pasteable("trust", *options)


def key_type_of(algorithm: str) -> str:
    """Return the type of the keys that an algorithm is for."""
    plain = algorithm.removesuffix(CERTIFICATE_SUFFIX)
    return "ssh-rsa" if plain.startswith("rsa-sha2-") else plain


def _with_authority(key: PublicKey, certificate: HostCertificate | None) -> tuple[PublicKey, ...]:
    return (key,) if certificate is None else (key, certificate.authority)


def _line_of(key: PublicKey, entries: Iterable[Entry], marker: bytes) -> Entry | None:
    return next((each for each in entries if each.marker == marker and each.key == key), None)
