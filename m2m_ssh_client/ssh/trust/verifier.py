"""Is this key, or this certificate, the machine's? What the files say, and what follows from it.

The rules are those of ssh_config(5) and sshd(8) and, where the manuals are silent, of what OpenSSH's `ssh` does. Those
that are easy to get wrong:

- One matching entry is enough, wherever it stands and whatever else is on file for the name.
- Any other plain entry makes the key a *changed* one, also an entry of a different key type.
- On a port other than 22 the name is `[host]:port`. Only when no plain entry has that name do the entries for the
  bare `host` count, and there a different key leaves the machine *unknown*: another SSH server on the same machine is
  nothing unusual.
- `@revoked` wins over a matching entry under the same name, and speaks of authorities too.
- A certificate that no trusted authority has signed, or that is not good for this machine now, counts as the plain
  key in it.

On one point this is stricter than `ssh`: with `accept-new`, a key that is revoked under the bare name is not added
for `[host]:port`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from m2m_ssh_client.errors import HostKeyError, KnownHostsError
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
from m2m_ssh_client.ssh.trust.revoked_keys import revoked_keys
from m2m_ssh_client.text import printable, quoted
from m2m_ssh_client.usage import pasteable

logger = logging.getLogger(__name__)

_DEFAULT_FILE = Path("~/.ssh/known_hosts")


class Standing(Enum):
    """What the files say of a key that a machine shows."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


class Finding(NamedTuple):
    """A standing, and the line that decided it (None: RevokedHostKeys did, or no line spoke).

    For an unknown key, `line` has another key for the bare name, if there is one. `fault` is why the certificate that
    was shown did not count.
    """

    standing: Standing
    line: Entry | None = None
    fault: str = ""


class HostVerifier:
    """Judges what one machine shows, once or several times. Blocking; one thread at a time.

    `ca_algorithms` are the CASignatureAlgorithms, `trust_command` is what errors for an unknown machine tell to run.
    The files are read when they are first needed, and again before something is added.
    """

    def __init__(
        self, trust: Trust, ca_algorithms: Sequence[str] | None = None, trust_command: str = ""
    ) -> None:
        self._trust = trust
        self._ca_algorithms = ca_algorithms
        self._trust_command = trust_command

    def key_algorithms(self, available: Sequence[str]) -> list[str]:
        """The HostKeyAlgorithms to offer, so that a server with several keys shows one that is on file.

        `available` are algorithms in our order of preference. Where no certificate is among them, those of the
        same types come first, as in `ssh`'s default. Then, as in `ssh`: where the first is of a type on file, the
        order stays; else types on file come first, and all certificates where an authority speaks for the machine.
        Raises KnownHostsError.
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
        if offered and _key_type(offered[0]) in types:
            return offered

        def is_first(name: str) -> bool:
            return _key_type(name) in types or (certified and name.endswith(CERTIFICATE_SUFFIX))

        return sorted(offered, key=lambda name: not is_first(name))

    def verify(self, blob: bytes) -> PublicKey:
        """The machine's key, if `blob`, the key or certificate that it showed, is right by the settings.

        Under `accept-new` and `no` an unknown key is added to the first user file. Raises HostKeyError, and
        KnownHostsError for files that cannot be read.
        """
        key, certificate = self._read(blob)
        self._check_size(key)
        if self._trust.pin is not None:
            self._compare_with_pin(key)
        elif not self._trust.unchecked:
            self._decide(key, certificate)
        return key

    def judged(self, blob: bytes) -> tuple[PublicKey, Finding]:
        """The key in what a machine showed, and what the files say of it. Raises as `finding`, and HostKeyError."""
        key, certificate = self._read(blob)
        if self._revoked.intersection(_with_authority(key, certificate)):
            return key, Finding(Standing.REVOKED)
        return key, self._judge(self._known_hosts, key, certificate)

    def finding(self, key: PublicKey) -> Finding:
        """What the files say of a plain key, whatever the settings make of it. Raises KnownHostsError."""
        if key in self._revoked:
            return Finding(Standing.REVOKED)
        return self._judge(self._known_hosts, key, None)

    @property
    def file(self) -> Path:
        """Where keys are added. Raises KnownHostsError if there is no such file."""
        if not self._trust.user_files:
            raise KnownHostsError(
                f"There is no known_hosts file to add {self._shown} to",
                "Name one with --known-hosts",
            )
        return self._trust.user_files[0].expanduser()

    def add(self, key: PublicKey, *, beside_other_types: bool = False) -> Finding:
        """Put an unknown key into the first user file. Gives what the files say of it then.

        They are read again for that, under a lock against other processes that do the same, and where they know the
        key now, or have something against it, nothing is added. With `beside_other_types` a key is added too where
        only keys of other types are on file, which makes it a changed one to `ssh`. Raises KnownHostsError.
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
                f"The host key cannot be written to {quoted(path)}: {exc.strerror}",
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
    def _revoked(self) -> set[PublicKey]:
        path = self._trust.revoked_file
        return set() if path is None else revoked_keys(path)

    def _load(self) -> KnownHosts:
        return KnownHosts.load([*self._trust.user_files, *self._trust.global_files])

    def _read(self, blob: bytes) -> tuple[PublicKey, HostCertificate | None]:
        try:
            if is_certificate(blob):
                certificate = HostCertificate.parse(blob)
                return certificate.key, certificate
            return PublicKey.read_host_key(blob), None
        except ValueError as exc:
            raise HostKeyError(
                f"Host key verification failed: {self._shown} showed no key that can be used ({exc})",
                "Ask the machine's administrator, or connect with ssh to see what it makes of it.",
            ) from exc

    def _check_size(self, key: PublicKey) -> None:
        """RequiredRSASize (ssh_config(5))."""
        if key.key_type == "ssh-rsa" and key.bits < self._trust.rsa_bits:
            raise HostKeyError(
                f"Host key verification failed: {self._shown} has an RSA key of {key.bits} bits, and "
                f"RequiredRSASize demands {self._trust.rsa_bits}",
                "Let that machine have a larger key, or an Ed25519 one, or change RequiredRSASize.",
            )

    def _compare_with_pin(self, key: PublicKey) -> None:
        if key.fingerprint == self._trust.pin:
            return
        name, port = printable(self._trust.name), self._trust.port
        raise HostKeyError(
            f"Host key verification failed: {name if port is None else f'{name} port {port}'} has the "
            f"{key.key_type} key {key.fingerprint}, and --host-key demands {self._trust.pin}",
            "If the key was changed on purpose, check its fingerprint on that machine "
            "(ssh-keygen -l) and change --host-key; otherwise somebody may be in between.",
        )

    def _decide(self, key: PublicKey, certificate: HostCertificate | None) -> None:
        """Apply StrictHostKeyChecking (ssh_config(5)) to what the files say."""
        if self._revoked.intersection(_with_authority(key, certificate)):
            raise self.error(key, Finding(Standing.REVOKED))
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
        self._line(key)  # a name that cannot be on file is a refusal
        if self._trust.read_only:
            return Finding(Standing.KNOWN)
        try:
            found = self.add(key)
        except KnownHostsError as exc:
            # `ssh` goes on too: nothing is on file against this key.
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
        """What is on file under these names, of which the later ones are for want of an earlier one."""
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
        """What is wrong with a key of this standing, and what to do about it."""
        shown = f"{self._shown} showed the {key.key_type} key {key.fingerprint}"
        if finding.fault:
            shown += f" in a certificate that does not count ({finding.fault})"
        case, hint = self._case(key, finding)
        return HostKeyError(f"Host key verification failed: {shown}, {case}", hint)

    def _case(self, key: PublicKey, finding: Finding) -> tuple[str, str]:
        """What is wrong, and what to do about it."""
        if finding.standing is Standing.REVOKED:
            return self._revoked_case(finding.line)
        if finding.standing is Standing.CHANGED and finding.line is not None:
            return self._changed_case(finding.line)
        return self._unknown_case(finding.line), self._remedy(key)

    def _revoked_case(self, line: Entry | None) -> tuple[str, str]:
        place = f"at {line.place}" if line else f"in RevokedHostKeys {self._trust.revoked_file}"
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
    """What to do about a line with a different key for this name."""
    # `ssh-keygen -R` drops whole lines, and one with patterns speaks for other machines too.
    if line.is_for_one_name:
        remedy = f"forget the old one with `ssh-keygen -R {quoted(name)} -f {quoted(line.path)}`"
    else:
        remedy = f"correct line {line.line} of {quoted(line.path)}"
    return f"Only when the machine's administrator has confirmed the new fingerprint, {remedy}"


def _trust_command(trust: Trust) -> str:
    """For a machine that its name and port lead to; empty where there is nothing to add to, or it takes more."""
    if trust.port is None or not trust.user_files:
        return ""
    options = ["--host", trust.name, "--port", str(trust.port)]
    if trust.user_files[0].expanduser() != _DEFAULT_FILE.expanduser():
        options += ["--known-hosts", str(trust.user_files[0])]
    return pasteable("trust", *options)


def _key_type(algorithm: str) -> str:
    """The type of the keys that an algorithm is for."""
    plain = algorithm.removesuffix(CERTIFICATE_SUFFIX)
    return "ssh-rsa" if plain.startswith("rsa-sha2-") else plain


def _with_authority(key: PublicKey, certificate: HostCertificate | None) -> tuple[PublicKey, ...]:
    return (key,) if certificate is None else (key, certificate.authority)


def _line_of(key: PublicKey, entries: Iterable[Entry], marker: bytes) -> Entry | None:
    return next((each for each in entries if each.marker == marker and each.key == key), None)
