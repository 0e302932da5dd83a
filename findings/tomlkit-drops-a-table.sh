#!/usr/bin/env bash
# Setting one table with tomlkit drops another one that follows a subtable written out of order.
#
# Guess:  after document["mcp_servers"]["lab"] = {...}, all other tables are as they were: tomlkit is "style-preserving", and
#         TOML 1.0 allows tables out of order.
# Seen:   tomlkit 0.15.2. In a document with [mcp_servers.lab], [profiles.work], [mcp_servers.lab.env] and
#         [mcp_servers.other], the assignment also removes [mcp_servers.other], without an error. Before the assignment both
#         servers are there; in order, both stay. Besides, a new table goes between the comment above another table and
#         that table.
# Why it matters: hosts such as Codex keep their servers in such a file. A tool that edits one entry this way loses the
#         user's other servers, and what it reads back agrees with what it wrote.
#
# Needs Python 3 with venv, and PyPI. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q tomlkit==0.15.2

"$folder/venv/bin/python" - <<'PYTHON'
import tomlkit

LAB = '[mcp_servers.lab]\ncommand = "ssh"\n'
WORK = '[profiles.work]\nmodel = "x"\n'
ENV = '[mcp_servers.lab.env]\nA = "1"\n'
OTHER = '[mcp_servers.other]\ncommand = "npx"\n'


def servers_after_setting(name, text):
    document = tomlkit.parse(text)
    before = sorted(document["mcp_servers"])
    document["mcp_servers"][name] = {"command": "new"}
    written = document.as_string()
    return before, sorted(tomlkit.parse(written)["mcp_servers"]), written


before, after, _ = servers_after_setting("lab", LAB + ENV + OTHER + WORK)
print("in order:    ", before, "->", after)
assert before == after == ["lab", "other"]

before, after, written = servers_after_setting("lab", LAB + WORK + ENV + OTHER)
print("out of order:", before, "->", after)
print(written)
assert before == ["lab", "other"]
assert after == ["lab"]

_, _, written = servers_after_setting("lab", OTHER + "\n# Only at work.\n" + WORK)
print(written)
assert written.index("# Only at work.") < written.index("[mcp_servers.lab]") < written.index("[profiles.work]")
PYTHON
