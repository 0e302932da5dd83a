"""Host keys that a machine announces: learnt and removed as `ssh` does it, and only with proof."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import programs
from support.odd_ssh import Keys, public

from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh import other_host_keys
from m2m_ssh_client.ssh.destination import resolve
from m2m_ssh_client.ssh.opener import Opener
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Trust
from m2m_ssh_client.ssh.trust.known_hosts import entry
from m2m_ssh_client.ssh.trust.learning import PROVE, Announcement, learn
from m2m_ssh_client.ssh.trust.verifier import HostVerifier
from m2m_ssh_client.ssh.wire import Reader, strings

ENOUGH = 20.0  # seconds
HOST = "lab.example"
SESSION = b"the session's id"
TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


class Machine:
    """A machine with some of the keys, which is on file with the first."""

    def __init__(self, keys: Keys, folder: Path) -> None:
        self.keys = keys
        self.file = folder / "known_hosts"
        self.file.write_text(entry(HOST, 22, public(keys["ed25519"])))
        self.asked = 0

    def signature(self, name: str, session: bytes = SESSION, kind: str = PROVE) -> bytes:
        key = self.keys[name]
        signed = strings(kind.encode(), session, key.asbytes())
        algorithm = "rsa-sha2-256" if name.startswith("rsa") else None
        return bytes(key.sign_ssh_data(signed, algorithm).asbytes())

    def announce(
        self,
        *names: str,
        prove: Callable[[], bytes | None] | None = None,
        shown: str = "ed25519",
        types: Sequence[str] = TYPES,
        **trust: Any,
    ) -> str:
        """The file after such an announcement, whose new keys the machine proves."""
        blobs = [self.keys[name].asbytes() for name in names]
        by_blob = dict(zip(blobs, names, strict=True))

        def proofs(asked: bytes) -> bytes | None:
            self.asked += 1
            if prove is not None:
                return prove()
            return strings(*(self.signature(by_blob[blob]) for blob in Reader(asked).strings()))

        given: dict[str, Any] = {"user_files": (self.file,), "learns": True, **trust}
        policy = Trust(HOST, 22)._replace(**given)
        said = Announcement(self.keys[shown].asbytes(), blobs, SESSION, proofs)
        learn(policy, HostVerifier(policy), types, said)
        return self.file.read_text()

    def lines(self, *names: str) -> str:
        return "".join(entry(HOST, 22, public(self.keys[name])) for name in names)


@pytest.fixture
def machine(keys: Keys, tmp_path: Path) -> Machine:
    return Machine(keys, tmp_path)


def test_keys_that_are_proved_are_added_and_keys_that_are_gone_are_removed(
    machine: Machine,
) -> None:
    machine.file.write_text("# mine\n" + machine.lines("ed25519", "ed25519 old"))
    found = machine.announce("ed25519", "ecdsa", "rsa")
    assert found == "# mine\n" + machine.lines("ed25519", "ecdsa", "rsa")
    assert machine.announce("ed25519", "ecdsa", "rsa") == found
    assert machine.asked == 1, "keys on file need no proof"


def test_a_key_goes_without_a_proof_of_the_others(machine: Machine) -> None:
    machine.file.write_text(machine.lines("ed25519", "ed25519 old"))
    assert machine.announce("ed25519") == machine.lines("ed25519")
    assert machine.asked == 0


def test_a_machine_survives_the_change_of_its_key(machine: Machine) -> None:
    machine.announce("ed25519", "ed25519 new")
    found = machine.announce("ed25519 new", "ecdsa", shown="ed25519 new")
    assert found == machine.lines("ed25519 new", "ecdsa")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda _: None, id="refused"),
        pytest.param(lambda _: b"", id="nothing"),
        pytest.param(lambda _: b"\0\0\0", id="malformed"),
        pytest.param(lambda m: strings(m.signature("ecdsa")), id="too few"),
        pytest.param(
            lambda m: strings(*[m.signature("ecdsa"), m.signature("rsa")] * 2), id="too many"
        ),
        pytest.param(lambda m: strings(m.signature("rsa"), m.signature("ecdsa")), id="swapped"),
        pytest.param(
            lambda m: strings(m.signature("ecdsa"), m.signature("rsa", b"another session")),
            id="another session",
        ),
        pytest.param(
            lambda m: strings(m.signature("ecdsa"), m.signature("rsa", kind="hostkeys")),
            id="another purpose",
        ),
        pytest.param(
            lambda m: strings(m.signature("ecdsa"), m.signature("rsa other")), id="another key"
        ),
        pytest.param(lambda m: strings(m.signature("ecdsa"), b""), id="an empty signature"),
        pytest.param(lambda m: strings(m.signature("ecdsa")[:-1], m.signature("rsa")), id="cut"),
        pytest.param(
            lambda m: strings(
                m.signature("ecdsa"), m.signature("rsa").replace(b"rsa-sha2-256", b"rsa-sha2-512")
            ),
            id="another algorithm",
        ),
    ],
)
def test_nothing_is_learnt_without_the_right_proof_for_all(
    wrong: Callable[[Machine], bytes | None], machine: Machine
) -> None:
    machine.file.write_text(machine.lines("ed25519", "ed25519 old"))
    before = machine.file.read_text()
    found = machine.announce("ed25519", "ecdsa", "rsa", prove=lambda: wrong(machine))
    assert found == before
    assert machine.asked == 1


@pytest.mark.parametrize(
    "trust",
    [
        {"learns": False},
        {"read_only": True},
        {"pin": "SHA256:x", "user_files": ()},
        {"rsa_bits": 4096},
    ],
    ids=lambda trust: next(iter(trust)),
)
def test_a_policy_holds(trust: dict[str, Any], machine: Machine) -> None:
    assert machine.announce("ed25519", "rsa", **trust) == machine.lines("ed25519")


def test_a_key_that_is_revoked_or_of_a_type_that_is_not_wanted_is_left_out(
    machine: Machine, tmp_path: Path
) -> None:
    revoked = tmp_path / "revoked"
    revoked.write_text(public(machine.keys["ecdsa"]).line + "\n")
    found = machine.announce("ed25519", "ecdsa", "ed25519 new", revoked_files=(revoked,))
    assert found == machine.lines("ed25519", "ed25519 new")
    found = machine.announce("ed25519", "ed25519 new", "rsa", types=["ssh-ed25519"])
    assert found == machine.lines("ed25519", "ed25519 new")


def test_a_key_that_was_trusted_at_first_sight_brings_no_others_at_once(machine: Machine) -> None:
    machine.file.write_text("")
    policy = Trust(HOST, 22, (machine.file,), strict="accept-new", learns=True)
    verifier = HostVerifier(policy)
    verifier.verify(machine.keys["ed25519"].asbytes())
    blobs = [machine.keys[name].asbytes() for name in ("ed25519", "ecdsa")]
    proof = strings(machine.signature("ecdsa"))
    said = Announcement(blobs[0], blobs, SESSION, lambda _: proof)
    learn(policy, verifier, TYPES, said)
    assert machine.file.read_text() == machine.lines("ed25519")
    learn(policy, HostVerifier(policy), TYPES, said)
    assert machine.file.read_text() == machine.lines("ed25519", "ecdsa")


def test_one_announcement_with_a_key_twice_changes_nothing(machine: Machine) -> None:
    blobs = [machine.keys[name].asbytes() for name in ("ed25519", "ecdsa", "ecdsa")]
    policy = Trust(HOST, 22, (machine.file,), learns=True)
    proof = strings(machine.signature("ecdsa"), machine.signature("ecdsa"))
    said = Announcement(blobs[0], blobs, SESSION, lambda _: proof)
    learn(policy, HostVerifier(policy), TYPES, said)
    assert machine.file.read_text() == machine.lines("ed25519")


@pytest.mark.parametrize(
    ("options", "known_hosts", "learns"),
    [
        ((), None, True),
        ((), Path("mine"), False),
        (("UserKnownHostsFile=/mine",), None, False),
        (("VerifyHostKeyDNS=ask",), None, False),
        (("VerifyHostKeyDNS=no",), None, True),
        (("UpdateHostKeys=no",), None, False),
        (("UpdateHostKeys=ask",), None, False),
        (("UpdateHostKeys=yes",), Path("mine"), True),
        (("UpdateHostKeys=yes", "UserKnownHostsFile=/mine"), None, True),
    ],
)
def test_it_is_on_where_ssh_config_5_says_so(
    options: tuple[str, ...], known_hosts: Path | None, learns: bool
) -> None:
    params = Parameters("lab", ssh_config="none", ssh_options=options, known_hosts=known_hosts)
    assert resolve(params).settings.trust.learns is learns


if sys.platform != "win32":
    from support.sshd import Sshd

    def relayed(sshd: Sshd, file: Path) -> str:
        """The file after a session of ours, which lasted until everything was done."""
        params = Parameters(
            "127.0.0.1",
            port=sshd.port,
            username=sshd.username,
            client_key=sshd.keys.client_key,
            known_hosts=file,
            ssh_config="none",
            ssh_options=("UpdateHostKeys=yes", "HostKeyAlgorithms=ssh-ed25519,rsa-*,ecdsa-*"),
            command=("cat",),
        )
        opener = Opener(params)
        try:
            opener.open()
            for thread in threading.enumerate():
                if thread.name == "m2m-host-keys":
                    thread.join(ENOUGH)
        finally:
            opener.close()
        return file.read_text()

    def as_ssh(sshd: Sshd, file: Path) -> str:
        """The file after a session of OpenSSH's."""
        ssh, *argv = sshd.openssh_argv("true")
        options = {"UserKnownHostsFile": file, "UpdateHostKeys": "yes"}
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        subprocess.run([ssh, *words, *argv], check=True, timeout=30, capture_output=True)
        return file.read_text()

    # NAME is the server's name on file, ED its Ed25519 key, OLD a key that it does not have.
    FILES = {
        "one key": "NAME ED\n",
        "a comment": "# mine\nNAME ED me@here\n\nbroken\nother OLD\n",
        "no newline at the end": "NAME ED",
        "an old key": "NAME OLD\nNAME ED\n",
        "an old key of another name too": "NAME ED\nNAME OLD\nother OLD\n",
        "a list": "NAME,other ED\n",
        "a pattern": "[127.*]:PORT ED\n",
        "a revoked key": "NAME ED\n@revoked NAME OLD\n",
        "an authority": "NAME ED\n@cert-authority * OLD\n",
        "the bare name": "127.0.0.1 ED\n",
    }

    @pytest.mark.interop
    @pytest.mark.parametrize("case", FILES)
    def test_the_file_is_as_after_a_session_of_ssh(
        case: str, sshd: Sshd, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(other_host_keys, "_SETTLED", 0)
        words = {
            "NAME": f"[127.0.0.1]:{sshd.port}",
            "PORT": str(sshd.port),
            "ED": sshd.keys.public_host_key("ed25519"),
            "OLD": public(keys["ed25519 old"]).line,
        }
        text = re.sub(r"\b(NAME|PORT|ED|OLD)\b", lambda match: words[match[0]], FILES[case])
        ours, theirs = tmp_path / "ours", tmp_path / "theirs"
        ours.write_text(text)
        theirs.write_text(text)
        found, expected = relayed(sshd, ours), as_ssh(sshd, theirs)
        assert sorted(found.split("\n")) == sorted(expected.split("\n"))
        if case == "one key":
            assert found.count("\n") == 3

    @pytest.mark.interop
    def test_hashed_names_stay_hashed(
        sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(other_host_keys, "_SETTLED", 0)
        file = tmp_path / "known_hosts"
        key = PublicKey.parse_host_key(sshd.keys.public_host_key("ed25519"))
        file.write_text(entry("127.0.0.1", sshd.port, key, hashed=True))
        lines = relayed(sshd, file).splitlines()
        assert len(lines) == 3
        assert all(line.startswith("|1|") for line in lines)
        again = subprocess.run(
            [programs.require("ssh-keygen"), "-F", f"[127.0.0.1]:{sshd.port}", "-f", file],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert again.stdout.count("found: line") == 3

    @pytest.mark.interop
    def test_a_list_of_names_loses_none_of_them(
        sshd: Sshd, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # ssh 9.2 removes the line, and with it what `other` has.
        monkeypatch.setattr(other_host_keys, "_SETTLED", 0)
        name = f"[127.0.0.1]:{sshd.port}"
        file = tmp_path / "known_hosts"
        text = (
            f"{name} {sshd.keys.public_host_key('ed25519')}\n"
            f"{name},other {public(keys['ed25519 old']).line}\n"
        )
        file.write_text(text)
        assert relayed(sshd, file) == text
