"""The command line that runs the keeper on the remote machine, source included.

Nothing has to be installed there, and nothing is written: the source travels in the exec request,
compressed. Base64 in words of limited length needs no quoting, and sh, csh and fish read the quoted
part alike. dropbear takes a command of 9,000 bytes (MAX_CMD_LEN), a word of csh a thousand.
"""

from __future__ import annotations

import base64
import pkgutil
import re
import zlib

_MODULES = ("stream.py", "server_start.py", "keeper.py", "on_machine.py")
_WORD = 900  # characters
_LEFT_OUT = re.compile(
    rb'^ *"""(?s:.*?)"""\n|^ *#.*\n|^\n|^from m2m_ssh_client[^(\n]*(?:\([^)]*\))?\n', re.MULTILINE
)
_INDENTATION = re.compile(rb"^(?: {4})+", re.MULTILINE)
# -I and -S: without the user's settings for Python, and without looking for packages.
_RUN = (
    "python3 -IS -c 'import binascii,sys,zlib;"
    'exec(zlib.decompress(binascii.a2b_base64("".join(sys.argv[1:]))))\''
)


def keeper_command() -> str:
    """Return the command line for the user's shell there, whichever that is."""
    text = base64.b64encode(zlib.compress(source(), 9)).decode()
    return " ".join([_RUN, *(text[at : at + _WORD] for at in range(0, len(text), _WORD))])


def source() -> bytes:
    """Return the modules as one, without what only a reader needs."""
    modules = (pkgutil.get_data(__package__, name) or b"" for name in _MODULES)
    source = _LEFT_OUT.sub(b"", b"".join(modules).replace(b"\r\n", b"\n"))
    return _INDENTATION.sub(lambda found: b" " * (len(found[0]) // 4), source)
