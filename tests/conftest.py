"""Guards around every test: no real home folder, no agent, no network, nothing left behind."""

from __future__ import annotations

import gc
import ipaddress
import itertools
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from support import programs as programs  # keeps the environment as it was when pytest started
from support.examples import examples
from support.forked import FORKS

_LONGEST_NAME = 200  # characters

# No test asserts a time, and none keeps anything for its next run.
hypothesis.settings.register_profile("tests", examples(100), database=None, deadline=None)
hypothesis.settings.load_profile("tests")

# Whoever runs the tests in the background of a script, or with nohup, has children ignore these.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

_THREAD_GRACE = 2.0  # seconds: what shutdown is allowed to take


def pytest_sessionstart() -> None:
    FORKS.__enter__()


def pytest_sessionfinish() -> None:
    FORKS.__exit__()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let a test with the mark `cold` start programs as anybody does."""
    FORKS.active = item.get_closest_marker("cold") is None
    return (yield)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let no collection of garbage look at thousands of tests again: it took a fifth of a second."""
    gc.collect()
    gc.freeze()
    if "TOX_ENV_NAME" in programs.ORIGINAL_ENVIRONMENT:
        _assert_that_groups_count(session)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a test by the beginning of a long text: on Windows, no variable holds 32,768 characters."""
    if isinstance(val, (str, bytes)) and len(val) > _LONGEST_NAME:
        return ascii(val[:_LONGEST_NAME]) + "..."
    return None


def _assert_that_groups_count(session: pytest.Session) -> None:
    """With some releases of pytest, xdist spreads what is to run in one worker, and says nothing."""
    if getattr(session.config.option, "loadgroup", False):  # in a worker
        grouped = [each for each in session.items if each.get_closest_marker("xdist_group")]
        assert all("@" in each.nodeid for each in grouped), "this pytest makes no groups for xdist"


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """New folders, numbered here: `mktemp` reads the names of all earlier ones to find the next."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _private_home(_homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder of its own, so that neither keys nor known_hosts of a person are touched."""
    home = next(_homes)
    home.mkdir(mode=0o700)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    if sys.platform == "win32":
        for name in ("LOCALAPPDATA", "APPDATA"):
            monkeypatch.setenv(name, str(home / "AppData" / name))
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    # Empty, not missing: a missing one would have the person's agent looked for.
    monkeypatch.setenv("SSH_AUTH_SOCK", "")
    for name in ("SSH_ASKPASS", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def _is_loopback(host: str) -> bool:
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse(host: object) -> None:
    """An AssertionError, because the code under test may well handle an OSError."""
    raise AssertionError(f"a test tried to reach {host!r}: only loopback is allowed")


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """This process connects to loopback and resolves nothing; `.invalid` names fail at once."""
    patch = pytest.MonkeyPatch()
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    getaddrinfo = socket.getaddrinfo

    def check(address: Any) -> None:
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            _refuse(address[0])

    def guarded_connect(self: socket.socket, address: Any) -> None:
        check(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        check(address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if isinstance(name, str):
            if name.rstrip(".").endswith(".invalid"):  # RFC 6761: never resolves
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            if not _is_loopback(name) and not _is_address(name):
                _refuse(name)
        return getaddrinfo(host, *args, **options)

    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
    yield
    patch.undo()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


@pytest.fixture(autouse=True)
def _no_thread_left_behind() -> Iterator[None]:
    """The package's threads are named `m2m-…`; those that a test started must end with it."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + _THREAD_GRACE
    left = [t for t in threading.enumerate() if t not in before and t.name.startswith("m2m-")]
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    names = [thread.name for thread in left if thread.is_alive()]
    assert not names, f"threads still running after the test: {names}"


@pytest.fixture(autouse=True)
def _logging_left_as_found() -> Iterator[None]:
    """What one test sets up for logging must not decide what the next one sees."""

    def settings() -> dict[str, object]:
        loggers = [logging.getLogger(name) for name in ("m2m_ssh_client", "paramiko")]
        return {each.name: (each.level, each.propagate, *_speaking(each)) for each in loggers}

    before = settings()
    yield
    assert settings() == before


def _speaking(logger: logging.Logger) -> list[logging.Handler]:
    """A library may add a NullHandler when it is first imported."""
    return [each for each in logger.handlers if not isinstance(each, logging.NullHandler)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
