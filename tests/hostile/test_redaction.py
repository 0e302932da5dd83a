"""Canaries in every place where a secret may be, and then a search for them in all that the command says and writes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import echo_server
from support.far import ENOUGH, Embedded, machine
from support.host import PACKAGE_PARENT, Host
from support.odd_ssh import python

from m2m_ssh_client.doctor.configuration import described
from m2m_ssh_client.masking import masked
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh import failures
from m2m_ssh_client.ssh.destination import resolve

if sys.platform == "win32":
    pytest.skip("a shell script is asked for passphrases", allow_module_level=True)

pytestmark = pytest.mark.interop

PHRASE, VALUE, PROXY, BODY = (
    "canary-phrase",
    "canary 'value' \"of\" $it",
    "canary-proxy",
    "canary-body",
)
VALUES = ("canary 'value'", "'value' \"of\"", "canary")  # pieces of it that quoting leaves whole
SECRETS = (PHRASE, PROXY, *VALUES[:2], "canary-header", "canary-token")

_CRASH = """
import sys
from m2m_ssh_client import cli, relay
from m2m_ssh_client.ssh import connection

def crash(self, *_):
    raise TypeError(f"{vars(self)!r} {self._settings!r} {self._settings.login!r}")

def crash_later(remote, _arguments):
    raise TypeError(f"{vars(remote)!r} {remote.params!r}")

"""
_MAIN = "\nsys.exit(cli.main())\n"
CRASHES = {
    "while connecting": f"{_CRASH}connection.Connection.open = crash{_MAIN}",
    "while relaying": f"{_CRASH}relay.relay_stdio = crash_later{_MAIN}",
}


class Place:
    """A machine that is reached with an encrypted key, and everything that the command writes."""

    def __init__(self, folder: Path, far: Embedded) -> None:
        self.folder, self.far = folder, far
        key = folder / "client"
        change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", PHRASE, "-a", "1", "-f", str(key)]
        subprocess.run(change, check=True, capture_output=True, timeout=30)
        self.config = self._file("config", f'SetEnv SET="{VALUES[0]}"\nSendEnv SENT\n')
        self.phrase = self._file("phrase", PHRASE)
        self.askpass = self._file("askpass", f"#!/bin/sh\necho {PHRASE}\n", 0o700)
        self.env = {
            **dict.fromkeys(("TOKEN", "API_KEY", "SENT"), VALUE),
            **dict.fromkeys(("http_proxy", "https_proxy"), f"http://me:{PROXY}@127.0.0.1:99999"),
        }

    def _file(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def options(self, source: str) -> tuple[list[str], dict[str, str]]:
        """The options of a connection at DEBUG, the passphrase from this source, and the environment."""
        given = {
            "option": ["--passphrase", PHRASE],
            "file": ["--passphrase-file", str(self.phrase)],
        }.get(source, [])
        env = {
            "variable": {"M2M_SSH_PASSPHRASE": PHRASE},
            "askpass": {"SSH_ASKPASS": str(self.askpass), "SSH_ASKPASS_REQUIRE": "force"},
            "wrong": {"M2M_SSH_PASSPHRASE": PHRASE[:-1] + "!"},
        }.get(source, {})
        connection = [str(self.config) if word == "none" else word for word in self.far.connection]
        values = ["--env", f"A={VALUE}", "--env", "TOKEN", "-o", f"SetEnv=B='{VALUES[0]}'"]
        return [*connection, *values, *given, "--log-level", "DEBUG"], {**self.env, **env}

    def written(self) -> str:
        """All that is in the files that the command has made."""
        home = Path.home()
        texts = [path.read_text("utf-8", "replace") for path in home.rglob("*") if path.is_file()]
        return "\n".join(texts)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    def command_for(_kind: str, text: str | None) -> Sequence[str] | None:
        if text is None or "refused" in text:
            return None
        return (
            python("raise SystemExit('no such module')")
            if text == "ends"
            else echo_server.command()
        )

    with machine(tmp_path) as far:
        far.server.command_for = command_for
        yield Place(tmp_path, far)


def clean(text: str, *also: str) -> str:
    for secret in (*SECRETS, "-----BEGIN", *also):
        for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
            assert form not in text, text[max(0, text.index(form) - 300) :][:600]
    return text


def client(*arguments: str, code: str = "") -> list[str]:
    return [sys.executable, *(("-c", code) if code else ("-m", "m2m_ssh_client")), *arguments]


def talk(host: Host) -> None:
    """Secrets in messages of both directions, in good ones and in one that is not quite JSON."""
    assert "result" in host.initialize(name=BODY)
    assert BODY in json.dumps(host.call("echo", {"api_key": BODY}))
    broken = f'{{"jsonrpc": "2.0", "method": "x", "params": [NaN, "{BODY}"]}}'.encode()
    host.call("raw", {"lines": [base64.b64encode(broken).decode()]})
    host.call("notify", {"method": "notifications/message", "params": {"data": BODY}})


SOURCES = ["option", "variable", "file", "askpass"]


@pytest.mark.parametrize("source", SOURCES)
def test_a_session_that_goes_well(source: str, place: Place) -> None:
    options, env = place.options(source)
    with Host(client(*options, "--", "echo"), env=env) as host:
        talk(host)
        host.close_stdin()
        assert host.wait() == 0
    for text, level in ((host.stderr, ": debug: "), (place.written(), " DEBUG ")):
        assert level in text
        clean(text, BODY)
    clean("\n".join(line.decode() for line in host.lines))


def test_messages_are_logged_where_that_is_asked_for_and_cut(place: Place) -> None:
    options, env = place.options("variable")
    with Host(client(*options, "--log-payloads", "--", "echo"), env=env) as host:
        talk(host)
        host.call("echo", {"long": "x" * 20_000 + "beyond", "escape": "\x1b[2J"})
        host.close_stdin()
        assert host.wait() == 0
    for text in (host.stderr, place.written()):
        clean(text)
        lines = [
            line
            for line in text.splitlines()
            if "to the remote, " in line or "to the host, " in line
        ]
        for side in ("remote", "host"):
            assert [line for line in lines if f"to the {side}, " in line and BODY in line]
        assert max(map(len, lines)) < 700
        assert "beyond" not in text


def test_messages_are_logged_for_nothing_less_than_debug(place: Place) -> None:
    options, env = place.options("variable")
    asked = ["--log-payloads", "--log-level", "INFO"]
    with Host(client(*options, *asked, "--", "echo"), env=env) as host:
        talk(host)
        host.close_stdin()
        host.wait()
    clean(host.stderr + place.written(), BODY)
    assert "--log-payloads is ignored" in host.stderr


Words = Callable[[Place], Sequence[str]]

# What is typed besides, and what the failure then says.
FAILURES: dict[str, tuple[Words, str]] = {
    "a command that is refused": (
        lambda _: ["--env-in-command", "--", "refused"],
        "refused to run",
    ),
    "the same in a login shell": (
        lambda _: ["--env-in-command", "--login-shell", "--cwd", "~/x", "--", "refused"],
        "refused to run",
    ),
    "one with secrets of its own": (
        lambda _: [
            *(
                "--",
                "refused",
                "--token",
                "canary-token",
                "-H",
                "Authorization: Bearer canary-header",
            ),
            *("-H", "X-Api-Key: canary-header", "https://me:canary-token@h/"),
        ],
        "refused to run",
    ),
    "a remote that ends": (lambda _: ["--", "ends"], "no such module"),
    "an unknown machine": (
        lambda p: ["--known-hosts", str(p.folder / "none"), "--", "echo"],
        "no key is on file",
    ),
    "an unknown machine behind a proxy": (
        lambda p: [
            *("--known-hosts", str(p.folder / "none")),
            *(
                "-o",
                f"ProxyCommand={sys.executable} {p.folder}/tunnel.py {p.far.server.port} --token canary-token",
            ),
            *("--", "echo"),
        ],
        "no key is on file",
    ),
    "nobody there": (lambda _: ["--port", "1", "--", "echo"], "refused"),
    "a SetEnv that is none": (lambda _: ["-o", f"SetEnv={VALUES[0]}", "--", "echo"], "setenv"),
    "a Match exec that ends badly": (
        lambda p: ["-F", str(p._file("bad", 'Match exec "kill -9 $$; : --token canary-token"\n'))],
        "signal",
    ),
    "a key server behind a bad proxy": (
        lambda _: ["--key-server-url", "https://keys.invalid/"],
        "proxy",
    ),
}
_PLAIN = (
    "a remote that ends",
    "an unknown machine",
    "nobody there",
)  # the way is walked so far in others
_TUNNEL = """
import os, socket, sys, threading
far = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def back():
    while data := far.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    far.sendall(data)
"""


def failing(
    place: Place, words: Sequence[str], source: str = "variable"
) -> tuple[list[str], dict[str, str]]:
    options, env = place.options(source)
    place._file("tunnel.py", _TUNNEL)
    if "--key-server-url" in words:
        at = options.index("--known-hosts")
        del options[at : at + 2]
    return [*options, *words], env


@pytest.mark.parametrize("failure", FAILURES)
def test_a_session_that_fails(failure: str, place: Place) -> None:
    words, said = FAILURES[failure]
    arguments, env = failing(place, words(place))
    with Host(client(*arguments), env=env) as host:
        answer = host.initialize()
        host.close_stdin()
        host.wait()
    assert said in answer["error"]["message"]
    assert ": debug: " in host.stderr
    clean(json.dumps(answer, ensure_ascii=False) + host.stderr + place.written())


def test_a_passphrase_that_is_wrong(place: Place) -> None:
    arguments, env = failing(place, ["--", "echo"], "wrong")
    with Host(client(*arguments), env=env) as host:
        answer = host.initialize()
        host.close_stdin()
        host.wait()
    assert "passphrase does not open" in str(answer)
    clean(str(answer) + host.stderr + place.written(), PHRASE[:-1] + "!")


@pytest.mark.parametrize("crash", CRASHES)
def test_a_crash_of_ours(crash: str, place: Place) -> None:
    """With all that the objects know about themselves in the message of the exception."""
    arguments, env = failing(place, ["--env-in-command", "--", "echo"], "option")
    done = subprocess.run(
        client(*arguments, code=CRASHES[crash]),
        input='{"jsonrpc": "2.0", "id": 1, "method": "initialize"}\n',
        env={**_environment(), **env},
        capture_output=True,
        text=True,
        timeout=ENOUGH,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "TypeError" in done.stderr
    clean(done.stdout + done.stderr + place.written())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PACKAGE_PARENT}


@pytest.mark.parametrize(
    ("form", "failure"),
    [
        ((), "a command that is refused"),
        *((("--json",), failure) for failure in ("", *FAILURES) if failure not in _PLAIN),
    ],
    ids=str,
)
def test_doctor(form: Sequence[str], failure: str, place: Place) -> None:
    words = FAILURES[failure][0](place) if failure else ["--env-in-command", "--", "echo"]
    arguments, env = failing(place, words)
    done = subprocess.run(
        client("doctor", *form, *arguments),
        env={**_environment(), **env},
        capture_output=True,
        text=True,
        timeout=ENOUGH,
    )
    assert done.returncode == (1 if failure else 0)
    if form:
        assert json.loads(done.stdout)
    clean(done.stdout + done.stderr + place.written())


USAGE = {
    "a number that is none": ["--passphrase", PHRASE, "--port", "x"],
    "an option that is none": ["--passphrase", PHRASE, "--nonsense"],
    "a passphrase without quotes": ["--passphrase", "open", PHRASE],
    "a variable without a name": ["--env", f"={VALUE}"],
    "a name that is none": ["--env", f"A B={VALUE}"],
    "a value without a name": ["--env", VALUE],
    "credentials in a URL": ["--key-server-url", "https://me:canary-token@h"],
    "an entry for a host": ["install", "cursor", "lab", "--passphrase", PHRASE],
}


@pytest.mark.parametrize("mistake", USAGE)
def test_a_mistake_on_the_command_line(mistake: str) -> None:
    done = subprocess.run(
        client(*USAGE[mistake]), env=_environment(), capture_output=True, text=True, timeout=ENOUGH
    )
    assert done.returncode == 2
    clean(done.stdout + done.stderr)


# Command lines as they are shown


@pytest.mark.parametrize(
    "line",
    [
        "curl -H 'Authorization: Bearer canary-header' h",
        "curl -H Authorization:canary-header h",
        'curl -H "X-Api-Key: canary-header" h',
        "curl -H 'Cookie: a=b; c=canary-header' h",
        "serve --token=canary-token --auth canary-token --api-key 'canary-token'",
        'serve --password "a b\\" canary-token"',
        "API_KEY=it\\ is\\ canary-token serve",
        "sshpass -p canary-token ssh h",
        "sshpass -pcanary-token ssh h",
        "git clone https://canary-token@h/x https://me:canary-token@h",
        "export A='it'\"'\"'s canary-token'; serve",
    ],
)
def test_what_looks_secret_in_a_command_line_is_masked(line: str) -> None:
    clean(masked(line))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
def test_the_value_of_a_variable_never_shows_whatever_it_holds(around: str) -> None:
    """By itself, and in the quotes within quotes of a login shell."""
    value = f"{around}canary-token{around}"
    for login_shell in (False, True):
        params = Parameters(
            ssh_config="none",
            command=("serve",),
            cwd="~/x",
            env=(f"A={value}", "B=canary-header"),
            env_in_command=True,
            login_shell=login_shell,
        )
        request = resolve(params).request
        assert "canary-token" in str(request.command)
        error = str(failures.request_refused(request))
        for told in (described(request), error, repr(request), repr(params)):
            assert "canary" not in told
