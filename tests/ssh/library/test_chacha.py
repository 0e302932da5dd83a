"""chacha20-poly1305@openssh.com: with an sshd that has nothing else, and packets that were changed."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import programs
from support.received import Received

from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh.library.chacha import ChaCha20Poly1305
from m2m_ssh_client.ssh.opener import Opener

KEY = bytes(range(64))
BULK = 3 * 1024 * 1024  # bytes


@given(st.binary(min_size=8, max_size=300), st.integers(0, 0xFFFFFFFF))
def test_what_is_sealed_is_opened_under_its_number_alone(packet: bytes, number: int) -> None:
    length = len(packet).to_bytes(4, "big")
    hidden, sealed = ChaCha20Poly1305(KEY).sealed(packet, length, number)
    cipher = ChaCha20Poly1305(KEY)
    assert hidden != length
    assert packet not in sealed
    assert cipher.size(hidden, number) == len(packet)
    assert cipher.opened(memoryview(sealed), hidden, number) == packet
    for changed in (
        (sealed, hidden, number ^ 1),
        (bytes([sealed[0] ^ 1]) + sealed[1:], hidden, number),
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), hidden, number),
        (sealed, bytes([hidden[0] ^ 1]) + hidden[1:], number),
    ):
        data, head, other = changed
        with pytest.raises(paramiko.SSHException, match="damaged"):
            cipher.opened(memoryview(data), head, other)


if sys.platform != "win32":
    from support.sshd import Sshd, SshdKeys, make_privilege_separation_folder

    @pytest.fixture(scope="module")
    def sshd_keys(tmp_path_factory: pytest.TempPathFactory) -> SshdKeys:
        make_privilege_separation_folder()
        programs.require("sshd")
        return SshdKeys.generate(tmp_path_factory.mktemp("keys"))

    @pytest.fixture(scope="module")
    def only_chacha(
        sshd_keys: SshdKeys, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Sshd]:
        """A server as a strict guide has it, which exchanges keys often; we have no such MAC."""
        lines = [
            "Ciphers chacha20-poly1305@openssh.com",
            "MACs umac-128-etm@openssh.com",
            "RekeyLimit 256K",
        ]
        folder = tmp_path_factory.mktemp("sshd") / "server"
        with Sshd(sshd_keys, folder, lines) as server:
            yield server

    @pytest.mark.interop
    @pytest.mark.parametrize("options", [(), ("Compression=yes",)], ids=["plain", "compressed"])
    def test_a_server_that_has_nothing_else_is_reached(
        options: tuple[str, ...], only_chacha: Sshd
    ) -> None:
        params = Parameters(
            "127.0.0.1",
            port=only_chacha.port,
            username=only_chacha.username,
            client_key=only_chacha.keys.client_key,
            known_hosts=only_chacha.known_hosts,
            ssh_config="none",
            ssh_options=options,
            command=("cat",),
        )
        opener = Opener(params)
        try:
            carrier = opener.open()
            received = Received(carrier)
            sent = bytes(range(256)) * (BULK // 256)
            carrier.write(sent)
            carrier.close_write()
            came, _ = received.to_the_end()
        finally:
            opener.close()
        assert came == sent
