"""The help of each command, and its examples, which can be typed."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from m2m_ssh_client import cli, options
from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.commands import completion
from m2m_ssh_client.terminal.arguments import read_words
from m2m_ssh_client.usage import COMMANDS, HelpFormatter

PARSERS = {
    "": cli.parser(),
    **{name: cli.command(name).parser(name) for name in COMMANDS},
}


def examples(name: str) -> list[str]:
    """Return the examples without the program's name and without what follows it in a shell."""
    start = rf"^  {PROGRAM}{f' {name}' if name else ''}(?= |$)(.*)$"
    lines = re.findall(start, PARSERS[name].format_help(), re.MULTILINE)
    return [re.split(r"\s[<>|]|\s\s\(", line)[0].strip() for line in lines]


@pytest.mark.parametrize("name", PARSERS, ids=lambda name: name or "proxy")
def test_three_examples_can_be_typed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(examples(name)) >= 3
    for example in examples(name):
        given, command = options.split_command(shlex.split(example))
        args = PARSERS[name].parse_intermixed_args(given)
        for word in getattr(args, "words", []):
            if "=@" in word:
                Path(word.partition("=@")[2]).touch()
        read_words(getattr(args, "words", []))
        if hasattr(args, "subsystem"):
            options.parameters(args, command)


@pytest.mark.parametrize("name", PARSERS, ids=lambda name: name or "proxy")
def test_help_says_what_the_command_is_for_in_lines_that_fit(name: str) -> None:
    parser = PARSERS[name]
    assert parser.description
    assert max(map(len, parser.description.splitlines())) <= 100
    assert parser.formatter_class is HelpFormatter


def test_every_option_of_a_command_is_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name, parser in PARSERS.items():
        with pytest.raises(SystemExit) as caught:
            cli.main([*([name] if name else []), "--help"])
        assert caught.value.code == 0
        shown = capsys.readouterr().out
        for action in parser._actions:
            assert all(option in shown for option in action.option_strings), name
            assert action.help, f"{name} {action.dest}"
            assert action.help != argparse.SUPPRESS, f"{name} {action.dest}"


def test_the_manual_page_has_every_example_and_no_option_of_a_connection_twice() -> None:
    (commands,) = (
        action.choices
        for action in completion.everything()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    assert set(commands) == set(COMMANDS)
    for name, parser in commands.items():
        assert parser.description.count(f"  {PROGRAM} {name}") >= 3
        assert not {"login", "when the network fails"} & {g.title for g in parser._action_groups}
    assert "fingerprint" in commands["trust"].format_help()
