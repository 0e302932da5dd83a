"""What `ssh-keygen` makes of keys, we make of them: fingerprints, sizes, and which files can be opened."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import programs

from m2m_ssh_client.errors import KeyFileError
from m2m_ssh_client.ssh.login.key_files import load_client_key, public_key_line
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.wire import Reader, strings

pytestmark = pytest.mark.interop

PASSPHRASE = "correct horse"
# As it is made, by the options of ssh-keygen.
KINDS = {
    "ed25519": ["-t", "ed25519"],
    "ecdsa": ["-t", "ecdsa"],
    "ecdsa-521": ["-t", "ecdsa", "-b", "521"],
    "ecdsa-pem": ["-t", "ecdsa", "-m", "PEM"],
    "ecdsa-pkcs8": ["-t", "ecdsa", "-m", "PKCS8"],
    "rsa": ["-t", "rsa", "-b", "2048"],
    "rsa-pem": ["-t", "rsa", "-b", "2048", "-m", "PEM"],
    "encrypted": ["-t", "ed25519", "-a", "1", "-N", PASSPHRASE],
    "rsa-pem-encrypted": ["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", PASSPHRASE],
}
quick = settings(
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def keygen(*arguments: str | Path) -> str | None:
    """What it prints; None where it refuses."""
    done = subprocess.run(
        [programs.require("ssh-keygen"), *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
    )
    return None if done.returncode else done.stdout.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a key of each kind, and a user's certificate for two of them."""
    folder = tmp_path_factory.mktemp("keys")
    for name, options in KINDS.items():
        new = options if "-N" in options else [*options, "-N", ""]
        assert keygen("-q", *new, "-C", "c", "-f", folder / name) is not None
    for name in ("ed25519", "rsa"):
        public = folder / f"{name}.pub"
        assert keygen("-q", "-s", folder / "ecdsa", "-I", "id", public) is not None
    return folder


def listed(folder: Path, line: str) -> tuple[int, str] | None:
    """Size and fingerprint by `ssh-keygen -l`; None where it takes the line for no key."""
    file = folder / "listed.pub"
    file.write_text(line + "\n", encoding="utf-8", newline="")
    told = keygen("-l", "-f", file)
    if told is None:
        return None
    bits, fingerprint, *_ = told.split()
    return int(bits), fingerprint


@quick
@given(
    kind=st.sampled_from(["ed25519", "ecdsa", "ecdsa-521", "rsa"]),
    part=st.integers(0, 3),
    at=st.integers(0, 300),
    change=st.sampled_from([b"", b"\0", b"\1", b"\x80", b"\xff", b"cut", b"twice"]),
)
def test_a_host_key_that_we_take_is_the_same_to_ssh_keygen(
    folder: Path, kind: str, part: int, at: int, change: bytes
) -> None:
    key_type, encoded = (folder / f"{kind}.pub").read_text().split()[:2]
    blob = base64.b64decode(encoded)
    fields = Reader(blob).strings(3 if kind != "ed25519" else 2)
    part %= len(fields)
    old = fields[part]
    at %= len(old)
    spelt = {b"cut": old[:at], b"twice": old + old, b"": old}
    fields[part] = spelt.get(change, old[:at] + change + old[at + 1 :])
    text = f"{key_type} {base64.b64encode(strings(*fields)).decode()} c"
    theirs = listed(folder, text)
    try:
        key = PublicKey.parse_host_key(text)
    except ValueError:
        # We want the shortest form of a number, and an odd one; what is as it was made is taken.
        assert fields != Reader(blob).strings(len(fields))
        return
    if theirs is None:
        assert part == 2
        assert (
            "ecdsa" in key_type
        )  # a point that is not on its curve, which no machine has the key for
    else:
        assert theirs == (key.bits, key.fingerprint)


@pytest.mark.parametrize("name", [*KINDS, "ed25519-cert", "rsa-cert"])
def test_a_public_keys_fingerprint_is_that_of_ssh_keygen(folder: Path, name: str) -> None:
    line = (folder / f"{name}.pub").read_text().strip()
    theirs = listed(folder, line)
    assert theirs is not None
    assert PublicKey.parse(line.encode()).fingerprint == theirs[1]


def damaged(text: str, kind: str, at: int) -> str:
    """A file as editors, mail and slips leave it."""
    lines = text.splitlines()
    at %= len(lines)
    changes = {
        "as it was": text,
        "carriage returns": text.replace("\n", "\r\n"),
        "no newline at the end": text.rstrip("\n"),
        "blank lines around": f"\n\n{text}\n\n",
        "text before it": f"A key of mine:\n{text}",
        "text behind it": f"{text}A key of mine\n",
        "a line missing": "\n".join(lines[:at] + lines[at + 1 :]) + "\n",
        "a line twice": "\n".join([*lines[: at + 1], *lines[at:]]) + "\n",
        "a blank line in it": "\n".join([*lines[:at], "", *lines[at:]]) + "\n",
        "indented": "".join(f"  {line}\n" for line in lines),
        "blanks at the ends": "".join(f"{line} \n" for line in lines),
        "one long line": lines[0] + "\n" + "".join(lines[1:-1]) + "\n" + lines[-1] + "\n",
        "a character changed": text[: 60 + at]
        + ("A" if text[60 + at] != "A" else "B")
        + text[61 + at :],
        "cut": text[: len(text) // 2],
    }
    return changes[kind]


DAMAGES = (
    *(
        "as it was",
        "carriage returns",
        "no newline at the end",
        "blank lines around",
        "text before it",
    ),
    *("text behind it", "a line missing", "a line twice", "a blank line in it", "indented"),
    *("blanks at the ends", "one long line", "a character changed", "cut"),
)


# Headers with blanks behind them, which `cryptography` does not read.
HEADERS = ("rsa-pem-encrypted", "blanks at the ends")


@pytest.mark.parametrize(
    ("kind", "damage"),
    [(kind, damage) for kind in KINDS for damage in DAMAGES if (kind, damage) != HEADERS],
)
def test_a_private_key_that_ssh_keygen_opens_is_opened(
    folder: Path, kind: str, damage: str
) -> None:
    original = (folder / kind).read_text()
    for at in (1, 2, 5):
        file = folder / "damaged"
        file.touch(mode=0o600)
        file.write_text(damaged(original, damage, at), newline="")
        theirs = keygen("-y", "-P", PASSPHRASE, "-f", file)
        try:
            ours = public_key_line(load_client_key(file, PASSPHRASE))
        except KeyFileError:
            # OpenSSL opens some whose numbers do not belong together.
            assert theirs is None or damage == "a character changed"
        else:
            assert theirs is None or ours == " ".join(theirs.split()[:2])
