"""What follows from the files: errors, warnings, and what is written, by several processes too."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from m2m_ssh_client.errors import HostKeyError, KnownHostsError
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import StrictHostKeyChecking, Trust
from m2m_ssh_client.ssh.trust.verifier import HostVerifier, Standing

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")

HOST = "node.example.com"


def ed25519(byte: int) -> PublicKey:
    fields = (b"ssh-ed25519", bytes([byte]) * 32)
    return PublicKey.read_host_key(b"".join(len(each).to_bytes(4, "big") + each for each in fields))


OURS, OTHER, THIRD = ed25519(1), ed25519(2), ed25519(3)
RSA = PublicKey.read_host_key(
    b"\0\0\0\x07ssh-rsa\0\0\0\x03\1\0\1\0\0\1\x01\0\x80" + b"\0" * 254 + b"\x01"
)


def line(key: PublicKey, name: str = HOST) -> str:
    return f"{name} {key.key_type} {key.base64}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new" / "known_hosts"


def verifier(*files: Path, **changes: Any) -> HostVerifier:
    return HostVerifier(Trust(**{"name": HOST, "port": 22, "user_files": files, **changes}))


def refusal(verifier: HostVerifier, key: PublicKey = OURS) -> HostKeyError:
    with pytest.raises(HostKeyError) as caught:
        verifier.verify(key.blob)
    return caught.value


# What is written


def test_a_new_key_makes_the_file_and_its_folder_for_nobody_else(file: Path) -> None:
    assert verifier(file, strict="accept-new").verify(OURS.blob) == OURS
    assert file.read_text() == line(OURS)
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_file_that_is_there_keeps_its_mode_and_its_lines(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("# mine")
    file.chmod(0o644)
    verifier(file, strict="accept-new").verify(OURS.blob)
    assert file.read_text() == f"# mine\n{line(OURS)}"
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_a_new_key_is_told_at_warning(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    verifier(file, strict="accept-new").verify(OURS.blob)
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert f"{HOST}:22 was unknown" in record.getMessage()
    assert OURS.fingerprint in record.getMessage()


@pytest.mark.parametrize("strict", ["accept-new", "no"])
def test_what_is_only_read_takes_a_new_key_without_writing_it(file: Path, strict: str) -> None:
    assert verifier(file, strict=strict, read_only=True).verify(OURS.blob) == OURS
    assert not file.parent.exists()


def test_a_known_key_is_written_once(file: Path) -> None:
    for _ in range(2):
        verifier(file, strict="accept-new").verify(OURS.blob)
    assert file.read_text() == line(OURS)


@pytest.mark.parametrize("strict", ["accept-new", "no"])
@pytest.mark.parametrize("others", [line(OTHER), f"@revoked * {line(OURS).split(' ', 1)[1]}"])
def test_what_another_process_has_put_there_meanwhile_counts(
    file: Path, strict: str, others: str
) -> None:
    judge = verifier(file, strict=strict)
    judge.key_algorithms(["ssh-ed25519"])  # the files are read
    file.parent.mkdir()
    file.write_text(others)
    if strict == "no":
        judge.verify(OURS.blob)
    else:
        refusal(judge)
    assert file.read_text() == others


def test_a_changed_key_is_never_written_and_accepted_only_with_a_loud_warning(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir()
    file.write_text(line(OTHER))
    for strict in ("yes", "accept-new"):
        assert "has changed" in refusal(verifier(file, strict=strict)).message
    assert not caplog.records
    verifier(file, strict="no").verify(OURS.blob)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "INSECURE" in record.getMessage()
    assert "has changed, or this is an attack" in record.getMessage()
    assert file.read_text() == line(OTHER)


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="no place that even root cannot write to"
)
def test_a_key_that_cannot_be_written_is_accepted_as_ssh_does_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    judge = verifier(Path("/proc/nowhere/known_hosts"), strict="accept-new")
    assert judge.verify(OURS.blob) == OURS
    assert "will be unknown again" in caplog.text


@pytest.mark.parametrize("strict", ["accept-new", "no"])
@pytest.mark.parametrize("name", ["a,b", "*", "a b", "@revoked"])
def test_a_name_that_cannot_be_on_file_is_a_refusal(file: Path, strict: str, name: str) -> None:
    with pytest.raises(KnownHostsError, match="cannot be the name of a machine"):
        verifier(file, strict=strict, name=name).verify(OURS.blob)
    assert not file.exists()


@posix_only
def test_the_null_device_takes_keys_and_forgets_them() -> None:
    for _ in range(2):
        verifier(Path(os.devnull), strict="accept-new").verify(OURS.blob)


def test_a_hashed_name_is_found_again_and_hides_the_name(file: Path) -> None:
    for port in (22, 2222):
        verifier(file, strict="accept-new", hash_names=True, port=port).verify(OURS.blob)
        verifier(file, port=port).verify(OURS.blob)
    text = file.read_text()
    assert text.startswith("|1|")
    assert HOST not in text


def test_threads_and_processes_that_add_at_once_lose_nothing_and_write_nothing_twice(
    file: Path,
) -> None:
    program = (
        "import sys; from pathlib import Path; from m2m_ssh_client.ssh.public_key import PublicKey;"
        "from m2m_ssh_client.ssh.trust.verifier import HostVerifier;"
        "from m2m_ssh_client.ssh.settings import Trust;"
        "[HostVerifier(Trust(f'n{i % 10}', 22, (Path(sys.argv[1]),), strict='accept-new'))"
        ".verify(bytes.fromhex(sys.argv[2])) for i in range(20)]"
    )
    argv = [sys.executable, "-c", program, str(file), OURS.blob.hex()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    children = [subprocess.Popen(argv, env=environment) for _ in range(3)]
    threads = [
        threading.Thread(
            target=lambda i=i: verifier(file, strict="accept-new", name=f"t{i % 4}").verify(
                OURS.blob
            )
        )
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [child.wait(30) for child in children] == [0, 0, 0]
    names = [f"n{i}" for i in range(10)] + [f"t{i}" for i in range(4)]
    assert sorted(file.read_text().splitlines()) == sorted(line(OURS, n).strip() for n in names)


# What is said


def test_the_command_to_run_is_the_callers_if_it_has_one(file: Path) -> None:
    judge = HostVerifier(Trust(HOST, 22, (file,)), trust_command="m2m trust --host me@x -F f")
    assert "run `m2m trust --host me@x -F f` or pass --host-key" in refusal(judge).hint


def test_the_default_file_need_not_be_named_in_the_command() -> None:
    hint = refusal(verifier(Path("~/.ssh/known_hosts"))).hint
    assert f"`m2m-mcp-server-ssh-client trust --host {HOST} --port 22`" in hint


@posix_only
def test_a_home_that_nobody_has_is_an_error_of_the_file() -> None:
    with pytest.raises(KnownHostsError, match="home"):
        verifier(Path("~nobody-of-this-name/x")).verify(OURS.blob)


def test_an_alias_is_what_the_errors_call_the_machine(file: Path) -> None:
    error = refusal(verifier(file, name="box", port=None))
    assert error.message.startswith("Host key verification failed: box showed the ssh-ed25519 key")
    assert "trust --host" not in error.hint


def test_a_name_cannot_steer_the_terminal(file: Path) -> None:
    assert "\x1b" not in str(refusal(verifier(file, name="\x1b[2J")))


def test_off_without_a_file_is_a_refusal_as_with_ssh() -> None:
    assert "no key is on file" in refusal(verifier(strict="accept-new")).message


# Pins, and no checking at all


def test_a_pin_decides_whatever_else_is_on_file(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(f"@revoked * {line(THIRD).split(' ', 1)[1]}{line(OTHER)}")
    pinned = verifier(file, pin=OURS.fingerprint, strict="accept-new")
    assert pinned.verify(OURS.blob) == OURS
    text = refusal(pinned, OTHER).message
    assert f"{HOST} port 22 has the ssh-ed25519 key {OTHER.fingerprint}" in text
    assert f"--host-key demands {OURS.fingerprint}" in text
    assert OTHER.base64 in file.read_text()
    assert file.read_text().count("\n") == 2


def test_without_checking_any_other_key_goes_and_nothing_is_written(file: Path) -> None:
    """A file that cannot be read, here a folder, is told of and keeps nobody from connecting."""
    file.mkdir(parents=True)
    anything = verifier(file, file.parent / "missing", unchecked=True, strict="no")
    assert anything.verify(OURS.blob) == OURS
    assert list(file.parent.rglob("*")) == [file]
    assert anything.key_algorithms(["rsa-sha2-512"]) == ["rsa-sha2-512"]


ACCEPTING: list[dict[str, Any]] = [{"pin": OURS.fingerprint}, {"unchecked": True, "strict": "no"}]


@pytest.mark.parametrize("accepting", ACCEPTING, ids=["pinned", "unchecked"])
@pytest.mark.parametrize("place", ["user", "system", "RevokedHostKeys"])
def test_a_revoked_key_is_refused_whatever_accepts_it(
    place: str, accepting: dict[str, Any], file: Path
) -> None:
    file.parent.mkdir()
    keys = line(OURS).split(" ", 1)[1]
    file.write_text(keys if place == "RevokedHostKeys" else f"@revoked * {keys}")
    unreadable = file.parent
    judge = {
        "user": verifier(unreadable, file, **accepting),
        "system": verifier(unreadable, global_files=(file,), **accepting),
        "RevokedHostKeys": verifier(revoked_files=(file,), **accepting),
    }[place]
    assert "which is marked as revoked" in refusal(judge).message


@pytest.mark.parametrize("accepting", ACCEPTING, ids=["pinned", "unchecked"])
def test_a_list_of_revoked_keys_that_cannot_be_read_revokes_every_key(
    accepting: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(KnownHostsError, match="RevokedHostKeys"):
        verifier(revoked_files=(tmp_path,), **accepting).verify(OURS.blob)


@pytest.mark.parametrize("unchecked", [True, False])
@pytest.mark.parametrize(
    "blob", [b"", b"x", b"\0\0\0\x07ssh-dss", OURS.blob[:-1], OURS.blob + b"\0"]
)
def test_what_is_no_key_is_refused_whatever_the_settings(blob: bytes, unchecked: bool) -> None:
    with pytest.raises(HostKeyError, match="showed no usable key"):
        verifier(unchecked=unchecked, strict="no").verify(blob)


# For `trust`


@pytest.mark.parametrize("strict", ["accept-new", "no"])
def test_beside_a_line_of_an_unknown_type_another_key_is_a_changed_one(
    strict: StrictHostKeyChecking, file: Path
) -> None:
    file.parent.mkdir()
    file.write_text("host.example ssh-new@example.com AAAAE3NzaC1uZXdAZXhhbXBsZS5jb20=\n")
    judge = HostVerifier(Trust("host.example", 22, (file,), strict=strict))
    assert judge.finding(OURS).standing is Standing.CHANGED
    if strict == "accept-new":
        assert "different key on file" in refusal(judge).message
    assert file.read_text().count("\n") == 1


def test_several_files_may_list_revoked_keys(tmp_path: Path) -> None:
    files = tmp_path / "one", tmp_path / "two"
    for path, key in zip(files, (OTHER, OURS), strict=True):
        path.write_text(f"{key.line}\n")
    judge = verifier(tmp_path / "x", revoked_files=files)
    assert judge.finding(OURS).standing is judge.finding(OTHER).standing is Standing.REVOKED


def test_a_key_beside_one_of_another_type_is_added_only_on_demand(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(line(RSA))
    judge = verifier(file)
    assert judge.add(OURS).standing is Standing.CHANGED
    assert judge.add(OURS, beside_other_types=True).standing is Standing.KNOWN
    assert judge.add(OTHER, beside_other_types=True).standing is Standing.CHANGED
    assert file.read_text() == line(RSA) + line(OURS)


def test_revoked_keys_are_revoked_for_the_finding_too(tmp_path: Path) -> None:
    revoked = tmp_path / "revoked"
    revoked.write_text(f"{OURS.key_type} {OURS.base64}\n")
    judge = verifier(tmp_path / "x", revoked_files=(revoked,))
    assert judge.finding(OURS).standing is Standing.REVOKED
    assert judge.finding(OTHER).standing is Standing.UNKNOWN
    assert f"in RevokedHostKeys {revoked}" in str(refusal(judge))


BROKEN: dict[str, Callable[[Path], object]] = {
    "missing": lambda _: None,
    "directory": lambda path: path.mkdir(),
    "krl": lambda path: path.write_bytes(b"SSHKRL\n\0\0\0\0\1"),
    "no-key": lambda path: path.write_text("ssh-ed25519 AAAA\n"),
    "only-a-type": lambda path: path.write_text("# x\n\nssh-ed25519\n"),
    "not-ascii": lambda path: path.write_bytes(b"\xff \xff\n"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_list_of_revoked_keys_that_cannot_be_read_lets_nobody_in(
    tmp_path: Path, case: str
) -> None:
    known, revoked = tmp_path / "known", tmp_path / "revoked"
    known.write_text(line(OURS))
    BROKEN[case](revoked)
    with pytest.raises(KnownHostsError) as caught:
        verifier(known, revoked_files=(revoked,)).verify(OURS.blob)
    assert str(revoked) in str(caught.value)
    assert ("revocation list" in str(caught.value)) == (case == "krl")
