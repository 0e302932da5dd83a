"""Tab completion in bash, zsh, fish and PowerShell."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from m2m_ssh_client import cli
from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.commands import powershell
from m2m_ssh_client.usage import COMMANDS

COMMAND = PROGRAM
# What bash does when a person presses the tab key.
PRESS_TAB = """
source "$1"; shift
function=$(complete -p "$1" | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["completion", shell]) == 0
    return capsys.readouterr().out


if sys.platform != "win32":

    @pytest.mark.parametrize(
        ("typed", "offered"),
        [
            (["unin"], {"uninstall"}),
            (["--ho"], {"--host", "--host-key", "--hold-timeout"}),
            (["install", "claude"], {"claude-desktop", "claude-code"}),
            (["doctor", "--js"], {"--json"}),
            (["call", "--log-level", "D"], {"DEBUG"}),
            (["--log-level", "WARN"], {"WARNING"}),
        ],
    )
    def test_bash_offers_commands_options_and_values(
        typed: list[str],
        offered: set[str],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        bash = shutil.which("bash")
        assert bash is not None
        (tmp_path / "completion").write_text(script("bash", capsys))
        argv = [bash, "--norc", "-c", PRESS_TAB, "bash", str(tmp_path / "completion")]
        done = subprocess.run([*argv, COMMAND, *typed], capture_output=True, text=True, timeout=20)
        assert done.stderr == ""
        assert set(done.stdout.split()) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_command_is_described_to_each_shell(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script(shell, capsys)
    assert all(name in text for name in COMMANDS)
    assert "known-hosts" in text
    if shell != "bash":
        assert all(line in text for line in COMMANDS.values())


def tables(text: str) -> dict[str, list[str]]:
    """What the script for PowerShell has under each name, in both tables."""
    found = re.findall(r"(?ms)^        '([^']*)' = @\(\n(.*?)\n        \)$", text)
    literal = r"'((?:[^']|'')*)'"
    return {
        name: [each.replace("''", "'") for each in re.findall(literal, rows)]
        for name, rows in found
    }


def test_powershell_is_told_the_options_of_each_command_and_their_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = script("powershell", capsys)
    found = tables(text)
    assert f"-CommandName '{COMMAND}', 'm2m-ssh-client' " in text
    assert {*COMMANDS, ""} <= found.keys()
    assert all(f"{name} {about}" in found[""] for name, about in COMMANDS.items())
    for name in COMMANDS:
        actions = cli.command(name).parser(name)._actions
        options = {option for action in actions for option in action.option_strings}
        assert options == {row.split()[0] for row in found[name] if row.startswith("-")}
    assert found["call --log-level"][:2] == ["DEBUG", "INFO"]
    assert {"claude-desktop", "vscode"} <= set(found["install"])
    assert "'--host', " in text
    assert "'trust -J', " in text


def test_powershell_reads_the_script_in_any_code_page_and_tells_all_names_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = script("powershell", capsys)
    assert text.isascii()
    names = re.findall(r"(?m)^        ('.*') = @\($", text)
    assert len({name.lower() for name in names}) == len(names) > len(COMMANDS)


def test_a_description_is_one_literal_of_powershell() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--odd", help="it's 100%% \n  \u201cso\u201d \u2013 \u2018$x\u2019")
    text = powershell.script(("p",), parser, {}, lambda _: False)
    assert "'--odd it''s 100% \"so\" - ''$x'''\n" in text


def test_another_shell_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "cmd"]) == 2
    assert "bash, zsh, fish, powershell" in capsys.readouterr().err.replace("'", "")
