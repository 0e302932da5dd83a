"""The protocol of those who share a connection, at both ends of a socket pair; what goes with it."""

from __future__ import annotations

import inspect
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from m2m_ssh_client import errors
from m2m_ssh_client.errors import RemoteExitError, SSHClientError, UnreachableError
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh.destination import resolve
from m2m_ssh_client.ssh.sharing import holder_task
from m2m_ssh_client.ssh.sharing.told_error import heard, told

if sys.platform == "win32":
    pytest.skip("Windows passes no descriptors on", allow_module_level=True)

from m2m_ssh_client.ssh.sharing import mux
from m2m_ssh_client.ssh.sharing.held_connections import socket_path
from m2m_ssh_client.ssh.sharing.mux import Message, MuxSocket, Session
from m2m_ssh_client.ssh.sharing.private_sockets import connected, listening

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for each in (ours, theirs):
            each.settimeout(10)
        yield ours, theirs


@pytest.mark.parametrize(
    "session",
    [
        Session("cat; é\udcff"),
        Session("sftp", is_subsystem=True),
        Session("", environment=(("A", "b=c"), ("EMPTY", ""))),
    ],
)
def test_a_session_is_asked_for_with_its_descriptors(pair: Pair, session: Session) -> None:
    client, holder = MuxSocket(pair[0]), MuxSocket(pair[1])
    read, write = os.pipe()
    client.ask_for(session, 7, (read, write, write))
    message = holder.receive()
    assert (message.kind, message.number(4)) == (mux.NEW_SESSION, 7)
    assert message.session() == session
    passed = holder.descriptors()
    assert len(passed) == 3
    os.write(passed[1], b"through")
    assert os.read(read, 100) == b"through"
    for each in (read, write, *passed):
        os.close(each)


def test_greetings_tell_version_and_extensions(pair: Pair) -> None:
    client, holder = MuxSocket(pair[0]), MuxSocket(pair[1])
    client.send(mux.HELLO, mux.VERSION, "one@example", "", "two@example", "x")
    assert holder.greet(mux.OURS) == {"one@example", "two@example"}
    assert client.greet() == {mux.OURS}


@pytest.mark.parametrize(
    "body",
    [
        struct.pack(">II", mux.HELLO, 3),
        struct.pack(">II", mux.ALIVE_CHECK, 4),
        struct.pack(">I", mux.HELLO),
        struct.pack(">III", mux.HELLO, 4, 100) + b"short",
    ],
)
def test_a_greeting_that_is_none_is_refused(pair: Pair, body: bytes) -> None:
    pair[1].sendall(struct.pack(">I", len(body)) + body)
    with pytest.raises(ValueError, match=r"version|early"):
        MuxSocket(pair[0]).greet()


def test_a_message_without_an_end_is_not_waited_for(pair: Pair) -> None:
    pair[1].sendall(b"\xff\xff\xff\xff")
    with pytest.raises(ValueError, match="too long"):
        MuxSocket(pair[0]).receive()
    pair[1].sendall(struct.pack(">I", 100) + b"half")
    pair[1].close()
    with pytest.raises(EOFError):
        MuxSocket(pair[0]).receive()


def test_a_request_for_a_terminal_is_refused() -> None:
    flags = struct.pack(">5I", 1, 0, 0, 0, 0)
    body = struct.pack(">I", mux.NEW_SESSION) + b"\0\0\0\0" + flags + b"\0\0\0\0" * 2
    with pytest.raises(ValueError, match="terminals"):
        Message(body).session()


def test_descriptors_that_are_missing_leave_none_open(pair: Pair) -> None:
    before = len([*Path("/dev/fd").iterdir()])
    read, write = os.pipe()
    socket.send_fds(pair[0], [b"\0"], [read])
    pair[0].sendall(b"\0")
    with pytest.raises(ValueError, match="missing"):
        MuxSocket(pair[1]).descriptors()
    os.close(read)
    os.close(write)
    assert len([*Path("/dev/fd").iterdir()]) == before


KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, SSHClientError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_the_same_in_another_process(kind: type[SSHClientError]) -> None:
    error = kind("It broke é.", "Mend it.")
    vars(error).update(dict.fromkeys(vars(error).keys() - {"message", "hint"}, 3.5))
    again = heard(told(error))
    assert (type(again), vars(again), str(again)) == (kind, vars(error), str(error))


def test_an_error_of_a_narrower_kind_is_told_as_the_nearest_that_is_known() -> None:
    class OwnError(UnreachableError):
        pass

    assert type(heard(told(OwnError("x", network_down=True)))) is UnreachableError
    assert heard(told(RemoteExitError("x", status=3))).__dict__["status"] == 3


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "OSError"}', '{"kind": "reason"}'])
def test_what_is_no_error_of_ours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        heard(text)


def test_a_task_comes_out_as_it_went_in(tmp_path: Path) -> None:
    given = Parameters(
        host="lab", client_key=tmp_path / "key", passphrase="secret", command=("a", "b"),
        env=("A=b",), ssh_options=("X=y",), tool=("*",), keepalive=2.5, share=True,
    )  # fmt: skip
    task = holder_task.Task(given, tmp_path / "socket", float("inf"), None, "DEBUG")
    assert holder_task.read(holder_task.written(task)) == task
    assert {each.name for each in fields(Parameters) if "Path" in str(each.type)} == (
        holder_task._PATHS
    )


def test_a_socket_may_have_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with listening(folder / "socket") as listener, connected(folder / "socket", 5) as client:
        accepted, _ = listener.accept()
        with accepted:
            client.sendall(b"hello")
            assert accepted.recv(10) == b"hello"


def test_what_is_no_socket_of_this_user_is_not_connected_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="no socket of yours"):
        connected(tmp_path / "file", 5)
    if os.geteuid() == 0:
        listening(tmp_path / "socket").close()
        os.chown(tmp_path / "socket", 65534, -1)
        with pytest.raises(OSError, match="no socket of yours"):
            connected(tmp_path / "socket", 5)


def identity(**options: object) -> Path:
    given: dict[str, Any] = {"host": "lab", "ssh_config": "none", "command": ("x",), **options}
    params = Parameters(**given)
    return socket_path(resolve(params).settings)


def test_whoever_reaches_another_machine_in_another_way_has_another_connection() -> None:
    ways: list[dict[str, object]] = [
        {},
        {"port": 2222},
        {"username": "ada"},
        {"client_key": Path("/key")},
        {"known_hosts": Path("/known")},
        {"host_key": "SHA256:" + "A" * 43},
        {"disable_host_key_checking": True},
        {"ssh_options": ("ProxyJump=gate",)},
        {"ssh_options": ("ProxyJump=ada@gate",)},
        {"ssh_options": ("ProxyCommand=nc %h %p",)},
        {"ssh_options": ("Compression=yes",)},
    ]
    assert len({identity(**each) for each in ways}) == len(ways)


def test_the_name_of_a_connection_tells_no_secret_and_not_what_runs_on_it() -> None:
    assert identity(passphrase="secret") == identity() == identity(command=("y",), cwd="/srv")


def test_names_of_parameters_that_decide_nothing_are_the_only_ones_left_out() -> None:
    params = Parameters(host="lab", ssh_config="none", command=("x",))
    told_names = set(json.loads(holder_task.written(
        holder_task.Task(replace(params), Path("s"), 0.0, None, "INFO")
    ))["params"])  # fmt: skip
    assert {each.name for each in fields(Parameters)} - told_names == {"passphrase_prompt"}
