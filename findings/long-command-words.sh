#!/usr/bin/env bash
# Shells do not agree on what a command word is called that is too long to be a file's name.
#
# Guess:  "not found" (or fish's "Unknown command"), as for any word that names no program.
# Seen:   that for bash alone. dash 0.5.12 says "File name too long", which is the system's word for the path that it
#         tried; zsh 5.9 "file name too long", and from a path's length on "command too long"; fish 3.6.0 that the
#         program EXISTS, "but is not an executable file", in the first folder of PATH.
# Why it matters: whoever speaks JSON-RPC to what turns out to be a login shell recognises it by its complaint, and a
#         request is one long word. What they share is the word itself, without the quotes.
#
# Needs a Debian 12 with its package mirror. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq download dash=0.5.12-2 bash=5.2.15-2+b13 zsh=5.9-4+b15 zsh-common=5.9-4 \
    fish=3.6.0-3.1+deb12u1 fish-common=3.6.0-3.1+deb12u1 libpcre2-32-0 libtinfo6 libcap2
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH="$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu"
export HOME="$folder" XDG_CONFIG_HOME="$folder" XDG_DATA_HOME="$folder"
export PATH="$folder/first:$PATH"
mkdir first

complaint() { # SHELL LENGTH: what it says of a word of so many letters, the word as WORD
    local word
    word=$(head -c "$2" /dev/zero | tr '\0' x)
    echo "$word" | "$1" 2>&1 | sed "s/$word/WORD/g" || true
}

same=0
expect() { # SHELL LENGTH WORDS
    local said
    said=$(complaint "$1" "$2")
    printf '%s, %s letters: %s\n' "${1##*/}" "$2" "$(head -n 1 <<<"$said" | cut -c1-120)"
    grep -qF -- "$3" <<<"$said" || { echo "  expected: $3"; same=1; }
}

for shell in bin/dash bin/bash bin/zsh; do expect "./$shell" 20 "not found"; done
expect ./usr/bin/fish 20 "Unknown command"
expect ./bin/bash 300 "command not found"
expect ./bin/dash 300 "File name too long"
expect ./bin/zsh 300 "file name too long"
expect ./bin/zsh 5000 "command too long"
expect ./usr/bin/fish 300 "first/WORD' exists but is not an executable file"
exit $same
