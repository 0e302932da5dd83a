#!/usr/bin/env bash
# nushell takes a backslash outside of quotes as a letter; quotes side by side make one word, as elsewhere.
#
# Guess:  'it'\''s' fails because nushell does not join quoted parts to one word; a backslash outside of quotes is an
#         escape, as in POSIX shells, fish and csh.
# Seen:   nushell 0.115.1: '\!x' in `nu -c` arrives as \!x, and 'a'\\'b' as a\\b, without a word. 'it'\''s' is an
#         unclosed delimiter, and nothing runs. 'it'"'"'s' arrives as it's.
# Why it matters: an SSH server hands the command line to the account's login shell. A line that was quoted with
#         backslashes changes on its way to the program there, and nobody is told.
#
# Needs Node.js with npm, on Linux on x86-64. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-fund --no-audit --prefix "$folder" nushell@0.115.1 >/dev/null
nu="$folder/node_modules/.bin/nu"

shown() { # what a program gets of the word that is written like this
    HOME=$folder "$nu" --no-config-file -c "/usr/bin/printf '<%s>' $1" 2>&1 || true
}

echo "a mark: $(shown "''\\!'x'"), two backslashes: $(shown "'a'\\\\'b'"), quotes: $(shown "'it'\"'\"'s'")"
[[ $(shown "''\\!'x'") == '<\!x>' ]]
[[ $(shown "'a'\\\\'b'") == '<a\\b>' ]]
[[ $(shown "'it'\"'\"'s'") == "<it's>" ]]
[[ $(shown "'it'\\''s'") == *"Unclosed delimiter"* ]]
