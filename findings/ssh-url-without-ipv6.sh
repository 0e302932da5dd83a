#!/usr/bin/env bash
# An ssh:// URL that holds an IPv6 address is a usage error for ssh.
#
# Guess:  `ssh ssh://[::1]:2203` is `ssh -p 2203 ::1`: ssh(1) takes ssh://[user@]hostname[:port], and a URL writes such an
#         address in brackets (RFC 3986 section 3.2.2).
# Seen:   OpenSSH 9.2 prints its usage, with no word on the URL, whether there is a port and a user or not. -J with that URL
#         says "Invalid -J argument", while -J '[::1]:2203' without ssh:// is taken. An IPv4 address in the URL is taken.
# Why it matters: a host:port that was made into a URL works for every machine but those with an IPv6 address, and what
#         ssh prints then does not say why.
#
# Needs a Debian 12 with its package mirror. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq download openssh-client=1:9.2p1-2+deb12u10 2>/dev/null
dpkg -x openssh-client_*.deb .

said() { usr/bin/ssh -F none -G "$@" 2>&1 || true; }

same=0
expect() { # WORDS-OF-SSH…: the last is the line that must be there
    local line=${*: -1}
    printf '%s: %s\n' "${*:1:$#-1}" "$line"
    said "${@:1:$#-1}" | grep -q -- "^$line" || { echo "  expected, and not said"; same=1; }
}

expect 'ssh://[::1]:2203' "usage: ssh"
expect 'ssh://[::1]' "usage: ssh"
expect 'ssh://someone@[2001:db8::7]:22' "usage: ssh"
expect -J 'ssh://[::1]:2203' lab.example "Invalid -J argument"
expect -J '[::1]:2203' lab.example "proxyjump \[::1\]:2203"
expect 'ssh://127.0.0.1:2203' "port 2203"
expect -p 2203 ::1 "hostname ::1"
exit $same
