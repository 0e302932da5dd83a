from __future__ import annotations

import _socket
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.usage import Limit

from m2m_ssh_client.errors import UnreachableError
from m2m_ssh_client.ssh.settings import Address
from m2m_ssh_client.ssh.way import sockets

ENOUGH = 5.0  # seconds: far more than anything on loopback takes
IPV4 = (socket.AF_INET, "127.0.0.1")
IPV6 = (socket.AF_INET6, "::1")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on loopback here")
both_families = pytest.mark.parametrize(
    "family", [IPV4, pytest.param(IPV6, marks=needs_ipv6)], ids=["IPv4", "IPv6"]
)


@contextmanager
def listening(family: tuple[int, str], port: int = 0, backlog: int = 5) -> Iterator[socket.socket]:
    with socket.socket(family[0], socket.SOCK_STREAM) as listener:
        listener.bind((family[1], port))
        listener.listen(backlog)
        yield listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def closed_port(family: tuple[int, str] = IPV4) -> int:
    with listening(family) as listener:
        return port_of(listener)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose queue is full: whoever connects gets no answer, as from behind a firewall."""
    if sys.platform == "win32":
        pytest.skip("Windows refuses what does not fit into the queue")
    with ExitStack() as stack:
        listener = stack.enter_context(listening(IPV4, backlog=0))
        for _ in range(64):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.2)
            try:
                filler.connect(listener.getsockname())
            except TimeoutError:
                break
        else:
            pytest.skip("the queue of a listening socket cannot be filled here")
        yield port_of(listener)


@pytest.fixture
def resolve_to(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let every name stand for these addresses, as no resolver of this machine can be made to."""

    def install(*addresses: tuple[int, tuple[Any, ...]]) -> None:
        found = [(family, socket.SOCK_STREAM, 6, "", address) for family, address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return install


def connect(
    host: str,
    port: int,
    seconds: float = ENOUGH,
    cancelled: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> sockets.LiveSocket:
    address = Address(host, port, **settings)
    return sockets.connect(address, time.monotonic() + seconds, cancelled)


def failure(host: str, port: int, seconds: float = ENOUGH, **settings: Any) -> str:
    with pytest.raises(UnreachableError) as caught:
        connect(host, port, seconds, **settings)
    text = str(caught.value)
    assert "\n" not in text
    return text


@both_families
def test_the_socket_is_connected_blocking_and_sends_at_once(family: tuple[int, str]) -> None:
    with listening(family) as listener, connect(family[1], port_of(listener)) as sock:
        there, _ = listener.accept()
        with there:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.gettimeout() is None
            assert 0 <= time.monotonic() - sock.last_received < ENOUGH
            there.sendall(b"x")
            assert sock.recv(1) == b"x"


if sys.platform == "linux":

    def test_what_arrives_is_acknowledged_at_once_while_the_socket_is_prompt() -> None:
        """Linux delays that in a conversation, and notes so in TCP_QUICKACK (tcp(7))."""
        with listening(IPV4) as listener, connect("127.0.0.1", port_of(listener)) as sock:
            there, _ = listener.accept()
            with there:

                def delays() -> bool:
                    sock.sendall(b"x")
                    there.sendall(there.recv(1))
                    assert sock.recv(1)
                    return not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)

                assert not any(delays() for _ in range(20))
                sock.prompt = False
                assert any(delays() for _ in range(20))


@pytest.mark.parametrize(
    "family", [IPV4, pytest.param(IPV6, marks=needs_ipv6)], ids=["only IPv4", "only IPv6"]
)
def test_a_name_of_both_families_is_reached_where_only_one_of_them_listens(
    family: tuple[int, str], resolve_to: Callable[..., None]
) -> None:
    with listening(family) as listener:
        port = port_of(listener)
        resolve_to((socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port)))
        with connect("localhost", port) as sock:
            assert sock.getpeername()[0] == family[1]


def test_each_address_of_a_name_can_be_tried_by_itself(resolve_to: Callable[..., None]) -> None:
    with listening(IPV4) as listener:
        good, bad = ("127.0.0.1", port_of(listener)), ("127.0.0.1", closed_port())
        resolve_to((socket.AF_INET, bad), (socket.AF_INET, good))
        address = Address("lab.example", 22)
        first, second = sockets.targets(address)
        assert (first, second) == ((socket.AF_INET, bad), (socket.AF_INET, good))
        deadline = time.monotonic() + ENOUGH
        with sockets.connect(address, deadline, lambda: False, second) as sock:
            assert sock.getpeername() == good
        with pytest.raises(UnreachableError):
            sockets.connect(address, deadline, lambda: False, first)


def test_localhost_is_reached() -> None:
    with listening(IPV4) as listener, connect("localhost", port_of(listener)) as sock:
        assert sock.getpeername()[:2] == listener.getsockname()[:2]


@both_families
def test_a_refusal_is_told_at_once_with_the_address(
    family: tuple[int, str],
) -> None:
    port = closed_port(family)
    started = time.monotonic()
    text = failure(family[1], port)
    assert time.monotonic() - started < ENOUGH / 2
    assert text.startswith(f"Connection refused (tried {family[1]} port {port})")
    assert "Nothing listens there" in text


def failure_of_a_default(other_port: int) -> str:
    address = Address("127.0.0.1", closed_port(), other_port=other_port)
    with pytest.raises(UnreachableError) as caught:
        sockets.connect(address, time.monotonic() + ENOUGH, lambda: False)
    return caught.value.hint


def answering(listener: socket.socket, first: bytes) -> None:
    def answer() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.sendall(first)

    threading.Thread(target=answer, daemon=True).start()


def test_where_a_default_port_refuses_the_port_of_an_ssh_server_is_told() -> None:
    with listening(IPV4) as listener:
        answering(listener, b"SSH-2.0-x\r\n")
        port = port_of(listener)
        assert f"answers on port {port}: add --port {port}" in failure_of_a_default(port)


def test_a_server_of_another_kind_on_the_other_port_is_not_suggested() -> None:
    with listening(IPV4) as listener:
        answering(listener, b"HTTP/1.1 400 Bad Request\r\n")
        hint = failure_of_a_default(port_of(listener))
    assert "is only the default" in hint
    assert "answers" not in hint


def test_where_nothing_listens_at_all_the_default_is_named() -> None:
    hint = failure_of_a_default(closed_port())
    assert "is only the default" in hint
    assert "answers" not in hint


def test_a_silent_server_on_the_other_port_costs_a_second_at_most() -> None:
    with listening(IPV4) as listener:
        started = time.monotonic()
        assert "answers" not in failure_of_a_default(port_of(listener))
        assert time.monotonic() - started < ENOUGH


def test_every_address_that_was_tried_is_named(resolve_to: Callable[..., None]) -> None:
    ports = [closed_port(), closed_port()]
    resolve_to(*((socket.AF_INET, ("127.0.0.1", port)) for port in ports))
    text = failure("localhost", 22)
    assert all(f"127.0.0.1 port {port}" in text for port in ports)


def test_a_refused_address_costs_no_head_start(resolve_to: Callable[..., None]) -> None:
    refused = [(socket.AF_INET, ("127.0.0.1", closed_port())) for _ in range(12)]
    with listening(IPV4) as listener:
        resolve_to(*refused, (socket.AF_INET, listener.getsockname()))
        started = time.monotonic()
        connect("localhost", 22).close()
    assert time.monotonic() - started < 12 * 0.25


def test_an_address_that_does_not_answer_is_overtaken_by_the_next(
    silent_port: int, resolve_to: Callable[..., None]
) -> None:
    with listening(IPV4) as listener:
        resolve_to(
            (socket.AF_INET, ("127.0.0.1", silent_port)), (socket.AF_INET, listener.getsockname())
        )
        started = time.monotonic()
        with connect("localhost", 22) as sock:
            assert sock.getpeername() == listener.getsockname()
    assert time.monotonic() - started < ENOUGH / 2


def test_a_refused_address_costs_no_head_start_while_another_is_waited_for(
    silent_port: int, resolve_to: Callable[..., None]
) -> None:
    refused = [(socket.AF_INET, ("127.0.0.1", closed_port())) for _ in range(12)]
    with listening(IPV4) as listener:
        silent = (socket.AF_INET, ("127.0.0.1", silent_port))
        resolve_to(silent, *refused, (socket.AF_INET, listener.getsockname()))
        started = time.monotonic()
        connect("localhost", 22).close()
    assert time.monotonic() - started < 12 * 0.25


@needs_ipv6
def test_families_take_turns(silent_port: int, resolve_to: Callable[..., None]) -> None:
    """RFC 8305 section 4: with the order of the resolver the good address would be the ninth."""
    with listening(IPV6) as listener:
        resolve_to(
            *[(socket.AF_INET, ("127.0.0.1", silent_port))] * 8,
            (socket.AF_INET6, ("::1", port_of(listener), 0, 0)),
        )
        started = time.monotonic()
        connect("localhost", 22).close()
    assert time.monotonic() - started < 8 * 0.25


def test_a_family_that_this_machine_lacks_is_passed_over(resolve_to: Callable[..., None]) -> None:
    unknown = 4711
    with listening(IPV4) as listener:
        resolve_to((unknown, ("?", 0)), (socket.AF_INET, listener.getsockname()))
        connect("localhost", 22).close()


def test_addresses_that_all_fail_at_once_are_reported(resolve_to: Callable[..., None]) -> None:
    resolve_to((4711, ("?", 9)), (4712, ("!", 9)))
    text = failure("localhost", 22)
    assert "? port 9" in text
    assert "! port 9" in text


def test_the_deadline_ends_the_attempt(silent_port: int) -> None:
    started = time.monotonic()
    text = failure("127.0.0.1", silent_port, 0.4)
    assert 0.35 < time.monotonic() - started < ENOUGH / 2
    assert text.startswith("Connection timed out (tried ")
    assert "firewall" in text


def test_a_deadline_in_the_past_connects_to_nothing() -> None:
    with listening(IPV4) as listener:
        failure("127.0.0.1", port_of(listener), -1.0)


def test_cancelling_ends_the_attempt_at_once(silent_port: int) -> None:
    asked, cancelled = threading.Event(), threading.Event()

    def is_cancelled() -> bool:
        asked.set()
        return cancelled.is_set()

    def cancel() -> None:
        asked.wait(ENOUGH)
        cancelled.set()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    started = time.monotonic()
    with pytest.raises(UnreachableError):
        connect("127.0.0.1", silent_port, 30.0, is_cancelled)
    canceller.join(ENOUGH)
    assert time.monotonic() - started < ENOUGH


@pytest.mark.parametrize(
    "name", ["nosuchhost.invalid", "x" * 300, "a..b", "x" * 64 + ".example"], ids=lambda n: n[:12]
)
def test_a_name_that_does_not_resolve_is_told_with_the_option_to_check(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not name.endswith(".invalid"):  # refused while it is encoded, before anything is asked
        monkeypatch.setattr(socket, "getaddrinfo", _socket.getaddrinfo)
    text = failure(name, 22)
    assert "cannot be resolved" in text
    assert "--host" in text


@pytest.mark.parametrize("keepalive", [True, False])
def test_tcp_keepalive_is_as_configured(keepalive: bool) -> None:
    with (
        listening(IPV4) as listener,
        connect("127.0.0.1", port_of(listener), tcp_keepalive=keepalive) as sock,
    ):
        assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is keepalive


@pytest.fixture
def answer_by_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` has an address of each family, whatever this machine's hosts file says."""
    getaddrinfo = socket.getaddrinfo

    def resolve(host: str, port: int, family: int, *args: int) -> list[Any]:
        addresses = ("::1", "127.0.0.1") if host == "localhost" else (host,)
        found = [info for each in addresses for info in getaddrinfo(each, port, 0, *args)]
        return [info for info in found if family in (0, info[0])]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@needs_ipv6
@pytest.mark.usefixtures("answer_by_family")
@pytest.mark.parametrize(
    ("settings", "reached"),
    [
        ({"family": "any"}, "::1"),
        ({"family": "inet"}, "127.0.0.1"),
        ({"family": "inet6"}, "::1"),
        ({"bind": "127.0.0.1"}, "127.0.0.1"),
        ({"bind": "::1"}, "::1"),
        ({"bind": "localhost"}, "::1"),
        ({"bind": "localhost", "family": "inet"}, "127.0.0.1"),
    ],
    ids=str,
)
def test_family_and_local_address_decide_which_addresses_are_tried(
    settings: dict[str, Any], reached: str
) -> None:
    with (
        listening(IPV4) as four,
        listening(IPV6, port_of(four)),
        connect("localhost", port_of(four), **settings) as sock,
    ):
        assert sock.getpeername()[0] == reached


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 is the only one")
@pytest.mark.parametrize("bind", ["127.0.0.9", "localhost"])
def test_the_connection_comes_from_the_first_local_address(
    bind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    getaddrinfo = socket.getaddrinfo

    def resolve(host: str, *args: int) -> list[Any]:
        addresses = ("127.0.0.9", "127.0.0.8") if host == "localhost" else (host,)
        return [info for each in addresses for info in getaddrinfo(each, *args)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with (
        listening(IPV4) as listener,
        connect("127.0.0.1", port_of(listener), bind=bind) as sock,
    ):
        assert sock.getsockname()[0] == "127.0.0.9"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bind": "192.0.2.1"}, ("'192.0.2.1' cannot be used", "BindAddress")),  # RFC 5737
        ({"bind": "nosuch.invalid"}, ("'nosuch.invalid' cannot be used", "BindAddress")),
        ({"bind": "::1"}, ("127.0.0.1 has only addresses of another family", "BindAddress")),
        ({"bind": "::1", "family": "inet"}, ("'::1' cannot be used", "BindAddress")),
        ({"family": "inet6"}, ("cannot be resolved to an IPv6 address",)),
    ],
    ids=str,
)
def test_what_cannot_be_connected_from_or_as_is_told(
    settings: dict[str, Any], words: tuple[str, ...]
) -> None:
    with listening(IPV4) as listener:
        text = failure("127.0.0.1", port_of(listener), **settings)
    assert all(each in text for each in words), text


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Real ones would take seconds."""
    monkeypatch.setattr(sockets, "_PAUSE", 0.05)
    taken: list[float] = []
    sleep = time.sleep

    def note(seconds: float) -> None:
        taken.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", note)
    return taken


def test_one_attempt_is_one_and_makes_no_pause(pauses: list[float]) -> None:
    failure("127.0.0.1", closed_port())
    assert not pauses


def test_as_many_attempts_are_made_as_configured(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = closed_port()
    begun: list[Any] = []
    begin = sockets._begin

    def note(sock: socket.socket, target: Any) -> None:
        begun.append(target)
        begin(sock, target)

    monkeypatch.setattr(sockets, "_begin", note)
    failure("127.0.0.1", port, attempts=3)
    assert begun == [("127.0.0.1", port)] * 3
    assert sum(pauses) >= 2 * 0.04


def test_a_server_that_comes_up_between_two_attempts_is_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = closed_port()
    with ExitStack() as stack:

        def pause(_deadline: float, _cancelled: Callable[[], bool]) -> bool:
            stack.enter_context(listening(IPV4, port))
            return True

        monkeypatch.setattr(sockets, "_paused", pause)
        connect("127.0.0.1", port, attempts=2).close()


@pytest.mark.skipif(sys.platform == "win32", reason="accounts have no home folder in a database")
def test_a_name_that_only_the_accounts_configuration_may_know_tells_where_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    pwd = pytest.importorskip("pwd")
    account = tmp_path / "account"
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_dir=str(account)))
    assert "HOME" not in failure("a..b", 22)
    (account / ".ssh").mkdir(parents=True)
    (account / ".ssh" / "config").write_text("Host a..b\n")
    text = failure("a..b", 22)
    assert f"HOME is {Path.home()} here, but `ssh` reads {account}/.ssh/config" in text
    monkeypatch.setenv("HOME", str(account))
    assert "HOME" not in failure("a..b", 22)


def test_each_attempt_has_the_configured_time(silent_port: int, pauses: list[float]) -> None:
    started = time.monotonic()
    assert "timed out" in failure("127.0.0.1", silent_port, attempts=3, timeout=0.3)
    assert sum(pauses) >= 2 * 0.04
    assert 3 * 0.3 <= time.monotonic() - started < ENOUGH


def test_the_time_for_an_attempt_goes_on_with_the_key_exchange() -> None:
    with listening(IPV4) as listener, connect("127.0.0.1", port_of(listener), timeout=9) as sock:
        assert 8 < sock.exchange_by - time.monotonic() <= 9
        with connect("127.0.0.1", port_of(listener)) as other:
            assert other.exchange_by == float("inf")


def test_there_is_no_pause_that_the_deadline_would_end() -> None:
    limit = Limit(0.9, os.getpid())
    failure("127.0.0.1", closed_port(), 0.9, attempts=100)
    assert limit.left > 0


def test_cancelling_ends_a_pause() -> None:
    begun = time.monotonic()
    limit = Limit(0.2 + sockets._PAUSE, os.getpid())
    with pytest.raises(UnreachableError):
        connect(
            "127.0.0.1",
            closed_port(),
            cancelled=lambda: time.monotonic() > begun + 0.2,
            attempts=100,
        )
    assert limit.left > 0
