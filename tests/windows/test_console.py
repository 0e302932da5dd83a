"""A person at a console: what is shown and typed there, whatever its code page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform != "win32":
    pytest.skip("consoles of Windows", allow_module_level=True)

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_ssh_private_key,
)
from support.console import Console
from support.far import environment
from support.host import PROGRAM
from windows.far_side import FarSide

_FAR = FarSide.from_environment(environment())
_SPOKEN = "é日😀"

# What it is asked is typed as the test waits for it. Each answer is shown in ASCII.
_PROBE = """
import ctypes, msvcrt
from ctypes import wintypes
import anyio
from m2m_ssh_client.terminal import asking, questions

async def asked():
    print("keyboard? é日", flush=True)
    return await questions._Keyboard().line()

number = 0
for ask in (
    lambda: asking.entered("entered? é日 "),
    lambda: asking._passphrase("hidden? é日 "),
    lambda: anyio.run(asked),
):
    number += 1
    asking.say(f"got {number} {ascii(ask())}")
asking.say_diff(["+ ✓ added"])
mode = wintypes.DWORD()
ctypes.WinDLL("kernel32").GetConsoleMode(msvcrt.get_osfhandle(1), ctypes.byref(mode))
print("takes escapes:", bool(mode.value & 4))
"""


def plain_environment() -> dict[str, str]:
    """Without what makes Python write UTF-8 everywhere, which people do not set."""
    return {name: text for name, text in environment().items() if name != "PYTHONUTF8"}


def test_all_characters_are_shown_and_typed_whatever_the_code_page() -> None:
    with Console([sys.executable, "-c", _PROBE], plain_environment(), code_page=932) as console:
        for number, question in enumerate(("entered", "hidden", "keyboard"), 1):
            console.wait_for(f"{question}? é日")
            console.type(f"{_SPOKEN}\r")
            console.wait_for(f"got {number} ")
        assert console.status() == 0
        assert console.text.count(ascii(_SPOKEN)) == 3
        assert "\x1b[32m" in console.escapes
        assert "takes escapes: True" in console.text
        assert "+ ✓ added" in console.text


@pytest.mark.skipif(
    _FAR is None, reason="no sshd on another system; tests/windows/under_wine.py starts one"
)
def test_a_passphrase_that_is_typed_opens_a_key_and_tools_are_shown_in_colour(
    tmp_path: Path,
) -> None:
    assert _FAR is not None
    key, known_hosts = tmp_path / "grüße", tmp_path / "known_hosts"
    plain = load_ssh_private_key(Path("Z:", _FAR.files, "client").read_bytes(), None)
    how = BestAvailableEncryption(_SPOKEN.encode())
    key.write_bytes(plain.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, how))
    known_hosts.write_text(f"[127.0.0.1]:{_FAR.port} {_FAR.host_key}\n")
    argv = [
        *(*PROGRAM, "tools", "--host", "127.0.0.1", "--port", str(_FAR.port)),
        *("--username", _FAR.username, "--client-key", str(key)),
        *("--known-hosts", str(known_hosts), "--", *_FAR.command),
    ]
    with Console(argv, plain_environment(), code_page=437) as console:
        console.wait_for(f"Enter passphrase for key '{key}':")
        console.type(f"{_SPOKEN}\r")
        assert console.status() == 0
        assert "progress" in console.text
        assert _SPOKEN not in console.text
        assert "\x1b[36m" in console.escapes
