"""The `completion` command: what makes a shell complete our commands and options."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

_SHELLS = ("bash", "zsh", "fish")
_FOLDERS = ("--save-to",)

_EXAMPLES = """\
for the shells to come:
  bash  %(prog)s bash > ~/.local/share/bash-completion/completions/m2m-mcp-server-ssh-client
  zsh   %(prog)s zsh > "${fpath[1]}/_m2m-mcp-server-ssh-client"
  fish  %(prog)s fish > ~/.config/fish/completions/m2m-mcp-server-ssh-client.fish
"""


def main(program: str, arguments: list[str]) -> int:
    """`program` is what the help calls it."""
    args = parser(program).parse_args(arguments)
    import shtab

    sys.stdout.write(shtab.complete(everything(), shell=args.shell) + "\n")  # nosec B604 # its name
    return 0


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


def everything() -> argparse.ArgumentParser:
    """The proxy's options and, as subcommands, all commands with theirs: to describe, not to parse with."""
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
            description=part.description,
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
