from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import programs
from support.examples import examples

from m2m_ssh_client.errors import HostKeyError, KnownHostsError
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Trust
from m2m_ssh_client.ssh.trust.known_hosts import KnownHosts, entry
from m2m_ssh_client.ssh.trust.verifier import HostVerifier

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")


def wire(*fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def mpint(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def rsa_blob(bits: int, exponent: int = 65537) -> bytes:
    return wire(b"ssh-rsa", mpint(exponent), mpint((1 << (bits - 1)) + 1))


def ecdsa_blob(bits: int, point_size: int) -> bytes:
    curve = b"nistp%d" % bits
    return wire(b"ecdsa-sha2-" + curve, curve, b"\x04" + b"\x07" * (point_size - 1))


def key_text(key: PublicKey) -> str:
    return f"{key.key_type} {key.base64}"


def encoded(key_type: str, blob: bytes) -> str:
    return f"{key_type} {base64.b64encode(blob).decode()}"


def hashed(name: str, salt: bytes = b"s" * 20) -> str:
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


HOST, PORT = "node.example.com", 2222
OURS = PublicKey("ssh-ed25519", wire(b"ssh-ed25519", b"\x01" * 32))
OTHER = PublicKey("ssh-ed25519", wire(b"ssh-ed25519", b"\x02" * 32))
RSA = PublicKey("ssh-rsa", rsa_blob(2048))
K, X, R = key_text(OURS), key_text(OTHER), key_text(RSA)


def verifier(host: str, port: int, *files: Path) -> HostVerifier:
    return HostVerifier(Trust(host, port, user_files=files))


def outcome(file: Path, host: str, port: int, key: PublicKey = OURS) -> str:
    try:
        verifier(host, port, file).verify(key.blob)
    except HostKeyError as exc:
        words = {
            "revoked": "revoked",
            "has changed": "changed",
            "a certificate authority": "authority",
            "no key is on file": "unknown",
        }
        return next(name for word, name in words.items() if word in str(exc))
    return "ok"


# Every row but the marked ones was put to OpenSSH 9.2's ssh, which decided the same.
MATCHING = [
    # what is on file for the name
    ("no-entry", "", HOST, 22, "unknown"),
    ("exact", f"{HOST} {K}", HOST, 22, "ok"),
    ("other-key", f"{HOST} {X}", HOST, 22, "changed"),
    ("other-type", f"{HOST} {R}", HOST, 22, "changed"),
    ("right-key-last", f"{HOST} {X}\n{HOST} {R}\n{HOST} {K}", HOST, 22, "ok"),
    ("right-key-first", f"{HOST} {K}\n{HOST} {X}", HOST, 22, "ok"),
    ("other-host", f"mode.example.com {X}", HOST, 22, "unknown"),
    ("suffix-is-no-match", f"x{HOST} {K}", HOST, 22, "unknown"),
    # names
    ("upper-case-on-file", f"Node.EXAMPLE.com {K}", HOST, 22, "ok"),
    ("upper-case-asked-for", f"{HOST} {K}", "NODE.example.com", 22, "ok"),
    ("list", f"a,{HOST},b {K}", HOST, 22, "ok"),
    ("list-with-empty-item", f"a,,{HOST} {K}", HOST, 22, "ok"),
    ("address-in-list", f"{HOST},192.0.2.1 {K}", "192.0.2.1", 22, "ok"),
    ("trailing-dot-is-part-of-the-name", f"{HOST} {K}", f"{HOST}.", 22, "unknown"),
    ("ipv6", f"::1 {K}", "::1", 22, "ok"),
    ("ipv6-port", f"[::1]:2222 {K}", "::1", PORT, "ok"),
    ("ipv6-in-brackets-without-port", f"[::1] {K}", "::1", 22, "unknown"),
    # patterns
    ("star", f"*.example.com {K}", HOST, 22, "ok"),
    ("star-matches-the-bracketed-form", f"* {K}", HOST, PORT, "ok"),
    ("star-in-brackets", f"[*.example.com]:2222 {K}", HOST, PORT, "ok"),
    ("star-as-port", f"[{HOST}]:* {K}", HOST, PORT, "ok"),
    ("question-mark", f"nod?.example.com {K}", HOST, 22, "ok"),
    ("question-mark-is-not-nothing", f"node?.example.com {K}", HOST, 22, "unknown"),
    ("brackets-are-no-character-class", f"[n]ode.example.com {K}", HOST, 22, "unknown"),
    ("brackets-and-star-are-no-class", f"[n]*.example.com {K}", HOST, 22, "unknown"),
    ("negated-before", f"!{HOST},*.example.com {K}", HOST, 22, "unknown"),
    ("negated-after", f"*.example.com,!{HOST} {K}", HOST, 22, "unknown"),
    ("negated-pattern", f"*,!*.example.com {K}", HOST, 22, "unknown"),
    ("another-is-negated", f"*.example.com,!x.example.com {K}", HOST, 22, "ok"),
    ("negation-alone-matches-nothing", f"!x.example.com {K}", HOST, 22, "unknown"),
    ("negation-vetoes-its-line-only", f"*,!{HOST} {X}\n{HOST} {K}", HOST, 22, "ok"),
    ("double-negation-is-none", f"*,!!{HOST} {K}", HOST, 22, "ok"),
    ("pattern-too-long-voids-the-list", f"{'a' * 2000},{HOST} {K}", HOST, 22, "unknown"),
    # ports
    ("port", f"[{HOST}]:2222 {K}", HOST, PORT, "ok"),
    ("port-other-key", f"[{HOST}]:2222 {X}", HOST, PORT, "changed"),
    ("port-entry-is-not-for-22", f"[{HOST}]:2222 {K}", HOST, 22, "unknown"),
    ("port-22-is-never-bracketed", f"[{HOST}]:22 {K}", HOST, 22, "unknown"),
    ("fall-back", f"{HOST} {K}", HOST, PORT, "ok"),
    ("fall-back-other-key", f"{HOST} {X}", HOST, PORT, "unknown"),
    ("no-fall-back-past-a-key", f"[{HOST}]:2222 {X}\n{HOST} {K}", HOST, PORT, "changed"),
    ("no-fall-back-past-a-type", f"[{HOST}]:2222 {R}\n{HOST} {K}", HOST, PORT, "changed"),
    ("fall-back-past-a-ca", f"@cert-authority [{HOST}]:2222 {X}\n{HOST} {K}", HOST, PORT, "ok"),
    ("fall-back-past-a-revoked", f"@revoked [{HOST}]:2222 {X}\n{HOST} {K}", HOST, PORT, "ok"),
    ("fall-back-of-a-negated-port", f"*,![{HOST}]:2222 {K}", HOST, PORT, "ok"),
    # markers
    ("revoked-alone", f"@revoked * {K}", HOST, 22, "revoked"),
    ("revoked-before-entry", f"@revoked * {K}\n{HOST} {K}", HOST, 22, "revoked"),
    ("revoked-after-entry", f"{HOST} {K}\n@revoked {HOST} {K}", HOST, 22, "revoked"),
    ("revoked-rather-than-changed", f"@revoked * {K}\n{HOST} {X}", HOST, 22, "revoked"),
    ("another-key-revoked", f"@revoked * {X}\n{HOST} {K}", HOST, 22, "ok"),
    ("revoked-for-another-host", f"@revoked other {K}\n{HOST} {K}", HOST, 22, "ok"),
    ("revoked-port", f"@revoked [{HOST}]:2222 {K}\n{HOST} {K}", HOST, PORT, "revoked"),
    ("revoked-in-fall-back", f"@revoked {HOST} {K}\n{HOST} {K}", HOST, PORT, "revoked"),
    ("bare-revoked-port-known", f"@revoked {HOST} {K}\n[{HOST}]:2222 {K}", HOST, PORT, "ok"),
    ("revoked-hashed", f"@revoked {hashed(HOST)} {K}\n{HOST} {K}", HOST, 22, "revoked"),
    ("revoked-with-tabs", f"@revoked\t{HOST}\t{K}\n{HOST} {K}", HOST, 22, "revoked"),  # ssh: ok
    ("ca-is-no-plain-key", f"@cert-authority * {K}", HOST, 22, "authority"),  # ssh: unknown
    ("ca-beside-entry", f"@cert-authority * {X}\n{HOST} {K}", HOST, 22, "ok"),
    ("ca-beside-other", f"@cert-authority * {K}\n{HOST} {X}", HOST, 22, "changed"),
    ("unknown-marker", f"@trusted {HOST} {K}", HOST, 22, "unknown"),
    ("marker-in-capitals", f"@REVOKED * {K}\n{HOST} {K}", HOST, 22, "ok"),
    ("two-markers", f"@revoked @revoked * {K}\n{HOST} {K}", HOST, 22, "ok"),
    # hashes
    ("hashed", f"{hashed(HOST)} {K}", HOST, 22, "ok"),
    ("hashed-other-key", f"{hashed(HOST)} {X}", HOST, 22, "changed"),
    ("hashed-asked-in-capitals", f"{hashed(HOST)} {K}", HOST.upper(), 22, "ok"),
    ("hashed-port", f"{hashed(f'[{HOST}]:2222')} {K}", HOST, PORT, "ok"),
    ("hashed-fall-back", f"{hashed(HOST)} {K}", HOST, PORT, "ok"),
    ("hashed-is-no-list", f"{hashed(HOST)},x {K}", HOST, 22, "unknown"),
    ("hashed-is-not-in-a-list", f"x,{hashed(HOST)} {K}", HOST, 22, "unknown"),
    ("hashed-is-not-negated", f"!{hashed(HOST)} {K}", HOST, 22, "unknown"),
    ("hash-with-short-salt", f"{hashed(HOST, b'salt')} {K}", HOST, 22, "unknown"),
    ("hash-of-unknown-kind", f"{hashed(HOST).replace('1', '2', 1)} {K}", HOST, 22, "unknown"),
    ("hash-broken", f"|1|AAAA {K}\n|1|*|* {K}\n|1|A|B|C {K}\n| {K}", HOST, 22, "unknown"),
    # lines
    ("crlf", f"{HOST} {K}\r\n", HOST, 22, "ok"),
    ("crlf-after-comment", f"# mine\r\n\r\n{HOST} {K} me\r\n", HOST, 22, "ok"),
    ("leading-blanks", f" \t {HOST} {K}", HOST, 22, "ok"),
    ("tabs", f"{HOST}\t \t{K}\tme".replace("ed25519 ", "ed25519\t"), HOST, 22, "ok"),
    ("commented-out", f"#{HOST} {K}", HOST, 22, "unknown"),
    ("commented-out-indented", f"  # {HOST} {K}", HOST, 22, "unknown"),
    ("lone-cr-ends-no-line", f"# x\r{HOST} {K}", HOST, 22, "unknown"),
    ("form-feed-is-no-blank", f"{HOST}\f{K}", HOST, 22, "unknown"),
    ("byte-order-mark", f"\ufeff{HOST} {K}", HOST, 22, "unknown"),
    ("nul-ends-a-line", f"@revoked * {K}\0rest\n{HOST} {K}", HOST, 22, "revoked"),
    ("key-missing", f"{HOST}\n{HOST} ssh-ed25519\n{HOST} {K}", HOST, 22, "ok"),
    ("key-cut-short", f"{HOST} ssh-ed25519 AAAA\n{HOST} {K}", HOST, 22, "ok"),
    ("type-differs-from-blob", f"{HOST} ssh-rsa {OURS.base64}", HOST, 22, "unknown"),
    ("bits-of-version-1", f"{HOST} 256 {K}", HOST, 22, "unknown"),
]


@pytest.mark.parametrize(
    ("content", "host", "port", "expected"),
    [pytest.param(*row, id=name) for name, *row in MATCHING],
)
def test_a_key_is_judged_as_ssh_judges_it(
    tmp_path: Path, content: str, host: str, port: int, expected: str
) -> None:
    file = tmp_path / "known_hosts"
    file.write_bytes(content.encode())
    assert outcome(file, host, port) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x80 \xff\n%s %s",
        b"%s %s \xff\xfe",
        b"\xff\xfe,%s %s",
        b"host \xc3\x28 key\n%s %s",
    ],
)
def test_bytes_that_are_not_utf8_disturb_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "known_hosts"
    file.write_bytes(content % (HOST.encode(), K.encode()))
    assert outcome(file, HOST, 22) == "ok"


def test_many_stars_in_a_pattern_do_not_make_matching_slow(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{'*a' * 200}b {K}\n")
    assert outcome(file, "a" * 255, 22) == "unknown"


ED, RSA_512, RSA_256, P256_ALGORITHM = AVAILABLE = (
    "ssh-ed25519",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ecdsa-sha2-nistp256",
)
CERTIFIED = [f"{name}-cert-v01@openssh.com" for name in AVAILABLE]
C_ED, C_512, C_256, C_P256 = CERTIFIED
USUAL = [*CERTIFIED, *AVAILABLE]
RSA_FIRST = [C_512, C_256, RSA_512, RSA_256, C_ED, C_P256, ED, P256_ALGORITHM]


@pytest.mark.parametrize(
    ("content", "port", "offered"),
    [
        pytest.param("", 22, USUAL, id="empty"),
        pytest.param(f"{HOST} {R}", 22, RSA_FIRST, id="type-on-file"),
        pytest.param(f"{HOST} {R}\n{HOST} {K}\n* {X}", 22, USUAL, id="best-on-file"),
        pytest.param(f"[{HOST}]:2222 {R}\n{HOST} {K}", PORT, RSA_FIRST, id="port"),
        pytest.param(f"{HOST} {R}", PORT, USUAL, id="no-fall-back"),
        pytest.param(f"@revoked * {R}", 22, USUAL, id="only-revoked"),
        pytest.param(f"@revoked * {R}\n{HOST} {R}", 22, USUAL, id="known-and-revoked"),
        pytest.param(
            f"{HOST} {R}\n{HOST} {K}\n@revoked * {K}", 22, RSA_FIRST, id="one-of-two-revoked"
        ),
        pytest.param(f"@cert-authority * {R}", 22, USUAL, id="only-a-ca"),
        pytest.param(
            f"@cert-authority * {X}\n{HOST} {R}",
            22,
            [*CERTIFIED, RSA_512, RSA_256, ED, P256_ALGORITHM],
            id="ca-and-a-type",
        ),
    ],
)
def test_the_algorithms_offered_first_are_those_that_lead_to_a_key_on_file(
    tmp_path: Path, content: str, port: int, offered: list[str]
) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(content)
    assert verifier(HOST, port, file).key_algorithms(AVAILABLE) == offered


def test_a_list_with_certificates_is_only_put_in_order(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{HOST} {R}\n")
    assert verifier(HOST, 22, file).key_algorithms([C_ED, ED, C_512, RSA_512]) == [
        *(C_512, RSA_512, C_ED, ED)
    ]


def test_all_files_count_as_one_and_a_revocation_in_the_last_one_counts(tmp_path: Path) -> None:
    user, system, absent = tmp_path / "user", tmp_path / "system", tmp_path / "absent"
    user.write_text(f"{HOST} {X}\n")
    system.write_text(f"{HOST} {K}\n")
    verifier(HOST, 22, absent, user, system).verify(OURS.blob)
    system.write_text(f"{HOST} {K}\n@revoked {HOST} {X}\n")
    with pytest.raises(HostKeyError, match="revoked"):
        verifier(HOST, 22, absent, user, system).verify(OTHER.blob)


def test_an_unknown_key_is_refused_with_the_ways_to_check_and_to_add_it(tmp_path: Path) -> None:
    first = tmp_path / "known_hosts"
    with pytest.raises(HostKeyError) as caught:
        verifier(HOST, PORT, first, tmp_path / "other").verify(OURS.blob)
    text = str(caught.value)
    assert text.startswith(f"Host key verification failed: {HOST}:{PORT} ")
    assert f"the ssh-ed25519 key {OURS.fingerprint}" in text
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in text
    command = f"m2m-mcp-server-ssh-client trust --host {HOST} --port {PORT} --known-hosts {first}"
    assert f"run `{command}` or pass" in text
    assert f"--host-key {OURS.fingerprint}" in text
    assert "\n" not in text


def test_without_a_file_an_unknown_key_can_only_be_pinned() -> None:
    with pytest.raises(HostKeyError) as caught:
        verifier("::1", PORT).verify(RSA.blob)
    text = str(caught.value)
    assert f"[::1]:{PORT} showed the ssh-rsa key" in text
    assert "trust" not in text
    assert f"--host-key {RSA.fingerprint}" in text


def test_a_different_key_under_the_bare_name_is_mentioned(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"# one\n{HOST} {X}\n")
    with pytest.raises(HostKeyError, match="no key is on file") as caught:
        verifier(HOST, PORT, file).verify(OURS.blob)
    assert f"{file}:2 has a different key for {HOST} without a port" in str(caught.value)


def test_a_changed_key_names_the_line_of_the_same_type_and_warns_of_an_attack(
    tmp_path: Path,
) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{HOST} {R}\n# two\n{HOST} {X}\n")
    with pytest.raises(HostKeyError) as caught:
        verifier(HOST, 22, file).verify(OURS.blob)
    text = str(caught.value)
    assert text.startswith(f"Host key verification failed: {HOST}:22 ")
    assert OURS.fingerprint in text
    assert f"{file}:3 " in text
    assert f"ssh-ed25519 {OTHER.fingerprint}" in text
    assert "attack" in text
    assert f"ssh-keygen -R {HOST} -f {file}" in text


def test_a_changed_key_behind_a_pattern_is_not_mended_by_dropping_the_pattern(
    tmp_path: Path,
) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"*.example.com {X}\n")
    with pytest.raises(HostKeyError) as caught:
        verifier(HOST, 22, file).verify(OURS.blob)
    assert f"correct line 1 of {file}" in str(caught.value)
    assert "ssh-keygen -R" not in str(caught.value)


def test_a_revoked_key_names_the_line_that_revokes_it(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"\n@revoked * {K}\n")
    with pytest.raises(HostKeyError) as caught:
        verifier(HOST, PORT, file).verify(OURS.blob)
    text = str(caught.value)
    assert text.startswith(f"Host key verification failed: {HOST}:{PORT} ")
    assert f"{OURS.fingerprint}, which is marked as revoked at {file}:2" in text
    assert "client trust" not in text


def test_a_host_with_only_a_certificate_authority_is_told_so(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"@cert-authority *.example.com {X}\n")
    with pytest.raises(HostKeyError) as caught:
        verifier(HOST, PORT, file).verify(OURS.blob)
    text = str(caught.value)
    assert f"@cert-authority, {file}:1" in text
    assert "client trust --host" in text


@posix_only
def test_the_commands_can_be_pasted_whatever_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "it's $HOME"
    folder.mkdir()
    file = folder / "known hosts"
    file.write_text(f"[{HOST}]:2222 {X}\n{hashed(f'[{HOST}]:2222')} {X}\nother {K}\n")
    with pytest.raises(HostKeyError) as caught:
        verifier(HOST, PORT, file).verify(OURS.blob)
    command = caught.value.hint.split("`")[1]
    assert shlex.split(command) == ["ssh-keygen", "-R", f"[{HOST}]:2222", "-f", str(file)]
    subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=20)
    assert file.read_text() == f"other {K}\n"
    with pytest.raises(HostKeyError) as caught:
        verifier(HOST, PORT, file).verify(OURS.blob)
    assert shlex.split(caught.value.hint.split("`")[3])[-1] == str(file)


def test_a_missing_file_is_empty_and_a_tilde_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert not KnownHosts.load([Path("~/known_hosts")]).entries_for(HOST)
    (tmp_path / "known_hosts").write_text(f"{HOST} {K}\n")
    assert KnownHosts.load([Path("~/known_hosts")]).entries_for(HOST)


def unreadable_paths(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    return {
        "directory": (tmp_path, "is a directory"),
        "below-a-file": (tmp_path / "file" / "x", "cannot be read: Not a directory"),
        "symlink-loop": (tmp_path / "loop", "cannot be read: Too many levels"),
        "name-too-long": (tmp_path / ("x" * 300), "cannot be read: File name too long"),
        "nul": (Path("a\0b"), "cannot be read: embedded null"),
        "no-home": (Path("~nobody-of-this-name/x"), "cannot be read: Could not determine home"),
    }


@posix_only
@pytest.mark.parametrize(
    "case", ["directory", "below-a-file", "symlink-loop", "name-too-long", "nul", "no-home"]
)
def test_a_file_that_is_there_and_cannot_be_read_is_an_error(tmp_path: Path, case: str) -> None:
    path, reason = unreadable_paths(tmp_path)[case]
    with pytest.raises(KnownHostsError) as caught:
        KnownHosts.load([path])
    assert f"{shlex.quote(str(path))} {reason}" in str(caught.value)


def test_lines_that_make_no_sense_are_skipped_and_logged_by_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"nonsense\n# fine\n\n{HOST} {K}\n{HOST} ssh-dss AAAA\n@foo * {K}\n")
    with caplog.at_level(logging.DEBUG):
        verifier(HOST, 22, file).verify(OURS.blob)
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert record.getMessage().endswith(f": {file}:1, {file}:5, {file}:6")


@pytest.mark.parametrize("port", [22, PORT])
@pytest.mark.parametrize("host", [HOST, "Node.Example.COM", "192.0.2.1", "::1", "fe80::1%eth0"])
def test_an_added_line_is_found_by_us_and_by_ssh_keygen(
    tmp_path: Path, host: str, port: int
) -> None:
    file = tmp_path / "known_hosts"
    line = entry(host, port, OURS)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    file.write_text(line)
    verifier(host, port, file).verify(OURS.blob)
    name = host.lower() if port == 22 else f"[{host.lower()}]:{port}"
    assert line.split() == [name, "ssh-ed25519", OURS.base64]
    assert keygen("-F", name, "-f", str(file)).endswith(line)


@pytest.mark.parametrize(
    "host", ["", "*", "a?", "a,b", "!a", "|1|a|b", "@revoked", "#a", "a b", "a\nb", "a\tb", "a\0"]
)
def test_a_host_that_would_mean_something_else_never_becomes_a_line(host: str) -> None:
    with pytest.raises(KnownHostsError):
        entry(host, PORT, OURS)


def keygen(*arguments: str) -> str:
    argv = [str(programs.require("ssh-keygen")), *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


REAL_TYPES = [
    ("ed25519", "256", "ssh-ed25519"),
    ("ecdsa", "256", "ecdsa-sha2-nistp256"),
    ("ecdsa", "384", "ecdsa-sha2-nistp384"),
    ("ecdsa", "521", "ecdsa-sha2-nistp521"),
    ("rsa", "1024", "ssh-rsa"),
    ("rsa", "2048", "ssh-rsa"),
    ("rsa", "3072", "ssh-rsa"),
]


@pytest.mark.parametrize(("kind", "bits", "key_type"), REAL_TYPES)
def test_a_key_made_by_ssh_keygen_is_read_with_its_fingerprint_and_found_when_hashed(
    tmp_path: Path, kind: str, bits: str, key_type: str
) -> None:
    private = tmp_path / "key"
    keygen("-q", "-t", kind, "-b", bits, "-N", "", "-C", "me at home", "-f", str(private))
    public = (tmp_path / "key.pub").read_text()
    key = PublicKey.parse_host_key(public.rstrip("\n"))
    assert key.key_type == key_type
    assert key_text(key) == " ".join(public.split()[:2])
    assert key.fingerprint == keygen("-l", "-f", str(private)).split()[1]

    file = tmp_path / "known_hosts"
    file.write_text(f"Node.Example.com,192.0.2.1 {key_text(key)}\n{entry('::1', PORT, key)}")
    keygen("-H", "-f", str(file))
    assert "example" not in file.read_text().lower()
    for host, port in ((HOST, 22), ("192.0.2.1", 22), ("::1", PORT)):
        verifier(host, port, file).verify(key.blob)
        assert outcome(file, host, port) == "changed"


P256 = ecdsa_blob(256, 65)
NOT_ONE_KEY = {
    "empty": "",
    "type-only": "ssh-ed25519",
    "no-base64": "ssh-ed25519 ",
    "leading-blank": f" {K}",
    "two-blanks": K.replace(" ", "  "),
    "tab": K.replace(" ", "\t"),
    "newline-at-the-end": f"{K}\n",
    "second-line": f"{K}\n* {X}",
    "carriage-return": f"{K}\r* {X}",
    "nul": f"{K}\0",
    "escape-in-comment": f"{K} \x1b[2J",
    "tab-in-comment": f"{K} a\tb",
    "next-line-in-comment": f"{K} a\x85b",
    "line-separator-in-comment": f"{K} a\u2028b",
    "surrogate-in-comment": f"{K} \udcff",
    "options": f"no-pty {K}",
    "known-hosts-line": f"* {K}",
    "oversized": f"{K} {'x' * 9000}",
    "type-in-capitals": f"SSH-ED25519 {OURS.base64}",
    "type-differs-from-blob": f"ssh-rsa {OURS.base64}",
    "unknown-type": encoded("ssh-dss", wire(b"ssh-dss", b"\x03")),
    "certificate": encoded(
        "ssh-ed25519-cert-v01@openssh.com", wire(b"ssh-ed25519-cert-v01@openssh.com", b"\x01" * 32)
    ),
    "security-key": encoded(
        "sk-ssh-ed25519@openssh.com", wire(b"sk-ssh-ed25519@openssh.com", b"\x01" * 32, b"ssh:")
    ),
    "base64-not-ascii": "ssh-ed25519 " + "ä" * 68,
    "base64-url-alphabet": K.replace("+", "-").replace("AQEB", "AQ_B"),
    "base64-with-a-hole": K[:40] + "*" + K[40:],
    "base64-without-padding": encoded("ecdsa-sha2-nistp256", P256).rstrip("="),
    "base64-with-more-padding": f"{K}====",
    "base64-with-stray-bits": encoded("ecdsa-sha2-nistp256", P256).replace("HBwc=", "HBwd="),
    "blob-empty": "ssh-ed25519 ====",
    "blob-cut": encoded("ssh-ed25519", OURS.blob[:-1]),
    "blob-with-a-length-past-its-end": encoded(
        "ssh-rsa", wire(b"ssh-rsa", mpint(65537)) + b"\0\0\x01\x02" + mpint((1 << 2047) + 1)
    ),
    "blob-of-a-similar-type": encoded("ssh-ed25519", wire(b"ssh-ed448", b"\x01" * 32)),
    "blob-cut-in-a-length": encoded("ssh-ed25519", wire(b"ssh-ed25519") + b"\0\0"),
    "blob-with-trailing-bytes": encoded("ssh-ed25519", OURS.blob + b"\0"),
    "blob-with-one-more-field": encoded("ssh-ed25519", OURS.blob + wire(b"")),
    "ed25519-of-31-bytes": encoded("ssh-ed25519", wire(b"ssh-ed25519", b"\x01" * 31)),
    "ed25519-of-33-bytes": encoded("ssh-ed25519", wire(b"ssh-ed25519", b"\x01" * 33)),
    "ed25519-without-a-key": encoded("ssh-ed25519", wire(b"ssh-ed25519")),
    "ecdsa-of-another-curve": encoded(
        "ecdsa-sha2-nistp256", wire(b"ecdsa-sha2-nistp256", b"nistp384", b"\x04" + b"\x07" * 96)
    ),
    "ecdsa-point-too-short": encoded("ecdsa-sha2-nistp384", ecdsa_blob(384, 96)),
    "ecdsa-point-too-long": encoded("ecdsa-sha2-nistp521", ecdsa_blob(521, 134)),
    "ecdsa-point-compressed": encoded(
        "ecdsa-sha2-nistp256", wire(b"ecdsa-sha2-nistp256", b"nistp256", b"\x02" + b"\x07" * 32)
    ),
    "ecdsa-point-not-marked-as-uncompressed": encoded(
        "ecdsa-sha2-nistp256", wire(b"ecdsa-sha2-nistp256", b"nistp256", b"\x02" + b"\x07" * 64)
    ),
    "ecdsa-unknown-curve": encoded("ecdsa-sha2-nistp192", ecdsa_blob(192, 49)),
    "rsa-1023-bits": encoded("ssh-rsa", rsa_blob(1023)),
    "rsa-16385-bits": encoded("ssh-rsa", rsa_blob(16385)),
    "rsa-exponent-1": encoded("ssh-rsa", rsa_blob(2048, exponent=1)),
    "rsa-exponent-even": encoded("ssh-rsa", rsa_blob(2048, exponent=4)),
    "rsa-exponent-empty": encoded("ssh-rsa", wire(b"ssh-rsa", b"", mpint((1 << 2047) + 1))),
    "rsa-modulus-negative": encoded(
        "ssh-rsa", wire(b"ssh-rsa", mpint(65537), b"\xff" * 256)
    ),
    "rsa-modulus-padded": encoded(
        "ssh-rsa", wire(b"ssh-rsa", mpint(65537), b"\0" + mpint((1 << 2047) + 1))
    ),
    "rsa-modulus-even": encoded("ssh-rsa", wire(b"ssh-rsa", mpint(65537), mpint(1 << 2047))),
}  # fmt: skip


@pytest.mark.parametrize(
    "text", [pytest.param(text, id=name) for name, text in NOT_ONE_KEY.items()]
)
def test_anything_but_one_well_formed_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*AAAA)"):
        PublicKey.parse_host_key(text)


@pytest.mark.parametrize(
    "blob",
    [rsa_blob(1024), rsa_blob(16384), rsa_blob(2048, exponent=3), P256, ecdsa_blob(521, 133)],
)
def test_keys_at_the_limits_are_read(blob: bytes) -> None:
    key_type = blob[4 : 4 + blob[3]].decode()
    assert PublicKey.parse_host_key(encoded(key_type, blob) + " grüße, 你好") == PublicKey(
        key_type, blob
    )


def test_rows_of_the_table_above_are_broken_in_one_point_only() -> None:
    assert base64.b64decode(NOT_ONE_KEY["base64-with-stray-bits"].split()[1]) == P256
    assert base64.b64decode(NOT_ONE_KEY["base64-without-padding"].split()[1] + "=") == P256
    assert NOT_ONE_KEY["base64-url-alphabet"].replace("_", "E") == K


SNIPPETS = [HOST, f"[{HOST}]:2222", "*", "!", ",", "?", "|1|", hashed(HOST), "@revoked", "#"]
SNIPPETS += ["@cert-authority", " ", "\t", "\r\n", "\n", "ssh-ed25519", OURS.base64, K, X, R, "\0"]
pieces = st.one_of(
    st.binary(max_size=200),
    st.lists(
        st.sampled_from([snippet.encode() for snippet in SNIPPETS]) | st.binary(max_size=4)
    ).map(b"".join),
)


@examples(300)
@given(
    content=pieces,
    host=st.text(min_size=1, max_size=20) | st.just(HOST),
    port=st.sampled_from([22, PORT]),
)
def test_no_file_content_does_more_harm_than_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, host: str, port: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "random_known_hosts"
    file.write_bytes(content)
    judge = verifier(host, port, file)
    assert sorted(judge.key_algorithms(AVAILABLE)) == sorted(USUAL)
    try:
        judge.verify(OURS.blob)
    except HostKeyError:
        return
    assert OURS.base64.encode() in content


looks_like_a_key = st.builds(encoded, st.just("ssh-ed25519"), st.binary(max_size=100))


@examples(300)
@given(text=st.text(max_size=100) | looks_like_a_key)
def test_no_text_gets_more_out_of_the_parser_than_a_value_error(text: str) -> None:
    try:
        key = PublicKey.parse_host_key(text)
    except ValueError:
        return
    assert text.startswith(key_text(key))
