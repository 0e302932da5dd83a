"""The network of the tests that can be broken."""

from __future__ import annotations

import socket

import pytest
from support.fault_proxy import FaultProxy


@pytest.mark.parametrize("fin", [True, False])
def test_a_cut_closes_a_connection_at_both_ends_or_resets_it(fin: bool) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        FaultProxy(listener.getsockname()[1]) as network,
        socket.create_connection(("127.0.0.1", network.port), timeout=5) as client,
    ):
        server, _ = listener.accept()
        with server:
            server.settimeout(5)
            client.sendall(b"x")
            assert server.recv(1) == b"x"
            network.cut(fin=fin)
            for end in (client, server):
                if fin:
                    assert end.recv(1) == b""
                else:
                    with pytest.raises(ConnectionResetError):
                        end.recv(1)
