"""Host keys on file and what becomes of a connection: one line a case, for OpenSSH's `ssh` and for us alike.

In the files, `{ed25519}`, `{ecdsa}` and `{rsa}` stand for the server's keys, `{other}` and `{other_rsa}` for keys of
nobody, `{ca}`, `{ca_rsa}` and `{ca_other}` for authorities; `{hash:NAME}` for a hashed name; `{dsa}` and `{sk}` for
keys of types that no server can show here; `{cert}` for a certificate where a key should be.
"""

from __future__ import annotations

from typing import NamedTuple

from m2m_ssh_client.ssh.settings import StrictHostKeyChecking

HOST = "node.example.com"


class Case(NamedTuple):
    """`outcome` is ours, and `ssh`'s too unless `ssh_says` tells otherwise; `why` tells why, then.

    `added` is the name under which a key is added, and which of the server's keys; `server` the host keys that the
    server has, `certificate` the one of CERTIFICATES that it shows. `since` is the first OpenSSH that decides so,
    `before` the first one that does not any more.
    """

    name: str
    outcome: str
    file: str
    host: str = HOST
    port: int = 22
    strict: StrictHostKeyChecking = "yes"
    alias: str | None = None
    server: str = "ed25519 ecdsa rsa"
    certificate: str = ""
    second: str | None = None
    system: str | None = None
    revoked: str | None = None
    hashed: bool = False
    added: str = ""
    ssh_says: str = ""
    why: str = ""
    since: tuple[int, int] = (0, 0)
    before: tuple[int, int] = (99, 0)


class Certificate(NamedTuple):
    """Which key is signed by which authority, with which options of ssh-keygen."""

    key: str
    authority: str
    options: str


NAMED = f"-h -n {HOST}"
CERTIFICATES = {
    "good": Certificate("ed25519", "ca", NAMED),
    "good-ecdsa": Certificate("ecdsa", "ca", NAMED),
    "good-rsa": Certificate("rsa", "ca", NAMED),
    "second-name": Certificate("ed25519", "ca", f"-h -n a.example.com,{HOST}"),
    "by-rsa": Certificate("ed25519", "ca_rsa", f"{NAMED} -t rsa-sha2-512"),
    "by-rsa-256": Certificate("ed25519", "ca_rsa", f"{NAMED} -t rsa-sha2-256"),
    "by-ecdsa": Certificate("ed25519", "ca_ecdsa", NAMED),
    "by-sha1": Certificate("ed25519", "ca_rsa", f"{NAMED} -t ssh-rsa"),
    "expired": Certificate("ed25519", "ca", f"{NAMED} -V 20200101:20210101"),
    "not-yet": Certificate("ed25519", "ca", f"{NAMED} -V 20900101:20910101"),
    "in-time": Certificate("ed25519", "ca", f"{NAMED} -V -1d:+1d"),
    "other-name": Certificate("ed25519", "ca", "-h -n other.example.com"),
    "alias-name": Certificate("ed25519", "ca", "-h -n box"),
    "upper-name": Certificate("ed25519", "ca", "-h -n Node.example.com"),
    "port-name": Certificate("ed25519", "ca", f"-h -n [{HOST}]:2222"),
    "wildcard": Certificate("ed25519", "ca", "-h -n *.example.com"),
    "wildcard-other": Certificate("ed25519", "ca", "-h -n *.example.org"),
    "nameless": Certificate("ed25519", "ca", "-h"),
    "for-users": Certificate("ed25519", "ca", f"-n {HOST}"),
    "critical": Certificate("ed25519", "ca", f"{NAMED} -O critical:x@example.com=y"),
    "extension": Certificate("ed25519", "ca", f"{NAMED} -O extension:x@example.com=y"),
}

KNOWN = f"{HOST} {{ed25519}}\n"
CHANGED = f"{HOST} {{other}}\n"
RSA = f"{HOST} {{rsa}}\n"
PORT_KNOWN = f"[{HOST}]:2222 {{ed25519}}\n"
PORT_CHANGED = f"[{HOST}]:2222 {{other}}\n"
REVOKED = "@revoked * {ed25519}\n"
REVOKED_BARE = f"@revoked {HOST} {{ed25519}}\n"
CA = "@cert-authority * {ca}\n"
CA_BARE = f"@cert-authority {HOST} {{ca}}\n"
LOST_CA = f"@revoked {HOST} {{ca}}\n"
CA_REVOKED = "@revoked * {ca}\n"
NEW: StrictHostKeyChecking = "accept-new"
ADDED = f"{HOST} ed25519"
ADDED_PORT = f"[{HOST}]:2222 ed25519"

TAB = "a revocation must not get lost over a tab"
BARE = "a name with a port was looked up without it, and `ssh` forgets what it found there"
GLUED = "OpenSSH 9.2 adds to the last line, if that has no newline, and so damages both"
SINCE_DSA_IS_GONE = (9, 8)
NEW_PRINCIPALS = (10, 3)

CASES = [
    # what is on file for the name
    Case("empty", "refuse", ""),
    Case("known", "accept", KNOWN),
    Case("changed", "refuse", CHANGED),
    Case("right-key-last", "accept", f"{HOST} {{other}}\n{HOST} {{ed25519}}\n"),
    Case("no-newline-at-the-end", "accept", f"{HOST} {{ed25519}}"),
    Case("crlf", "accept", f"# mine\r\n\r\n{HOST} {{ed25519}} me\r\n"),
    Case("broken-lines", "accept", f"x\n{HOST}\n{HOST} ssh-ed25519\n{HOST} {{ed25519}}\n"),
    Case("comment-behind", "accept", f"{HOST} {{ed25519}} ada@home # x\n"),
    Case("commented-out", "refuse", f"#{HOST} {{ed25519}}\n"),
    Case("case-on-file", "accept", "NODE.Example.com {ed25519}\n"),
    Case("case-asked-for", "accept", KNOWN, host="Node.EXAMPLE.com"),
    # names
    Case("list", "accept", f"a,{HOST},b {{ed25519}}\n"),
    Case("wildcard", "accept", "*.example.com {ed25519}\n"),
    Case("question-mark", "accept", "nod?.example.com {ed25519}\n"),
    Case("negated", "refuse", f"*.example.com,!{HOST} {{ed25519}}\n"),
    Case("negated-elsewhere", "accept", f"*,!{HOST} {{other}}\n{HOST} {{ed25519}}\n"),
    Case("hashed", "accept", f"{{hash:{HOST}}} {{ed25519}}\n"),
    Case("hashed-changed", "refuse", f"{{hash:{HOST}}} {{other}}\n"),
    Case("hashed-case", "accept", f"{{hash:{HOST}}} {{ed25519}}\n", host=HOST.upper()),
    Case("hashed-with-port", "accept", f"{{hash:[{HOST}]:2222}} {{ed25519}}\n", port=2222),
    Case("ipv6", "accept", "[::1]:2222 {ed25519}\n", host="::1", port=2222),
    # ports
    Case("port", "accept", PORT_KNOWN, port=2222),
    Case("port-changed", "refuse", PORT_CHANGED, port=2222),
    Case("other-port", "refuse", PORT_KNOWN),
    Case("fall-back", "accept", KNOWN, port=2222),
    Case("fall-back-changed", "refuse", CHANGED, port=2222),
    Case("fall-back-does-not-choose-the-type", "refuse", RSA, port=2222),
    Case("no-fall-back", "refuse", PORT_CHANGED + KNOWN, port=2222),
    Case("port-wildcard", "accept", "* {ed25519}\n", port=2222),
    # types of keys
    Case("only-rsa-on-file", "accept", RSA),
    Case("only-ecdsa-on-file", "accept", f"{HOST} {{ecdsa}}\n"),
    Case("two-types-on-file", "accept", f"{HOST} {{rsa}}\n{HOST} {{ecdsa}}\n"),
    Case("known-type-gone", "refuse", RSA, server="ed25519 ecdsa"),
    Case("first-type-changed", "refuse", f"{HOST} {{other}}\n{HOST} {{rsa}}\n"),
    Case("last-type-changed", "accept", f"{HOST} {{other_rsa}}\n{HOST} {{ed25519}}\n"),
    Case("rsa-by-its-signature", "accept", f"{HOST} rsa-sha2-512 {{rsa:base64}}\n"),
    Case("type-by-its-short-name", "refuse", f"{HOST} ED25519 {{ed25519:base64}}\n"),
    Case("fido-only", "refuse", f"{HOST} {{sk}}\n", strict=NEW),
    Case("fido-beside", "accept", f"{HOST} {{sk}}\n{HOST} {{ed25519}}\n"),
    Case("fido-stops-the-fall-back", "refuse", f"[{HOST}]:2222 {{sk}}\n" + KNOWN, port=2222),
    Case("dsa-only", "refuse", f"{HOST} {{dsa}}\n", strict=NEW, before=SINCE_DSA_IS_GONE),
    Case("certificate-as-a-key", "refuse", f"{HOST} {{cert}}\n", strict=NEW),
    # revoked
    Case("revoked", "refuse", KNOWN + REVOKED),
    Case("revoked-alone", "refuse", REVOKED, strict=NEW),
    Case("revoked-other", "accept", f"{HOST} {{ed25519}}\n@revoked * {{other}}\n"),
    Case("revoked-other-host", "accept", f"{HOST} {{ed25519}}\n@revoked x {{ed25519}}\n"),
    Case("revoked-hashed", "refuse", KNOWN + f"@revoked {{hash:{HOST}}} {{ed25519}}\n"),
    Case("revoked-not-asked-for", "accept", f"{HOST} {{ed25519}}\n@revoked * {{rsa}}\n"),
    Case("revoked-but-off", "accept", KNOWN + REVOKED, strict="no"),
    Case("revoked-type-is-not-asked-for", "accept", KNOWN + RSA + REVOKED),
    Case("revoked-bare-name", "refuse", REVOKED_BARE, port=2222),
    Case("revoked-bare-name-new", "refuse", REVOKED_BARE, port=2222, strict=NEW, ssh_says="accept", why=BARE),
    Case("revoked-with-a-tab", "refuse", f"{HOST} {{ed25519}}\n@revoked\t* {{ed25519}}\n", ssh_says="accept", why=TAB),
    Case("revoked-file", "refuse", KNOWN, revoked="# lost\n{ed25519}\n"),
    Case("revoked-file-other", "accept", KNOWN, revoked="{other}\n\n{rsa} x\n"),
    Case("revoked-file-even-if-off", "refuse", KNOWN, revoked="{ed25519}\n", strict="no"),
    Case("revoked-file-broken", "refuse", KNOWN, revoked="nonsense\n"),
    Case("revoked-file-broken-below", "refuse", KNOWN, revoked="{other}\nnonsense\n"),
    Case("revoked-file-missing", "refuse", KNOWN, revoked="MISSING"),
    Case("revoked-file-authority", "refuse", CA, certificate="good", revoked="{ca}\n"),
    # several files
    Case("second-file", "accept", "", second=KNOWN),
    Case("system-file", "accept", "", system=KNOWN),
    Case("revoked-in-the-system-file", "refuse", KNOWN, system=REVOKED),
    Case("changed-in-the-system-file", "refuse", "", system=CHANGED, strict=NEW),
    Case("no-fall-back-past-another-file", "refuse", KNOWN, second=PORT_CHANGED, port=2222),
    # HostKeyAlias
    Case("alias", "accept", "box {ed25519}\n", alias="box"),
    Case("alias-without-its-port", "accept", "box {ed25519}\n", alias="box", port=2222),
    Case("alias-with-a-port", "refuse", "[box]:2222 {ed25519}\n", alias="box", port=2222),
    Case("alias-has-no-fall-back", "refuse", KNOWN, alias="box", port=2222),
    Case("alias-case", "accept", "box {ed25519}\n", alias="Box"),
    Case("alias-case-hashed", "accept", "{hash:box} {ed25519}\n", alias="Box"),
    Case("alias-case-hashed-as-is", "refuse", "{hash:Box} {ed25519}\n", alias="Box"),
    Case("alias-like-a-port", "accept", "[box]:99 {ed25519}\n", alias="[box]:99"),
    # accept-new
    Case("new", "accept", "", strict=NEW, added=ADDED),
    Case("new-missing-file", "accept", "MISSING", strict=NEW, added=ADDED),
    Case("new-port", "accept", "", strict=NEW, port=2222, added=ADDED_PORT),
    Case("new-in-capitals", "accept", "", strict=NEW, host=HOST.upper(), added=ADDED),
    Case("new-alias", "accept", "", strict=NEW, alias="Box", port=2222, added="box ed25519"),
    Case("new-behind-half-a-line", "accept", "a {other}", strict=NEW, added=ADDED, ssh_says="accept", why=GLUED),
    Case("new-behind-crlf", "accept", "a {other}\r\n", strict=NEW, added=ADDED),
    Case("new-hashed", "accept", "", strict=NEW, hashed=True, added=ADDED),
    Case("new-hashed-port", "accept", "", strict=NEW, hashed=True, port=2222, added=ADDED_PORT),
    Case("new-where-hashed-is-on", "accept", f"{{hash:{HOST}}} {{ed25519}}\n", strict=NEW, hashed=True),
    Case("new-ipv6", "accept", "", strict=NEW, host="::1", added="::1 ed25519"),
    Case("new-beside-bare-other", "accept", CHANGED, strict=NEW, port=2222, added=ADDED_PORT),
    Case("new-known", "accept", KNOWN, strict=NEW),
    Case("new-known-bare", "accept", KNOWN, strict=NEW, port=2222),
    Case("new-known-to-the-system", "accept", "", strict=NEW, system=KNOWN),
    Case("new-first-file-only", "accept", "", strict=NEW, second="x {other}\n", added=ADDED),
    Case("new-changed", "refuse", CHANGED, strict=NEW),
    Case("new-other-type", "refuse", RSA, strict=NEW, server="ed25519"),
    Case("new-without-files", "refuse", "NONE", strict=NEW),
    Case("new-of-an-impossible-name", "refuse", "", strict=NEW, host="a*b"),
    # no
    Case("off-unknown", "accept", "", strict="no", added=ADDED),
    Case("off-without-files", "refuse", "NONE", strict="no"),
    Case("off-changed", "accept", CHANGED, strict="no"),
    Case("off-changed-port", "accept", PORT_CHANGED, strict="no", port=2222),
    # certificates
    Case("ca", "accept", CA, certificate="good"),
    Case("ca-ecdsa-key", "accept", CA, certificate="good-ecdsa"),
    Case("ca-rsa-key", "accept", CA, certificate="good-rsa"),
    Case("ca-second-name", "accept", CA, certificate="second-name"),
    Case("ca-rsa", "accept", "@cert-authority * {ca_rsa}\n", certificate="by-rsa"),
    Case("ca-rsa-256", "accept", "@cert-authority * {ca_rsa}\n", certificate="by-rsa-256"),
    Case("ca-ecdsa", "accept", "@cert-authority * {ca_ecdsa}\n", certificate="by-ecdsa"),
    Case("ca-sha1", "refuse", "@cert-authority * {ca_rsa}\n", certificate="by-sha1"),
    Case("ca-wrong", "refuse", "@cert-authority * {ca_other}\n", certificate="good"),
    Case("ca-of-two", "accept", "@cert-authority * {ca_other}\n@cert-authority * {ca}\n", certificate="good"),
    Case("ca-not-marked", "refuse", "* {ca}\n", certificate="good"),
    Case("ca-for-another-host", "refuse", "@cert-authority *.example.org {ca}\n", certificate="good"),
    Case("ca-negated", "refuse", f"@cert-authority *,!{HOST} {{ca}}\n", certificate="good"),
    Case("ca-hashed", "accept", f"@cert-authority {{hash:{HOST}}} {{ca}}\n", certificate="good"),
    Case("ca-in-the-system-file", "accept", "", system=CA, certificate="good"),
    Case("ca-expired", "refuse", CA, certificate="expired"),
    Case("ca-expired-known-key", "accept", CA + KNOWN, certificate="expired"),
    Case("ca-expired-new", "accept", CA, certificate="expired", strict=NEW, added=ADDED),
    Case("ca-not-yet", "refuse", CA, certificate="not-yet"),
    Case("ca-in-time", "accept", CA, certificate="in-time"),
    Case("ca-other-name", "refuse", CA, certificate="other-name"),
    Case("ca-upper-name", "refuse", CA, certificate="upper-name"),
    Case("ca-upper-host", "accept", CA, certificate="good", host=HOST.upper()),
    Case("ca-port-name", "refuse", CA, certificate="port-name", port=2222),
    Case("ca-port", "accept", f"@cert-authority [{HOST}]:2222 {{ca}}\n", certificate="good", port=2222),
    Case("ca-fall-back", "accept", CA_BARE, certificate="good", port=2222),
    Case("ca-fall-back-past-changed", "accept", CA_BARE + PORT_CHANGED, certificate="good", port=2222),
    Case("ca-expired-fall-back", "refuse", CA_BARE, certificate="expired", port=2222),
    Case("ca-expired-fall-back-key", "accept", CA + KNOWN, certificate="expired", port=2222),
    Case("no-ca-fall-back-past-changed", "accept", PORT_CHANGED + KNOWN, certificate="good", port=2222),
    Case("ca-alias", "accept", "@cert-authority box {ca}\n", certificate="alias-name", alias="box"),
    Case("ca-alias-not-the-host", "refuse", "@cert-authority box {ca}\n", certificate="good", alias="box"),
    Case("ca-alias-case", "accept", "@cert-authority box {ca}\n", certificate="alias-name", alias="Box"),
    Case("ca-wildcard", "accept", CA, certificate="wildcard", since=NEW_PRINCIPALS),
    Case("ca-wildcard-other", "refuse", CA, certificate="wildcard-other"),
    Case("ca-nameless", "refuse", CA, certificate="nameless", since=NEW_PRINCIPALS),
    Case("ca-for-users", "refuse", CA, certificate="for-users"),
    Case("ca-critical", "refuse", CA, certificate="critical"),
    Case("ca-extension", "accept", CA, certificate="extension"),
    Case("ca-revoked", "refuse", CA + CA_REVOKED, certificate="good"),
    Case("ca-revoked-known-key", "refuse", KNOWN + CA_REVOKED, certificate="good"),
    Case("ca-revoked-new", "refuse", "@revoked * {ca}\n", certificate="good", strict=NEW),
    Case("ca-revoked-elsewhere", "accept", "@cert-authority * {ca}\n@revoked x {ca}\n", certificate="good"),
    Case("ca-key-revoked", "refuse", "@cert-authority * {ca}\n@revoked * {ed25519}\n", certificate="good"),
    Case("ca-lost", "accept", PORT_KNOWN + LOST_CA, certificate="good", port=2222),
    Case("ca-lost-new", "refuse", LOST_CA, certificate="good", port=2222, strict=NEW, ssh_says="accept", why=BARE),
    Case("ca-revoked-but-off", "accept", CA + CA_REVOKED, certificate="good", strict="no"),
    Case("no-ca-known-key", "accept", KNOWN, certificate="good"),
    Case("no-ca-changed-key", "refuse", CHANGED, certificate="good"),
    Case("no-ca-new", "accept", "", certificate="good", strict=NEW, added=ADDED),
    Case("no-ca-new-rsa-certificate", "accept", "", certificate="good-rsa", strict=NEW, added=f"{HOST} rsa"),
    Case("no-ca-rsa-certificate-first", "refuse", KNOWN, certificate="good-rsa"),
    Case("ca-and-a-known-rsa-key", "accept", CA + RSA, certificate="good"),
    Case("ca-server-without-certificate", "refuse", CA),
    Case("ca-server-without-known-key", "accept", CA + RSA),
]  # fmt: skip
