"""What our lists of algorithms give: the same as `ssh -G` says, and what a real sshd agrees to."""

from __future__ import annotations

import fnmatch
import logging
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import paramiko
import pytest
from support import programs
from support.sshd import Sshd, SshdKeys, make_privilege_separation_folder

from m2m_ssh_client.errors import ConfigError
from m2m_ssh_client.ssh import algorithms
from m2m_ssh_client.ssh.library import negotiation
from m2m_ssh_client.ssh.settings import Algorithms

OF_PARAMIKO = dict(paramiko.Transport._kex_info)  # type: ignore[attr-defined]
TABLES: dict[str, set[str]] = {
    "Ciphers": set(paramiko.Transport._cipher_info),  # type: ignore[attr-defined]
    "MACs": set(paramiko.Transport._mac_info),  # type: ignore[attr-defined]
    "KexAlgorithms": {*paramiko.Transport._kex_info, "curve25519-sha256"},  # type: ignore[attr-defined]
    "HostKeyAlgorithms": set(algorithms.KEYS),
    "PubkeyAcceptedAlgorithms": {*algorithms.KEYS, *algorithms.TOKEN_KEYS},
    "CASignatureAlgorithms": set(algorithms.PLAIN_KEYS),
}
DEFAULTS = {
    "Ciphers": algorithms.CIPHERS,
    "MACs": algorithms.MACS,
    "KexAlgorithms": algorithms.KEX,
    "HostKeyAlgorithms": algorithms.KEYS,
    "PubkeyAcceptedAlgorithms": (*algorithms.KEYS, *algorithms.TOKEN_KEYS),
    "CASignatureAlgorithms": algorithms.PLAIN_KEYS,
}
keywords = pytest.mark.parametrize("keyword", TABLES)

# Each is given to `ssh -G` and to us. One line a case.
SPECS = [
    ("Ciphers", "aes256-ctr"),
    ("Ciphers", "aes256-ctr,aes128-ctr"),
    ("Ciphers", "aes128-ctr,aes128-ctr"),
    ("Ciphers", "chacha20-poly1305@openssh.com,aes128-ctr"),
    ("Ciphers", "chacha20-poly1305@openssh.com"),
    ("Ciphers", "+aes128-cbc"),
    ("Ciphers", "+aes128-cbc,3des-cbc"),
    ("Ciphers", "+aes128-ctr"),
    ("Ciphers", "-aes128-ctr"),
    ("Ciphers", "-aes*"),
    ("Ciphers", "-aes???-ctr"),
    ("Ciphers", "-*-ctr,*-gcm@openssh.com"),
    ("Ciphers", "-*,!aes128-ctr"),
    ("Ciphers", "-!aes128-ctr,*"),
    ("Ciphers", "-*"),
    ("Ciphers", "-nonsense"),
    ("Ciphers", "-"),
    ("Ciphers", "-[a]es128-ctr"),
    ("Ciphers", "-AES*"),
    ("Ciphers", "^aes256-gcm@openssh.com"),
    ("Ciphers", "^aes256-ctr,aes128-cbc"),
    ("Ciphers", "^chacha20-poly1305@openssh.com"),
    ("Ciphers", "nonsense"),
    ("Ciphers", "aes128-ctr,nonsense"),
    ("Ciphers", "+nonsense"),
    ("Ciphers", "^nonsense"),
    ("Ciphers", "+"),
    ("Ciphers", "^"),
    ("Ciphers", "aes*"),
    ("Ciphers", "+aes*"),
    ("Ciphers", "^aes*"),
    ("Ciphers", "aes128-ctr,"),
    ("Ciphers", ",aes128-ctr"),
    ("Ciphers", "aes128-ctr,,nonsense"),
    ("Ciphers", "AES128-CTR"),
    ("Ciphers", "!aes128-ctr"),
    ("Ciphers", "+!aes128-ctr"),
    ("Ciphers", "aes128-ctr,+aes128-cbc"),
    ("Ciphers", "++aes128-cbc"),
    ("MACs", "hmac-sha2-512"),
    ("MACs", "+hmac-md5"),
    ("MACs", "+hmac-sha1-96,hmac-sha1"),
    ("MACs", "-hmac-sha1*"),
    ("MACs", "-*etm*"),
    ("MACs", "^hmac-sha2-512,hmac-sha1"),
    ("MACs", "umac-64@openssh.com,hmac-sha2-256"),
    ("MACs", "umac-64@openssh.com"),
    ("MACs", "hmac-sha2-*"),
    ("MACs", "hmac-sha3"),
    ("KexAlgorithms", "curve25519-sha256"),
    ("KexAlgorithms", "curve25519-sha256@libssh.org,ecdh-sha2-nistp256"),
    ("KexAlgorithms", "diffie-hellman-group14-sha256"),
    ("KexAlgorithms", "diffie-hellman-group14-sha1"),
    ("KexAlgorithms", "+diffie-hellman-group1-sha1"),
    ("KexAlgorithms", "+diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1"),
    ("KexAlgorithms", "-ecdh*"),
    ("KexAlgorithms", "-*,!diffie-hellman-group16*"),
    ("KexAlgorithms", "^diffie-hellman-group-exchange-sha256"),
    ("KexAlgorithms", "sntrup761x25519-sha512@openssh.com,curve25519-sha256"),
    ("KexAlgorithms", "ecdh*"),
    ("KexAlgorithms", "kyber"),
    ("HostKeyAlgorithms", "ssh-ed25519"),
    ("HostKeyAlgorithms", "rsa-sha2-256,ssh-ed25519"),
    ("HostKeyAlgorithms", "+ssh-rsa"),
    ("HostKeyAlgorithms", "+ssh-dss"),
    ("HostKeyAlgorithms", "ssh-rsa"),
    ("HostKeyAlgorithms", "-*cert*"),
    ("HostKeyAlgorithms", "-ssh-ed25519*,rsa*"),
    ("HostKeyAlgorithms", "-ecdsa*,!ecdsa-sha2-nistp521"),
    ("HostKeyAlgorithms", "^rsa*"),
    ("HostKeyAlgorithms", "^rsa-sha2-512,ecdsa-*"),
    ("HostKeyAlgorithms", "rsa-sha2-*"),
    ("HostKeyAlgorithms", "*"),
    ("HostKeyAlgorithms", "ssh-ed25519*,ecdsa-sha2-nistp???"),
    ("HostKeyAlgorithms", "rsa-sha2-51?"),
    ("HostKeyAlgorithms", "ssh-*,!ssh-dss"),
    ("HostKeyAlgorithms", "+nonsense*"),
    ("HostKeyAlgorithms", "nonsense"),
    ("HostKeyAlgorithms", "RSA-sha2-512"),
    ("PubkeyAcceptedAlgorithms", "ssh-ed25519"),
    ("PubkeyAcceptedAlgorithms", "sk-*"),
    ("PubkeyAcceptedAlgorithms", "+ssh-rsa"),
    ("PubkeyAcceptedAlgorithms", "-sk*"),
    ("PubkeyAcceptedAlgorithms", "^rsa-sha2-256,sk-ssh-ed25519@openssh.com"),
    ("PubkeyAcceptedAlgorithms", "nonsense"),
    ("CASignatureAlgorithms", "+ssh-rsa"),
    ("CASignatureAlgorithms", "rsa-sha2-256"),
    ("CASignatureAlgorithms", "-rsa*"),
    ("CASignatureAlgorithms", "^rsa-sha2-256"),
    ("CASignatureAlgorithms", "ssh-*"),
]


@pytest.fixture(autouse=True)
def _nothing_told_yet() -> Iterator[None]:
    algorithms._tell.cache_clear()
    yield
    algorithms._tell.cache_clear()


@cache
def of_openssh(keyword: str, spec: str | None) -> tuple[str, ...] | None:
    """The list that ssh would offer; None where it refuses the configuration."""
    option = [] if spec is None else ["-o", f"{keyword}={spec}"]
    done = subprocess.run(
        [programs.require("ssh"), "-F", "none", "-G", *option, "host.invalid"],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        return None
    pairs = (line.split(maxsplit=1) for line in done.stdout.splitlines())
    lists = {name: rest for name, *rest in pairs}
    return tuple(name for each in lists[keyword.lower()] for name in each.split(","))


def chosen(spec: str | None, keyword: str) -> list[str]:
    return algorithms.choose(spec, DEFAULTS[keyword], TABLES[keyword], keyword)


@pytest.mark.interop
@pytest.mark.parametrize(("keyword", "spec"), SPECS)
def test_a_list_means_what_it_means_to_openssh(keyword: str, spec: str) -> None:
    offered = of_openssh(keyword, spec)
    defaults = of_openssh(keyword, None)
    assert defaults is not None
    try:
        names = algorithms.choose(spec, defaults, TABLES[keyword], keyword)
    except ConfigError:
        names = []
    if offered is None:  # it refuses a name that it does not know; we leave such names out
        assert set(names) <= {*defaults, *fnmatch.filter(TABLES[keyword], spec.partition(",")[0])}
    else:
        assert names == [each for each in offered if each in TABLES[keyword]]


@pytest.mark.interop
def test_a_pattern_gives_names_in_the_order_of_openssh() -> None:
    ssh = str(programs.require("ssh"))
    done = subprocess.run(
        [ssh, "-Q", "HostKeyAlgorithms"], capture_output=True, text=True, timeout=30
    )
    listed = done.stdout.split()
    assert len(listed) > 5
    assert listed == [name for name in algorithms._ALL_KEYS if name in listed]


@pytest.mark.parametrize(
    ("keyword", "spec"),
    [
        ("KexAlgorithms", "+mlkem768nistp256-sha256"),
        ("KexAlgorithms", "next-year@example.com,curve25519-sha256"),
        ("Ciphers", "^next-year"),
        ("MACs", "hmac-sha2-512,next-year@example.com"),
        ("HostKeyAlgorithms", "ssh-mldsa44-ed25519@openssh.com,ssh-ed25519"),
        ("PubkeyAcceptedAlgorithms", "+ssh-mldsa44-ed25519@openssh.com"),
        ("CASignatureAlgorithms", "+next-year*"),
    ],
)
def test_a_name_that_is_not_known_here_is_left_out_and_logged(
    keyword: str, spec: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    given = [name for name in spec.strip("+^").split(",") if name in TABLES[keyword]]
    plain = chosen(None, keyword)
    assert chosen(spec, keyword) == (plain if spec[0] in "+^" else given)
    if "*" not in spec:
        (line,) = [record.getMessage() for record in caplog.records]
        assert line.startswith(f"{keyword}: this client cannot do ")


@pytest.mark.interop
@keywords
def test_the_defaults_are_none_that_openssh_would_not_offer(keyword: str) -> None:
    newer = {"mlkem768x25519-sha256"}  # OpenSSH 9.9
    offered = of_openssh(keyword, None)
    assert offered is not None
    assert set(DEFAULTS[keyword]) <= {*offered, *newer}


@pytest.mark.interop
@keywords
def test_all_that_openssh_offers_and_paramiko_can_do_is_in_the_defaults(keyword: str) -> None:
    offered = of_openssh(keyword, None)
    assert offered is not None
    assert {name for name in offered if name in TABLES[keyword]} <= set(DEFAULTS[keyword])


@keywords
def test_without_a_list_it_is_the_defaults(keyword: str) -> None:
    assert chosen(None, keyword) == [n for n in DEFAULTS[keyword] if n in TABLES[keyword]]


@pytest.mark.parametrize(
    ("keyword", "spec", "words"),
    [
        ("MACs", "umac-64@openssh.com", ["leaves nothing", "umac-64", "hmac-sha2-256"]),
        ("Ciphers", "-*", ["leaves nothing", "'-*'"]),
        ("MACs", "umac-64@openssh.com", ["leaves nothing", "hmac-sha2-256"]),
        ("Ciphers", "rot13", ["leaves nothing", "'rot13'", "aes128-ctr"]),
        ("Ciphers", "\x1b[2J", ["'\\\\x1b[2J'"]),
        ("KexAlgorithms", "x" * 1000, ["…"]),
    ],
)
def test_a_list_of_no_use_is_told_with_its_keyword(
    keyword: str, spec: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen(spec, keyword)
    text = str(caught.value)
    assert text.startswith(f"{keyword} ")
    assert all(word in text for word in words), text
    assert len(text) < 900
    assert "\x1b" not in text


def test_what_only_openssh_can_do_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        chosen("umac-64@openssh.com,hmac-sha2-256", "MACs")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["MACs: this client cannot do umac-64@openssh.com"]


@pytest.mark.interop
@pytest.mark.parametrize("spec", [None, "aes128-ctr", "+aes128-cbc", "-aes*-ctr", "^aes256-ctr"])
def test_what_nobody_asked_for_is_not_told(
    spec: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    offered = of_openssh("Ciphers", None)
    assert offered is not None
    algorithms.choose(spec, offered, TABLES["Ciphers"], "Ciphers")
    assert not caplog.records


@pytest.mark.parametrize(
    ("spec", "given"),
    [(None, False), ("+ssh-rsa", False), ("-ssh-rsa", False), ("^rsa*", True), ("rsa*", True)],
)
def test_a_list_that_gives_the_order_is_told_from_one_that_does_not(
    spec: str | None, given: bool
) -> None:
    assert algorithms.order_is_given(spec) is given


# What is agreed with a real server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """It takes all that it can do."""
    ssh = programs.require("ssh")

    def all_of(query: str) -> str:
        done = subprocess.run([ssh, "-Q", query], capture_output=True, text=True, timeout=30)
        return ",".join(done.stdout.split())

    make_privilege_separation_folder()
    keys = SshdKeys.generate(tmp_path_factory.mktemp("keys"))
    lines = [
        f"Ciphers {all_of('cipher')}",
        f"MACs {all_of('mac')}",
        f"KexAlgorithms {all_of('kex')}",
    ]
    with Sshd(keys, tmp_path_factory.mktemp("sshd"), lines) as server:
        yield server


@contextmanager
def agreed(server: Sshd, **wanted: Any) -> Iterator[Any]:
    """A connection over which a command was run; of what type its private parts are, the stubs do not say."""
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock)
        try:
            negotiation.apply(transport, algorithms.offer(Algorithms(**wanted)))
            transport.start_client(timeout=20)
            key = paramiko.Ed25519Key.from_private_key_file(str(server.keys.client_key))
            transport.auth_publickey(server.username, key)
            channel = transport.open_session(timeout=20)
            channel.settimeout(20)
            channel.exec_command("head -c 300000 /dev/zero | cat")
            received = b"".join(iter(lambda: channel.recv(65536), b""))
            assert received == bytes(300_000)
            yield transport
        finally:
            transport.close()
            transport.join(5)


@pytest.mark.interop
@pytest.mark.parametrize("name", sorted(TABLES["Ciphers"]))
def test_each_cipher_works(name: str, server: Sshd) -> None:
    with agreed(server, ciphers=name) as transport:
        assert transport.local_cipher == transport.remote_cipher == name


@pytest.mark.interop
@pytest.mark.parametrize("name", sorted(TABLES["MACs"]))
def test_each_mac_works(name: str, server: Sshd) -> None:
    with agreed(server, ciphers="aes128-ctr", macs=name) as transport:
        assert transport.local_mac == transport.remote_mac == name


@pytest.mark.interop
@pytest.mark.parametrize("name", sorted(TABLES["KexAlgorithms"]))
def test_each_key_exchange_works(name: str, server: Sshd, caplog: pytest.LogCaptureFixture) -> None:
    if name not in str(of_openssh("KexAlgorithms", None)):  # an older one: nothing in common then
        with pytest.raises(paramiko.SSHException), agreed(server, kex=name):
            pass
        return
    caplog.set_level(logging.DEBUG)
    with agreed(server, kex=name):
        assert f"Kex: {name}" in caplog.messages


@pytest.mark.interop
def test_by_default_it_is_aes_gcm_without_compression(server: Sshd) -> None:
    with agreed(server) as transport:
        assert transport.local_cipher == "aes128-gcm@openssh.com"
        assert transport.local_compression == transport.remote_compression == "none"


@pytest.mark.interop
def test_compression_begins_after_the_login(server: Sshd) -> None:
    with agreed(server, compression=True) as transport:
        assert transport.local_compression == "zlib@openssh.com"
        assert transport.remote_compression == "zlib@openssh.com"


@pytest.mark.parametrize("compression", [False, True])
def test_compression_before_the_login_is_not_offered(compression: bool) -> None:
    here, there = socket.socketpair()
    with here, there:
        transport = paramiko.Transport(here)
        negotiation.apply(transport, algorithms.offer(Algorithms(compression=compression)))
        assert "zlib" not in transport.get_security_options().compression


class _Silent:
    """As much of a transport as a key exchange needs in order to look at the server's group."""

    server_mode = False

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def _log(self, *_: object) -> None: ...

    def _expect_packet(self, *_: object) -> None: ...

    def _send_message(self, message: paramiko.Message) -> None:
        self.sent.append(message.asbytes())


@pytest.fixture
def group_exchange() -> Any:
    with socket.socket() as sock:
        transport: Any = paramiko.Transport(sock)
        negotiation.apply(transport, algorithms.offer(Algorithms()))
        return transport._kex_info["diffie-hellman-group-exchange-sha256"](_Silent())


@pytest.mark.parametrize(
    ("bits", "taken"), [(1024, False), (2047, False), (2048, True), (8192, True), (8193, False)]
)
def test_a_group_of_the_servers_is_taken_from_2048_bits_on(
    bits: int, taken: bool, group_exchange: Any
) -> None:
    offer = paramiko.Message()
    offer.add_mpint((1 << (bits - 1)) + 1)
    offer.add_mpint(2)
    message = paramiko.Message(offer.asbytes())
    with nullcontext() if taken else pytest.raises(paramiko.SSHException, match=f"{bits} bits"):
        group_exchange.parse_next(31, message)
    assert bool(group_exchange.transport.sent) is taken


def test_a_group_of_3072_bits_is_asked_for(group_exchange: Any) -> None:
    group_exchange.start_kex()
    assert group_exchange.transport.sent == [b"\x22" + struct.pack(">III", 2048, 3072, 8192)]


def test_a_bad_list_is_refused() -> None:
    for wanted in (Algorithms("nonsense"), Algorithms(macs="x"), Algorithms(kex="x")):
        with pytest.raises(ConfigError):
            algorithms.offer(wanted)
    for choose in (algorithms.host_keys, algorithms.public_keys, algorithms.ca_signatures):
        with pytest.raises(ConfigError):
            choose("nonsense")


def test_applying_leaves_other_transports_alone() -> None:
    with socket.socket() as sock:
        wanted = algorithms.offer(Algorithms(kex="curve25519-sha256"))
        negotiation.apply(paramiko.Transport(sock), wanted)
    assert paramiko.Transport._kex_info == OF_PARAMIKO  # type: ignore[attr-defined]
