"""What the newest OpenSSH makes of a configuration, where an older one makes something else of it.

The values of `newest` are those of 10.5p1, as seen by running it; of the rows with DSA and most with `=`, as read in
its source. `since` is the version that brought them, if an earlier one is known to have. Debian's 9.2 is beside it,
and is asked live where it is installed.
The client follows the newest in every row.
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


def _match(criteria: str, newest: str, before: str = REFUSED, since: str = "10.5") -> Case:
    """Port 1 where the criteria hold, else 22."""
    return Case(f"Match {criteria}\nPort 1\nMatch all\nPort 22\n", newest, before, since)


HOLDS, DOES_NOT = "1", "22"

WITH_DSA = [
    "HostKeyAlgorithms +ssh-dss",
    "HostKeyAlgorithms ^ssh-dss-cert-v01@openssh.com",
    "HostKeyAlgorithms ssh-ed25519,ssh-dss",
    "HostKeyAlgorithms +*dss*",
    "HostbasedAcceptedAlgorithms +ssh-dss",
    "PubkeyAcceptedAlgorithms +ssh-dss",
    "PubkeyAcceptedKeyTypes ssh-rsa,ssh-dss",
    "CASignatureAlgorithms +ssh-dss",
]
WITHOUT_DSA = ["HostKeyAlgorithms -ssh-dss", "HostKeyAlgorithms ssh-*"]

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
    _match("host = alias", REFUSED, HOLDS),
    _match("!user = alias", REFUSED, HOLDS),
    _match("host =", DOES_NOT, REFUSED),
    _match("sessiontype=exec", REFUSED),
    Case("RevokedHostKeys /a /b\nPort 1\n", "1", REFUSED, "10.3"),
    Case("WarnWeakCrypto no-pq-kex\nPort 1\n", "1", REFUSED, "10.1"),
    Case("KexAlgorithms +mlkem768nistp256-sha256\nPort 1\n", "1", REFUSED),
    *(Case(f"{line}\nPort 1\n", REFUSED, "1", "10.0") for line in WITH_DSA),
    Case("HostKeyAlgorithms ssh-*,!ssh-dss\nPort 1\n", REFUSED, REFUSED, "9.2"),
    *(Case(f"{line}\nPort 1\n", "1", "1", "9.2") for line in WITHOUT_DSA),
    Case(
        "PubkeyAcceptedAlgorithms +ssh-mldsa44-ed25519@openssh.com\nPort 1\n", "1", REFUSED, "10.4"
    ),
    Case("ChannelTimeout session:command=3s\nPort 1\n", "1", REFUSED),
]
