"""Completion in the shells themselves: a line is typed, the tab key pressed, and the screen looked at."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest
from support import programs
from support.far import environment
from support.host import client_argv

if sys.platform == "win32":
    pytest.skip("tmux", allow_module_level=True)

from support.tmux import Pane

from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.usage import COMMANDS

pytestmark = pytest.mark.interop

NAME = PROGRAM
READY = "ready>"
_A_MOMENT = 5.0  # seconds
# Where each keeps the completions of a user, and what makes it load them: of bash, without the package bash-completion.
PLACES = {
    "bash": Path("completions", NAME),
    "zsh": Path(".zfunc", f"_{NAME}"),
    "fish": Path(".config", "fish", "completions", f"{NAME}.fish"),
}
START_UP = {
    "bash": (".bashrc", f"source ~/completions/{NAME}\nPS1='{READY} '\n"),
    "zsh": (
        ".zshrc",
        f"fpath=(~/.zfunc $fpath)\nautoload -U compinit\ncompinit -u\nPS1='{READY} '\n",
    ),
    "fish": (".config/fish/config.fish", f"function fish_prompt; printf '{READY} '; end\n"),
}


def completions(shell: str) -> str:
    argv = client_argv("completion", shell)
    return subprocess.run(
        argv, env=environment(), capture_output=True, text=True, timeout=40
    ).stdout


class Shell:
    def __init__(self, pane: Pane, name: str) -> None:
        self._pane = pane
        self._name = name

    def after_tab(self, typed: str, *wanted: str) -> str:
        """The screen, once all that is wanted is on it."""
        pane = self._pane
        pane.press("C-u", "C-l")
        pane.wait_for(lambda screen: screen == READY)
        self.shows(typed, typed.rstrip())
        pane.press("Tab")
        if self._name == "bash":  # which lists where it cannot choose when asked again
            pane.press("Tab")
        if self._name == "fish":  # which offers nothing while it still loads the completions
            with suppress(AssertionError):
                return pane.wait_for(lambda screen: all(w in screen for w in wanted), _A_MOMENT)
            pane.press("Tab")
        return pane.wait_for(lambda screen: all(word in screen for word in wanted))

    def shows(self, typed: str, wanted: str) -> None:
        """After a further piece of the line."""
        self._pane.type(typed)
        self._pane.wait_for(lambda screen: wanted in screen)


@pytest.fixture(scope="module", params=PLACES)
def shell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    name = str(request.param)
    program = programs.require(name)
    home = tmp_path_factory.mktemp(name)
    file, lines = START_UP[name]
    for path in (PLACES[name], Path(file)):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
    (home / file).write_text(lines)
    (home / PLACES[name]).write_text(completions(name))
    (home / "folder").mkdir()
    (home / "file.txt").touch()
    (home / ".ssh").mkdir()
    (home / ".ssh" / "config").write_text("Host lab-one *.lab\n  User ada\n")
    (home / ".ssh" / "known_hosts").write_text(
        "lab-two ssh-ed25519 AAAA\n[lab-three]:2222,10.0.0.3 ssh-ed25519 AAAA\n"
    )
    env = environment(HOME=str(home), ZDOTDIR=str(home), LC_ALL="C.UTF-8")
    for each in ("CONFIG", "DATA", "STATE", "CACHE"):
        env.pop(f"XDG_{each}_HOME", None)
    with Pane([str(program), "-i"], env=env, cwd=home) as pane:
        pane.wait_for(lambda screen: READY in screen)
        yield Shell(pane, name)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("doc", ["doctor"]),
        ("", COMMANDS),
        ("--ho", ["--host", "--host-key", "--hold-timeout"]),
        ("doctor --js", ["doctor --json"]),
        ("--host lab doctor --js", ["doctor --json"]),
        ("install c", ["claude-desktop", "claude-code", "cursor"]),
        ("call --log-level D", ["DEBUG"]),
        ("--known-hosts fi", ["file.txt"]),
        ("--host lab-t", ["lab-two", "lab-three"]),
        ("tools lab-t", ["lab-two", "lab-three"]),
        ("doctor -J lab-o", ["-J lab-one"]),
    ],
)
def test_commands_options_and_values_are_offered(
    shell: Shell, typed: str, wanted: Sequence[str]
) -> None:
    shell.after_tab(f"{NAME} {typed}", *wanted)


def test_only_folders_are_offered_where_a_folder_is_wanted(shell: Shell) -> None:
    assert "file.txt" not in shell.after_tab(f"{NAME} read --save-to f", "folder/")


def test_the_short_name_of_the_command_is_completed_too(shell: Shell) -> None:
    shell.after_tab(f"{NAME} doc", "doctor")  # by which the completions have been loaded
    shell.after_tab("m2m-ssh-client doc", "doctor")


def test_nothing_of_ours_is_offered_where_the_remote_command_stands(shell: Shell) -> None:
    shell.after_tab(f"{NAME} tools -- --hold-t")
    shell.shows("x", "--hold-tx")


def test_the_script_for_powershell_is_in_its_grammar() -> None:
    """No registry that the tests may use has PowerShell itself."""
    tree_sitter, grammar = map(import_module, ("tree_sitter", "tree_sitter_powershell"))
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    text = completions("powershell")
    assert "Register-ArgumentCompleter" in text
    assert not parser.parse(text.encode()).root_node.has_error
    assert parser.parse(text.replace("@(", "@", 1).encode()).root_node.has_error
