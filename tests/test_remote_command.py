"""Command lines for the remote user's shell, run by the shells of this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_ssh_client.remote_command import command_line

if sys.platform == "win32":
    pytest.skip("lines for POSIX shells", allow_module_level=True)

SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "fish") if shutil.which(shell)]
AWKWARD = "it's \\' \\\\ \"$HOME\" `id` \\ ! ~ #\nsecond\tline"


def run(line: str, shell: str = "sh", **environment: str) -> str:
    """Run a command as sshd does: by the shell with `-c`, with SHELL set."""
    path = shutil.which(shell)
    assert path is not None
    env = {"PATH": "/usr/bin:/bin", "SHELL": path, **environment}
    done = subprocess.run(
        [path, "-c", line], capture_output=True, text=True, env=env, timeout=20, check=True
    )
    return done.stdout


def test_a_command_without_wishes_is_as_it_was() -> None:
    assert command_line("a && b") == "a && b"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_runs_in_its_folder_with_its_variables(shell: str, tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder; $(id)"
    folder.mkdir()
    line = command_line(
        'pwd && printf "%s" "$MODE"', folder=str(folder), variables=[("MODE", AWKWARD), ("B", "")]
    )
    assert run(line, shell) == f"{folder}\n{AWKWARD}"


@given(
    st.sampled_from(SHELLS),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
    | st.text("'\\\"$(a` \n"),
)
def test_no_value_gets_out_of_its_quotes(shell: str, value: str) -> None:
    line = command_line('printf "%s" "$V"', variables=[("V", value)])
    assert run(line, shell) == value.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("folder", ["~", "~/", "~/sub dir/$x"])
def test_the_home_folder_is_the_shells_to_find(folder: str, tmp_path: Path) -> None:
    (tmp_path / "sub dir" / "$x").mkdir(parents=True)
    assert run(command_line("pwd", folder=folder), HOME=str(tmp_path)) == (
        f"{tmp_path}{folder.removeprefix('~').rstrip('/')}\n"
    )


@pytest.mark.parametrize("folder", ["~$(touch bad)", "~;touch bad", "-P", "-", "$HOME"])
def test_a_folder_is_no_code(folder: str, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run(f"cd {tmp_path} && {command_line('pwd', folder=folder)}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shell", SHELLS)
def test_a_login_shell_says_the_marker_behind_what_its_files_print(
    shell: str, tmp_path: Path
) -> None:
    profile = tmp_path / {"zsh": ".zprofile", "fish": ".config/fish/config.fish"}.get(
        shell, ".profile"
    )
    profile.parent.mkdir(parents=True, exist_ok=True)
    path = "set -x PATH /people/know $PATH" if shell == "fish" else "export PATH=/people/know:$PATH"
    profile.write_text(f"echo noise\n{path}\n")
    line = command_line("echo $PATH; echo it\\'s", folder=str(tmp_path), marker="here-it-begins")
    before, _, behind = run(line, shell, HOME=str(tmp_path)).partition("here-it-begins\n")
    assert "noise" in before
    path, said = behind.splitlines()
    assert "/people/know" in path
    assert said == "it's"
