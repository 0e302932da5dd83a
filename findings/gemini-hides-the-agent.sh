#!/usr/bin/env bash
# Gemini CLI starts MCP servers with its whole environment, except SSH_AUTH_SOCK and whatever else has such a name.
#
# Guess:  a host that passes variables on which it does not know passes on SSH_AUTH_SOCK too, as Claude Code, opencode and
#         GitHub Copilot CLI do. (The SDKs' own clients pass on six variables and nothing else.)
# Seen:   @google/gemini-cli 0.61.0, in `gemini mcp list` and in a session: an unknown variable arrives, SSH_AUTH_SOCK does
#         not. Names with AUTH, KEY, TOKEN, CERT and the like are held back. One that the entry names under "env" arrives,
#         also as "$SSH_AUTH_SOCK".
# Why it matters: `ssh` in an entry, or anything else that logs in with keys from an agent, works in the terminal in which
#         Gemini CLI was started, and is refused by the same machine within it.
#
# Needs Node.js 20 with npm. Installs nothing outside of a temporary folder; needs no login.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/home/.gemini"
npm install --silent --no-fund --no-audit --prefix "$folder" @google/gemini-cli@0.61.0 >/dev/null
echo "{\"$folder\": \"TRUST_FOLDER\"}" > "$folder/home/.gemini/trustedFolders.json"
cat > "$folder/server" <<SH
#!/bin/sh
env > "$folder/\$1"
SH
chmod +x "$folder/server"
cat > "$folder/home/.gemini/settings.json" <<JSON
{"mcpServers": {
  "plain": {"command": "$folder/server", "args": ["plain"]},
  "named": {"command": "$folder/server", "args": ["named"], "env": {"SSH_AUTH_SOCK": "\$SSH_AUTH_SOCK"}}}}
JSON

cd "$folder"
env -i PATH="$PATH" HOME="$folder/home" SSH_AUTH_SOCK=/run/agent NOBODY_KNOWS=1 \
    node_modules/.bin/gemini mcp list >/dev/null 2>&1
grep -H -E '^(SSH_AUTH_SOCK|NOBODY_KNOWS)=' plain named
grep -q '^NOBODY_KNOWS=1$' plain
[[ $(grep -c '^SSH_AUTH_SOCK=' plain) == 0 ]]
grep -q '^SSH_AUTH_SOCK=/run/agent$' named
