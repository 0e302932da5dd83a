#!/usr/bin/env bash
# Gemini CLI replaces variables in the arguments of an MCP server, though no shell is in between.
#
# Guess:  "command" and "args" of a server in ~/.gemini/settings.json are an argv, so `$HOME` in an argument reaches the
#         program as it is, as with other hosts that have these two members.
# Seen:   @google/gemini-cli 0.61.0, in `gemini mcp list`: $NAME and ${NAME} are replaced by the variables of Gemini CLI's
#         own environment. A variable that is not set there stays as text.
# Why it matters: in an entry that runs `ssh` or its like, an argument is a command line for another machine. Its $HOME
#         becomes the home folder of this one, and only where the variable happens to be set here.
#
# Needs Node.js 20 with npm. Installs nothing outside of a temporary folder; needs no login.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/home/.gemini"
npm install --silent --no-fund --no-audit --prefix "$folder" @google/gemini-cli@0.61.0 >/dev/null
cat > "$folder/home/.gemini/settings.json" <<'JSON'
{"mcpServers": {"lab": {"command": "ssh", "args": ["-T", "lab", "cat $HOME/a ${THERE}/b $M2M_NOT_SET"]}}}
JSON

cd "$folder"
seen=$(env -i PATH="$PATH" HOME="$folder/home" THERE=/there node_modules/.bin/gemini mcp list 2>&1 | grep "lab:")
echo "${seen/$folder/FOLDER}"
[[ $seen == *"ssh -T lab cat $folder/home/a /there/b \$M2M_NOT_SET "* ]]
