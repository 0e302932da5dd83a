"""What the newest OpenSSH makes of a configuration, where an older one makes something else of it.

The values of `newest` are those of 10.5p1, as seen by running it; `since` is the version that brought them, if an
earlier one is known to have. Debian's 9.2 is beside it, and is asked live where it is installed.
The client follows the newest. What that refuses and 9.2 takes is taken: whoever has such a line has an older ssh.
"""

from __future__ import annotations

from typing import NamedTuple

REFUSED = "refused"


class Case(NamedTuple):
    """A configuration, and what becomes of one keyword for the host `alias`."""

    text: str
    newest: str
    before: str  # of 9.2
    since: str = "10.5"
    keyword: str = "port"
    option: str = ""  # of `-o`
    ours: str = ""  # if it is not that of the newest


def _match(criteria: str, newest: str, before: str = REFUSED, since: str = "10.5") -> Case:
    """Port 1 where the criteria hold, else 22."""
    return Case(f"Match {criteria}\nPort 1\nMatch all\nPort 22\n", newest, before, since)


HOLDS, DOES_NOT = "1", "22"

CASES = [
    Case("ConnectTimeout 1.5\n", "1", REFUSED, "10.3", "connecttimeout"),
    # The environment has GOOD=ada and BAD=a;b. 9.2 knows neither tokens nor variables there.
    Case("User ${GOOD}\n", "ada", "${GOOD}", "10.0", "user"),
    Case("User ${BAD}\n", REFUSED, "${BAD}", "10.5", "user"),
    Case("", REFUSED, REFUSED, "9.2", "user", "User=a;b"),
    Case("", REFUSED, REFUSED, "9.2", "user", "User=$(id)"),
    _match('tagged "*"', DOES_NOT),
    _match('command "*"', DOES_NOT),
    _match("version OpenSSH_10.*", HOLDS, since="10.0"),
    _match("host=alias", HOLDS, HOLDS, "9.2"),
    _match("host = alias", REFUSED, HOLDS)._replace(ours=HOLDS),
    Case("RevokedHostKeys /a /b\nPort 1\n", "1", REFUSED, "10.3"),
    Case("WarnWeakCrypto no-pq-kex\nPort 1\n", "1", REFUSED, "10.1"),
    Case("KexAlgorithms +mlkem768nistp256-sha256\nPort 1\n", "1", REFUSED),
    Case("HostKeyAlgorithms +ssh-dss\nPort 1\n", REFUSED, "1", ours="1"),
    Case("PubkeyAcceptedAlgorithms +ssh-dss\nPort 1\n", REFUSED, "1", ours="1"),
    Case(
        "PubkeyAcceptedAlgorithms +ssh-mldsa44-ed25519@openssh.com\nPort 1\n", "1", REFUSED, "10.4"
    ),
    Case("ChannelTimeout session:command=3s\nPort 1\n", "1", REFUSED),
]
