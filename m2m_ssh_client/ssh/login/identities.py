"""The keys to offer, in order, and what signs with each.

The order is that of `ssh` (ssh_config(5), IdentityFile and CertificateFile), because servers allow
only so many attempts: named certificates; configured keys, each after its own certificates; the
agent's copies of default keys; the agent's other keys; the default keys. Unlike `ssh`, a configured
key that the agent does not hold is not moved behind all keys that it holds. The other keys of an
agent that nobody named come last: they must not use up the attempts of a default key.

The agent signs for the keys that it holds. Files are read for their public halves; a private half
is opened when it has to sign, so nobody is asked for the passphrase of a key that the server does
not want.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from m2m_ssh_client.errors import KeyFileError
from m2m_ssh_client.ssh.login import passphrases
from m2m_ssh_client.ssh.login.agent import Agent, AgentError, AgentKey
from m2m_ssh_client.ssh.login.key_files import (
    KeyFile,
    no_passphrase,
    read_key_file,
    read_public_key,
)
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.system_ssh import or_by_ssh
from m2m_ssh_client.text import quoted

if TYPE_CHECKING:
    import paramiko

    from m2m_ssh_client.ssh.login.unlocked_keys import UnlockedKeys
    from m2m_ssh_client.ssh.settings import Login

logger = logging.getLogger(__name__)


class FileSigner:
    """Signs with the private key in a file."""

    def __init__(self, file: KeyFile, open_: Callable[[KeyFile], paramiko.PKey]) -> None:
        self.path = file.path
        self.asks = file.encrypted
        self.source = quoted(file.path)
        self._file = file
        self._open = open_
        self._private: paramiko.PKey | KeyFileError | None = None

    def private(self) -> paramiko.PKey:
        """Return the private key. Raises KeyFileError.

        If nobody knew its passphrase, nobody is asked again.
        """
        if self._private is None:
            try:
                self._private = self._open(self._file)
            except KeyFileError as exc:
                self._private = exc
        if isinstance(self._private, KeyFileError):
            raise self._private
        return self._private

    def public(self) -> PublicKey:
        """Return the public half, which opens the file. Raises KeyFileError."""
        return PublicKey.of(self.private().asbytes())

    def sign(self, key: PublicKey, data: bytes, algorithm: str) -> bytes:
        """Sign as `Agent.sign` does. Raises KeyFileError."""
        private = self.private()
        if private.asbytes() != key.plain.blob:
            raise KeyFileError(
                f"The client key {self.source} is not the private half of the public key beside it",
                f"Create that again: ssh-keygen -y -f {self.source} > {quoted(f'{self.path}.pub')}",
            )
        return private.sign_ssh_data(data, algorithm).asbytes()


class AgentSigner:
    """Signs with a key of the agent, which may ask its user: `asks`."""

    asks = True

    def __init__(self, agent: Agent, entry: AgentKey) -> None:
        self.source = f"the agent ({entry.comment or 'no comment'})"
        self._agent = agent
        self._held = entry.public

    def public(self) -> PublicKey:
        """Return the key that the agent holds."""
        return self._held

    def sign(self, _key: PublicKey, data: bytes, algorithm: str) -> bytes:
        """Sign for the key and for its certificates. Raises AgentError."""
        return self._agent.sign(self._held, data, algorithm)


class Identity(NamedTuple):
    """One key or certificate to offer; `public` is None if only opening the file reveals it."""

    public: PublicKey | None
    signer: FileSigner | AgentSigner
    path: Path | None = None

    def __str__(self) -> str:
        shown = f"{self.public.key_type} {self.public.fingerprint} " if self.public else ""
        return f"{shown}from {self.signer.source}"


class Identities(NamedTuple):
    """The identities to offer in order, those left out with reasons, and a remark on the agent."""

    offered: Sequence[Identity]
    skipped: Sequence[KeyFileError]
    agent: str


class _Named(NamedTuple):
    """The content of a configured path: a private key, only a public one, or an error."""

    path: Path
    public: PublicKey | None = None
    signer: FileSigner | None = None
    certificate: PublicKey | None = None
    error: KeyFileError | None = None


def find(
    login: Login, agent: Agent | None, unlocked: UnlockedKeys, cancelled: Callable[[], bool]
) -> Identities:
    """Return the keys of a login. Reads files and asks the agent for its keys.

    Raises KeyFileError if the required file cannot be used and the agent does not hold its key
    either, or if no key has the requested fingerprint.
    """
    held, state = _held_by(agent, login)
    named = agent is None or not agent.found
    search = _Search(login, held, named, lambda file: unlocked.open(file, login, cancelled))
    offered = list(search.offers())
    if login.fingerprint:
        offered = _only(login.fingerprint, offered)
    return Identities(offered, search.skipped, state)


def _held_by(agent: Agent | None, login: Login) -> tuple[list[AgentSigner], str]:
    """Return what the agent holds, and a remark on it."""
    if agent is None:
        sought = "no agent with a key was found, and SSH_AUTH_SOCK is not set"
        return [], sought if login.seek_agent else "no agent"
    how = f"found at the place of {agent.found}" if agent.found else login.agent_by
    remark = f"the agent at {quoted(agent.path)}{how and f' ({how})'}"
    entries: list[AgentKey] = []
    try:
        entries = agent.keys()
    except AgentError as exc:
        remark += f" is not used: {exc}"
    else:
        count = "1 key" if len(entries) == 1 else f"{len(entries)} keys"
        remark += f" holds {count if entries else 'no keys, or is locked'}"
    logger.info("%s", remark)
    return [AgentSigner(agent, entry) for entry in entries], remark


class _Search:
    def __init__(
        self,
        login: Login,
        held: Sequence[AgentSigner],
        agent_is_named: bool,
        open_: Callable[[KeyFile], paramiko.PKey],
    ) -> None:
        self.skipped: list[KeyFileError] = []
        self._login = login
        self._open = open_
        self._agent_is_named = agent_is_named
        self._held: list[tuple[PublicKey, AgentSigner]] = []
        for signer in held:
            public = signer.public()
            if _plain(public):
                self._held.append((public, signer))
            else:
                self._skip(f"{public.key_type} from {signer.source}: it is not a user certificate")
        self._files = [self._look_at(path) for path in _distinct(login.files)]
        self._defaults = [self._look_at(path) for path in _distinct(login.default_files)]
        self._taken: set[bytes | Path] = set()

    def offers(self) -> Iterator[Identity]:
        """Yield each key or certificate once, in order."""
        for identity in self._all():
            taken = identity.public.blob if identity.public else identity.path
            if taken is not None and taken not in self._taken:
                self._taken.add(taken)
                yield identity

    def _all(self) -> Iterator[Identity]:
        login = self._login
        yield from self._certificates(login.certificates)
        for named in self._files:
            yield from self._named(named)
        for named in self._defaults:
            if self._from_agent(named.public):
                yield from self._named(named)
        others = [Identity(public, signer) for public, signer in self._held]
        if login.identities_only and not login.fingerprint:
            others = []
        if self._agent_is_named:
            yield from others
        for named in self._defaults:
            if not _is_missing(named):
                yield from self._named(named)
        yield from others  # each is taken once

    def _certificates(self, paths: Iterable[Path]) -> Iterator[Identity]:
        for path in paths:
            try:
                certificate = read_public_key(path)
                plain = certificate.plain if certificate.is_certificate else None
            except KeyFileError as exc:
                self._skip(f"the certificate {quoted(path)}: {exc.message}")
                continue
            except ValueError:
                plain = None
            signer = self._signer(plain) if plain else None
            if signer:
                yield Identity(certificate, signer)
            else:
                reason = "there is no key for it" if plain else "it is not a user certificate"
                self._skip(f"the certificate {quoted(path)}: {reason}")

    def _named(self, named: _Named) -> Iterator[Identity]:
        """Yield a file's certificates and key, signed by the agent if it has the key."""
        signer = self._from_agent(named.public) or named.signer
        if signer is None:
            self._fail(named)
        elif isinstance(signer, FileSigner) and self._is_locked(signer):
            self._fail(named._replace(error=no_passphrase(named.path)))
        else:
            if named.certificate:
                yield Identity(named.certificate, signer, named.path)
            for public, held in self._held:
                if public.is_certificate and named.public == _plain(public):
                    yield Identity(public, held)
            yield Identity(named.public, signer, named.path)

    def _is_locked(self, signer: FileSigner) -> bool:
        return signer.asks and not passphrases.available(self._login)

    def _signer(self, plain: PublicKey) -> FileSigner | AgentSigner | None:
        files = (
            f.signer for f in (*self._files, *self._defaults) if f.public == plain and f.signer
        )
        usable = (signer for signer in files if not self._is_locked(signer))
        return self._from_agent(plain) or next(usable, None)

    def _from_agent(self, plain: PublicKey | None) -> AgentSigner | None:
        """Return the agent's copy of a key; one that it holds only with a certificate will do."""
        held = [(public, signer) for public, signer in self._held if _plain(public) == plain]
        held.sort(key=lambda pair: pair[0].is_certificate)
        return held[0][1] if held else None

    def _look_at(self, path: Path) -> _Named:
        """Read a configured path: a private key, or a public key that the agent may have."""
        certificate = _beside(path, "-cert.pub")
        try:
            file = read_key_file(path)
        except KeyFileError as exc:
            public = _public_in(path) or _beside(path, ".pub") or _plain(certificate)
            if public and public.is_certificate:
                public, certificate = _plain(public), public
            return _Named(path, public, None, _matching(certificate, public), exc)
        signer = FileSigner(file, self._open)
        public = file.public or _beside(path, ".pub") or _plain(certificate)
        if public is None and not file.encrypted:
            try:
                public = signer.public()
            except KeyFileError as exc:
                return _Named(path, error=exc)
        certificate = _matching(certificate, public)
        if public and public.key_type.startswith("sk-"):
            error = KeyFileError(
                f"The client key {quoted(path)} needs its security key, which only an agent can "
                "use",
                f"Run: ssh-add {quoted(path)}." + or_by_ssh(),
            )
            return _Named(path, public, None, certificate, error)
        return _Named(path, public, signer, certificate)

    def _fail(self, named: _Named) -> None:
        if named.error and named.path == self._login.required:
            raise named.error
        if named.error:
            self._note(named.error)

    def _skip(self, reason: str) -> None:
        self._note(KeyFileError(reason))

    def _note(self, error: KeyFileError) -> None:
        if error.message not in (each.message for each in self.skipped):
            logger.info("not offered: %s", error.message)
            self.skipped.append(error)


def _distinct(paths: Iterable[Path]) -> Iterable[Path]:
    return dict.fromkeys(paths)


def _is_missing(named: _Named) -> bool:
    return named.error is not None and isinstance(named.error.__cause__, FileNotFoundError)


def _public_in(path: Path) -> PublicKey | None:
    try:
        return read_public_key(path)
    except (KeyFileError, ValueError):
        return None


def _beside(path: Path, ending: str) -> PublicKey | None:
    """Return the key or certificate in the file beside `path`.

    Both `key` and `key.pub` have `key-cert.pub` beside them.
    """
    public = _public_in(Path(str(path).removesuffix(".pub") + ending))
    return public if public and public.is_certificate == (ending == "-cert.pub") else None


def _plain(public: PublicKey | None) -> PublicKey | None:
    try:
        return public.plain if public else None
    except ValueError:
        return None


def _matching(certificate: PublicKey | None, public: PublicKey | None) -> PublicKey | None:
    return certificate if public and _plain(certificate) == public else None


def _only(fingerprint: str, offered: Sequence[Identity]) -> list[Identity]:
    """Return the identities with this fingerprint, or else those whose key is not known yet."""
    known = [i for i in offered if i.public and i.public.fingerprint == fingerprint]
    left = known or [i for i in offered if i.public is None]
    if not left:
        there = ", ".join(dict.fromkeys(str(i) for i in offered if i.public)) or "none at all"
        raise KeyFileError(
            f"No key has the fingerprint {fingerprint}; there is {there}",
            "`ssh-keygen -l -f FILE` and `ssh-add -l` print fingerprints",
        )
    return left
