"""Command lines for the remote user's shell, run by the shells of this machine as sshd runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import shells

from m2m_ssh_client.remote_command import command_line, in_login_shell, on_one_line, quoted

if sys.platform == "win32":
    pytest.skip("a mode, path or shell of POSIX", allow_module_level=True)

SHELLS = shells.found()
AWKWARD = "it's \\' \\\\ \"$HOME\" `id` \\ ! !x ~ #\nsecond\tline ü😀\n"
ONE_LINE = AWKWARD.replace("\n", " ")
SHOW = ["sh", "-c", 'printf "%s|" "$MODE" "$PWD" "$@"', "sh"]
MARKER = "here-it-begins"


def run(line: str, shell: str = "sh", **environment: str) -> str:
    """Run a command as sshd does: by the shell with `-c`, with SHELL set."""
    path = shells.path(shell)
    env = {"PATH": "/usr/bin:/bin", "SHELL": path, **environment}
    env = {name: value for name, value in env.items() if value}
    done = subprocess.run([path, "-c", line], capture_output=True, env=env, timeout=20, check=True)
    return done.stdout.decode()


def words(*argv: str) -> str:
    return " ".join(map(quoted, argv))


def test_a_command_without_wishes_is_as_it_was() -> None:
    assert command_line("a && b") == "a && b"
    assert on_one_line("serve 'a b'") == "serve 'a b'"


PLAIN = [
    "it's",
    "it's (50 %) #1",
    "a\\b",
    "C:\\x\\y z",
    "\\",
    "a\\\\b",
    "\\'",
    "\\!",
    "'",
    '"',
    "'\"",
    "",
    "'!'",
]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_reads_each_word_as_it_was(shell: str) -> None:
    line = words("sh", "-c", 'printf "%s|" "$@"', "sh", *PLAIN)
    assert run(line, shell).split("|")[:-1] == PLAIN


def test_a_word_has_as_few_signs_outside_of_quotes_as_can_be() -> None:
    """nushell has no escapes there."""
    assert quoted("it's here") == "'it'\"'\"'s here'"
    assert quoted("C:\\x y") == "'C:\\x y'"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("awkward", [AWKWARD, ONE_LINE], ids=["lines", "one line"])
@pytest.mark.parametrize(
    ("in_folder", "with_variable", "by_login_shell"), list(product([False, True], repeat=3))
)
def test_a_program_gets_the_words_that_were_given(
    shell: str,
    awkward: str,
    in_folder: bool,
    with_variable: bool,
    by_login_shell: bool,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "it's a folder; $(id) !x"
    folder.mkdir()
    given = [awkward, "", "=ls", "%1", "--=x", "*", "{a,b}", "~", "$HOME", "!!", "^a^b^"]
    line = command_line(
        words(*SHOW, *given),
        folder=str(folder) if in_folder else None,
        variables=[("MODE", awkward), ("B", "")] if with_variable else [],
    )
    line = on_one_line(line)
    if by_login_shell:
        line = in_login_shell(line, MARKER)
    said = run(line, shell, HOME=str(tmp_path))
    said = said.removeprefix(f"{MARKER}\n") if by_login_shell else said
    mode, where, *got = said.split("|")[:-1]
    assert got == given
    assert mode == (awkward if with_variable else "")
    assert where == str(folder if in_folder else Path.cwd())


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("by_login_shell", [False, True])
def test_a_line_for_the_shell_runs_in_it_in_its_folder_with_its_variables(
    shell: str, by_login_shell: bool, tmp_path: Path
) -> None:
    line = command_line(
        "pwd; printenv MODE\necho $SHELL", folder="~", variables=[("MODE", AWKWARD)]
    )
    if by_login_shell:
        line = in_login_shell(line, MARKER)
    said = run(line, shell, HOME=str(tmp_path), LC_ALL="C.UTF-8")
    assert said.removeprefix(f"{MARKER}\n") == (f"{tmp_path}\n{AWKWARD}\n{shells.path(shell)}\n")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", ["serve", "true; echo wrong", "echo wrong || true"])
def test_nothing_runs_without_the_folder(shell: str, command: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as ended:
        run(command_line(command, folder="/no/such/folder", variables=[("A", "1")]), shell)
    assert b"wrong" not in ended.value.stdout
    assert b"/no/such/folder" in ended.value.stderr


@given(
    st.sampled_from(SHELLS),
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
        | st.text("'\\\"$(a` \n!=%"),
        max_size=4,
    ),
)
def test_no_value_gets_out_of_its_quotes(shell: str, given: list[str]) -> None:
    line = on_one_line(words("/usr/bin/printf", "%s\\0", "", *given))
    assert run(line, shell).split("\0")[1:-1] == given


@pytest.mark.parametrize("shell", SHELLS)
def test_a_hundred_kilobytes_are_one_word(shell: str) -> None:
    word = "it is long\n" * 9000
    assert run(on_one_line(words("printf", "%s", word)), shell) == word


@pytest.mark.parametrize("folder", ["~", "~/", "~/sub dir/$x"])
@pytest.mark.parametrize("shell", SHELLS)
def test_the_home_folder_is_the_shells_to_find(folder: str, shell: str, tmp_path: Path) -> None:
    (tmp_path / "sub dir" / "$x").mkdir(parents=True)
    assert run(command_line("pwd", folder=folder), shell, HOME=str(tmp_path)) == (
        f"{tmp_path}{folder.removeprefix('~').rstrip('/')}\n"
    )


def test_a_relative_folder_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    """bash would say on stdout where CDPATH has led it, and go there."""
    for folder in ("here/work", "elsewhere/work"):
        (tmp_path / folder).mkdir(parents=True)
    line = f"cd {tmp_path}/here && {command_line('pwd', folder='work')}"
    assert run(line, "bash", CDPATH=f"{tmp_path}/elsewhere") == f"{tmp_path}/here/work\n"


@pytest.mark.parametrize("folder", ["~$(touch bad)", "~;touch bad", "-P", "-", "$HOME"])
def test_a_folder_is_no_code(folder: str, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run(f"cd {tmp_path} && {command_line('pwd', folder=folder)}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shell", SHELLS)
def test_a_login_shell_says_the_marker_behind_what_its_files_print(
    shell: str, tmp_path: Path
) -> None:
    names = {"zsh": ".zprofile", "fish": ".config/fish/config.fish", "tcsh": ".login"}
    profile = tmp_path / names.get(shell, ".profile")
    profile.parent.mkdir(parents=True, exist_ok=True)
    path = {
        "fish": "set -x PATH /people/know $PATH",
        "tcsh": "setenv PATH /people/know:$PATH",
    }.get(shell, "export PATH=/people/know:$PATH")
    profile.write_text(f"echo noise\n{path}\n")
    line = command_line(words("sh", "-c", "echo $PATH; echo it\\'s"), folder=str(tmp_path))
    said = run(in_login_shell(line, MARKER), shell, HOME=str(tmp_path))
    before, _, behind = said.partition(f"{MARKER}\n")
    assert "noise" in before
    found, it = behind.splitlines()
    assert "/people/know" in found
    assert it == "it's"


@pytest.mark.skipif(not shutil.which("getent"), reason="this system has no getent")
def test_where_the_server_does_not_say_which_shell_it_is_the_account_does(tmp_path: Path) -> None:
    import pwd  # not on Windows

    said = run(in_login_shell("echo $0", MARKER), "sh", SHELL="", HOME=str(tmp_path))
    assert said == f"{MARKER}\n{pwd.getpwuid(os.getuid()).pw_shell}\n"
