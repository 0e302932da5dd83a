"""What is offered and in which order, without a server: test_authentication has the table to compare with `ssh`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support import programs

from m2m_ssh_client.errors import KeyFileError
from m2m_ssh_client.ssh.login import passphrases
from m2m_ssh_client.ssh.login.agent import Agent, AgentError, AgentKey
from m2m_ssh_client.ssh.login.identities import FileSigner, Identities, find
from m2m_ssh_client.ssh.login.key_files import KeyFile, read_key_file
from m2m_ssh_client.ssh.login.unlocked_keys import UnlockedKeys
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Login
from m2m_ssh_client.ssh.wire import Reader, strings

SECRET = "correct horse"


def never() -> bool:
    return False


def keygen(folder: Path, *arguments: str) -> None:
    ssh_keygen = str(programs.require("ssh-keygen"))
    subprocess.run(
        [ssh_keygen, "-q", *arguments], check=True, timeout=60, capture_output=True, cwd=folder
    )


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys `a`, `b`, `c`, `rsa` (PEM), `locked`, `sealed` (PEM); each with `.pub`, and with `-cert.pub` in `certs/`."""
    folder = tmp_path_factory.mktemp("pool")
    (folder / "certs").mkdir()
    keygen(folder, "-t", "ed25519", "-N", "", "-f", "ca")
    for name, kind, secret, options in (
        ("a", "ed25519", "", ()),
        ("b", "ed25519", "", ()),
        ("c", "ed25519", "", ()),
        ("rsa", "rsa", "", ("-m", "PEM")),
        ("locked", "ed25519", SECRET, ("-a", "1")),
        ("sealed", "rsa", SECRET, ("-m", "PEM")),
    ):
        keygen(folder, "-t", kind, "-N", secret, *options, "-C", name, "-f", name)
        keygen(folder, "-s", "ca", "-I", name, "-n", "root", f"{name}.pub")
        (folder / f"{name}-cert.pub").rename(folder / "certs" / f"{name}-cert.pub")
    keygen(folder, "-s", "ca", "-h", "-I", "host", "-n", "host", "c.pub")
    (folder / "c-cert.pub").rename(folder / "host-cert.pub")
    return folder


class HeldKeys(Agent):
    """An agent that holds these, without a process behind it."""

    def __init__(self, *keys: PublicKey) -> None:
        super().__init__("/agent", never)
        self._keys = keys

    def keys(self) -> list[AgentKey]:
        return [AgentKey(key, "held") for key in self._keys]

    def sign(self, key: PublicKey, _data: bytes, _algorithm: str) -> bytes:
        raise AgentError(f"asked to sign with {key.key_type} {key.fingerprint}")


class Case:
    def __init__(self, folder: Path, pool: Path) -> None:
        self.folder = folder
        self.pool = pool

    def public(self, name: str) -> PublicKey:
        folder = self.pool / "certs" if name.endswith("-cert") else self.pool
        return PublicKey.parse((folder / f"{name}.pub").read_bytes())

    def put(self, *names: str) -> tuple[Path, ...]:
        for name in names:
            folder = self.pool / "certs" if name.endswith("-cert.pub") else self.pool
            if (folder / name).is_file():
                (self.folder / name).write_bytes((folder / name).read_bytes())
                (self.folder / name).chmod(0o600)
        return tuple(self.folder / name for name in names)

    def find(self, agent: str | None = None, **options: Any) -> Identities:
        held = None if agent is None else HeldKeys(*(self.public(n) for n in agent.split()))
        return find(Login("me", **options), held, UnlockedKeys(), never)

    def names(self, found: Identities) -> str:
        """`a a-cert b@agent …`, a question mark for a key that is not known before it is opened."""
        known = {
            self.public(p.stem): p.stem for p in self.pool.glob("*.pub") if p.stem != "host-cert"
        }
        known |= {self.public(p.stem): p.stem for p in (self.pool / "certs").iterdir()}
        return " ".join(
            (known[i.public] if i.public else "?")
            + ("" if isinstance(i.signer, FileSigner) else "@agent")
            for i in found.offered
        )


@pytest.fixture
def case(tmp_path: Path, pool: Path) -> Case:
    return Case(tmp_path, pool)


ORDER = [
    # files, beside them, agent, certificates, defaults, identities only, offered
    ("", "", None, "", "", False, ""),
    ("a b", "", None, "", "", False, "a b"),
    ("a a", "", None, "", "", False, "a"),
    ("rsa", "", None, "", "", False, "rsa"),
    ("a", "a-cert.pub", None, "", "", False, "a-cert a"),
    ("a", "", "b c", "", "", False, "a b@agent c@agent"),
    ("a", "", "b a", "", "", False, "a@agent b@agent"),
    ("a", "", "b a", "", "", True, "a@agent"),
    ("a", "", "a-cert", "", "", True, "a-cert@agent a@agent"),
    ("a", "a-cert.pub", "a a-cert", "", "", True, "a-cert@agent a@agent"),
    ("a.pub", "a-cert.pub", "a", "", "", True, "a-cert@agent a@agent"),
    ("a", "", "b", "", "c", False, "a b@agent c"),
    ("a", "", "b c", "", "c", False, "a c@agent b@agent"),
    ("a", "", "b c", "", "c", True, "a c@agent"),
    ("a", "", None, "a-cert.pub", "", False, "a-cert a"),
    ("b a", "", None, "a-cert.pub", "", False, "a-cert b a"),
    ("b", "", "a", "a-cert.pub", "", True, "a-cert@agent b"),
    ("b", "", None, "a-cert.pub", "a", False, "a-cert b a"),
    ("b", "", None, "a-cert.pub", "", False, "b"),
    ("a", "", "a", "a-cert.pub", "", False, "a-cert@agent a@agent"),
    ("locked", "", "locked", "", "", False, "locked@agent"),
    ("locked a", "", None, "", "", False, "a"),
    ("sealed a", "sealed.pub", "sealed", "", "", True, "sealed@agent a"),
    ("a.pub b", "", None, "", "", False, "b"),
    ("locked", "", None, "locked-cert.pub", "", False, ""),
]


@pytest.mark.parametrize("row", ORDER, ids=[f"{r[0]}|{r[1]}|{r[2]}|{r[3]}|{r[4]}" for r in ORDER])
def test_the_order_of_what_is_offered(row: tuple[Any, ...], case: Case) -> None:
    files, beside, agent, certificates, defaults, only, offered = row
    case.put(*beside.split())
    found = case.find(
        agent,
        files=case.put(*files.split()),
        certificates=case.put(*certificates.split()),
        default_files=case.put(*defaults.split()),
        identities_only=only,
    )
    assert case.names(found) == offered


def test_a_key_that_is_locked_tells_its_public_half_without_a_passphrase(case: Case) -> None:
    files = case.put("locked", "sealed")
    found = case.find(files=files, passphrase=SECRET)
    assert case.names(found) == "locked ?"
    case.put("sealed.pub")
    assert case.names(case.find(files=files, passphrase=SECRET)) == "locked sealed"


def test_a_certificate_beside_it_tells_a_keys_public_half(case: Case) -> None:
    files = case.put("sealed", "sealed-cert.pub")[:1]
    found = case.find(files=files, passphrase=SECRET)
    assert case.names(found) == "sealed-cert sealed"


def test_the_certificate_of_another_key_beside_it_is_not_its_own(case: Case) -> None:
    [path] = case.put("a")
    (case.folder / "a-cert.pub").write_bytes((case.pool / "certs" / "b-cert.pub").read_bytes())
    assert case.names(case.find(files=(path,))) == "a"


SKIPPED = [
    ("gone", "There is no client key"),
    ("a.pub", "is a public key, not the private one"),
    ("text", "is not a private key, or it is damaged"),
    ("damaged", "is not a private key, or it is damaged"),
    ("locked", "is encrypted and there is no passphrase"),
    ("sk", "needs its security key, which only an agent can use"),
    (".", "is a directory"),
]


@pytest.mark.parametrize(("name", "words"), SKIPPED)
def test_what_cannot_be_offered_is_skipped_with_the_reason(
    name: str, words: str, case: Case
) -> None:
    [path] = case.put(name)
    if name == "text":
        path.write_text("Host *\n")
    if name == "damaged":
        pem = "-----BEGIN {0} PRIVATE KEY-----\nAAAA\n-----END {0} PRIVATE KEY-----\n"
        path.write_text(pem.format("RSA"))
        path.chmod(0o600)
    if name == "sk":
        write_security_key(path)
    found = case.find(files=(path, *case.put("b")))
    assert case.names(found) == "b"
    [error] = found.skipped
    assert words in error.message
    with pytest.raises(KeyFileError, match=words.split(",")[0]):
        case.find(files=(path,), required=path)


def write_security_key(path: Path) -> PublicKey:
    """A private key's file as `ssh-keygen -t ed25519-sk` leaves it, as far as the public half."""
    import base64

    kind = b"sk-ssh-ed25519@openssh.com"
    public = strings(kind, b"\1" * 32, b"ssh:")
    data = b"openssh-key-v1\0" + strings(b"none", b"none", b"") + b"\0\0\0\1"
    text = base64.encodebytes(data + strings(public, b"\0" * 64)).decode()
    marks = ("-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----")
    path.write_text(f"{marks[0]}\n{text}{marks[1]}\n")
    path.chmod(0o600)
    return PublicKey(kind.decode(), public)


def test_the_file_of_a_security_key_selects_it_in_the_agent(case: Case) -> None:
    path = case.folder / "sk"
    public = write_security_key(path)
    agent = HeldKeys(case.public("a"), public)
    login = Login("me", files=(path,), required=path, identities_only=True)
    found = find(login, agent, UnlockedKeys(), never)
    assert [identity.public for identity in found.offered] == [public]


CERTIFICATES = [
    ("gone", "There is no client key"),
    ("b.pub", "it is not a user certificate"),
    ("host-cert.pub", "it is not a user certificate"),
    ("b-cert.pub", "there is no key for it"),
    ("b", "it is not a user certificate"),
]


@pytest.mark.parametrize(("name", "words"), CERTIFICATES)
def test_a_certificate_of_no_use_is_skipped_with_the_reason(
    name: str, words: str, case: Case
) -> None:
    if name == "host-cert.pub":
        (case.folder / name).write_bytes((case.pool / name).read_bytes())
    else:
        case.put(name)
    path = case.folder / name
    found = case.find(files=case.put("a"), certificates=(path,))
    assert case.names(found) == "a"
    [error] = found.skipped
    assert error.message.startswith(f"the certificate {path}: ")
    assert words in error.message


def test_a_hosts_certificate_in_the_agent_is_skipped(case: Case) -> None:
    host = PublicKey.parse((case.pool / "host-cert.pub").read_bytes())
    found = find(Login("me"), HeldKeys(host, case.public("a")), UnlockedKeys(), never)
    assert case.names(found) == "a@agent"
    assert "it is not a user certificate" in found.skipped[0].message


def test_a_default_file_that_is_not_there_is_not_worth_a_word(case: Case) -> None:
    assert not case.find(default_files=(case.folder / "gone",)).skipped


def test_a_default_file_that_is_damaged_is(case: Case) -> None:
    (case.folder / "id_rsa").write_text("?")
    assert case.find(default_files=(case.folder / "id_rsa",)).skipped


def test_an_agent_out_of_reach_is_no_error(case: Case) -> None:
    class Gone(HeldKeys):
        def keys(self) -> list[AgentKey]:
            raise AgentError("No such file")

    found = find(Login("me", files=case.put("a")), Gone(), UnlockedKeys(), never)
    assert case.names(found) == "a"
    assert found.agent == "the agent at /agent is not used: No such file"


def test_the_agent_signs_with_the_key_it_holds_for_a_certificate_that_it_does_not(
    case: Case,
) -> None:
    certificates = case.put("a-cert.pub")
    found = case.find("a", certificates=certificates)
    with pytest.raises(AgentError, match=re.escape(case.public("a").fingerprint)):
        found.offered[0].signer.sign(case.public("a-cert"), b"", "ssh-ed25519")


@pytest.mark.parametrize(("held", "used"), [("a-cert a", "ssh-ed25519 "), ("a-cert", "-cert-v01")])
def test_the_agents_plain_key_signs_where_it_has_one(held: str, used: str, case: Case) -> None:
    found = case.find(held, files=case.put("a.pub"))
    plain = found.offered[-1]
    assert plain.public == case.public("a")
    with pytest.raises(AgentError, match=used):
        plain.signer.sign(case.public("a"), b"", "ssh-ed25519")


# Keys that are locked


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which keys somebody was asked for; the answer is right the second time."""
    asked: list[Path] = []

    def answers(_login: Login, path: Path, _cancelled: object) -> Iterator[str]:
        for answer in ("wrong", SECRET):
            asked.append(path)
            yield answer

    monkeypatch.setattr(passphrases, "passphrases", answers)
    return asked


def test_a_key_is_unlocked_once(case: Case, asked: list[Path]) -> None:
    [path] = case.put("locked")
    unlocked, login = UnlockedKeys(), Login("me")
    with ThreadPoolExecutor(4) as threads:
        keys = list(
            threads.map(lambda _: unlocked.open(read_key_file(path), login, never), range(8))
        )
    assert asked == [path, path]
    assert {key.asbytes() for key in keys} == {case.public("locked").blob}


def test_a_file_that_was_exchanged_is_not_taken_for_the_one_that_was_unlocked(
    case: Case, asked: list[Path]
) -> None:
    [path] = case.put("locked")
    unlocked = UnlockedKeys()
    unlocked.open(read_key_file(path), Login("me"), never)
    content = (case.pool / "sealed").read_bytes()
    key = unlocked.open(KeyFile(path, content), Login("me"), never)
    assert key.asbytes() == case.public("sealed").blob
    assert len(asked) == 4


def test_what_signs_is_the_private_half_of_what_was_offered(case: Case) -> None:
    [path] = case.put("rsa")
    (case.folder / "rsa.pub").write_text(case.public("a").line)
    [identity] = case.find(files=(path,)).offered
    assert identity.public == case.public("a")
    with pytest.raises(KeyFileError, match="is not the private half"):
        identity.signer.sign(case.public("a"), b"data", "ssh-ed25519")


def test_a_file_signs(case: Case) -> None:
    [identity] = case.find(files=case.put("rsa")).offered
    signature = identity.signer.sign(case.public("rsa"), b"data", "rsa-sha2-512")
    assert Reader(signature).string() == b"rsa-sha2-512"
