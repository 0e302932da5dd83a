"""keyboard-interactive, as far as it asks nothing: after the key, alone, and beside OpenSSH with PAM."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_PARTIALLY_SUCCESSFUL, AUTH_SUCCESSFUL
from paramiko.server import InteractiveQuery
from support import programs
from support.odd_ssh import ENOUGH, Keys, Odd, odd_server

from m2m_ssh_client.errors import AuthenticationError
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh import algorithms
from m2m_ssh_client.ssh.destination import resolve
from m2m_ssh_client.ssh.library.ssh_transport import Transport
from m2m_ssh_client.ssh.login.authentication import authenticate
from m2m_ssh_client.ssh.login.login_record import LoginRecord
from m2m_ssh_client.ssh.settings import Address, Algorithms, Login

NOTHING = InteractiveQuery("A push was sent", "Confirm it on your phone.")
CODE = InteractiveQuery("", "", "Verification code: ")
Step = InteractiveQuery | int


class TwoFactors(Odd):
    """A server that wants `methods` in turn; `steps` are its words in keyboard-interactive."""

    def __init__(self, steps: Sequence[Step], methods: Sequence[str]) -> None:
        super().__init__()
        self._steps = list(steps)
        self._methods = list(methods)
        self.answers: list[list[str]] = []

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - inherited
        return self._methods[0]

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:  # noqa: ARG002
        return self._passed()

    def check_auth_interactive(self, username: str, submethods: str) -> Step:  # noqa: ARG002
        return self._next()

    def check_auth_interactive_response(self, responses: list[str]) -> Step:
        self.answers.append(responses)
        return self._next()

    def _next(self) -> Step:
        step = self._steps.pop(0)
        return self._passed() if step == AUTH_SUCCESSFUL else step

    def _passed(self) -> int:
        del self._methods[0]
        return AUTH_PARTIALLY_SUCCESSFUL if self._methods else AUTH_SUCCESSFUL


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@contextmanager
def connected(port: int) -> Iterator[Transport]:
    sock = socket.create_connection(("127.0.0.1", port), timeout=ENOUGH)
    transport = Transport(sock, algorithms.offer(Algorithms()))
    try:
        transport.exchange_keys(algorithms.host_keys(None), time.monotonic() + ENOUGH)
        yield transport
    finally:
        transport.close()
        transport.join(5)


def log_in(port: int, login: Login) -> LoginRecord:
    record = LoginRecord()
    with connected(port) as transport:
        authenticate(transport, login, Address("127.0.0.1", port), record=record)
        transport.open_session(timeout=ENOUGH).close()
    return record


KEY, ASK = "publickey", "keyboard-interactive"


@pytest.mark.parametrize(
    ("methods", "steps"),
    [
        ([KEY, ASK], [NOTHING, AUTH_SUCCESSFUL]),
        ([ASK, KEY], [NOTHING, AUTH_SUCCESSFUL]),
        ([ASK], [NOTHING, AUTH_SUCCESSFUL]),
        ([ASK], [NOTHING, NOTHING, NOTHING, AUTH_SUCCESSFUL]),
        ([ASK], [AUTH_SUCCESSFUL]),
        ([KEY, ASK, KEY], [AUTH_SUCCESSFUL]),
    ],
)
def test_a_factor_that_asks_nothing_is_answered_with_nothing(
    methods: list[str], steps: list[Step], keys: Keys
) -> None:
    server = TwoFactors(steps, methods)
    files = tuple(keys.path(keys[name]) for name in ("ed25519 a", "ed25519 b"))
    with odd_server(server, keys["ed25519 host"]) as port:
        record = log_in(port, Login("ada", files=files))
    assert record.succeeded
    assert record.interactive
    assert [str(each.path) for each in record.taken] == [*map(str, files)][: methods.count(KEY)]
    assert server.answers == [[] for step in steps if step == NOTHING]


def test_what_the_second_factor_says_is_shown_at_once(
    keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    with odd_server(TwoFactors([NOTHING, AUTH_SUCCESSFUL], [ASK]), keys["ed25519 host"]) as port:
        record = log_in(port, Login("ada"))
    assert record.said == ["A push was sent", "Confirm it on your phone."]
    assert "the server says: Confirm it on your phone." in caplog.messages


@pytest.mark.parametrize(
    ("methods", "steps", "words"),
    [
        ([KEY, ASK], [CODE], 'as well; keyboard-interactive asks "Verification code:", which'),
        ([KEY, ASK], [NOTHING, CODE], 'keyboard-interactive asks "Verification code:", which'),
        ([KEY, ASK], [NOTHING, AUTH_FAILED], "and wants keyboard-interactive as well"),
        ([ASK], [CODE], "accepts only keyboard-interactive"),
        ([ASK], [NOTHING] * 200, "does not finish the login"),
    ],
)
def test_a_factor_that_asks_something_fails_the_login(
    methods: list[str], steps: list[Step], words: str, keys: Keys
) -> None:
    server = TwoFactors(steps, methods)
    login = Login("ada", files=(keys.path(keys["ed25519 a"]),))
    with (
        odd_server(server, keys["ed25519 host"]) as port,
        pytest.raises((AuthenticationError, paramiko.SSHException)) as caught,
    ):
        log_in(port, login)
    assert words in str(caught.value)
    assert not any(server.answers)


@pytest.mark.parametrize(
    ("options", "tried"),
    [
        ((), True),
        (("PreferredAuthentications=publickey,keyboard-interactive",), True),
        (("PreferredAuthentications=publickey",), False),
        (("KbdInteractiveAuthentication=no",), False),
        (("ChallengeResponseAuthentication=no",), False),
        (("BatchMode=yes",), False),
    ],
)
def test_it_is_tried_where_ssh_would_try_it(
    options: tuple[str, ...], tried: bool, keys: Keys, tmp_path: Path
) -> None:
    params = Parameters("lab", ssh_config="none", ssh_options=options, client_key=tmp_path / "no")
    login = resolve(params).settings.login._replace(files=(), required=None, agent=None)
    server = TwoFactors([AUTH_SUCCESSFUL], [ASK])
    with odd_server(server, keys["ed25519 host"]) as port:
        try:
            assert log_in(port, login._replace(default_files=(), seek_agent=False)).succeeded
        except AuthenticationError:
            assert not tried
        else:
            assert tried


if sys.platform != "win32":
    from support.sshd import Guest, Sshd, SshdKeys, make_privilege_separation_folder

    PUSH = "auth optional pam_echo.so Confirm it on your phone.\nauth required pam_permit.so\n"
    PASSWORD = "auth required pam_unix.so\n"
    REST = "account required pam_permit.so\nsession required pam_permit.so\n"

    @pytest.fixture(scope="module")
    def sshd_keys(tmp_path_factory: pytest.TempPathFactory) -> SshdKeys:
        make_privilege_separation_folder()
        programs.require("sshd")
        return SshdKeys.generate(tmp_path_factory.mktemp("sshd"))

    StartSshd = Callable[[str, str], Sshd]

    @pytest.fixture
    def with_pam(sshd_keys: SshdKeys) -> Iterator[StartSshd]:
        """Start an sshd with these rules of PAM, which wants these methods."""

        def start(rules: str, methods: str) -> Sshd:
            if os.geteuid() != 0:
                programs.unavailable("only root can give an sshd rules of PAM")
            # Not below pytest's folders, which nobody else may enter.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sshd-guest-")))
            folder.chmod(0o755)
            extra = [f"AuthenticationMethods {methods}"]
            server = Sshd(sshd_keys, folder, extra, Guest(pam=rules + REST))
            return stack.enter_context(server)

        with ExitStack() as stack:
            yield start

    def ssh_gets_in(server: Sshd) -> bool:
        argv = server.openssh_argv("exit 7", batch="no")
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, start_new_session=True
        )
        return done.returncode == 7

    @pytest.mark.interop
    @pytest.mark.parametrize("methods", ["publickey,keyboard-interactive", "keyboard-interactive"])
    @pytest.mark.parametrize("rules", [PUSH, PASSWORD], ids=["push", "password"])
    def test_pam_lets_in_whom_it_asks_nothing_as_with_ssh(
        methods: str, rules: str, with_pam: StartSshd
    ) -> None:
        server = with_pam(rules, methods)
        login = Login(server.username, files=(server.keys.client_key,))
        if rules == PUSH:
            assert log_in(server.port, login).said == ["Confirm it on your phone."]
        else:
            with pytest.raises(AuthenticationError, match='asks "Password:"'):
                log_in(server.port, login)
        assert ssh_gets_in(server) == (rules == PUSH)
