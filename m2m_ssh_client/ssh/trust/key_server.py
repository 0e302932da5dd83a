"""The key server's client: learn the machine's host key and register our public key, over HTTP.

`told_host_key` decides what to make of that key, before `KeyServer.register()`. Everything here
blocks and belongs in a worker thread; the server's answers are hostile until parsed.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests

from m2m_ssh_client.errors import KeyServerError, reason
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.trust.closable_session import ClosableSession
from m2m_ssh_client.text import printable, shortened
from m2m_ssh_client.threads import Background

logger = logging.getLogger(__name__)
_T = TypeVar("_T")

# Seconds. HTTPS is only tried before plain HTTP, so it must not take long.
_CONNECT_TIMEOUT = 3.0
_READ_TIMEOUT = 5.0
_HTTPS_TIME = 5.0
_TIME = 10.0
# m2m-mcp-server-ssh-server forgets a request after a minute, does not count those it refused, and
# sends no Retry-After: then these waits apply, in turn. All together outlast its minute.
_WAITS = (5.0, 10.0, 15.0, 15.0, 15.0, 15.0)
_PATIENCE = sum(_WAITS)
_MAX_ANSWER = 64 * 1024

_HINT_UNREACHABLE = "Is the server started with --run-key-server, and is {} right?"
_HINT_OTHER_SERVER = "Something else seems to answer there: is {} right?"
_HINT_REFUSED = "Is {} right? If so, the key server's log may say more."
_HINT_BUSY = "It allows about ten requests a minute for each address: try again in a minute."
_HINT_CERTIFICATE = (
    "Have the certificate mended, or name its CA in the environment variable REQUESTS_CA_BUNDLE."
)


class _Answer(NamedTuple):
    status: int
    retry_after: str
    body: bytes


class _CertificateRefusedError(KeyServerError):
    """HTTPS answered and cannot prove to be this host."""

    permanent = True


class KeyServer:
    """The key server beside an SSH server (`m2m-mcp-server-ssh-server --run-key-server`).

    It is at `host`: HTTPS at the usual port, or else plain HTTP at `port`. A `url`, checked by
    `Parameters`, replaces both, and its scheme leaves no choice. `verified` says whether the host
    key came over HTTPS with a valid certificate. Setting `stop` ends any call within a moment with
    a KeyServerError, whatever it waits for; so does the `deadline` of them all (on the monotonic
    clock). Not for two threads at once.
    """

    def __init__(
        self,
        host: str,
        port: int,
        stop: threading.Event | None = None,
        *,
        https_port: int = 443,
        url: str | None = None,
        deadline: float = float("inf"),
    ) -> None:
        self.verified = False
        self._first: str | None = None  # tried before `_base`, and replaces it on success
        if url is not None:
            parts = urlsplit(url)
            host = parts.hostname or ""
            self._base = parts.geturl().rstrip("/")  # with its scheme in lower case
            self._option = f"--key-server-url {url}"
        else:
            authority = _authority(host)
            self._first = f"https://{authority}" + ("" if https_port == 443 else f":{https_port}")
            self._base = f"http://{authority}:{port}"
            self._option = f"--key-server-port {port}"
        self._loopback = _is_loopback(host)
        self._stop = stop if stop is not None else threading.Event()
        self._deadline = deadline
        self._waits = list(_WAITS)
        self._patience = _PATIENCE

    def server_public_key(self) -> PublicKey:
        """Return the SSH host key: over HTTPS if there is any, else over plain HTTP with a warning.

        A certificate that does not verify raises KeyServerError, as falling back would make it
        worthless. An exception is a loopback host, unless a URL names it: nobody is on the path,
        and port 443 is often some unrelated server.
        """
        if self._first is not None and (key := self._attempt(self._first)) is not None:
            self._base = self._first
        else:
            key = self._server_public_key(self._base, _TIME)
        self.verified = self._base.startswith("https://")
        if not self.verified:
            logger.warning(
                "The host key came over plain HTTP (%s), so anyone on the path could have replaced "
                "it. It is %s",
                self._base,
                key.fingerprint,
            )
        return key

    def _attempt(self, base: str) -> PublicKey | None:
        """Return the host key over HTTPS, or None if plain HTTP may be tried."""
        try:
            return self._server_public_key(base, _HTTPS_TIME)
        except _CertificateRefusedError as exc:
            if not self._loopback:
                raise
            logger.warning("%s. Going on without HTTPS, as this is the same machine", exc.message)
        except KeyServerError as exc:
            logger.info("No key server over HTTPS: %s", exc.message)
        return None

    def register(self, public_key: str) -> None:
        """Make the server accept this client key, one line in OpenSSH's public key format.

        Uses the way that `server_public_key` found. Registering a key twice does no harm.
        """
        url = f"{self._base}/register"
        answer = self._ask("POST", url, _TIME, {"client_pub_key": public_key})
        if _json_object(answer.body).get("status") != "success":
            raise self._invalid(f"POST {url}", "it does not confirm the registration")

    def _server_public_key(self, base: str, seconds: float) -> PublicKey:
        url = f"{base}/server_pub_key"
        answer = self._ask("GET", url, seconds)
        text = _json_object(answer.body).get("server_pub_key")
        if not isinstance(text, str):
            raise self._invalid(f"GET {url}", "not a JSON object with a text server_pub_key")
        try:
            return PublicKey.parse_host_key(text)
        except ValueError as exc:
            raise self._invalid(f"GET {url}", _clean(exc)) from exc

    def _invalid(self, request: str, why: str) -> KeyServerError:
        return KeyServerError(
            f"{request} failed: invalid answer: {why}", _HINT_OTHER_SERVER.format(self._option)
        )

    def _ask(
        self, method: str, url: str, seconds: float, body: dict[str, str] | None = None
    ) -> _Answer:
        """Return an answer with status 200, after as many requests as that takes (429)."""
        request = f"{method} {url}"
        while True:
            answer = self._exchange(method, url, seconds, body)
            if answer.status == 200:
                return answer
            if answer.status != 429:
                raise KeyServerError(
                    f"{request} failed: {_status_in_words(answer)}",
                    _HINT_REFUSED.format(self._option),
                )
            self._wait_out(request, answer)

    def _wait_out(self, request: str, answer: _Answer) -> None:
        seconds = self._waits.pop(0) if self._waits else _PATIENCE
        # RFC 9110, 10.2.3 allows a date, too; our own wait is as good as a foreign clock.
        if answer.retry_after.isascii() and answer.retry_after.isdigit():
            seconds = max(float(answer.retry_after[:9]), 1.0)
        if seconds > min(self._patience, self._deadline - time.monotonic()):
            raise KeyServerError(f"{request} failed: {_status_in_words(answer)}", _HINT_BUSY)
        self._patience -= seconds
        logger.warning("%s: too many requests (429), trying again in %g s", request, seconds)
        if self._stop.wait(seconds):
            raise KeyServerError(f"{request} was interrupted")

    def _exchange(
        self, method: str, url: str, seconds: float, body: dict[str, str] | None
    ) -> _Answer:
        request = f"{method} {url}"
        deadline = min(time.monotonic() + seconds, self._deadline)
        session = ClosableSession()
        try:
            return _bounded(
                lambda: _http_exchange(method, url, body, deadline, self._loopback, session),
                deadline,
                self._stop,
            )
        except (OSError, ValueError) as exc:  # requests' own exceptions are OSErrors
            text = f"{request} failed: {_in_words(exc)}"
            if any(map(_is_about_certificates, _causes(exc))):
                raise _CertificateRefusedError(text, _HINT_CERTIFICATE) from exc
            hint = _HINT_UNREACHABLE.format(self._option)
            # requests repeats a proxy's URL with the password that may be in it.
            cause = None if isinstance(exc, requests.exceptions.InvalidURL) else exc
            raise KeyServerError(text, hint) from cause
        finally:
            session.cut()


def _http_exchange(
    method: str,
    url: str,
    body: dict[str, str] | None,
    deadline: float,
    direct: bool,
    session: ClosableSession,
) -> _Answer:
    """Make one request; raises what requests raises, TimeoutError and ValueError."""
    with (
        session,
        session.request(
            method,
            url,
            json=body,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            # Any auth object keeps requests from sending what ~/.netrc has for this host.
            auth=lambda request: request,
            # Not None: that would leave the environment's proxies in force.
            proxies={"http": "", "https": ""} if direct else None,
            timeout=(_CONNECT_TIMEOUT, _READ_TIMEOUT),
            allow_redirects=False,
            stream=True,
        ) as response,
    ):
        # No encoding was accepted. A few bytes of nested encodings can fill any memory.
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ValueError("the answer is compressed, which was not asked for")
        content = bytearray()
        # One byte at a time (from a buffer): a larger piece would be waited for beyond the
        # deadline.
        for piece in response.iter_content(1):
            content += piece
            if len(content) > _MAX_ANSWER:
                raise ValueError(f"the answer is longer than {_MAX_ANSWER} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError("no complete answer in time")
        retry_after = response.headers.get("Retry-After", "")
        return _Answer(response.status_code, retry_after, bytes(content))


def _bounded(work: Callable[[], _T], deadline: float, stop: threading.Event) -> _T:
    """Return the result of `work`; TimeoutError at the deadline, InterruptedError after `stop`.

    `work` has a daemon thread of its own, because no timeout of requests covers a name look-up, or
    headers that arrive one byte at a time. The caller ends a connection that is given up.
    """
    call = Background("key-server", work)
    while not call.wait(0.05):
        if stop.is_set():
            raise InterruptedError("interrupted")
        if time.monotonic() > deadline:
            raise TimeoutError("no complete answer in time")
    return call.result()


def _json_object(body: bytes) -> dict[str, object]:
    """Return the answer's JSON object, or an empty one for anything else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _status_in_words(answer: _Answer) -> str:
    error = _json_object(answer.body).get("error")
    if 300 <= answer.status < 400:
        return f"status {answer.status}, a redirect, which is not followed"
    return f"status {answer.status}" + (f": {_clean(error)}" if isinstance(error, str) else "")


def _in_words(exc: BaseException) -> str:
    """Return why an exchange failed, in the words of the operating system or of TLS."""
    if isinstance(exc, requests.Timeout):
        return "no answer in time"
    if isinstance(exc, requests.exceptions.InvalidURL):
        return "its URL, or the one of the environment's proxy, is malformed"
    where = "the environment's proxy: " if isinstance(exc, requests.exceptions.ProxyError) else ""
    for cause in _causes(exc):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not trusted: {_clean(cause.verify_message)}"
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            return where + _clean(reason(cause))
    return where + _clean(exc)


def _is_about_certificates(cause: BaseException) -> bool:
    """Return whether the server's certificate does not verify, or ours cannot be read.

    Ours are the ones that the environment names.
    """
    return (
        isinstance(cause, ssl.SSLCertVerificationError)
        or (isinstance(cause, ssl.SSLError) and cause.library in ("X509", "PEM"))
        or (isinstance(cause, OSError) and "CA certificate bundle" in str(cause))  # by requests
    )


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    """Yield the exception and its causes, outermost first."""
    seen: list[BaseException] = []
    while exc is not None and exc not in seen:
        seen.append(exc)
        yield exc
        exc = exc.__cause__ or exc.__context__


def _clean(text: object) -> str:
    return shortened(printable(str(text).encode("utf-8", "backslashreplace")))


def _authority(host: str) -> str:
    """Return a host as in a URL. Raises KeyServerError for one that would change the URL."""
    if set(host) & set("/?#@\\"):
        raise KeyServerError(f"{_clean(host)!r} is not a host name", "Check --host.")
    return f"[{host.replace('%', '%25')}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
