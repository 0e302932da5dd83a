from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from m2m_ssh_client.errors import KeyFileError
from m2m_ssh_client.ssh.login import passphrases as passphrases_module
from m2m_ssh_client.ssh.login.passphrases import available, passphrases
from m2m_ssh_client.ssh.settings import Login

KEY = Path("/k/id_ed25519")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")


def never() -> bool:
    return False


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE"):
        monkeypatch.delenv(name, raising=False)


UseProgram = Callable[[str], None]


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UseProgram:
    """SSH_ASKPASS is a shell script with these lines."""

    def use(script: str) -> None:
        program = tmp_path / "ask pass"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        monkeypatch.setenv("SSH_ASKPASS", str(program))
        monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")

    return use


def private(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def all_of(login: Login) -> list[str]:
    return list(passphrases(login, KEY, never))


def test_without_a_source_there_is_none() -> None:
    assert not available(Login("me"))
    assert all_of(Login("me")) == []


@posix_only
def test_the_sources_come_in_order(tmp_path: Path, use: UseProgram) -> None:
    use("echo from-askpass")
    file = private(tmp_path / "file", b"from-file\n")
    login = Login("me", passphrase="given", passphrase_file=file)
    assert available(login)
    assert all_of(login) == ["given", "from-file", *["from-askpass"] * 3]


def test_a_person_is_asked_three_times_and_an_empty_answer_gives_up() -> None:
    questions: list[str] = []

    def prompt(question: str) -> str | None:
        questions.append(question)
        return f"answer {len(questions)}"

    login = Login("me", passphrase_prompt=prompt)
    assert available(login)
    assert all_of(login) == ["answer 1", "answer 2", "answer 3"]
    assert set(questions) == {f"Enter passphrase for key '{KEY}': "}
    assert all_of(Login("me", passphrase_prompt=lambda _: "")) == []
    assert all_of(Login("me", passphrase_prompt=lambda _: None)) == []
    assert not available(Login("me", passphrase_prompt=prompt, batch=True))


# ssh(1), ENVIRONMENT, for a process with a terminal.
@posix_only
@pytest.mark.parametrize(
    ("required", "display", "asks"),
    [
        (None, "", "terminal"),
        (None, ":0", "terminal"),
        ("never", ":0", "terminal"),
        ("prefer", ":0", "program"),
        ("prefer", "", "terminal"),
        ("force", "", "program"),
    ],
)
def test_a_person_at_a_terminal_is_asked_there_unless_the_program_is_preferred(
    required: str | None,
    display: str,
    asks: str,
    use: UseProgram,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use("echo program")
    monkeypatch.delenv("SSH_ASKPASS_REQUIRE")
    if required:
        monkeypatch.setenv("SSH_ASKPASS_REQUIRE", required)
    monkeypatch.setenv("DISPLAY", display)
    login = Login("me", passphrase_prompt=lambda _: "terminal")
    assert set(all_of(login)) == {asks}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b" with blanks \n", " with blanks "),
        ("grüße\n".encode(), "grüße"),
        (b"\xff\n", "\udcff"),
    ],
)
def test_a_file_is_one_line(content: bytes, expected: str, tmp_path: Path) -> None:
    file = private(tmp_path / "file", content)
    assert all_of(Login("me", passphrase_file=file)) == [expected]


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"a\n\n", b"x" * 1025])
def test_a_file_of_anything_else_is_an_error_that_shows_none_of_it(
    content: bytes, tmp_path: Path
) -> None:
    file = private(tmp_path / "file", content)
    with pytest.raises(KeyFileError, match="is not one line") as caught:
        all_of(Login("me", passphrase_file=file))
    assert "xx" not in str(caught.value)


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_open_to_others_is_an_error_with_the_chmod_to_run(mode: int, tmp_path: Path) -> None:
    file = private(tmp_path / "file", b"secret\n", mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}") as caught:
        all_of(Login("me", passphrase_file=file))
    assert str(caught.value).endswith(f"chmod 600 {file}")
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be read"):
        all_of(Login("me", passphrase_file=tmp_path / "gone"))


# ssh(1), ENVIRONMENT, for a process without a terminal. Each row was put to OpenSSH 9.2's ssh-add, but the last.
ASKED = [
    # SSH_ASKPASS_REQUIRE, DISPLAY, WAYLAND_DISPLAY, asked
    (None, None, None, False),
    (None, ":0", None, True),
    (None, "", None, False),
    ("", ":0", None, True),
    ("prefer", None, None, False),
    ("prefer", ":0", None, True),
    ("force", None, None, True),
    ("FORCE", None, None, True),
    ("never", ":0", None, False),
    ("Never", ":0", None, False),
    ("nonsense", ":0", None, True),
    (None, None, "wayland-0", True),  # newer than 9.2
]


@posix_only
@pytest.mark.parametrize(("required", "display", "wayland", "asked"), ASKED)
def test_a_program_is_asked_where_ssh_would_ask_it(
    required: str | None,
    display: str | None,
    wayland: str | None,
    asked: bool,
    use: UseProgram,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use("echo x")
    for name, value in (
        ("SSH_ASKPASS_REQUIRE", required),
        ("DISPLAY", display),
        ("WAYLAND_DISPLAY", wayland),
    ):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert available(Login("me")) == asked
    assert bool(all_of(Login("me"))) == asked
    assert not all_of(Login("me", batch=True))


@posix_only
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo secret", ["secret"] * 3),
        ("printf secret", ["secret"] * 3),
        ("printf 'secret\\r\\n'", ["secret"] * 3),
        ("printf 'secret\\nmore\\n'", ["secret"] * 3),
        ("echo secret; exit 1", []),
        ("echo", []),
        ("true", []),
        ("kill -9 $$", []),
        ("cat; echo secret", ["secret"] * 3),  # its stdin is empty and not ours
        ("(: > /dev/tty) 2>&- || echo secret", ["secret"] * 3),  # no terminal
        ('echo "$#:$1"', ["1:Enter passphrase for key '/k/id_ed25519': "] * 3),
    ],
)
def test_the_first_line_of_the_program_is_its_answer(
    script: str, expected: list[str], use: UseProgram
) -> None:
    use(script)
    assert all_of(Login("me")) == expected


@posix_only
def test_the_program_is_asked_again_only_after_a_wrong_answer(
    use: UseProgram, tmp_path: Path
) -> None:
    use(f"echo x >> {tmp_path}/asked; echo secret")
    assert next(passphrases(Login("me"), KEY, never)) == "secret"
    assert (tmp_path / "asked").read_text() == "x\n"


@pytest.mark.parametrize("program", ["/no/such/program", "/", "a\0b"[:1] + "-no-such"])
def test_a_program_that_does_not_start_is_no_source(
    program: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SSH_ASKPASS", program)
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    assert all_of(Login("me")) == []
    assert "does not start" in caplog.text


@posix_only
def test_what_the_program_complains_about_is_logged_and_its_answer_is_not(
    use: UseProgram, caplog: pytest.LogCaptureFixture
) -> None:
    use("printf 'no \\033[2J display\\n' >&2; echo secret")
    with caplog.at_level("DEBUG"):
        all_of(Login("me"))
    assert "SSH_ASKPASS: no \\x1b[2J display" in caplog.text
    assert "secret" not in caplog.text


@posix_only
@pytest.mark.parametrize("ended_by", ["the connection", "the clock"])
def test_a_program_that_nobody_answers_is_ended_with_its_children(
    ended_by: str, use: UseProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = tmp_path / "pids"
    use(f"sleep 100 & echo $! > {pids}.part; echo $$ >> {pids}.part; mv {pids}.part {pids}; wait")
    if ended_by == "the clock":
        monkeypatch.setattr(passphrases_module, "_PATIENCE", 1.0)
    began = time.monotonic()
    cancelled = pids.exists if ended_by == "the connection" else never
    assert list(passphrases(Login("me"), KEY, cancelled)) == []
    assert time.monotonic() - began < 10
    child, program = map(int, pids.read_text().split())
    with pytest.raises(ProcessLookupError):
        os.kill(program, 0)
    assert _is_gone(child)


def _is_gone(pid: int) -> bool:
    """Dead, or a zombie whose new parent has not looked yet."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


@posix_only
def test_the_child_of_a_program_that_answered_does_not_hold_us_up(
    use: UseProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passphrases_module, "_PATIENCE", 0.5)
    use("sleep 20 >/dev/null 2>&1 & echo secret")
    assert next(passphrases(Login("me"), KEY, never)) == "secret"
