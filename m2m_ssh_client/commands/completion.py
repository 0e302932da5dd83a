"""The `completion` command: print a script for tab completion of commands and options."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.usage import COMMANDS, Parser, command_parser

_SHELLS = ("bash", "zsh", "fish", "powershell")
_FOLDERS = ("--save-to",)

_SHORT_NAME = "m2m-ssh-client"

_OURS_ENDS = {
    "bash": '  COMPREPLY=()\n  [[ " ${COMP_WORDS[*]:1:COMP_CWORD-1} " == *" -- "* ]] && return\n',
    "zsh": "  (( ${words[(i)--]} < CURRENT )) && return 1\n",
}

# Each shell knows how to find hosts in the SSH configuration and known_hosts; bash only with the
# package bash-completion.
_HOSTS = {
    "bash": "_m2m_ssh_hosts",
    "zsh": "_ssh_hosts",
    "fish": "(__fish_print_hostnames)",
    "preamble": {
        "bash": r"""
_m2m_ssh_hosts() {
  if declare -F _known_hosts_real >/dev/null; then
    local cur="$1" COMPREPLY=()
    _known_hosts_real -- "$1"
    printf '%s\n' "${COMPREPLY[@]}"
  else
    compgen -W "$(
      sed -n 's/^[[:space:]]*[Hh][Oo][Ss][Tt][[:space:]=]//p' ~/.ssh/config 2>/dev/null |
        tr -s '[:space:]' '\n' | grep -v '[*?!"]'
      sed -n 's/^\([^|#@[:space:]][^,[:space:]]*\).*/\1/p' ~/.ssh/known_hosts 2>/dev/null |
        sed 's/^\[\(.*\)\]:.*/\1/'
    )" -- "$1"
  fi
}
"""
    },
}

_EXAMPLES = (
    "bash > ~/.local/share/bash-completion/completions/m2m-mcp-server-ssh-client",
    "zsh > ~/.zfunc/_m2m-mcp-server-ssh-client",
    "fish > ~/.config/fish/completions/m2m-mcp-server-ssh-client.fish",
    "powershell | Add-Content $PROFILE",
)
_REMARK = f"""\
bash, zsh and fish load the script from these folders on demand, PowerShell its profile at each
start; create the folder if it is missing.
For {_SHORT_NAME}, bash and fish need a second copy under that name. For zsh, put this line
before compinit in ~/.zshrc: fpath=(~/.zfunc $fpath)

"""


def main(name: str, arguments: list[str]) -> int:
    args = parser(name).understood(arguments)
    if args.shell == "powershell":
        sys.stdout.write(_for_powershell())
        return 0
    import shtab

    whole, parts = _assembled()
    # At its place a command is offered: shells cannot tell a machine from one.
    whole._actions = [action for action in whole._actions if action.dest != "destination"]
    for name, part in zip(COMMANDS, parts, strict=True):
        part.description = COMMANDS[name]
    for each in (whole, *parts):
        _name_values(each)
    text = shtab.complete(whole, shell=args.shell)  # nosec B604 # a name, not a flag
    sys.stdout.write(_mended(text, args.shell) + "\n")
    return 0


def _for_powershell() -> str:
    from m2m_ssh_client import cli
    from m2m_ssh_client.commands import powershell

    commands = {name: cli.command(name).parser(name) for name in COMMANDS}
    for name, description in COMMANDS.items():
        commands[name].description = description
    return powershell.script((PROGRAM, _SHORT_NAME), cli.parser(), commands, _takes_host)


def _mended(text: str, shell: str) -> str:
    """Return the script for both names of the program, and with nothing after `--`."""
    if shell == "fish":
        return f"{text}\ncomplete -c {_SHORT_NAME} -w {PROGRAM}"
    text = re.sub(rf"(?m)^ *(complete|#?compdef)\b.* {PROGRAM}$", rf"\g<0> {_SHORT_NAME}", text)
    start = f"\n_shtab_{PROGRAM.replace('-', '_')}() {{\n"
    return text.replace(start, start + _OURS_ENDS[shell])


def parser(name: str) -> Parser:
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
    for name in COMMANDS:
        part = cli.command(name).parser(name)
        commands.add_parser(name, help=COMMANDS[name])
        commands._name_parser_map[name] = part
        parts.append(part)
    return whole, parts


def _takes_host(action: argparse.Action) -> bool:
    return action.dest in ("destination", "host") or "--jump" in action.option_strings


def _name_values(parser: argparse.ArgumentParser) -> None:
    import shtab

    for action in parser._actions:
        if _takes_host(action):
            action.complete = _HOSTS  # type: ignore[attr-defined]  # shtab's own attribute
        elif set(action.option_strings) & set(_FOLDERS):
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.type is Path or "--ssh-config" in action.option_strings:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
