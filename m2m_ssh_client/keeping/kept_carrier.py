"""A remote server's stdio over one link after the other: whoever uses it notices no loss.

Both directions go on at the byte where they were (`stream.py` has the rules of the stream). What
was written is kept until the keeper acknowledges it. While there is no link, writing goes on until
`MOST` bytes wait, as with a pipe.

The thread that reads the link hands on what comes. Whoever writes holds `_writing`, which keeps
the stream in order. A thread of our own attaches again, acknowledges, and shows that we live.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from m2m_ssh_client import threads
from m2m_ssh_client.errors import SSHClientError, unexpected
from m2m_ssh_client.keeping import stream
from m2m_ssh_client.keeping.link import GoneError, Link
from m2m_ssh_client.keeping.stream import OFFSET, Records, Sent, order, record
from m2m_ssh_client.proxy.history import History
from m2m_ssh_client.proxy.recovery import Recovery
from m2m_ssh_client.ssh.process.exit_error import exit_error
from m2m_ssh_client.ssh.process.output_marker import BehindMarker
from m2m_ssh_client.ssh.settings import Request

if TYPE_CHECKING:
    from m2m_ssh_client.flow.remote_stdio import Carrier, Receiver

logger = logging.getLogger(__name__)

_READY_TIMEOUT = 10.0  # seconds; a small machine takes two to start Python
_STATUS_TIMEOUT = 1.5  # as that of a channel
_QUIT_TIME = 0.1
_LONGEST_HEARTBEAT = 15.0
_HEARTBEATS = 4  # in the time for which the server is kept without us
_WORKING_TIME = 5.0  # after which a link counts as one that worked, though nothing came
_HURRY_TIME = 60.0  # after a loss, in which somebody is likely to wait
_PIECE = 64 * 1024


class KeptCarrier:
    """A `Carrier` that outlives its links. It ends with the server, or when no link can be made."""

    def __init__(
        self,
        dial: Callable[[], Carrier],
        recovery: Recovery,
        seconds: float,
        history: History,
    ) -> None:
        """`dial` runs the keeper's command again; it blocks, and raises SSHClientError.

        `recovery` is the policy for attaching again. The server is kept for `seconds` without us.
        """
        self._dial = dial
        self._recovery = recovery
        self._seconds = seconds
        self._history = history
        self._name = secrets.token_hex(32).encode()  # whoever has it gets the server: never logged
        self._request = Request()
        # What comes. `_reading` is held while it is handed on.
        self._reading = threading.Lock()
        self._source: Link | None = None
        self._records = Records(stream.STDOUT + stream.STDERR)
        self._received = self._received_before = self._acknowledged = 0
        self._early: list[bytes] = []
        self._receiver: Receiver | None = None
        self._stdout: Callable[[bytes], None] = lambda _data: None
        self._behind: BehindMarker | None = None
        # What is sent.
        self._writing = threading.Lock()
        self._sent = Sent()
        self._arrived = 0  # offset that the keeper has acknowledged
        self._last_write = self._attached_at = time.monotonic()
        # Guards the rest, and is notified of each change. Never held in a call of the carrier.
        self._changed = threading.Condition()
        self._link: Link | None = None
        self._end: str | None = None
        self._failure: SSHClientError | None = None
        self._output_ended = self._closed = False
        self._asked = threading.Event()  # something was written while there is no link

    def open(self, dial: Callable[[], Carrier], request: Callable[[], Request]) -> None:
        """Start a server over the carrier that `dial` makes, and then as `request` says.

        Raises an SSHClientError.
        """

        def start() -> bytes:
            self._request = wanted = request()
            words = (wanted.inner or wanted.command or "").removeprefix("exec ").split() or [""]
            label, command = (
                os.fsencode(words[0].rpartition("/")[2]),
                os.fsencode(wanted.command or ""),
            )
            return order(stream.START, self._name, b"%g" % self._seconds, label, command)

        link, _ = self._linked(dial(), start)
        self._use(link)
        threads.start("ssh-keeping", self._keep)

    # The carrier of a bridge.

    def start(self, receiver: Receiver) -> None:
        stdout = receiver.stdout
        if self._request.marker:
            stdout = self._behind = BehindMarker(self._request.marker, stdout, self.grant)
        with self._reading:
            has_ended = self._output_ended
            self._receiver, self._stdout = receiver, stdout
            for data in self._early:
                self._hand_on(data)
            self._early.clear()
        if has_ended:
            receiver.ended()

    def grant(self, size: int) -> None:
        link = self._source  # which may be read before all is sent again, and it is written to
        if link is not None:
            link.grant(size)

    def write(self, data: bytes | memoryview) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room)
        for at in range(0, len(data), _PIECE):
            self._tell(stream.STDIN, data[at : at + _PIECE])

    def write_now(self, data: bytes) -> bool:
        if not self._has_room or not self._writing.acquire(blocking=False):
            return False
        try:
            self._check_open()
            chunk = record(stream.STDIN, data)
            link = self._link
            if link is None:
                self._asked.set()
            elif not link.carrier.write_now(chunk):
                return False
            self._note(chunk)
        except OSError:  # the link is dying: it goes out on the next one
            self._check_open()
            self._note(chunk)
        finally:
            self._writing.release()
        return True

    def write_some(self, data: bytes) -> int:
        piece = data[:_PIECE]
        return len(piece) if piece and self.write_now(piece) else 0

    def close_write(self) -> None:
        self._tell(stream.CLOSE)

    def signal(self, name: str) -> None:
        with suppress(OSError):
            self._tell(stream.SIGNAL, name.encode())

    def ending(self) -> SSHClientError:
        with self._changed:
            self._changed.wait_for(lambda: self._is_over, _STATUS_TIMEOUT)
            end, failure = self._end, self._failure
        if end is None and failure is not None:
            return failure
        status = int(end) if end is not None and end.isdigit() else None
        return exit_error(status, end if status is None else None, self._request)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            link = self._link
        self._asked.set()
        if link is not None:
            self._quit(link)
        elif not self._is_over:
            logger.warning("no connection to end the remote server; its keeper will")

    # The reader of a link.

    def stream(self, link: Link, data: bytes) -> None:
        with self._reading:
            if link is not self._source:
                return  # it was given up, and the keeper sends this again
            self._received += len(data)
            if self._receiver is None:
                self._early.append(data)
                return
            try:
                self._hand_on(data)
            except ValueError as exc:
                self._finish(SSHClientError(f"The keeper there does not keep to the rules: {exc}"))
        if self._received - self._acknowledged >= stream.STEP:
            self._notify()

    def ended(self, link: Link) -> None:
        with self._changed:
            if self._link is link:
                self._link = None
            self._changed.notify_all()

    def _hand_on(self, received: bytes) -> None:
        assert self._receiver is not None  # noqa: S101 - the callers look
        given = 0
        for kind, data in self._records.feed(received):
            if kind == stream.STDOUT:
                given += len(data)
                self._stdout(data)
            elif kind == stream.STDERR:
                given += len(data)
                self._receiver.stderr(data)
            elif kind == stream.ACKNOWLEDGED:
                self._arrived = OFFSET.unpack(data)[0]
                self._notify()
            elif kind == stream.REPLACED:
                self._finish(SSHClientError("Another client has taken over the remote server"))
            else:
                self._finish(None, data.decode() if kind == stream.EXIT else None)
        if given != len(received):
            self.grant(len(received) - given)  # the bridge grants what it was given

    # What is written.

    @property
    def _has_room(self) -> bool:
        return self._sent.end - self._arrived < stream.MOST

    def _check_open(self) -> None:
        if self._closed:
            raise OSError("the connection to the remote server is closed")

    def _tell(self, kind: bytes, data: bytes | memoryview = b"") -> None:
        """Send a record, or keep it for the next link. Raises OSError."""
        chunk = record(kind, data)
        with self._writing:
            self._check_open()
            self._note(chunk)
            link = self._link
            if link is None:
                self._asked.set()
                return
            with suppress(OSError):  # the next link gets it
                link.carrier.write(chunk)

    def _note(self, chunk: bytes) -> None:
        self._sent.add(chunk)
        self._sent.acknowledge(self._arrived)
        self._last_write = time.monotonic()

    # A thread of its own.

    @property
    def _is_over(self) -> bool:
        return self._end is not None or self._failure is not None

    def _keep(self) -> None:
        heartbeat = min(self._seconds / _HEARTBEATS, _LONGEST_HEARTBEAT)
        while True:
            with self._changed:
                silent = time.monotonic() - self._last_write
                self._changed.wait_for(self._is_due, max(heartbeat - silent, 0.0))
                if self._closed or self._is_over:
                    return
                link = self._link
            if link is None:
                self._attach_again()
            elif self._is_due() or time.monotonic() - self._last_write >= heartbeat:
                self._acknowledge()

    def _is_due(self) -> bool:
        """Return whether the thread has something to do."""
        unacknowledged = self._received - self._acknowledged >= stream.STEP
        known = self._arrived - self._sent.start >= stream.STEP
        return unacknowledged or known or self._link is None or self._closed or self._is_over

    def _acknowledge(self) -> None:
        self._acknowledged = received = self._received
        with suppress(OSError):
            self._tell(stream.ACKNOWLEDGED, OFFSET.pack(received))

    def _attach_again(self) -> None:
        """Make links until one is there, it makes no more sense, or nobody wants it."""
        lost = time.monotonic()
        failure = self._lost_link_error()
        self._history.lost(failure.message)
        recovery = self._recovery
        if self._received > self._received_before or lost - self._attached_at > _WORKING_TIME:
            recovery.answered()
        while True:
            delay = recovery.delay(failure, time.monotonic())
            if delay is None:
                self._finish(failure)
                return
            # A loss that is mended at once is of no interest to a person.
            level = logging.WARNING if delay else logging.INFO
            logger.log(level, "%s: attaching again in %.1f s", failure.message, delay)
            self._pause(delay, recovery.hurried, hurry=time.monotonic() < lost + _HURRY_TIME)
            if self._closed:
                return
            try:
                self._attach()
            except GoneError as exc:
                self._finish(exc)
                return
            except SSHClientError as exc:
                failure = exc
                self._history.failed(exc.message)
            except Exception as exc:
                logger.info("details", exc_info=exc)
                self._finish(unexpected(exc))
                return
            else:
                logger.info("attached again")
                self._history.connected()
                return

    def _attach(self) -> None:
        """Go on with the kept server over a new link. Raises an SSHClientError."""
        with self._reading:
            self._source = None
            received = self._received_before = self._received
        attach = order(stream.ATTACH, self._name, b"%d" % received)
        link, offset = self._linked(self._dial(), lambda: attach)
        with self._writing:
            self._acknowledged = received
            try:
                for chunk in self._sent.since(offset):
                    link.carrier.write(chunk)
            except ValueError:
                link.carrier.close()
                raise GoneError("The keeper there does not know this stream") from None
            except OSError:
                pass  # it is lost again, and `ended` was called or will be
            self._use(link)
        if self._closed:
            self._quit(link)

    def _use(self, link: Link) -> None:
        """Write to this link from now on, if it has not ended meanwhile."""
        with self._changed:
            self._link = None if link.has_ended else link
        self._attached_at = time.monotonic()

    def _linked(self, carrier: Carrier, order_: Callable[[], bytes]) -> tuple[Link, int]:
        """Return a link over the carrier, and how much of our stream has arrived there."""
        link = Link(carrier, self)
        with self._reading:
            self._source = link
        link.start()
        try:
            link.wait_until_ready(_READY_TIMEOUT)
            with suppress(OSError):  # then it ends
                carrier.write(order_())
            return link, link.wait_for_offset(_READY_TIMEOUT)
        except BaseException:
            carrier.close()
            raise

    def _lost_link_error(self) -> SSHClientError:
        link = self._source
        assert link is not None  # noqa: S101 - there was one
        failure = link.carrier.ending()
        link.carrier.close()
        return failure

    def _pause(self, delay: float, hurried: float, *, hurry: bool) -> None:
        self._asked.clear()
        deadline = time.monotonic() + (hurried if hurry else delay)
        with self._changed:
            self._changed.wait_for(lambda: self._closed, hurried)
        if not self._closed:
            self._asked.wait(max(deadline - time.monotonic(), 0.0))

    def _quit(self, link: Link) -> None:
        """End the server there, if it has not ended. Bounded."""
        if self._writing.acquire(timeout=_QUIT_TIME):
            try:
                with suppress(OSError):
                    link.carrier.write_now(record(stream.QUIT))
            finally:
                self._writing.release()
        link.carrier.close()

    def _finish(self, failure: SSHClientError | None, end: str | None = None) -> None:
        """Note the end of the output: with its reason, or with the status that the server had."""
        with self._changed:
            self._end = end if self._end is None else self._end
            self._failure = failure if self._failure is None else self._failure
            first, self._output_ended = not self._output_ended, True
            self._changed.notify_all()
        if first and self._receiver is not None:
            if self._behind is not None:
                self._behind.end()
            self._receiver.ended()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
