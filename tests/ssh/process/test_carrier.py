"""What a session channel brings, and when: paramiko at both ends of a pair of sockets."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import paramiko
import pytest
from paramiko.common import (
    AUTH_SUCCESSFUL,
    DEFAULT_WINDOW_SIZE,
    OPEN_SUCCEEDED,
    cMSG_CHANNEL_REQUEST,
)
from support.received import Received

from m2m_ssh_client.ssh import algorithms
from m2m_ssh_client.ssh.library.packets import ChannelData, Packets
from m2m_ssh_client.ssh.library.ssh_transport import Transport
from m2m_ssh_client.ssh.process import aftermath
from m2m_ssh_client.ssh.process.carrier import ChannelCarrier, Way
from m2m_ssh_client.ssh.settings import Algorithms, Request
from m2m_ssh_client.ssh.way.sockets import LiveSocket

ENOUGH = 10.0  # seconds
HOST_KEYS = ["ecdsa-sha2-nistp256"]


class Generous(paramiko.ServerInterface):
    def __init__(self) -> None:
        self.answers = threading.Event()
        """Whether requests that are no channel's are answered, and what comes behind them read."""
        self.answers.set()

    def check_global_request(self, kind: str, msg: paramiko.Message) -> bool:  # noqa: ARG002
        self.answers.wait(ENOUGH)
        return False

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - inherited
        return "none"

    def check_auth_none(self, username: str) -> int:  # noqa: ARG002 - inherited
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - inherited
        return OPEN_SUCCEEDED


class Session:
    """A carrier, and the far side's end of its channel."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        link = LiveSocket(fileno=ours.detach())
        self._near, self._far = (
            Transport(link, algorithms.offer(Algorithms())),
            paramiko.Transport(theirs),
        )
        self._far.add_server_key(paramiko.ECDSAKey.generate())
        self.server = Generous()
        self._far.start_server(event=threading.Event(), server=self.server)
        self._near.exchange_keys(HOST_KEYS, time.monotonic() + ENOUGH)
        self._near.auth_none("user")
        # The connection is asked only how it ended.
        self._near_channel = self._near.open_session()
        self.carrier = ChannelCarrier(cast("Way", None), self._near, self._near_channel, Request())
        channel = self._far.accept(ENOUGH)
        assert channel is not None
        self.channel = channel

    def sync(self) -> None:
        """Until the near side has looked at everything that was sent."""
        self._far.global_request("are-you-there@test", wait=True)

    def ends_by(self, signal: str) -> None:
        """RFC 4254 section 6.10: the end of the process. paramiko has no call for it."""
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(self.channel.remote_chanid)
        message.add_string("exit-signal")
        message.add_boolean(False)
        message.add_string(signal)
        message.add_boolean(False)  # no core dumped
        message.add_string("")
        message.add_string("")
        self._far._send_user_message(message)  # type: ignore[attr-defined]  # not in the stubs

    def exchange_keys(self) -> None:
        self._far.renegotiate_keys()

    def far_side_takes(self, size: int) -> None:
        self._near_channel.out_max_packet_size = size

    @contextmanager
    def exchanging_keys(self) -> Iterator[None]:
        self._near.clear_to_send.clear()
        yield
        self._near.clear_to_send.set()

    def close(self) -> None:
        self._near.close()
        self._far.close()


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    yield session
    session.close()


class Slow(Received):
    """Takes its time with the first bytes, and grants none."""

    def __init__(self, carrier: ChannelCarrier) -> None:
        self.pieces: list[bytes] = []
        self.has_begun, self.go_on = threading.Event(), threading.Event()
        self.window_is_used_up = threading.Event()
        super().__init__(carrier)

    def stdout(self, data: bytes) -> None:
        self.has_begun.set()
        assert self.go_on.wait(ENOUGH)
        self.pieces.append(data)
        if self.size == DEFAULT_WINDOW_SIZE:
            self.window_is_used_up.set()

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))


def test_what_came_before_anybody_listened_comes_first(session: Session) -> None:
    session.channel.sendall(b"early ")
    session.channel.sendall_stderr(b"early error")
    session.sync()
    received = Received(session.carrier)
    session.channel.sendall(b"late")
    session.channel.close()
    assert received.to_the_end() == (b"early late", b"early error")


def test_an_end_before_anybody_listened_is_told_behind_what_came(session: Session) -> None:
    session.channel.sendall(b"short")
    session.channel.close()
    session.sync()
    assert Received(session.carrier).to_the_end() == (b"short", b"")


def test_such_an_end_is_told_behind_the_error_output_too(session: Session) -> None:
    class AtTheEnd(Received):
        stderr_then = b""

        def ended(self) -> None:
            self.stderr_then = bytes(self._stderr)
            super().ended()

    session.channel.sendall_stderr(b"last words")
    session.channel.close()
    session.sync()
    received = AtTheEnd(session.carrier)
    received.to_the_end()
    assert received.stderr_then == b"last words"


@pytest.mark.skipif(sys.platform == "win32", reason="what is sent is not yet there")
def test_small_packets_that_came_together_go_on_together(session: Session) -> None:
    slow = Slow(session.carrier)
    session.channel.sendall(b"first")
    assert slow.has_begun.wait(ENOUGH)
    for _ in range(50):
        session.channel.sendall(b"x" * 10)
    slow.go_on.set()
    session.channel.close()
    slow.to_the_end()
    assert slow.pieces == [b"first", b"x" * 500]


def test_what_came_before_a_connection_broke_is_not_lost(session: Session) -> None:
    slow = Slow(session.carrier)
    session.channel.sendall(b"first")
    assert slow.has_begun.wait(ENOUGH)
    session.channel.sendall(b"and last")
    session._far.sock.shutdown(socket.SHUT_RDWR)
    slow.go_on.set()
    slow.to_the_end()
    assert slow.pieces == [b"first", b"and last"]


def test_the_far_side_sends_no_more_than_was_granted(session: Session) -> None:
    slow = Slow(session.carrier)
    slow.go_on.set()
    sending = threading.Thread(
        target=session.channel.sendall, args=(bytes(2 * DEFAULT_WINDOW_SIZE),)
    )
    sending.start()
    assert slow.window_is_used_up.wait(ENOUGH)
    session.sync()
    assert slow.size == DEFAULT_WINDOW_SIZE
    session.carrier.grant(DEFAULT_WINDOW_SIZE)
    sending.join(ENOUGH)
    session.channel.close()
    slow.to_the_end()
    assert slow.size == 2 * DEFAULT_WINDOW_SIZE


def test_what_is_given_back_keeps_a_long_answer_going(session: Session) -> None:
    received = Received(session.carrier)
    session.channel.sendall(bytes(10 * DEFAULT_WINDOW_SIZE))
    session.channel.close()
    assert len(received.to_the_end()[0]) == 10 * DEFAULT_WINDOW_SIZE


# The process has ended, and its output stays open


def test_the_exit_status_is_the_end_although_the_output_stays_open(session: Session) -> None:
    received = Received(session.carrier)
    session.channel.sendall(b"last words")
    session.channel.sendall_stderr(b"an error")
    session.channel.send_exit_status(3)
    assert received.to_the_end() == (b"last words", b"an error")
    assert "exit status 3" in str(session.carrier.ending())
    session.channel.sendall(b"a child of it goes on")
    session.channel.sendall_stderr(b"a child of it goes on")
    session.sync()
    assert received.to_the_end() == (b"last words", b"an error")


def test_a_signal_that_ended_the_process_is_the_end_too(session: Session) -> None:
    received = Received(session.carrier)
    session.channel.sendall(b"last words")
    session.ends_by("SEGV")
    assert received.to_the_end() == (b"last words", b"")
    assert "was ended by SIGSEGV" in str(session.carrier.ending())


def test_word_of_the_end_counts_once(session: Session) -> None:
    received = Received(session.carrier)
    session.channel.send_exit_status(3)
    for _ in range(1000):
        session.ends_by("TERM")
    assert received.to_the_end() == (b"", b"")
    assert "exit status 3" in str(session.carrier.ending())


def test_an_exit_status_may_follow_the_end_of_the_output(session: Session) -> None:
    received = Received(session.carrier)
    session.channel.sendall(b"last words")
    session.channel.shutdown_write()
    assert received.to_the_end() == (b"last words", b"")
    session.channel.send_exit_status(3)
    assert "exit status 3" in str(session.carrier.ending())


def test_an_exit_status_before_anybody_listened_is_the_end(session: Session) -> None:
    session.channel.sendall(b"short")
    session.channel.send_exit_status(0)
    session.sync()
    assert Received(session.carrier).to_the_end() == (b"short", b"")


def test_a_new_exchange_of_keys_does_not_hide_the_end(session: Session) -> None:
    received = Received(session.carrier)
    session.channel.send_exit_status(3)
    session.exchange_keys()
    session.channel.sendall(b"last words")
    assert received.to_the_end() == (b"last words", b"")


def test_what_still_streams_in_behind_the_exit_status_comes_all(session: Session) -> None:
    received = Received(session.carrier)
    session.channel.send_exit_status(0)
    for _ in range(4):
        session.channel.sendall(bytes(DEFAULT_WINDOW_SIZE))
        time.sleep(aftermath._QUIET / 2)  # this is the behaviour, not a wait for something
    assert len(received.to_the_end()[0]) == 4 * DEFAULT_WINDOW_SIZE


def test_a_child_that_goes_on_writing_is_cut_off(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aftermath, "_LONGEST", 1.0)
    received = Received(session.carrier)
    session.channel.sendall(b"last words. ")
    session.channel.send_exit_status(0)
    deadline = time.monotonic() + ENOUGH
    while not received.has_ended(aftermath._QUIET / 5):
        assert time.monotonic() < deadline
        session.channel.sendall(b"tick ")
    assert received.to_the_end()[0].startswith(b"last words. tick tick ")


def test_what_waits_for_our_window_behind_the_exit_status_comes_all(session: Session) -> None:
    slow = Slow(session.carrier)
    slow.go_on.set()
    sending = threading.Thread(
        target=session.channel.sendall, args=(bytes(2 * DEFAULT_WINDOW_SIZE),)
    )
    sending.start()
    assert slow.window_is_used_up.wait(ENOUGH)
    session.channel.send_exit_status(0)
    assert not slow.has_ended(aftermath._QUIET * 3)
    session.carrier.grant(2 * DEFAULT_WINDOW_SIZE)
    slow.to_the_end()
    assert slow.size == 2 * DEFAULT_WINDOW_SIZE


def test_a_network_that_stands_still_is_no_quiet(session: Session) -> None:
    received = Received(session.carrier)
    session.server.answers.clear()
    session.channel.send_exit_status(0)
    assert not received.has_ended(aftermath._QUIET * 3)
    session.channel.sendall(b"last words")
    session.server.answers.set()
    assert received.to_the_end() == (b"last words", b"")


def test_a_server_that_never_answers_is_not_waited_for(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aftermath, "_QUIET_WITHOUT_AN_ANSWER", 1.0)
    received = Received(session.carrier)
    session.server.answers.clear()
    session.channel.sendall(b"last words")
    session.channel.send_exit_status(0)
    assert received.to_the_end() == (b"last words", b"")
    session.server.answers.set()


def test_nothing_is_written_at_once_while_keys_are_exchanged(session: Session) -> None:
    with session.exchanging_keys():
        assert session.carrier.write_some(b"some") == 0
        assert not session.carrier.write_now(b"now")
    assert session.carrier.write_some(b"some") == 4
    assert session.carrier.write_now(b"now")
    assert session.channel.recv(4) + session.channel.recv(3) == b"somenow"


@pytest.mark.parametrize(
    ("takes", "largest"), [(5000, 5000), (32 * 1024, 32 * 1024), (1 << 30, 32 * 1024)]
)
def test_no_message_has_more_data_than_the_far_side_takes_or_every_server_must(
    takes: int, largest: int, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    send = Packets.send_message

    def noted(self: Packets, message: paramiko.Message) -> None:
        if isinstance(message, ChannelData):
            sizes.extend(len(part) for _, _, part in message.messages)
        send(self, message)

    monkeypatch.setattr(Packets, "send_message", noted)
    session.far_side_takes(takes)
    session.carrier.write(bytes(100_000))
    assert sum(sizes) == 100_000
    assert max(sizes) == largest
