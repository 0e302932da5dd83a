from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)
from hypothesis import given
from hypothesis import strategies as st
from support import programs
from support.examples import examples

import m2m_ssh_client
from m2m_ssh_client.errors import KeyFileError
from m2m_ssh_client.ssh.login.key_files import (
    ensure_client_key,
    load_client_key,
    public_key_line,
    read_key_file,
    read_public_key,
)
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.wire import strings
from m2m_ssh_client.text import quoted

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")

SECRET = "correct horse"


def keygen(*arguments: str) -> str:
    argv = [str(programs.require("ssh-keygen")), *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


@cache
def made(kind: str, bits: str) -> tuple[bytes, str]:
    """A key of ssh-keygen's, private and public, made once: an RSA key takes half a second."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        keygen("-q", "-t", kind, "-b", bits, "-N", "", "-C", "a comment", "-f", str(path))
        return path.read_bytes(), path.with_suffix(".pub").read_text()


def put(path: Path, kind: str, bits: str, *form: str) -> None:
    """Write a key and its `.pub`, as ssh-keygen writes them with the options `form`."""
    private, public = made(kind, bits)
    write_private(path, private)
    path.with_suffix(".pub").write_text(public)
    keygen("-q", "-p", "-P", "", *form, "-f", str(path))


def write_private(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def signs(key: paramiko.PKey) -> bool:
    algorithm = "rsa-sha2-512" if key.get_name() == "ssh-rsa" else None
    signature = paramiko.Message(key.sign_ssh_data(b"data", algorithm).asbytes())
    public = paramiko.PKey.from_type_string(key.get_name(), key.asbytes())
    return public.verify_ssh_sig(b"data", signature)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    keygen("-q", "-t", "ed25519", "-N", "", "-f", str(path))
    return path


@pytest.fixture
def encrypted_file(tmp_path: Path) -> Path:
    path = tmp_path / "encrypted"
    # -a 1: a single round, so that the tests do not wait for the key derivation
    keygen("-q", "-t", "ed25519", "-a", "1", "-N", SECRET, "-f", str(path))
    return path


def failure(path: Path, passphrase: str | None = None) -> str:
    with pytest.raises(KeyFileError) as caught:
        load_client_key(path, passphrase)
    text = str(caught.value)
    assert "\n" not in text
    return text


TYPES = [
    ("rsa", "2048", paramiko.RSAKey),
    ("ecdsa", "256", paramiko.ECDSAKey),
    ("ecdsa", "384", paramiko.ECDSAKey),
    ("ecdsa", "521", paramiko.ECDSAKey),
    ("ed25519", "256", paramiko.Ed25519Key),
]


@pytest.mark.parametrize("passphrase", ["", SECRET, "grüße"])
@pytest.mark.parametrize("file_format", ["RFC4716", "PEM", "PKCS8"])
@pytest.mark.parametrize(("kind", "bits", "expected"), TYPES)
def test_a_key_made_by_ssh_keygen_opens(
    tmp_path: Path,
    kind: str,
    bits: str,
    expected: type[paramiko.PKey],
    file_format: str,
    passphrase: str,
) -> None:
    path = tmp_path / "key"
    put(path, kind, bits, "-m", file_format, "-a", "1", "-N", passphrase)
    key = load_client_key(path, passphrase or None)
    assert type(key) is expected
    assert public_key_line(key).split() == (tmp_path / "key.pub").read_text().split()[:2]
    assert signs(key)


@pytest.mark.parametrize("encryption", [NoEncryption(), BestAvailableEncryption(SECRET.encode())])
def test_an_ed25519_key_in_pkcs8_opens(
    tmp_path: Path, key_file: Path, encryption: KeySerializationEncryption
) -> None:
    inner = load_ssh_private_key(key_file.read_bytes(), None)
    pkcs8 = inner.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    path = write_private(tmp_path / "pkcs8", pkcs8)
    assert load_client_key(path, SECRET) == load_client_key(key_file, None)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(lambda text: text.rstrip(b"\n"), id="no-newline-at-the-end"),
        pytest.param(lambda text: text + b"\n\n", id="blank-lines-at-the-end"),
    ],
)
def test_a_key_that_went_through_an_editor_opens(
    key_file: Path, change: Callable[[bytes], bytes]
) -> None:
    original = load_client_key(key_file, None)
    write_private(key_file, change(key_file.read_bytes()))
    assert load_client_key(key_file, None) == original


@pytest.mark.parametrize("passphrase", [None, "", "not needed"])
def test_a_passphrase_that_the_key_does_not_need_does_no_harm(
    key_file: Path, passphrase: str | None
) -> None:
    assert load_client_key(key_file, passphrase).can_sign()


def test_a_tilde_is_the_home_folder(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(key_file.parent))
    monkeypatch.setenv("USERPROFILE", str(key_file.parent))
    assert load_client_key(Path("~/key"), None) == load_client_key(key_file, None)
    assert not ensure_client_key(Path("~/key"))


def test_a_missing_key_is_reported_with_the_command_that_makes_one(tmp_path: Path) -> None:
    path = tmp_path / "no such key"
    text = failure(path)
    assert "There is no client key" in text
    assert f"ssh-keygen -t ed25519 -f {quoted(path)}" in text


@posix_only
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda folder: folder, "is a directory", id="directory"),
        pytest.param(lambda _: Path("/dev/null"), "is not a regular file", id="device"),
        pytest.param(lambda folder: folder / "file" / "x", "Not a directory", id="below-a-file"),
        pytest.param(lambda folder: folder / "loop", "Too many levels", id="symlink-loop"),
        pytest.param(lambda folder: folder / ("x" * 300), "File name too long", id="long-name"),
        pytest.param(lambda _: Path("a\0b"), "embedded null", id="nul"),
        pytest.param(lambda _: Path("~nobody-of-this-name/x"), "home directory", id="no-home"),
    ],
)
def test_a_key_that_cannot_be_read_is_reported_with_the_reason(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    path = make(tmp_path)
    text = failure(path)
    assert f"The client key {shlex.quote(str(path))} " in text
    assert reason in text
    assert "--client-key" in text


@posix_only
@pytest.mark.parametrize("mode", [0o604, 0o620, 0o640, 0o644, 0o601, 0o660, 0o777])
def test_a_key_open_to_others_is_refused_with_the_chmod_to_run(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    text = failure(key_file)
    assert f"mode {mode:04o}" in text
    command = text.partition("Run: ")[2]
    subprocess.run(["sh", "-c", command], check=True, timeout=20)
    assert load_client_key(key_file, None).can_sign()


@posix_only
@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_a_key_open_to_its_owner_only_is_accepted(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    assert load_client_key(key_file, None).can_sign()


@pytest.mark.parametrize("passphrase", [None, ""])
def test_an_encrypted_key_without_a_passphrase_is_reported_with_the_ways_out(
    encrypted_file: Path, passphrase: str | None
) -> None:
    text = failure(encrypted_file, passphrase)
    assert "is encrypted and there is no passphrase" in text
    ways = ("M2M_SSH_PASSPHRASE", "--passphrase-file", f"ssh-add {quoted(encrypted_file)}")
    assert sorted(ways, key=text.index) == list(ways)
    assert "copy" not in text  # nobody should need a key without a passphrase


@pytest.mark.parametrize("file_format", ["RFC4716", "PEM", "PKCS8"])
def test_a_wrong_passphrase_is_reported_and_shown_nowhere(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "key"
    keygen(
        *("-q", "-t", "ecdsa", "-m", file_format, "-a", "1", "-N", SECRET, "-f", str(path)),
    )
    wrong = "wrong-battery"
    with pytest.raises(KeyFileError) as caught:
        load_client_key(path, wrong)
    error: BaseException | None = caught.value
    assert "The passphrase does not open the client key" in str(error)
    assert f"ssh-keygen -y -f {quoted(path)}" in str(error)
    while error is not None:
        assert wrong not in repr(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "cipher", ["3des-cbc", "aes128-cbc", "aes192-ctr", "chacha20-poly1305@openssh.com"]
)
def test_a_cipher_that_cannot_be_opened_is_named_with_the_command_that_mends_it(
    cipher: str, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    making = ("-q", "-t", "ed25519", "-a", "1", "-N", SECRET, "-Z", cipher)
    keygen(*making, "-f", str(path))
    text = failure(path, SECRET)
    assert f"is encrypted with {cipher}, which this client cannot open" in text
    mend = f"ssh-keygen -p -Z aes256-ctr -f {quoted(path)}"
    assert mend in text
    keygen(*mend.split()[1:], "-P", SECRET, "-N", SECRET)
    assert signs(load_client_key(path, SECRET))


@posix_only
def test_a_key_that_belongs_to_somebody_else_may_be_open_to_us(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for `ssh`: a key that an administrator lends by a group is not ours to protect."""
    key_file.chmod(0o640)
    owner = key_file.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    assert load_client_key(key_file, None).can_sign()


# Public halves


@pytest.mark.parametrize(("passphrase", "encrypted"), [("", False), (SECRET, True)])
@pytest.mark.parametrize(("kind", "bits", "_class"), TYPES)
def test_openssh_files_tell_their_public_half_without_being_opened(
    tmp_path: Path, kind: str, bits: str, _class: object, passphrase: str, encrypted: bool
) -> None:
    path = tmp_path / "key"
    put(path, kind, bits, "-a", "1", "-N", passphrase)
    file = read_key_file(path)
    assert file.encrypted == encrypted
    assert file.public == read_public_key(tmp_path / "key.pub")


@pytest.mark.parametrize("file_format", ["PEM", "PKCS8"])
def test_other_files_do_not(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "key"
    keygen("-q", "-t", "ecdsa", "-m", file_format, "-N", SECRET, "-f", str(path))
    assert read_key_file(path).encrypted
    assert read_key_file(path).public is None


@pytest.mark.parametrize(("kind", "bits", "_class"), TYPES)
def test_a_certificate_is_about_a_plain_key_and_has_its_fingerprint(
    tmp_path: Path, kind: str, bits: str, _class: object
) -> None:
    path = tmp_path / "key"
    put(path, kind, bits, "-N", "")
    keygen("-q", "-s", str(path), "-I", "me", "-n", "me", f"{path}.pub")
    plain, certificate = (read_public_key(tmp_path / f"key{end}.pub") for end in ("", "-cert"))
    assert not plain.is_certificate
    assert certificate.is_certificate
    assert certificate.plain == plain == plain.plain
    assert certificate.fingerprint == keygen("-l", "-f", f"{path}-cert.pub").split()[1]
    assert plain.line == " ".join((tmp_path / "key.pub").read_text().split()[:2])


def test_a_certificate_of_a_security_key_is_about_that_key() -> None:
    public = (b"\1" * 32, b"ssh:")
    rest = b"\0" * 8 + b"\0\0\0\1" + b"\0" * 40
    kind = b"sk-ssh-ed25519-cert-v01@openssh.com"
    certificate = PublicKey.of(strings(kind, b"nonce", *public) + rest)
    assert certificate.plain.blob == strings(b"sk-ssh-ed25519@openssh.com", *public)


def cert(kind: bytes, *fields: bytes, rest: bytes = b"\0" * 11 + b"\1") -> PublicKey:
    return PublicKey.of(strings(kind + b"-cert-v01@openssh.com", b"nonce", *fields) + rest)


@pytest.mark.parametrize(
    "certificate",
    [
        pytest.param(cert(b"ssh-ed25519", b"k" * 32, rest=b"\0" * 11 + b"\2"), id="host"),
        pytest.param(cert(b"ssh-ed25519", b"k" * 32, rest=b"\0" * 11), id="cut"),
        pytest.param(cert(b"ssh-ed25519"), id="no key"),
        pytest.param(cert(b"ssh-ed448", b"k"), id="unknown"),
    ],
)
def test_what_is_no_user_certificate_has_no_plain_key(certificate: PublicKey) -> None:
    with pytest.raises(ValueError, match=r"."):
        _ = certificate.plain


LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (LINE, True),
        (f"{LINE} me@here two words\n", True),
        (f"\n# a comment\n  {LINE}\r\n", True),
        (f"{LINE}\nanother line", True),
        (f"{LINE}!", False),
        (LINE.replace("ssh-ed25519", "ssh-rsa"), False),
        (f"no-pty {LINE}", False),
        ("ssh-ed25519", False),
        ("ssh-ed25519 AAAA", False),
        ("", False),
        ("#", False),
    ],
)
def test_a_public_key_is_read_from_the_first_line_that_counts(text: str, good: bool) -> None:
    if good:
        assert PublicKey.parse(text.encode()).line == LINE
    else:
        with pytest.raises(ValueError, match=r"."):
            PublicKey.parse(text.encode())


@given(st.binary(max_size=200))
def test_no_blob_raises_anything_but_a_value_error(blob: bytes) -> None:
    for read in (
        PublicKey.of,
        PublicKey.parse,
        lambda b: PublicKey("ssh-rsa-cert-v01@openssh.com", b).plain,
    ):
        with suppress(ValueError):
            read(blob)


@pytest.mark.parametrize("name", [b"ssh-\x1b[2J", b"ssh-\n", "ssh-ü".encode()])
def test_a_type_whose_name_is_not_printable_is_none(name: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        PublicKey.of(strings(name, b"x"))


PEM = b"-----BEGIN %s-----\nAAAA\n-----END %s-----\n"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"Host *\n  IdentityFile x\n", id="text"),
        pytest.param(b"\x89PNG\r\n\x1a\n\xff\0", id="binary"),
        pytest.param(PEM % (b"OPENSSH PRIVATE KEY", b"OPENSSH PRIVATE KEY"), id="openssh-broken"),
        pytest.param(PEM % (b"PRIVATE KEY", b"PRIVATE KEY"), id="pkcs8-broken"),
        pytest.param(
            (PEM % (b"PRIVATE KEY", b"PRIVATE KEY")).replace(
                b"AAAA", b"MC4CAQAwBQYDK2VvBCIEIKFlpsHwuWpwFhA/NqaE7BT2fMvMxGD2Ia8bJo/1zLV4"
            ),
            id="x448-cut",
        ),
        pytest.param(PEM % (b"CERTIFICATE", b"CERTIFICATE"), id="certificate"),
        pytest.param(b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", id="cut"),
    ],
)
@pytest.mark.parametrize("passphrase", [None, SECRET])
def test_a_file_that_is_no_key_is_called_that(
    tmp_path: Path, content: bytes, passphrase: str | None
) -> None:
    path = write_private(tmp_path / "key", content)
    text = failure(path, passphrase)
    assert f"{quoted(path)} is not a private key" in text
    assert "ssh-keygen -t ed25519" in text


@posix_only
def test_a_file_that_is_no_key_is_not_told_to_change_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("Host *\n")
    path.chmod(0o644)
    assert "is not a private key" in failure(path)


def test_a_public_key_is_recognised_and_the_private_one_named(key_file: Path) -> None:
    text = failure(key_file.with_suffix(".pub"))
    assert "is a public key" in text
    assert text.endswith(f"--client-key {quoted(key_file)}")


@pytest.mark.parametrize("file_format", ["RFC4716", "PKCS8", "PEM"])
def test_a_public_key_in_another_format_is_recognised(tmp_path: Path, file_format: str) -> None:
    put(tmp_path / "key", "rsa", "2048", "-N", "")
    public = keygen("-e", "-m", file_format, "-f", str(tmp_path / "key.pub"))
    path = write_private(tmp_path / "identity", public.encode())
    text = failure(path)
    assert "is a public key" in text
    assert text.endswith("Name another one with --client-key")


def dsa_key() -> bytes:
    key = dsa.generate_private_key(key_size=1024)  # noqa: S505 - the only size ssh-keygen makes
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def secp256k1_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256K1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def x25519_key() -> bytes:
    key = x25519.X25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("make", [dsa_key, secp256k1_key, x25519_key])
def test_a_key_of_a_type_that_ssh_servers_refuse_is_called_that(
    tmp_path: Path, make: Callable[[], bytes]
) -> None:
    path = write_private(tmp_path / "key", make())
    text = failure(path)
    assert "is of a type that cannot be used" in text
    assert "ssh-keygen -t ed25519" in text


@pytest.mark.parametrize(("size", "words"), [(1 << 20, "not a private"), ((1 << 20) + 1, "1 MiB")])
def test_a_file_of_more_than_a_mebibyte_is_not_read_as_a_key(
    tmp_path: Path, size: int, words: str
) -> None:
    assert words in failure(write_private(tmp_path / "image", b"x" * size))


KEY_PARTS = [b"-----BEGIN OPENSSH PRIVATE KEY-----\n", b"-----END OPENSSH PRIVATE KEY-----\n"]
KEY_PARTS += [b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB\n", b"AAAA", b"\n", b"="]
KEY_PARTS += [b"-----BEGIN RSA PRIVATE KEY-----\n", b"-----END RSA PRIVATE KEY-----\n"]
KEY_PARTS += [b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", b"Proc-Type: 4,ENCRYPTED\n"]


@examples(200)
@given(
    content=st.binary(max_size=100) | st.lists(st.sampled_from(KEY_PARTS), max_size=9).map(b"".join)
)
def test_no_file_content_raises_anything_but_a_key_file_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = write_private(tmp_path_factory.getbasetemp() / "random_key", content)
    with pytest.raises(KeyFileError):
        load_client_key(path, SECRET)


def test_a_key_is_made_where_there_is_none_and_ssh_keygen_accepts_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "key"
    assert ensure_client_key(path)
    key = load_client_key(path, None)
    assert isinstance(key, paramiko.Ed25519Key)
    assert (path.parent / "key.pub").read_text() == (
        f"{public_key_line(key)} m2m-mcp-server-ssh-client\n"
    )
    assert keygen("-y", "-f", str(path)).split()[:2] == public_key_line(key).split()
    bits, fingerprint, *_, kind = keygen("-l", "-f", str(path)).split()
    assert (bits, fingerprint, kind) == ("256", key.fingerprint, "(ED25519)")
    assert sorted(file.name for file in path.parent.iterdir()) == ["key", "key.pub"]


@posix_only
def test_a_new_key_and_its_folder_are_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key"
    ensure_client_key(path)
    modes = {file: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {path: 0o600, path.parent / "key.pub": 0o644}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@posix_only
def test_a_private_key_is_never_open_to_others_not_even_before_its_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    fdopen = os.fdopen

    def watched(descriptor: int, mode: str) -> object:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return fdopen(descriptor, mode)

    monkeypatch.setattr(os, "fdopen", watched)
    ensure_client_key(tmp_path / "key")
    assert seen[0] == 0o600


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("precious")
    assert not ensure_client_key(path)
    assert path.read_text() == "precious"
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


@posix_only
def test_nothing_is_written_through_a_dangling_link(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.symlink_to(tmp_path / "elsewhere")
    assert not ensure_client_key(path)
    assert path.is_symlink()
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_a_public_key_whose_private_one_is_gone_is_not_overwritten(tmp_path: Path) -> None:
    public = tmp_path / "key.pub"
    public.write_text("ssh-ed25519 precious")
    with pytest.raises(KeyFileError, match="is missing") as caught:
        ensure_client_key(tmp_path / "key")
    assert str(caught.value).endswith(f"rm {quoted(public)}")
    assert public.read_text() == "ssh-ed25519 precious"
    assert [file.name for file in tmp_path.iterdir()] == ["key.pub"]


@posix_only
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda folder: folder / "file" / "key", id="folder-is-a-file"),
        pytest.param(lambda folder: folder / "file" / "x" / "key", id="below-a-file"),
        pytest.param(lambda folder: folder / "loop" / "key", id="symlink-loop"),
        pytest.param(lambda folder: folder / ("x" * 250), id="long-name"),
        pytest.param(lambda _: Path("/"), id="no-name"),
        pytest.param(lambda _: Path("a\0b"), id="nul"),
        pytest.param(lambda _: Path("~nobody-of-this-name/x"), id="no-home"),
    ],
)
def test_a_key_that_cannot_be_created_is_reported_and_leaves_nothing(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    path = make(tmp_path)
    with pytest.raises(KeyFileError) as caught:
        ensure_client_key(path)
    assert f"The client key {shlex.quote(str(path))} " in str(caught.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "loop"]


def test_of_many_threads_one_makes_the_key_and_all_load_the_same(tmp_path: Path) -> None:
    callers = 32
    for attempt in range(10):
        path = tmp_path / f"folder{attempt}" / "key"
        barrier = threading.Barrier(callers)

        def race(path: Path = path, barrier: threading.Barrier = barrier) -> tuple[bool, str]:
            barrier.wait(timeout=20)
            made = ensure_client_key(path)
            return made, public_key_line(load_client_key(path, None))

        with ThreadPoolExecutor(callers) as pool:
            results = [f.result(timeout=20) for f in [pool.submit(race) for _ in range(callers)]]
        assert sum(made for made, _ in results) == 1
        (line,) = {line for _, line in results}
        assert (path.parent / "key.pub").read_text().startswith(line)
        assert sorted(file.name for file in path.parent.iterdir()) == ["key", "key.pub"]


RACER = """
import sys
from pathlib import Path
from m2m_ssh_client.ssh.login.key_files import ensure_client_key, load_client_key, public_key_line
print("ready", flush=True)
sys.stdin.readline()
path = Path(sys.argv[1])
made = ensure_client_key(path)
print(made, public_key_line(load_client_key(path, None)))
"""


def test_of_several_processes_one_makes_the_key_and_all_load_the_same(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key"
    command = [sys.executable, "-W", "ignore", "-c", RACER, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(m2m_ssh_client.__file__).parents[1])}
    pipe = subprocess.PIPE
    racers = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        for _ in range(4)
    ]
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        results = [racer.communicate(timeout=30)[0].strip().partition(" ") for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate(timeout=10)
    assert sorted(made for made, _, _ in results) == ["False", "False", "False", "True"]
    (line,) = {line for _, _, line in results}
    assert (path.parent / "key.pub").read_text().startswith(line)
