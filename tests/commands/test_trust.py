from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from m2m_ssh_client.commands import trust
from m2m_ssh_client.errors import HostKeyError, KnownHostsError, UsageError
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Address, HostSettings, Login, Trust
from m2m_ssh_client.ssh.trust.randomart import randomart

HOST = "node.example.com"


def ed25519(byte: int) -> PublicKey:
    return PublicKey.read_host_key(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([byte]) * 32)


def rsa(byte: int) -> PublicKey:
    modulus = b"\0" + b"\xc0" + bytes([byte]) * 254 + b"\1"
    return PublicKey.read_host_key(b"\0\0\0\x07ssh-rsa\0\0\0\x03\1\0\1\0\0\1\1" + modulus)


ED, RSA, OTHER, OTHER_RSA = ed25519(1), rsa(1), ed25519(2), rsa(2)


def line(key: PublicKey, name: str = f"[{HOST}]:2222") -> str:
    return f"{name} {key.key_type} {key.base64}\n"


class Terminal(io.StringIO):
    """A terminal with typed answers."""

    def isatty(self) -> bool:
        return True


class Trusting:
    """Run the command against a machine that offers `keys`, with typed answers."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = file
        self._monkeypatch = monkeypatch

    def __call__(
        self,
        typed: str | None = None,
        *,
        keys: Sequence[PublicKey] = (ED, RSA),
        fingerprints: Sequence[str] = (),
        yes: bool = False,
        hash_names: bool = False,
        files: bool = True,
    ) -> int:
        stdin = io.StringIO() if typed is None else Terminal(typed)
        self._monkeypatch.setattr(sys, "stdin", stdin)
        settings = HostSettings(
            Address(HOST, 2222),
            Trust(HOST, 2222, (self.file,) if files else (), hash_names=hash_names),
            Login("me"),
        )
        return trust.run(settings, fingerprints, yes, lambda: keys)

    @property
    def written(self) -> str:
        return self.file.read_text() if self.file.exists() else ""


@pytest.fixture
def trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trusting:
    return Trusting(tmp_path / "known_hosts", monkeypatch)


def test_each_key_is_shown_with_its_fingerprint_and_picture_before_anything_is_asked(
    trusting: Trusting, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trusting("no\nno\n") == 1
    shown = capsys.readouterr().out
    before, _, _ = shown.partition("Is SHA256")
    assert f"{HOST} port 2222 offers:" in before
    for key in (ED, RSA):
        assert key.fingerprint in before
        assert randomart(key) in before
    assert "RSA 2048" in before
    assert before.count("It is not on file.") == 2
    assert trusting.written == ""


@pytest.mark.parametrize(
    ("typed", "added", "status"),
    [
        ("yes\nyes\n", [ED, RSA], 0),
        ("YES\nno\n", [ED], 0),
        ("no\nyes\n", [RSA], 0),
        ("no\nno\n", [], 1),
        ("y\n\nwhat\nyes\nno\n", [ED], 0),
        ("", [], 1),
        ("yes\n", [ED], 0),
        (f"{ED.fingerprint}\nno\n", [ED], 0),
        (f" {ED.fingerprint}= \nno\n", [ED], 0),
    ],
)
def test_only_what_is_confirmed_is_added(
    trusting: Trusting, typed: str, added: list[PublicKey], status: int
) -> None:
    assert trusting(typed) == status
    assert trusting.written == "".join(line(key) for key in added)


def test_a_fingerprint_that_is_not_the_machines_stops_everything(trusting: Trusting) -> None:
    with pytest.raises(HostKeyError, match="not the fingerprint of the machine"):
        trusting(f"{RSA.fingerprint}\nyes\n")
    assert trusting.written == ""


def test_names_are_hashed_if_that_is_wanted(trusting: Trusting) -> None:
    assert trusting("yes\nyes\n", hash_names=True) == 0
    assert trusting.written.count("|1|") == 2
    assert HOST not in trusting.written
    assert trusting("", hash_names=True) == 0  # and it is known now


def test_with_yes_only_named_fingerprints_are_added_and_nothing_is_asked(
    trusting: Trusting, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trusting(fingerprints=[RSA.fingerprint, OTHER.fingerprint], yes=True) == 0
    assert trusting.written == line(RSA)
    shown = capsys.readouterr().out
    assert "yes/no" not in shown
    assert shown.count("It matches --host-key.") == 1
    assert f"ED25519 key {ED.fingerprint} was not added" in shown
    assert f"was added to {trusting.file}" in shown


def test_with_yes_and_no_such_key_nothing_is_added(trusting: Trusting) -> None:
    assert trusting(fingerprints=[OTHER.fingerprint], yes=True) == 1
    assert trusting.written == ""


def test_a_fingerprint_without_yes_is_pointed_out_and_asked_about(
    trusting: Trusting, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trusting("no\nno\n", fingerprints=[ED.fingerprint]) == 1
    assert "It matches --host-key." in capsys.readouterr().out


def test_yes_alone_is_no_way_to_trust(trusting: Trusting) -> None:
    with pytest.raises(UsageError, match="--yes needs --host-key"):
        trusting("yes\n", yes=True)


def test_where_nobody_can_be_asked_nothing_is_read_from_stdin(trusting: Trusting) -> None:
    with pytest.raises(UsageError, match=r"no terminal .* --yes --host-key"):
        trusting(None)


def test_without_stdin_nobody_can_be_asked(
    trusting: Trusting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    settings = HostSettings(Address(HOST, 22), Trust(HOST, 22, (trusting.file,)), Login("me"))
    with pytest.raises(UsageError):
        trust.run(settings, [], False, lambda: [ED])


def test_what_is_on_file_is_not_asked_about_again(
    trusting: Trusting, capsys: pytest.CaptureFixture[str]
) -> None:
    trusting.file.write_text(line(ED) + line(RSA))
    assert trusting("") == 0
    shown = capsys.readouterr().out
    assert f"It is already on file ({trusting.file}:1)." in shown
    assert "yes/no" not in shown


def test_beside_a_known_key_one_of_another_type_may_be_added(trusting: Trusting) -> None:
    trusting.file.write_text(line(ED))
    assert trusting("yes\n") == 0
    assert trusting.written == line(ED) + line(RSA)


@pytest.mark.parametrize(
    ("on_file", "word"),
    [
        (line(OTHER), "has changed"),
        (line(OTHER_RSA), "has changed"),
        (line(ED) + line(OTHER_RSA), "has changed"),
        (line(ed25519(9), f"[{HOST}]:2222,x"), "has changed"),
        (f"@revoked * {line(ED).split(' ', 1)[1]}", "revoked"),
        (line(ED) + f"@revoked * {line(RSA).split(' ', 1)[1]}", "revoked"),
    ],
)
@pytest.mark.parametrize("yes", [False, True])
def test_where_a_key_has_changed_or_was_revoked_nothing_is_added(
    trusting: Trusting, capsys: pytest.CaptureFixture[str], on_file: str, word: str, yes: bool
) -> None:
    trusting.file.write_text(on_file)
    prints = [ED.fingerprint, RSA.fingerprint]
    assert trusting("yes\nyes\n", fingerprints=prints, yes=yes) == 1
    assert trusting.written == on_file
    shown = capsys.readouterr().out
    assert word in shown
    assert "Nothing was added." in shown
    assert "administrator" in shown


def test_a_key_that_changes_while_the_question_is_open_is_not_added(
    trusting: Trusting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change_and_confirm(_prompt: str) -> str:
        trusting.file.write_text(line(OTHER))
        return "yes"

    monkeypatch.setattr("builtins.input", change_and_confirm)
    with pytest.raises(HostKeyError, match="has changed"):
        trusting("")
    assert trusting.written == line(OTHER)


def test_a_key_under_the_bare_name_is_known(trusting: Trusting) -> None:
    trusting.file.write_text(line(ED, HOST))
    assert trusting("", keys=[ED]) == 0


def test_without_a_file_there_is_nowhere_to_add_to(trusting: Trusting) -> None:
    with pytest.raises(KnownHostsError, match="no known_hosts file"):
        trusting("yes\n", files=False)


def test_a_console_that_cannot_show_a_letter_gets_an_escape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    name = "grün\x1b[2J"
    settings = HostSettings(Address(name, 22), Trust(name, 22, (tmp_path / "x",)), Login("me"))
    trust.run(settings, [], False, list)
    assert raw.getvalue().splitlines()[0] == b"gr\\xfcn\\x1b[2J port 22 offers:"
