"""A key's fingerprint as a picture, as `ssh-keygen -lv` draws it.

A bishop starts in the middle of a board and walks as the digest says: each two bits are one
diagonal step, as far as the walls allow. The number of visits to a square chooses its character.
The algorithm is analysed in Loss, Limmer and von Gernler, "The drunken bishop" (2009).
"""

from __future__ import annotations

import hashlib

from m2m_ssh_client.ssh.public_key import PublicKey

_WIDTH, _HEIGHT = 17, 9
_VISITS = " .o+=*BOX@%&#/^"
_START, _END = "S", "E"


def randomart(key: PublicKey) -> str:
    """Return the picture: eleven lines, the first with the key's type and size."""
    x, y = start = (_WIDTH // 2, _HEIGHT // 2)
    visits: dict[tuple[int, int], int] = {}
    for byte in hashlib.sha256(key.blob).digest():
        for shift in (0, 2, 4, 6):
            step = byte >> shift
            x = min(max(x + (1 if step & 1 else -1), 0), _WIDTH - 1)
            y = min(max(y + (1 if step & 2 else -1), 0), _HEIGHT - 1)
            visits[x, y] = min(visits.get((x, y), 0) + 1, len(_VISITS) - 1)
    characters = {square: _VISITS[count] for square, count in visits.items()}
    characters |= {start: _START, (x, y): _END}
    rows = [
        "".join(characters.get((column, row), " ") for column in range(_WIDTH))
        for row in range(_HEIGHT)
    ]
    title = f"[{key.short_type.upper()} {key.bits}]"
    return "\n".join([_border(title), *(f"|{row}|" for row in rows), _border("[SHA256]")])


def _border(title: str) -> str:
    left = (_WIDTH - len(title)) // 2
    return f"+{'-' * left}{title}{'-' * (_WIDTH - left - len(title))}+"
