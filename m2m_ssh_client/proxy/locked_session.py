"""The session between its two ends: a lock makes each step one with the handing on of its output.

A step is a call of the session that gives out lines. While nothing is queued, the threads that read
take steps themselves (the shortcuts of `Intake`); otherwise tasks of the proxy do. Without the
lock, one line could overtake another between the session and a writer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import anyio

from m2m_ssh_client.flow.bridge import Bridge
from m2m_ssh_client.flow.hand_over import ToThread, loop_caller
from m2m_ssh_client.flow.host_stdio import HostStreams
from m2m_ssh_client.flow.splitting import Intake, Lines
from m2m_ssh_client.proxy.early_forwarding.early_line import EarlyLine
from m2m_ssh_client.proxy.early_forwarding.forwarding import EarlyForwarding
from m2m_ssh_client.proxy.early_forwarding.line_prefix import LinePrefix
from m2m_ssh_client.proxy.early_forwarding.splitter import EarlyExit, LongLineSplitter
from m2m_ssh_client.proxy.eras.crossing import Between, Crossing
from m2m_ssh_client.proxy.memory.session import Output, Session, State

_STEP_TIME = 0.01  # seconds; many times what a step takes

Watch = Callable[[Output], None]
"""Gets each output before it is handed on."""


class LockedSession:
    """A session, the host, and the remote server of the present connection, if there is one.

    Any thread may call its methods, once `attach_host` was called in the loop.
    """

    def __init__(
        self,
        session: Session,
        max_line: int,
        watch: Watch | None = None,
        between: Between | None = None,
        expiry_moved: Callable[[], None] = lambda: None,
    ) -> None:
        """With a `watch`, lines are forwarded whole, so that it sees all of them.

        `between` stands between the host and the session, if they may speak different eras. Then
        `expiry_moved` is called in the loop when a thread has changed `next_expiry`.
        """
        self._expiry_moved = expiry_moved
        self._call_soon: Callable[..., None] = lambda _function: None
        self._session = session
        self._crossing = Crossing(between, self._to_session)
        self._forwarding = EarlyForwarding(session)
        self._max_line = max_line
        self._watch = watch
        self._lock = threading.Lock()
        self._host: HostStreams | None = None
        self._bridge: Bridge | None = None
        self._connection: object = None  # the present one, as its intake was made for it
        self._undelivered: Lines = []  # for a remote while there was none, or from its own thread
        self._clock_offset = 0.0
        self.host_intake = Intake(
            self._splitter(EarlyExit(self._host_is_idle, self._begin_request), from_host=True),
            self._shortcut_from_host,
        )

    # Attaching the two ends.

    def attach_host(self, host: HostStreams) -> None:
        """Use this host from now on. In the loop."""
        self._clock_offset = anyio.current_time() - time.monotonic()
        self._call_soon = loop_caller()
        self._host = host

    def remote_intake(self, connection: object) -> Intake:
        """Return the intake for a new connection. `attach_remote` makes it the present one."""
        exit_ = EarlyExit(
            partial(self._remote_is_idle, connection), partial(self._begin_answer, connection)
        )
        shortcut = partial(self._shortcut_from_remote, connection)
        return Intake(self._splitter(exit_, from_host=False), shortcut)

    def attach_remote(self, bridge: Bridge, connection: object) -> None:
        """Send the remote's lines over this connection from now on."""
        with self._lock:
            self._bridge, self._connection = bridge, connection

    def detach_remote(self) -> None:
        """Note that there is no connection; lines for the remote are kept."""
        with self._lock:
            self._bridge = self._connection = None

    @property
    def remote(self) -> ToThread | None:
        """The sink for lines to the remote, while there is a connection."""
        bridge = self._bridge
        return None if bridge is None else bridge.outbound

    @property
    def host(self) -> HostStreams:
        """The host. Raises AttributeError before `attach_host`."""
        if self._host is None:
            raise AttributeError("no host")
        return self._host

    @property
    def pending(self) -> int:
        """See `Session.pending`."""
        with self._lock:
            return self._session.pending

    @property
    def next_expiry(self) -> float:
        """The time at which `expire` must be called; infinite if there is none."""
        return min(self._session.next_expiry, self._crossing.next_expiry)

    @property
    def is_awaited(self) -> bool:
        """Return whether a request of the host waits for a connection."""
        return self._session.next_expiry < float("inf") or self._crossing.is_awaited

    @property
    def is_direct(self) -> bool:
        """Return whether nothing stands between the host and the session."""
        return self._crossing.between is None

    # Steps.

    def step(self, step: Callable[[], Output], sent: bytes = b"") -> Output:
        """Let the session take a step, and hand on its output.

        `sent` is a line of it that the remote has got already.
        """
        with self._lock:
            output = step()
            if not self.is_direct:
                output = self._crossing.from_session(output, self.now())
            self._hand_on(output, sent)
        return output

    def first_line(self) -> bytes:
        """See `Session.first_line`."""
        with self._lock:
            return self._session.first_line

    def from_host(self, lines: Lines) -> Output:
        with self._lock:
            output = self._crossing.from_host(lines, self.now())
            self._hand_on(output)
        return output

    def from_remote(self, lines: Lines) -> Output:
        return self.step(lambda: self._forwarding.from_remote(lines))

    def lost(self, reason: str, bridge: Bridge | None, *, ended: bool) -> None:
        """Note that this connection is lost, and that another one is to come."""

        def lost() -> Output:
            now = self.now()
            self._crossing.lost(now)
            return self._forwarding.lost(reason, self._take_unsent(bridge), now, ended=ended)

        self.step(lost)

    def failed(self, reason: str) -> None:
        """Note that no connection will come."""
        with self._lock:
            self._hand_on(self._crossing.failed(reason, self.now()))
        self.step(lambda: self._forwarding.failed(reason))

    def expire(self, reason: str) -> None:
        """Answer the requests that were held for too long."""
        with self._lock:
            self._hand_on(self._crossing.expire(self.now(), reason))
        self.step(lambda: self._session.expire(self.now(), reason))

    def ended_on_discover(self, bridge: Bridge | None) -> bool:
        """See `Session.ended_on_discover`; return whether a fresh process should be started."""
        with self._lock:
            output = None if self._session.process_answered else self._session.ended_on_discover()
            if output is None:
                return False
            self._take_unsent(bridge)
            self._hand_on(self._crossing.from_session(output, self.now()))
        return True

    def never_ran(self, bridge: Bridge) -> bool:
        """See `Session.never_ran`; return whether nothing that was sent is missing."""
        with self._lock:
            held = self._session.never_ran(self.now())
            if held:
                self._take_unsent(bridge)
        return held

    def now(self) -> float:
        """The loop's time, in any thread."""
        return time.monotonic() + self._clock_offset

    def _to_session(self, lines: Lines) -> Output:
        return self._forwarding.from_host(lines, self.now(), self.remote)

    def _take_unsent(self, bridge: Bridge | None) -> Lines:
        unsent = (bridge.unsent if bridge is not None else []) + self._undelivered
        self._undelivered = []
        return unsent

    def _hand_on(self, output: Output, sent: bytes = b"") -> None:
        if self._watch is not None:
            self._watch(output)
        if sent in output.to_remote:
            output.to_remote.remove(sent)
        if output.to_remote:
            remote = self.remote
            if remote is not None:
                owed, self._undelivered = self._undelivered, []
                remote.put(owed + output.to_remote if owed else output.to_remote)
            else:
                self._undelivered += output.to_remote
        if output.to_host and self.host.outbound.is_open:
            self.host.outbound.put(output.to_host)

    # Shortcuts: called by the threads that read.

    def _shortcut_from_host(self, lines: Lines) -> bool:
        with self._lock:
            remote = self.remote
            if remote is None or not remote.has_room or not self.host.outbound.has_room:
                return False
            if self._session.state is not State.OPEN:
                return False
            if self.is_direct:
                self._hand_on(self._to_session(lines))
            else:
                self._hand_on(self._bridged(lambda: self._crossing.from_host(lines, self.now())))
        return True

    def _shortcut_from_remote(self, connection: object, lines: Lines) -> bool:
        """Take the step once the remote has answered: the remote is then sent nothing by it.

        Does not wait long for the lock: its holder may be waiting for this very thread, which also
        exchanges keys.
        """
        if not self._lock.acquire(timeout=_STEP_TIME):
            return False
        try:
            if self._connection is not connection or not self.host.outbound.has_room:
                return False
            if self._session.state is not State.OPEN or not self._session.process_answered:
                return False
            output = self._forwarding.from_remote(lines)
            if not self.is_direct:
                output = self._bridged(lambda: self._crossing.from_session(output, self.now()))
                self._owe(output)
            self._hand_on(output)
        finally:
            self._lock.release()
        return True

    def _bridged(self, step: Callable[[], Output]) -> Output:
        """Take a step through the bridge in a thread that reads."""
        expiry = self._crossing.next_expiry
        output = step()
        if self._crossing.next_expiry != expiry:
            self._call_soon(self._expiry_moved)
        return output

    def _owe(self, output: Output) -> None:
        """Let the loop send what is for the remote: its own thread must not wait to write."""
        if output.to_remote:
            self._undelivered += output.to_remote
            output.to_remote = []
            self._call_soon(self._pay)

    def _pay(self) -> None:
        with self._lock:
            if self.remote is not None and self._undelivered:
                owed, self._undelivered = self._undelivered, []
                self.remote.put(owed)

    # Early forwarding: called by the same threads.

    def _splitter(self, exit_: EarlyExit, *, from_host: bool) -> LongLineSplitter:
        forwards_early = self._watch is None
        return LongLineSplitter(
            self._max_line, exit_ if forwards_early else None, from_host=from_host
        )

    def _host_is_idle(self) -> bool:
        return self._host is not None and self._host.inbound.is_idle()

    def _remote_is_idle(self, connection: object) -> bool:
        bridge = self._bridge
        return bridge is not None and self._connection is connection and bridge.inbound.is_idle()

    def _begin_request(self, prefix: LinePrefix) -> EarlyLine | None:
        with self._lock:
            remote = self.remote
            if remote is None or not self.is_direct:
                return None
            return self._forwarding.begin_request(prefix, remote)

    def _begin_answer(self, connection: object, prefix: LinePrefix) -> EarlyLine | None:
        """Begin an answer. Does not wait long for the lock, as above."""
        early = self.host.early
        if early is None or not self._lock.acquire(timeout=_STEP_TIME):
            return None
        try:
            is_present = self._connection is connection and self.is_direct
            return self._forwarding.begin_answer(prefix, early) if is_present else None
        finally:
            self._lock.release()
