from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import programs

from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.trust.randomart import randomart

PICTURE = [
    "+--[ED25519 256]--+",
    "|     .oX@**oo.   |",
    "|      +o=B.=. .. |",
    "|       .  B... .o|",
    "|       . = .. Eo+|",
    "|      . S . .o.o+|",
    "|       .   . .+oo|",
    "|            .oooo|",
    "|           ......|",
    "|           oo.   |",
    "+----[SHA256]-----+",
]


def test_a_picture_that_ssh_keygen_has_drawn() -> None:
    key = PublicKey.read_host_key(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"\x01" * 32)
    assert randomart(key).splitlines() == PICTURE


def ed25519_lines(count: int) -> str:
    blobs = (bytes([n, n * 7 % 256]) * 16 for n in range(count))
    keys = (PublicKey.read_host_key(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + blob) for blob in blobs)
    return "".join(f"{key.key_type} {key.base64}\n" for key in keys)


def made(folder: Path) -> str:
    """Keys of the other types and sizes."""
    kinds = [("rsa", "1024"), ("rsa", "2048"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521")]
    for kind, bits in kinds:
        argv = [
            "-q",
            "-t",
            kind,
            "-b",
            bits,
            "-N",
            "",
            "-C",
            "",
            "-f",
            str(folder / f"{kind}{bits}"),
        ]
        program = programs.require("ssh-keygen")
        subprocess.run([program, *argv], check=True, capture_output=True, timeout=60)
    return "".join(path.read_text() for path in sorted(folder.glob("*.pub")))


@pytest.mark.interop
def test_the_pictures_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    text = made(tmp_path) + ed25519_lines(200)
    file = tmp_path / "keys"
    file.write_text(text)
    program = programs.require("ssh-keygen")
    done = subprocess.run(
        [program, "-l", "-v", "-f", file], check=True, capture_output=True, text=True, timeout=60
    )
    theirs = done.stdout.splitlines()
    keys = [PublicKey.parse_host_key(line.strip()) for line in text.splitlines()]
    assert len(theirs) == 12 * len(keys)
    for number, key in enumerate(keys):
        title, *picture = theirs[12 * number : 12 * number + 12]
        assert title.split()[:2] == [str(key.bits), key.fingerprint]
        assert randomart(key).splitlines() == picture
