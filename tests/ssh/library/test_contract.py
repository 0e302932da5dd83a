"""paramiko as ssh/library/ knows it: each name that its documentation does not promise, and what we expect of it.

A release that changes one of them fails the test of that name. Then look for the name in ssh/library/.
"""

from __future__ import annotations

import ast
import hashlib
import hmac
import inspect
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nacl.signing
import paramiko
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paramiko import packet
from paramiko.auth_handler import AuthHandler
from paramiko.buffered_pipe import BufferedPipe
from paramiko.channel import Channel
from paramiko.compress import ZlibCompressor
from paramiko.kex_gex import KexGexSHA256
from paramiko.packet import Packetizer
from support.paramiko_contract import (
    CONTRACT,
    NAMES,
    Expectation,
    Keywords,
    Method,
    Property,
    Table,
    Value,
)

import m2m_ssh_client.ssh.library as library
from m2m_ssh_client.ssh.library.channel import Inlet
from m2m_ssh_client.ssh.library.ed25519 import SigningKey, VerifyKey
from m2m_ssh_client.ssh.library.mac import authentication_code
from m2m_ssh_client.ssh.library.negotiation import _GroupExchange
from m2m_ssh_client.ssh.library.packets import Packets
from m2m_ssh_client.ssh.library.ssh_transport import Transport
from m2m_ssh_client.ssh.library.user_auth import UserAuth

PROMISES = [
    pytest.param(owner, name, expected, id=f"{owner.__name__}.{name}")
    for owner, names in CONTRACT.items()
    for name, expected in names.items()
]


@pytest.fixture
def instances() -> Iterator[dict[type, Any]]:
    with socket.socket() as sock:
        transport = paramiko.Transport(sock)
        yield {
            paramiko.Transport: transport,
            Channel: Channel(7),
            Packetizer: transport.packetizer,
            BufferedPipe: BufferedPipe(),
            AuthHandler: AuthHandler(transport),
            KexGexSHA256: KexGexSHA256(transport),
        }


@pytest.mark.parametrize(("owner", "name", "expected"), PROMISES)
def test_paramiko_has_what_the_library_uses(
    owner: type, name: str, expected: Expectation, instances: dict[type, Any]
) -> None:
    shown = f"paramiko's {owner.__name__}.{name}"
    if isinstance(expected, Property):
        assert isinstance(inspect.getattr_static(owner, name, None), property), shown
        return
    found: Any = getattr(instances[owner], name, None)
    assert hasattr(instances[owner], name), f"{shown} is gone"
    if isinstance(expected, Method):
        inspect.signature(found).bind(*[None] * expected.arguments)
    elif isinstance(expected, Keywords):
        inspect.signature(found).bind_partial(**dict.fromkeys(expected.names))
    elif isinstance(expected, Table):
        assert set(expected.keys) <= set(found), f"{shown} lacks a key"
    elif isinstance(expected, Value):
        assert isinstance(found, expected.types), f"{shown} is {found!r}"


class _Empty:
    """Has what Python gives to every class."""


@pytest.mark.parametrize("ours", [Inlet, Packets, Transport, UserAuth, _GroupExchange])
def test_everything_that_is_overridden_is_in_the_contract(ours: type) -> None:
    theirs = [base for base in ours.__mro__ if base.__module__.startswith("paramiko")]
    assert theirs
    for name in vars(ours).keys() - {"__init__", *vars(_Empty)}:
        if any(name in vars(base) for base in theirs):
            assert any(name in CONTRACT[base] for base in theirs if base in CONTRACT), name


def test_every_private_name_in_the_library_is_its_own_or_in_the_contract() -> None:
    for path in sorted(Path(library.__path__[0]).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree))
        own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        own |= {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        }
        used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        private = {name for name in used if name.startswith("_") and not name.endswith("__")}
        assert private <= own | NAMES, path.name


def test_a_transport_makes_its_packetizer_of_the_socket_alone() -> None:
    made: list[tuple[Any, ...]] = []

    def packetizer(*arguments: Any) -> Packetizer:
        made.append(arguments)
        return Packetizer(*arguments)

    with socket.socket() as sock:
        transport: Any = paramiko.Transport
        transport(sock, packetizer_class=packetizer)
        assert made == [(sock,)]


def test_a_compressor_is_called_with_bytes() -> None:
    compressor: Any = ZlibCompressor()
    assert isinstance(compressor(b"some"), bytes)


def test_authentication_codes_are_computed_by_a_function_that_can_be_replaced() -> None:
    computed: Any = packet.compute_hmac
    for digest in (hashlib.sha1, hashlib.sha256, hashlib.sha512):
        expected = hmac.digest(b"key", b"message", digest)
        assert computed(b"key", b"message", digest) == expected
        assert authentication_code(b"key", b"message", digest) == expected
    assert "compute_hmac" in Packetizer.send_message.__code__.co_names
    assert "compute_hmac" in Packetizer.read_message.__code__.co_names


KEY = bytes(range(32))


def test_ed25519_is_the_same_as_that_of_pynacl() -> None:
    ours, theirs = SigningKey(KEY), nacl.signing.SigningKey(KEY)
    assert ours.verify_key.encode() == theirs.verify_key.encode()
    signature = ours.sign(b"data").signature
    assert signature == theirs.sign(b"data").signature
    ours.verify_key.verify(b"data", signature)
    with pytest.raises(InvalidSignature):
        ours.verify_key.verify(b"other", signature)
    with pytest.raises(InvalidSignature):
        ours.verify_key.verify(b"data", signature[:-1])
    assert VerifyKey(bytes(ours.verify_key.encode())) == ours.verify_key


@pytest.mark.parametrize("made", [SigningKey, VerifyKey])
def test_ed25519_refuses_keys_of_other_lengths(made: type) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        made(KEY[:-1])


def test_paramiko_loads_without_what_is_kept_from_it_and_knows_its_version() -> None:
    program = (
        "import sys; from m2m_ssh_client.ssh.library.loading import load_paramiko; load_paramiko(); "
        "import paramiko; print(paramiko.__version__, *sorted({'asyncio', 'invoke', 'nacl', 'paramiko.client', "
        "'paramiko.sftp_client'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [version("paramiko")]


def test_an_ed25519_key_works_where_paramiko_was_loaded_so() -> None:
    program = (
        "from m2m_ssh_client.ssh.library.loading import load_paramiko; load_paramiko(); import io, paramiko, sys\n"
        "key = paramiko.Ed25519Key(file_obj=io.StringIO(sys.stdin.read()))\n"
        "public = paramiko.PKey.from_type_string('ssh-ed25519', key.asbytes())\n"
        "signed = key.sign_ssh_data(b'data').asbytes()\n"
        "print(public == key, public.verify_ssh_sig(b'data', paramiko.Message(signed)), "
        "public.verify_ssh_sig(b'date', paramiko.Message(signed)))"
    )
    key = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=key.decode(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["True", "True", "False"]


if sys.platform == "win32":  # PuTTY's agent is a program for Windows

    def test_pageant_can_be_asked_for_and_connected_to() -> None:
        win_pageant: Any = import_module("paramiko.win_pageant")
        assert callable(win_pageant.can_talk_to_agent)
        for name in ("send", "recv", "close"):
            assert callable(getattr(win_pageant.PageantConnection, name))
