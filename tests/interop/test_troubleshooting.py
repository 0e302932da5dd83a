"""Each symptom in docs/troubleshooting.md, provoked: the words that people see are those of the page."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support import counting_server, echo_server, programs
from support.fault_proxy import FaultProxy
from support.host import Host, client_argv
from support.sshd import Sshd, free_port

if sys.platform == "win32":
    pytest.skip("sshd with POSIX shells behind it", allow_module_level=True)

pytestmark = pytest.mark.interop

StartSshd = Callable[..., Sshd]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"
HEADINGS = re.findall(r"^### `(.+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
SERVER = echo_server.command()


class Scene:
    def __init__(self, sshd: Sshd, start_sshd: StartSshd, folder: Path) -> None:
        self.sshd, self.start_sshd, self.folder = sshd, start_sshd, folder

    def options(self, **changes: str) -> list[str]:
        """Those of a login that works, with some of them changed."""
        options = self.sshd.client_options()
        for name, value in changes.items():
            options[options.index(f"--{name.replace('_', '-')}") + 1] = value
        return options

    def key(self, mode: int, passphrase: str = "") -> str:
        path = self.folder / "key"
        shutil.copy(self.sshd.keys.client_key, path)
        path.chmod(0o600)
        if passphrase:
            change = ["-p", "-P", "", "-N", passphrase, "-f", str(path)]
            subprocess.run([programs.require("ssh-keygen"), "-q", *change], check=True, timeout=30)
        path.chmod(mode)
        return str(path)

    def known_hosts(self, text: str) -> str:
        path = self.folder / "known_hosts"
        path.write_text(text)
        return str(path)


def first_error(*options: str) -> str:
    """What answers the host's first request."""
    with Host(client_argv(*options)) as host:
        return str(host.initialize(timeout=30)["error"]["message"])


def stderr(*options: str, words: str) -> str:
    """What is on stderr of a session that works, once it has the words."""
    with Host(client_argv(*options)) as host:
        assert "result" in host.initialize(timeout=30)
        host.close_stdin()
        host.wait()
        host.wait_for_stderr(words)
        return host.stderr


def no_answer(_: Scene) -> str:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        return first_error("--host", "127.0.0.1", "--port", port, "--connect-timeout", "1")


def turned_away(_: Scene) -> str:
    """By a server that lasts for as long as its one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"Not allowed at this time\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        port = str(server.getsockname()[1])
        seen = first_error("--host", "127.0.0.1", "--port", port, "--connect-timeout", "5")
        thread.join(5)
        return seen


def too_busy(scene: Scene) -> str:
    sshd = scene.start_sshd("MaxStartups 1:100:1", "LoginGraceTime 60")
    with sshd.login_in_progress():
        return first_error(*sshd.client_options(), "--connect-timeout", "2", "--", *SERVER)


def bad_configuration(scene: Scene) -> str:
    (scene.folder / "config").write_text("Portt 22\n")
    return first_error("-F", str(scene.folder / "config"), "--host", "lab")


def other_host_key(scene: Scene) -> str:
    stranger = scene.sshd.keys.stranger_key.with_suffix(".pub").read_text()
    known = scene.known_hosts(f"[127.0.0.1]:{scene.sshd.port} {stranger}")
    return first_error(*scene.options(known_hosts=known), "--", *SERVER)


def too_many_keys(scene: Scene) -> str:
    scene.sshd = scene.start_sshd("MaxAuthTries 1")
    keys = []
    for number in range(3):
        path = scene.folder / f"key{number}"
        make = ["-q", "-t", "ed25519", "-N", "", "-f", str(path)]
        subprocess.run([programs.require("ssh-keygen"), *make], check=True, timeout=30)
        keys += ["-o", f"IdentityFile={path}"]
    return first_error(*scene.options(client_key=str(path)), *keys, "--", *SERVER)


def while_disconnected(scene: Scene) -> str:
    with FaultProxy(scene.sshd.port) as link:
        options = [*scene.options(port=str(link.port)), "--disable-host-key-checking"]
        del options[options.index("--known-hosts") : options.index("--known-hosts") + 2]
        with Host(client_argv(*options, "--hold-timeout", "1", "--", *SERVER)) as host:
            assert "result" in host.initialize(timeout=30)
            link.refuse()
            link.cut()
            return str(host.request("tools/list", timeout=30)["error"]["message"])


def cut_in_a_call(scene: Scene) -> str:
    with FaultProxy(scene.sshd.port) as link:
        options = [*scene.options(port=str(link.port)), "--disable-host-key-checking"]
        del options[options.index("--known-hosts") : options.index("--known-hosts") + 2]
        with Host(client_argv(*options, "--", *SERVER)) as host:
            assert "result" in host.initialize(timeout=30)
            host.send({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": HANG})
            assert "result" in host.request("tools/list")  # so the call has arrived before it
            link.cut()
            return str(host.receive_until(lambda m: m.get("id") == "x")["error"]["message"])


def late_answer(scene: Scene) -> str:
    late = " ".join(["sleep 5; exec", *SERVER])
    options = [*scene.options(), "--connect-timeout", "2"]
    return stderr(*options, "--", late, words="still waiting")


def ends_twice(scene: Scene) -> str:
    books = scene.folder / "books"
    books.mkdir()
    with Host(client_argv(*scene.options(), "--", *counting_server.command(books))) as host:
        assert "result" in host.initialize(timeout=30)
        answer = host.request("resources/read", {"uri": "fatal"}, timeout=30)
        return str(answer["error"]["message"])


HANG = {"name": "hang", "arguments": {}}
LINGERING = " ".join([*SERVER, "; sleep 2"])

PROVOKED: dict[str, Callable[[Scene], str]] = {
    "Connection refused (tried … port …)": lambda _: first_error(
        "--host", "127.0.0.1", "--port", str(free_port())
    ),
    "The host name … cannot be resolved": lambda _: first_error("--host", "a..b"),
    "Timed out after … s while …": no_answer,
    "… has locked this machine out for a time": turned_away,
    "… has too many logins in progress": too_busy,
    "…: bad configuration option …": bad_configuration,
    "Host key verification failed: … and no key is on file for this machine": lambda s: first_error(
        *s.options(known_hosts=s.known_hosts("")), "--", *SERVER
    ),
    "Host key verification failed: … has a different key on file for it": other_host_key,
    "Authentication failed for …: the server does not accept …": lambda s: first_error(
        *s.options(client_key=str(s.sshd.keys.stranger_key)), "--", *SERVER
    ),
    "the server ended the connection after … refused keys (…)": too_many_keys,
    "… can be read by others": lambda s: first_error(
        *s.options(client_key=s.key(0o644)), "--", *SERVER
    ),
    "The client key … is encrypted and there is no passphrase": lambda s: first_error(
        *s.options(client_key=s.key(0o600, "open sesame")), "--", *SERVER
    ),
    "The remote command was not found (exit status 127)": lambda s: first_error(
        *s.options(), "--", "no-such-program"
    ),
    "it looks like a login shell": lambda s: first_error(*s.options()),
    "no answer from the remote server within … s; still waiting": late_answer,
    "… for the second time. This request was open both times": ends_twice,
    "The remote server ended with exit status …": lambda s: first_error(
        *s.options(), "--", "echo sorry >&2; exit 3"
    ),
    "The server has no subsystem …": lambda s: first_error(*s.options(), "--subsystem", "none"),
    "the SSH server refused the environment of --env": lambda s: stderr(
        *s.options(), "--env", "MODE=x", "--", *SERVER, words="refused"
    ),
    "skipped a line from the remote that is not JSON-RPC": lambda s: stderr(
        *s.options(), "--", *echo_server.command("--noise", "Welcome"), words="skipped"
    ),
    "A message is longer than … bytes": lambda s: first_error(
        *s.options(), "--max-message-size", "1024", "--", "head -c 5000 /dev/zero; sleep 1"
    ),
    "The connection to the remote server is being made again (…)": while_disconnected,
    "it may or may not have run on the remote server": cut_in_a_call,
    "the remote server is still there: sending it SIGTERM": lambda s: stderr(
        *s.options(), "--log-level", "INFO", "--", LINGERING, words="SIGTERM"
    ),
}


def test_every_symptom_of_the_page_is_provoked_here() -> None:
    assert list(PROVOKED) == HEADINGS


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_words_are_those_that_people_see(
    heading: str, sshd: Sshd, start_sshd: StartSshd, tmp_path: Path
) -> None:
    seen = PROVOKED[heading](Scene(sshd, start_sshd, tmp_path))
    pattern = ".+?".join(map(re.escape, heading.split("…")))
    assert re.search(pattern, seen), seen
