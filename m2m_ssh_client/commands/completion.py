"""The `completion` command: print a script for tab completion of commands and options."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.usage import command_parser

_SHELLS = ("bash", "zsh", "fish")
_FOLDERS = ("--save-to",)

_SHORT_NAME = "m2m-ssh-client"

_EXAMPLES = (
    "bash > ~/.local/share/bash-completion/completions/m2m-mcp-server-ssh-client",
    "zsh > ~/.zfunc/_m2m-mcp-server-ssh-client",
    "fish > ~/.config/fish/completions/m2m-mcp-server-ssh-client.fish",
)
_REMARK = f"""\
The shell loads the script from these folders on demand; create the folder if it is missing.
For {_SHORT_NAME}, bash and fish need a second copy under that name. For zsh, put this line
before compinit in ~/.zshrc: fpath=(~/.zfunc $fpath)

"""


def main(name: str, arguments: list[str]) -> int:
    args = parser(name).parse_args(arguments)
    import shtab

    whole, parts = _assembled()
    for part in parts:
        part.description = _summary(part)
    for each in (whole, *parts):
        _name_files(each)
    text = shtab.complete(whole, shell=args.shell)  # nosec B604 # a name, not a flag
    sys.stdout.write(_mended(text, args.shell) + "\n")
    return 0


def _mended(text: str, shell: str) -> str:
    """Return the script for both names of the program, and without options after `--` in zsh."""
    if shell == "fish":
        return f"{text}\ncomplete -c {_SHORT_NAME} -w {PROGRAM}"
    text = re.sub(rf"(?m)^ *(complete|#?compdef)\b.* {PROGRAM}$", rf"\g<0> {_SHORT_NAME}", text)
    start = f"\n_shtab_{PROGRAM.replace('-', '_')}() {{\n"
    ours_ends = "  (( ${words[(i)--]} < CURRENT )) && return 1\n"
    return text.replace(start, start + ours_ends) if shell == "zsh" else text


def parser(name: str) -> argparse.ArgumentParser:
    parser = command_parser(
        name,
        "Print the script that makes a shell complete commands and options.",
        _EXAMPLES,
        remark=_REMARK,
    )
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))
    return parser


def everything() -> argparse.ArgumentParser:
    """Return the parser for the manual page; commands omit the options that the proxy has."""
    whole, parts = _assembled()
    shared = {action.dest for action in whole._actions} - {"help"}
    for part in parts:
        epilog = (part.epilog or "") % {"prog": part.prog}
        part.description = f"{part.description}\n\n{epilog}"
        part._action_groups = [
            group
            for group in part._action_groups
            if not {action.dest for action in group._group_actions} <= shared
        ]
    return whole


def _assembled() -> tuple[argparse.ArgumentParser, list[argparse.ArgumentParser]]:
    """Return the proxy's parser with the commands as subparsers: to describe, not to parse."""
    from m2m_ssh_client import cli

    whole = cli.parser()
    commands = whole.add_subparsers(title="other commands", metavar="COMMAND")
    parts = []
    for name in cli.COMMANDS:
        part = cli.command(name).parser(name)
        commands.add_parser(name, help=_summary(part))
        commands._name_parser_map[name] = part
        parts.append(part)
    return whole, parts


def _summary(parser: argparse.ArgumentParser) -> str:
    """Return the first sentence of the description."""
    return " ".join((parser.description or "").split()).partition(". ")[0].rstrip(".:")


def _name_files(parser: argparse.ArgumentParser) -> None:
    import shtab

    for action in parser._actions:
        if set(action.option_strings) & set(_FOLDERS):
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # shtab's own attribute
        elif action.type is Path or "--ssh-config" in action.option_strings:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
