"""Hide what may be secret in command lines. Hiding too much beats hiding too little.

`masked` takes the text of a shell's command line, `masked_argv` a list of arguments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "…"

# A word of a shell: pieces in quotes and without, up to a blank or an operator.
_WORD = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s'"\\;|&])*"""
_NAMES = r"token|secret|pass|pwd|(?<![a-z])pat\b|credential|auth|cookie|key|header|bearer"
_QUOTED_ASSIGNMENT = re.compile(r"'([A-Za-z_]\w*)=[^']*'")
_ASSIGNMENT = re.compile(rf"(?<![\w-])([A-Za-z_]\w*)={_WORD}", re.DOTALL)
# Names are looked at from their first character on, once, so that a long text takes linear time.
_NAME_START = r"(?<![\w-])"
_OPTION = re.compile(
    rf"{_NAME_START}((?=\w*-[\w-]*?(?:{_NAMES}))[\w-]+)(=|\s+){_WORD}", re.IGNORECASE | re.DOTALL
)
_HEADER = re.compile(rf"{_NAME_START}((?=[\w-]*?(?:{_NAMES}))[\w-]+:\s*)[^'\"\r\n]+", re.IGNORECASE)
_SCHEME = re.compile(r"\b(bearer|basic)\s+[\w.~+/-]+=*", re.IGNORECASE)
_SSHPASS = re.compile(rf"(\bsshpass\s+-p\s*){_WORD}", re.DOTALL)
# The option of curl and its like: a name, a colon, a password.
_USER_OPTION = re.compile(rf"{_NAME_START}(-u\s*|--user(?:=|\s+))(?=[^\s:]*:){_WORD}", re.DOTALL)
_PASSWORD_OF_USER = re.compile(r"(-u|--user=)?[^:/]+:(?!//).+", re.DOTALL)
# Also within double quotes of a shell, where the quotes of JSON have backslashes.
_JSON_MEMBER = re.compile(
    rf'(\\?"(?=[\w-]*?(?:{_NAMES}))[\w-]+\\?"\s*:\s*\\?")(?:[^"\\]|\\[^"])*', re.IGNORECASE
)
# Secrets that are recognised by their first characters, wherever they are.
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(ghp_|gho_|github_pat_|glpat-|sk-|xox[abeprs]-|AKIA)[\w-]{8,}"
)
_USER_OF_URL = re.compile(r"(?<=://)[^\s/@]+@")

_TELLING = re.compile(_NAMES, re.IGNORECASE)
_PLACE = re.compile(r"[:/]")
_IN_URL = re.compile(r"(?<=://)[^/@\s]*@|\?.*")
# The options of this program are known, so only these are hidden.
_OUR_OPTION = "--passphrase"
_OUR_VARIABLE = re.compile(r"(--env=)?(\w+)=.*", re.DOTALL)
_OUR_KEYWORD = re.compile(
    r"(-o|--ssh-option=)?\W*(setenv\w*|proxycommand\w*)\b.*", re.DOTALL | re.IGNORECASE
)


def masked(text: str) -> str:
    """Return the text without the values of variables, of options and headers with a telling name,
    and without the user of a URL.
    """
    text = _QUOTED_ASSIGNMENT.sub(rf"'\1={HIDDEN}'", text)
    text = _ASSIGNMENT.sub(rf"\1={HIDDEN}", text)
    text = _OPTION.sub(rf"\1\2{HIDDEN}", text)
    text = _HEADER.sub(rf"\1{HIDDEN}", text)
    text = _SCHEME.sub(rf"\1 {HIDDEN}", text)
    text = _SSHPASS.sub(rf"\1{HIDDEN}", text)
    text = _USER_OPTION.sub(rf"\1{HIDDEN}", text)
    text = _JSON_MEMBER.sub(rf"\1{HIDDEN}", text)
    text = _TOKEN.sub(HIDDEN, text)
    return _USER_OF_URL.sub(f"{HIDDEN}@", text)


def masked_argv(argv: Sequence[str], *, ours: bool) -> list[str]:
    """Return the arguments without what may be secret.

    `ours` says that this program is started; behind its `--` stands another one. Secrets of other
    programs are recognised by the names of their options.
    """
    result: list[str] = []
    hide = False
    for before, word in zip(["", *argv], argv, strict=False):
        name, equals, _ = word.partition("=")
        shown = _without_value(before, word) if ours else word
        if shown != word:
            result.append(shown)
        elif (hide and not word.startswith("-")) or (not ours and _has_password(before, word)):
            result.append(HIDDEN)
        elif "://" in name:
            result.append(_IN_URL.sub(HIDDEN, word))
        elif equals and _is_telling(name, ours=ours):
            result.append(f"{name}={HIDDEN}")
        else:
            result.append(_JSON_MEMBER.sub(rf"\1{HIDDEN}", _TOKEN.sub(HIDDEN, word)))
        hide = word.startswith("-") and not equals and _is_telling(word, ours=ours)
        ours = ours and word != "--"
    return result


def _has_password(before: str, word: str) -> bool:
    found = _PASSWORD_OF_USER.fullmatch(word)
    return bool(found and (found[1] or before in ("-u", "--user")))


def _is_telling(name: str, *, ours: bool) -> bool:
    """Return whether a value after this name may be secret. A path or URL is judged by its end."""
    return name == _OUR_OPTION if ours else bool(_TELLING.search(_PLACE.split(name)[-1]))


def _without_value(before: str, word: str) -> str:
    """Return one of our arguments without the value of a variable or a ProxyCommand."""
    for pattern, options_before in (
        (_OUR_VARIABLE, ("--env",)),
        (_OUR_KEYWORD, ("-o", "--ssh-option")),
    ):
        found = pattern.fullmatch(word)
        if found and (found[1] or before in options_before):
            return f"{found[1] or ''}{found[2]}={HIDDEN}"
    return word
