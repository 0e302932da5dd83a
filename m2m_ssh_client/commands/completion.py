"""The `completion` command: what makes a shell complete our commands and options."""

from __future__ import annotations

import argparse
import re
import sys
from importlib import import_module
from pathlib import Path

_SHELLS = ("bash", "zsh", "fish")
_FOLDERS = ("--save-to",)

_SHORT_NAME = "m2m-ssh-client"

_EXAMPLES = f"""\
to keep them, each in the folder from which the shell loads what it needs:
  bash  %(prog)s bash > ~/.local/share/bash-completion/completions/m2m-mcp-server-ssh-client
  zsh   %(prog)s zsh > ~/.zfunc/_m2m-mcp-server-ssh-client
  fish  %(prog)s fish > ~/.config/fish/completions/m2m-mcp-server-ssh-client.fish

zsh has to be told of it, before compinit in ~/.zshrc: fpath=(~/.zfunc $fpath).
Who types {_SHORT_NAME} wants the file of bash or fish under that name.
"""


def main(program: str, arguments: list[str]) -> int:
    """`program` is what the help calls it."""
    args = parser(program).parse_args(arguments)
    import shtab

    text = shtab.complete(everything(briefly=True), shell=args.shell)  # nosec B604 # its name
    sys.stdout.write(_mended(text, args.shell) + "\n")
    return 0


def _mended(text: str, shell: str) -> str:
    """For both names of the command; and zsh offers no options behind `--`, where the remote command stands."""
    from m2m_ssh_client.cli import PROGRAM

    if shell == "fish":
        return f"{text}\ncomplete -c {_SHORT_NAME} -w {PROGRAM}"
    text = re.sub(rf"(?m)^ *(complete|#?compdef)\b.* {PROGRAM}$", rf"\g<0> {_SHORT_NAME}", text)
    start = f"\n_shtab_{PROGRAM.replace('-', '_')}() {{\n"
    ours_ends = "  (( ${words[(i)--]} < CURRENT )) && return 1\n"
    return text.replace(start, start + ours_ends) if shell == "zsh" else text


def parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Print the completions of commands and options for a shell.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))
    return parser


def everything(*, briefly: bool = False) -> argparse.ArgumentParser:
    """The proxy's options and, as subcommands, all commands with theirs: to describe, not to parse with.

    `briefly` leaves the commands' descriptions at one sentence.
    """
    from m2m_ssh_client import cli

    whole = cli.parser()
    commands = whole.add_subparsers(title="other commands", metavar="COMMAND")
    for name in cli.COMMANDS:
        part = import_module(f"m2m_ssh_client.commands.{name}").parser(f"{cli.PROGRAM} {name}")
        summary = " ".join((part.description or "").split()).partition(". ")[0].rstrip(".:")
        command = commands.add_parser(
            name,
            parents=[part],
            add_help=False,
            help=summary,
            description=summary if briefly else part.description,
            epilog=part.epilog,
            formatter_class=part.formatter_class,
        )
        command.usage = part.usage
        _name_files(command)
    _name_files(whole)
    return whole


def _name_files(parser: argparse.ArgumentParser) -> None:
    import shtab

    for action in parser._actions:
        if set(action.option_strings) & set(_FOLDERS):
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # shtab's own attribute
        elif action.type is Path or "--ssh-config" in action.option_strings:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
