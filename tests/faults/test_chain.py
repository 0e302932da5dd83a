"""A chain of three machines with names, dropbear and OpenSSH: each of its links is cut in mid-call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults.play import EXIT_WITHIN, PATIENT, SLACK, CountingHost, keys, tally
from faults.test_faults import MAY_HAVE_RUN
from support import counting_server, ssh_servers
from support.counting_server import Books
from support.fault_proxy import FaultProxy
from support.host import client_argv
from support.sshd import Sshd, SshdKeys, make_privilege_separation_folder

pytestmark = pytest.mark.interop

NAMES = ("gate", "hall", "lab")


class Chain:
    """`gate` is dropbear, `hall` behind it and `lab` behind that OpenSSH: each is reached from the one before."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        make_privilege_separation_folder()
        made = SshdKeys.generate(folder)
        for name in NAMES:
            (folder / name).mkdir()
        gate = stack.enter_context(ssh_servers.started("dropbear", made, folder / "gate"))
        hall, lab = (stack.enter_context(Sshd(made, folder / name)) for name in NAMES[1:])
        ports = gate.port, hall.port, lab.port
        self.links = {
            name: stack.enter_context(FaultProxy(port))
            for name, port in zip(NAMES, ports, strict=True)
        }
        known = folder / "known_hosts"
        key = made.public_host_key("ed25519")
        known.write_text("".join(f"{name} {key}\n" for name in NAMES))
        lines = [f"IdentityFile {made.client_key}", f"UserKnownHostsFile {known}"]
        for before, name in zip(("none", *NAMES), NAMES, strict=False):
            way = f"HostName 127.0.0.1\nPort {self.links[name].port}\nHostKeyAlias {name}"
            lines += [f"Host {name}", way, f"User {gate.username}", f"ProxyJump {before}"]
        self.config = folder / "config"
        self.config.write_text("\n".join([*lines, ""]))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with ExitStack() as stack:
        yield Chain(tmp_path_factory.mktemp("chain"), stack)


@pytest.mark.parametrize("link", NAMES)
def test_a_cut_of_any_link_is_mended_and_everything_answered(
    link: str, chain: Chain, tmp_path: Path
) -> None:
    books = Books(tmp_path)
    there = ("-F", str(chain.config), "--retry-tool-calls", "lab")
    argv = client_argv(*there, "--", *counting_server.command(tmp_path))
    before = {name: proxy.connections for name, proxy in chain.links.items()}
    host = CountingHost(argv, {})
    with host:
        assert "result" in host.initialize()
        assert "result" in host.request("tools/list")
        host.ask_tool("hold", "hold")
        safe = [host.ask_tool("safe", key, later=1) for key in keys("safe", 5)]
        books.wait_until_told(1, "hold")
        chain.links[link].cut()
        books.open_gate()
        (held,) = host.answers_to(["hold"], PATIENT)
        assert MAY_HAVE_RUN in held["error"]["message"]
        assert tally(host.answers_to(safe, PATIENT)) == {"result": 5}
        host.ask_tool("count", "next")
        assert tally(host.answers_to(["next"])) == {"result": 1}
        host.close_stdin()
        assert host.wait(EXIT_WITHIN + SLACK) == 0
    assert len(books.pids) == 2
    assert books.executions["next"] == 1
    made = {name: proxy.connections - before[name] for name, proxy in chain.links.items()}
    assert made == dict.fromkeys(NAMES, 2)
