"""Authentication (RFC 4252): `none` first, then one key after the other, as `ssh` does it.

`none` goes out together with the service request, so it costs no round trip (RFC 4253 §10 allows
that, and dropbear's client does it too). It gets us into servers that want no authentication, some
of which hang up on anything else; it reveals what the server accepts before anybody is asked for a
passphrase; and sshd does not count it as an attempt.

A key that may ask somebody (an encrypted file, the agent's) is offered without a signature first
(RFC 4252 §7). A key in an open file signs at once: that saves a round trip and reveals nothing
more.

keyboard-interactive (RFC 4256) follows the keys: a second factor may ask nothing here, because it
is a push to a phone. Where it asks something, the login fails, because nobody could answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

import paramiko

from m2m_ssh_client.errors import AuthenticationError, KeyFileError
from m2m_ssh_client.ssh import algorithms
from m2m_ssh_client.ssh.library.ssh_transport import Transport
from m2m_ssh_client.ssh.library.user_auth import Answer, HungUpError, UserAuth, Verdict
from m2m_ssh_client.ssh.login import identities
from m2m_ssh_client.ssh.login.agent import Agent, AgentError
from m2m_ssh_client.ssh.login.identities import Identity
from m2m_ssh_client.ssh.login.login_record import LoginRecord, said_meanwhile
from m2m_ssh_client.ssh.login.unlocked_keys import UnlockedKeys
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Address, Login
from m2m_ssh_client.ssh.system_ssh import or_by_ssh

logger = logging.getLogger(__name__)

_KERBEROS = "gssapi-with-mic"  # RFC 4462
_MOST_SHOWN = 10  # keys in an error


def authenticate(
    transport: Transport,
    login: Login,
    at: Address,
    *,
    accepted: Sequence[str] | None = None,
    unlocked: UnlockedKeys | None = None,
    record: LoginRecord | None = None,
) -> Identity | None:
    """Log in; return the last identity that the server took, None if it wanted no key.

    Call it once, after the host key was verified. `accepted` is PubkeyAcceptedAlgorithms in order
    of preference, None for the defaults; `unlocked` remembers opened keys. Waits for the server,
    the agent and SSH_ASKPASS until the transport is closed, which any thread may do. Raises
    AuthenticationError, KeyFileError for a named key that cannot be used, and paramiko's
    SSHException, OSError or EOFError if the connection ends.
    """

    def cancelled() -> bool:
        return not transport.is_active()

    record = record or LoginRecord()
    exchange = UserAuth(transport, login.user, record.said)
    exchange.begin()
    wanted = algorithms.public_keys(None) if accepted is None else accepted
    with _agent_of(login, transport, cancelled) as agent:
        # While the server thinks about `none`.
        found = identities.find(login, agent, unlocked or UnlockedKeys(), cancelled)
        return _Attempts(transport, exchange, login, at, found, wanted, record).run()


def _agent_of(
    login: Login, transport: Transport, cancelled: Callable[[], bool]
) -> AbstractContextManager[Agent | None]:
    """Return the agent that is named, or the one that is found if that is wanted and it is dead."""
    agent = Agent(login.agent, cancelled) if login.agent else None
    if agent is not None and _is_bound(agent, transport):
        return agent
    if login.seek_agent:
        from m2m_ssh_client.ssh.login import agent_places

        found = agent_places.first_with_keys(cancelled)
        if found is not None:
            logger.info("found an agent: %s at %s", found.found, found.path)
            _is_bound(found, transport)
            return found
    return agent or nullcontext()


def _is_bound(agent: Agent, transport: Transport) -> bool:
    """Tell the agent the host key; return whether it has answered."""
    try:
        agent.bind(*transport.session_binding)
    except AgentError as exc:
        logger.debug("the agent at %s was not told the host key: %s", agent.path, exc)
        return False
    return True


class _NoSignatureError(Exception):
    """There is no algorithm for this key that both sides accept."""


class _Attempts:
    """One login: the keys tried so far, and the error if none of them will do."""

    def __init__(
        self,
        transport: Transport,
        exchange: UserAuth,
        login: Login,
        at: Address,
        found: identities.Identities,
        accepted: Sequence[str],
        record: LoginRecord,
    ) -> None:
        self._transport = transport
        self._exchange = exchange
        self._login = login
        self._at = at
        self._found = found
        self._accepted = accepted
        self._record = record
        self._tried, self._taken, self._skipped = record.tried, record.taken, record.skipped
        self._skipped += found.skipped
        record.agent = found.agent

    def run(self) -> Identity | None:
        try:
            answer = self._exchange.answer()
            if answer.verdict is Verdict.SUCCESS:
                logger.info("the server wants no authentication")
                self._record.succeeded = True
                return None
            self._record.methods = answer.methods
            return self._by_methods()
        except HungUpError:
            raise self._ended() from None

    def _by_methods(self) -> Identity | None:
        """Log in by what the server accepts at the time; raise AuthenticationError."""
        keys = iter(self._found.offered)
        may_interact = self._login.keyboard_interactive
        while True:
            methods = self._record.methods
            if "publickey" in methods and (identity := next(keys, None)):
                if self._log_in_with(identity):
                    return identity
            elif "keyboard-interactive" in methods and may_interact:
                may_interact = False
                if self._log_in_without_answers():
                    return self._taken[-1] if self._taken else None
            else:
                raise self._refused()

    def _log_in_without_answers(self) -> bool:
        answer = self._exchange.interact()
        if answer.verdict is Verdict.ASK:
            self._record.prompts = answer.prompts
            raise self._refused()
        self._record.interactive = answer.partial or answer.verdict is Verdict.SUCCESS
        if answer.verdict is Verdict.SUCCESS:
            logger.info("logged in as %s by keyboard-interactive", self._login.user)
            self._record.succeeded = True
            return True
        self._record.methods = answer.methods
        return False

    def _log_in_with(self, identity: Identity) -> bool:
        try:
            answer = self._try(identity)
        except (KeyFileError, AgentError, _NoSignatureError) as exc:
            error = exc if isinstance(exc, KeyFileError) else KeyFileError(f"{identity}: {exc}")
            demanded = identity.path is not None and identity.path == self._login.required
            if demanded and not isinstance(
                exc, _NoSignatureError
            ):  # its certificate may still work
                raise error from exc
            logger.info("not used: %s", error.message)
            self._skipped.append(error)
            return False
        succeeded = answer.verdict is Verdict.SUCCESS
        if succeeded or answer.partial:
            self._tried.remove(identity)
            self._taken.append(identity)
        if succeeded:
            logger.info("logged in as %s with %s", self._login.user, identity)
            self._record.succeeded = True
            return True
        self._record.methods = answer.methods
        logger.debug("%s: %s", identity, "one of several" if answer.partial else "refused")
        return False

    def _try(self, identity: Identity) -> Answer:
        """Offer the key and, if the server wants it, sign.

        Raises KeyFileError and AgentError besides the errors above.
        """
        public = identity.public or self._opened(identity)
        algorithm = self._algorithm(public)
        exchange, signer = self._exchange, identity.signer
        self._tried.append(identity)

        def sign(data: bytes) -> bytes:
            return signer.sign(public, data, _signature_format(public, algorithm))

        if signer.asks and identity.public is not None:
            answer = exchange.offer(public.blob, algorithm)
            if answer.verdict is not Verdict.SIGN:
                return answer
        try:
            return exchange.prove(public.blob, algorithm, sign)
        except (KeyFileError, AgentError):
            self._tried.remove(identity)
            raise

    def _opened(self, identity: Identity) -> PublicKey:
        public = identity.signer.public()
        wanted = self._login.fingerprint
        if wanted and public.fingerprint != wanted:
            raise KeyFileError(f"{identity} has the fingerprint {public.fingerprint}, not {wanted}")
        return public

    def _algorithm(self, key: PublicKey) -> str:
        """Return the first accepted algorithm for the key's signature (RFC 8332 for RSA)."""
        usable = [name for name in self._accepted if name in _algorithms_of(key)]
        if not usable:
            raise _NoSignatureError(f"PubkeyAcceptedAlgorithms has nothing for {key.key_type} keys")
        listed = self._server_signatures()
        if "rsa" not in key.key_type or not listed:
            return usable[0]
        # Servers list only the names that RFC 8332 adds: for other types the list says nothing, as
        # for `ssh`.
        agreed = [name for name in usable if _signature_format(key, name) in listed]
        if not agreed:
            takes = ", ".join(name for name in listed if name.startswith("rsa-sha2-"))
            raise _NoSignatureError(
                f"with RSA keys the server takes only {takes}, and PubkeyAcceptedAlgorithms has "
                f"only {', '.join(usable)}"
                if takes
                else "the server takes no SHA-2 signatures, which RSA keys need"
            )
        return agreed[0]

    def _server_signatures(self) -> Sequence[str]:
        if "OpenSSH_7.4" in self._transport.server_version:  # accepts SHA-2 without listing it
            return ()
        return self._transport.server_signatures

    def _ended(self) -> Exception:
        """Return the reason for a missing answer: too many keys, or a broken connection."""
        farewell, cause = self._transport.farewell, self._transport.get_exception()
        if not farewell or not self._tried:
            return cause or paramiko.SSHException(farewell or "The connection was closed")
        return AuthenticationError(
            f"{self._failed_for()}: the server ended the connection after {len(self._tried)} "
            f"refused keys ({farewell}){self._details()}",
            "Offer only the right key: --client-key FILE or --key-fingerprint SHA256:…, or "
            "IdentityFile and IdentitiesOnly yes in the ssh_config. If that key is refused too, add "
            "this line to ~/.ssh/authorized_keys of that user on that machine: "
            f"{self._line()}",
        )

    def _refused(self) -> AuthenticationError:
        wanted = ", ".join(self._record.methods) or "nothing"
        if self._taken:
            why = f"the server took {_listed(self._taken)}, and wants {wanted} as well"
        elif "publickey" not in self._record.methods:
            why = f"the server accepts {'only ' if self._record.methods else ''}{wanted}"
        elif self._tried:
            keys = "this key" if len(self._tried) == 1 else "any of these keys"
            why = f"the server does not accept {keys} for this user, only {wanted}"
        else:
            why = f"there is no key to offer; the server accepts {wanted}"
        return AuthenticationError(f"{self._failed_for()}: {why}{self._details()}", self._hint())

    def _failed_for(self) -> str:
        return f"Authentication failed for {self._login.user}@{self._at.host} port {self._at.port}"

    def _details(self) -> str:
        parts = []
        if self._record.prompts:
            asked = " ".join(self._record.prompts)
            parts.append(f'keyboard-interactive asks "{asked}", which nobody can answer here')
        if self._tried:
            parts.append(f"tried {_listed(self._tried)}")
        if self._skipped:
            parts.append(f"not tried: {_listed(error.message for error in self._skipped)}")
        if self._login.agent or self._login.seek_agent:
            parts.append(self._found.agent)
        if self._record.said:
            parts.append(said_meanwhile(self._record))
        return "".join(f"; {part}" for part in parts)

    def _hint(self) -> str:
        if "publickey" not in self._record.methods:
            return (
                "This client logs in only with keys: PubkeyAuthentication or AuthenticationMethods in "
                "that server's sshd_config must allow it."
                + (or_by_ssh(", which knows Kerberos") if _KERBEROS in self._record.methods else "")
            )
        if self._tried or self._taken:
            return (
                "Check --username and --client-key (sshd also refuses an account that is locked or "
                "whose shell is missing), or add this line to ~/.ssh/authorized_keys of that user on "
                f"that machine: {self._line()}"
            )
        hints = [error.hint for error in self._skipped if error.hint]
        return (
            hints[0]
            if hints
            else "Name one with --client-key, or create one: ssh-keygen -t ed25519"
        )

    def _line(self) -> str:
        """Return the line for authorized_keys of the key with the highest precedence."""
        tried = [i.public for i in (*self._tried, *self._taken, *self._found.offered) if i.public]
        return tried[0].plain.line if tried else ""


def _listed(items: Iterable[object]) -> str:
    texts = [str(item) for item in items]
    more = len(texts) - _MOST_SHOWN
    return ", ".join(texts[:_MOST_SHOWN] + ([f"{more} more"] if more > 0 else []))


def _algorithms_of(key: PublicKey) -> Sequence[str]:
    """Return the algorithms for signatures with such a key; SHA-1 is not among them."""
    if key.key_type.startswith("ssh-rsa"):
        ending = key.key_type.removeprefix("ssh-rsa")
        return f"rsa-sha2-512{ending}", f"rsa-sha2-256{ending}"
    return (key.key_type,)


def _signature_format(key: PublicKey, algorithm: str) -> str:
    """Return the name inside the signature, also under a certificate (PROTOCOL.certkeys)."""
    if key.key_type.startswith("ssh-rsa"):
        return algorithm.removesuffix("-cert-v01@openssh.com")
    return key.plain.key_type
