"""Tab completion for PowerShell, which shtab does not write: its tables, and what looks into them.

Windows PowerShell 5.1 and PowerShell 7, on any system. The script is ASCII alone: 5.1 takes what a
program prints for text in the console's code page.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence

# A native completer gets the word at the cursor and the whole command line. If it returns nothing,
# PowerShell offers files. The tables have a name and its description in one string: a hash table
# would not tell -f from -F, and names have no blanks.
_SCRIPT = r"""# Tab completion of {programs}
Register-ArgumentCompleter -Native -CommandName {names} -ScriptBlock {{
    param($word, $line, $cursor)
    $offered = @{{
{offered}
    }}
    $values = @{{
{values}
    }}
    $hosts = @({hosts})

    $words = @($line.CommandElements | Where-Object {{ $_.Extent.EndOffset -lt $cursor }} |
        ForEach-Object {{ $_.Extent.Text }})
    if ($words -contains '--') {{ return }}
    $command = ''
    if ($words.Count -gt 1 -and $offered.ContainsKey($words[1])) {{ $command = $words[1] }}
    $option = "$command $($words[-1])".Trim()

    if ($hosts -ccontains $option) {{
        $found = @(Get-Content "$HOME/.ssh/config" -ErrorAction SilentlyContinue |
            ForEach-Object {{ if ($_ -match '^\s*Host[\s=]+(.+)') {{ $Matches[1] -split '\s+' }} }} |
            Where-Object {{ $_ -and $_ -notmatch '[*?!"]' }})
    }} elseif ($values.ContainsKey($option)) {{
        $found = $values[$option]
    }} else {{
        $found = $offered[$command]
    }}
    $found | ForEach-Object {{
        $name, $about = $_ -split ' ', 2
        if (-not $about) {{ $about = $name }}
        if ($name.StartsWith($word, [StringComparison]::Ordinal)) {{
            [System.Management.Automation.CompletionResult]::new($name, $name, 'ParameterValue', $about)
        }}
    }}
}}
"""
# PowerShell takes the curly quotes for quotes.
_ASCII = {0x2013: "-", 0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2026: "..."}


def script(
    names: Sequence[str],
    whole: argparse.ArgumentParser,
    commands: Mapping[str, argparse.ArgumentParser],
    takes_host: Callable[[argparse.Action], bool],
) -> str:
    """Return the script; `names` are those of the program, `whole` is its parser without them."""
    parsers = {"": whole, **commands}
    offered = {name: list(_offered(parser)) for name, parser in parsers.items()}
    offered[""] += [f"{name} {parser.description}" for name, parser in commands.items()]
    options = [
        (f"{name} {option}".strip(), action)
        for name, parser in parsers.items()
        for action in parser._actions
        for option in action.option_strings
    ]
    values = {key: list(map(str, action.choices)) for key, action in options if action.choices}
    return _SCRIPT.format(
        programs=names[0],
        names=", ".join(map(_quoted, names)),
        offered=_table(offered),
        values=_table(values),
        hosts=", ".join(_quoted(key) for key, action in options if takes_host(action)),
    )


def _offered(parser: argparse.ArgumentParser) -> Iterator[str]:
    formatter = parser._get_formatter()
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        about = formatter._expand_help(action) if action.help else ""
        for option in action.option_strings:
            yield f"{option} {about}"
        if not action.option_strings:
            yield from map(str, action.choices or ())


def _table(rows: Mapping[str, Sequence[str]]) -> str:
    lines = []
    for name, found in rows.items():
        words = ",\n            ".join(map(_quoted, found))
        lines.append(f"        {_quoted(name)} = @(\n            {words}\n        )")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """Return a literal string on one line."""
    text = " ".join(text.translate(_ASCII).split())
    return "'" + text.replace("'", "''") + "'"
