"""The words of a command that uses a server: the machine, the name, its arguments."""

from __future__ import annotations

import pytest

from m2m_ssh_client import cli
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.terminal.command import understood


def read(*words: str) -> tuple[str | None, str, list[str]]:
    command = understood(cli.command(words[0]).parser(words[0]), list(words[1:]))
    args = command.args
    return args.host, getattr(args, "name", ""), getattr(args, "words", [])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("tools lab -- run", ("lab", "", [])),
        ("tools --json -p 22 ada@lab -- run", ("ada@lab", "", [])),
        ("tools", (None, "", [])),
        ("call echo --host lab", ("lab", "echo", [])),
        ("call lab echo", ("lab", "echo", [])),
        ("call lab echo text=hi n:=1", ("lab", "echo", ["text=hi", "n:=1"])),
        ("call echo text=hi n:=1", (None, "echo", ["text=hi", "n:=1"])),
        ("call echo text=hi --host lab n:=1", ("lab", "echo", ["text=hi", "n:=1"])),
        ("call echo hi --host lab", ("lab", "echo", ["hi"])),
        ("call -p 22 lab --timeout 3 echo text=hi", ("lab", "echo", ["text=hi"])),
        ("prompt lab greet name=Ada", ("lab", "greet", ["name=Ada"])),
        ("prompt greet name=Ada", (None, "greet", ["name=Ada"])),
    ],
)
def test_the_machine_may_stand_first_without_its_option(
    words: str, found: tuple[str | None, str, list[str]]
) -> None:
    assert read(*words.split()) == found


def test_a_resource_is_read_from_the_machine_that_stands_before_it() -> None:
    parser = cli.command("read").parser("read")
    args = understood(parser, ["lab", "file:///a", "--", "run"]).args
    assert (args.host, args.uri) == ("lab", "file:///a")
    args = understood(parser, ["file:///a=b"]).args
    assert (args.host, args.uri) == (None, "file:///a=b")


@pytest.mark.parametrize("words", ["tools lab run", "read lab a b", "read lab a --host other"])
def test_a_word_too_many_is_a_usage_error(words: str) -> None:
    with pytest.raises(UsageError, match="Unexpected"):
        read(*words.split())
