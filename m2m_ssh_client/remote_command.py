"""Build the command line for the remote user's shell: command, folder, variables, login shell.

Nobody can ask which shell that is. So what is added here reads alike in POSIX shells, fish and csh:
words, quotes, `cd … &&`, `env`, and `sh -c` where that is not enough.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_ACTIVE = re.compile(r"['\\!]")  # within the single quotes of one shell or another
# A backslash is so for fish alone, before another one and before a quote.
_OUTSIDE = re.compile(r"['!]|\\(?=['\\!]|\Z)")
_HOME = re.compile(r"~[\w.-]*", re.ASCII)
_WORD = r"""(?:[\w./:=@%+,~-]|'[^']*'|"'"|\\['\\!])+"""
_WORDS = rf"({_WORD})(?: +{_WORD})* *"
_NO_PROGRAMS = (
    ". alias builtin case cd command eval exec export for function if repeat set setenv source "
    "switch time ulimit umask unset until while"
)

# For `sh`: $l is the line, $s the user's shell. A server need not set SHELL. bash reads ~/.bashrc
# in the first shell of an SSH session, which it knows by SHLVL; the second one is to be the same.
_FIND_SHELL = 's=${SHELL:-$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f7)}; s=${s:-sh}'
_RUN_IN_SHELL = f'{_FIND_SHELL}; unset SHLVL; exec "$s" -c "$l"'
# tcsh takes -l alone, without -c.
_LOGIN_FILES = "".join(f"if (-r {path}) source {path}; " for path in ("/etc/csh.login", "~/.login"))
_RUN_IN_LOGIN_SHELL = (
    f'{_FIND_SHELL}; case $s in *csh) exec "$s" -c "{_LOGIN_FILES}$l";; esac; exec "$s" -lc "$l"'
)


def command_line(
    command: str, *, folder: str | None = None, variables: Sequence[tuple[str, str]] = ()
) -> str:
    """Return a command line that runs `command` in `folder` with these environment variables.

    If `command` is more than a program with its arguments, another shell of the user runs it.
    """
    if folder is None and not variables:
        return command
    line = command if _is_program(command) else _in_sh(_RUN_IN_SHELL, command)
    return on_one_line(readable(line, folder, [(name, quoted(value)) for name, value in variables]))


def readable(command: str, folder: str | None, assigned: Sequence[tuple[str, str]]) -> str:
    """Return what `command_line` means: `cd FOLDER && env NAME=VALUE … COMMAND`."""
    if assigned:
        command = " ".join(["env", *map("=".join, assigned), command])
    return command if folder is None else f"cd {_quoted_folder(folder)} && {command}"


def on_one_line(words: str) -> str:
    """Return the command line without line feeds in its quotes, which csh does not read."""
    return _in_sh('eval "$l"', words) if "\n" in words else words


def in_login_shell(command: str, marker: str) -> str:
    """Return a command line that lets the user's login shell run `command`.

    Its start-up files set the usual PATH. The marker is printed on a line of its own after them.
    """
    return _in_sh(_RUN_IN_LOGIN_SHELL, f"echo {marker}; {command}")


def quoted(word: str) -> str:
    """Return the word quoted for POSIX shells, fish and csh, and for nushell as far as it goes.

    fish treats some backslashes within single quotes as escapes (see its manual, "Quotes"), and csh
    replaces `!` there, so they are placed outside of the quotes. nushell has no escapes outside of
    quotes, so nothing else is placed there. zsh replaces an unquoted word that begins with `=`.
    """
    if word == shlex.quote(word) and word[0] not in "=%":
        return word
    return "'" + _OUTSIDE.sub(_between_quotes, word) + "'"


def _between_quotes(found: re.Match[str]) -> str:
    sign = found.group()
    return "'\"'\"'" if sign == "'" else f"'\\{sign}'"


def _is_program(command: str) -> bool:
    """Return whether the line is a program with its arguments, which no shell changes."""
    found = re.fullmatch(_WORDS, command, re.ASCII)
    return found is not None and found.group(1) not in _NO_PROGRAMS.split()


def _in_sh(script: str, line: str) -> str:
    """Return a command line with which `sh` runs the script, where `$l` is the line."""
    if "\n" not in line:
        return f"sh -c 'l=$0; {script}' {quoted(line)}"
    encoded = _ACTIVE.sub(lambda found: f"\\0{ord(found.group()):03o}", line)
    encoded = encoded.replace("\n", "\\n")
    return f"sh -c 'l=$(printf %b \"$0\"); {script}' '{encoded}'"


def _quoted_folder(folder: str) -> str:
    """Return the folder quoted, except for a leading `~` or `~user`.

    A relative one gets `./`, without which it may be an option or be found by CDPATH.
    """
    head, slash, rest = folder.partition("/")
    if not _HOME.fullmatch(head):
        return quoted(folder if folder.startswith("/") else f"./{folder}")
    return head + slash + (quoted(rest) if rest else "")
