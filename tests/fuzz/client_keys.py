"""Key files, public and private, and files with a passphrase; and the answers of an agent."""

from __future__ import annotations

import base64
import sys

import paramiko
from fuzz.target import folder, is_showable

from m2m_ssh_client.errors import KeyFileError
from m2m_ssh_client.ssh.login.agent import Agent, AgentError
from m2m_ssh_client.ssh.login.key_files import read_key_file, read_public_key
from m2m_ssh_client.ssh.login.passphrases import passphrases
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Login
from m2m_ssh_client.ssh.wire import Reader, strings

_MAGIC, _OPENSSH = b"openssh-key-v1\0", b"OPENSSH PRIVATE KEY"
_PASSPHRASE = "correct horse"
_MOST_ROUNDS = (
    16  # of a key derivation, which may take as long as its file says: it is the person's own
)


def check_private_key(content: bytes) -> None:
    """A file that may hold a key, or what is in one; `correct horse` opens those of the seeds that are encrypted."""
    if content.startswith(_MAGIC):
        encoded = base64.b64encode(content)
        content = b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (_OPENSSH, encoded, _OPENSSH)
    path = folder() / "id"
    if not path.exists():
        path.touch(mode=0o600)
    path.write_bytes(content)
    try:
        file = read_key_file(path)
    except KeyFileError as exc:
        is_showable(exc)
        return
    public = file.public
    if public is not None:
        is_showable(public.key_type)
    for passphrase in (None, _PASSPHRASE):
        if file.encrypted and passphrase and _is_slow(content):
            continue
        try:
            key = file.open(passphrase)
        except KeyFileError as exc:
            is_showable(exc)
            continue
        assert isinstance(key, paramiko.PKey)
        assert key.can_sign()
        assert key.get_name().encode() in key.asbytes()


def check_public_key(content: bytes) -> None:
    """A .pub file with a key or a certificate, or what is in one."""
    if content.startswith(b"\0\0\0"):
        name = content[4 : 4 + content[3]] if len(content) > 3 else b""
        content = name + b" " + base64.b64encode(content)
    path = folder() / "id.pub"
    path.write_bytes(content)
    try:
        key = read_public_key(path)
    except ValueError:
        return
    except KeyFileError as exc:
        is_showable(exc)
        return
    assert PublicKey.parse(key.line.encode()) == key
    assert key.key_type.encode() in content
    try:
        plain = key.plain
    except ValueError:
        assert key.is_certificate
        return
    assert plain.plain == plain
    assert not plain.is_certificate
    assert key.fingerprint == plain.fingerprint


def check_passphrase(content: bytes) -> None:
    """A file with a passphrase and nothing else."""
    path = folder() / "passphrase"
    if not path.exists():
        path.touch(mode=0o600)
    path.write_bytes(content)
    login = Login("user", passphrase_file=path, batch=True)
    try:
        (passphrase,) = passphrases(login, path, lambda: False)
    except KeyFileError as exc:
        is_showable(exc)
        return
    raw = passphrase.encode("utf-8", "surrogateescape")
    assert raw
    assert b"\n" not in raw
    assert content in (raw + end for end in (b"", b"\n", b"\r\n", b"\r"))


class _Stream:
    """An agent that says this, a few bytes at a time, and hangs up."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def send(self, data: bytes, /) -> int:
        return len(data)

    def recv(self, size: int, /) -> bytes:
        size = min(size, 100)
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def close(self) -> None:
        """Nothing to do."""


def check_agent(data: bytes) -> None:
    """What an agent says, with the length in front: its keys, and a signature."""
    if sys.platform == "win32":
        return  # closing has a thread of its own there
    nowhere = str(folder() / "no agent")
    with Agent(nowhere, lambda: False) as agent:
        agent._stream = _Stream(data)
        try:
            keys = agent.keys()
        except AgentError as exc:
            is_showable(exc)
            keys = []
        for each in keys:
            is_showable(each.comment)
            is_showable(each.public.key_type)
            assert each.public.blob in data
    key = PublicKey.of(strings(b"ssh-ed25519", b"x" * 32))
    with Agent(nowhere, lambda: False) as agent:
        agent._stream = _Stream(data)
        try:
            signature = agent.sign(key, b"to sign", "ssh-ed25519")
        except AgentError as exc:
            is_showable(exc)
        else:
            assert signature.startswith(strings(b"ssh-ed25519"))
            assert signature in data


def _is_slow(content: bytes) -> bool:
    """Whether opening it would take more rounds of a key derivation than a fuzzer has time for (PROTOCOL.key)."""
    lines = content.replace(b"\r", b"").split(b"\n")
    try:
        data = base64.b64decode(b"".join(line for line in lines if not line.startswith(b"-")))
        _, _, options = Reader(data.removeprefix(_MAGIC)).strings(3)
        derivation = Reader(options)
        derivation.string()  # the salt
        return derivation.number(4) > _MOST_ROUNDS
    except ValueError:
        return True
