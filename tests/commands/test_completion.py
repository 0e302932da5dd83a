"""Tab completion in bash, zsh and fish."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from m2m_ssh_client import cli
from m2m_ssh_client._version import PROGRAM
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


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_described_to_each_shell(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script(shell, capsys)
    assert all(name in text for name in COMMANDS)
    assert "known-hosts" in text
    if shell != "bash":
        assert all(line in text for line in COMMANDS.values())


def test_another_shell_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "cmd"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err.replace("'", "")
