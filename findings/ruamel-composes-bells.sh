#!/usr/bin/env bash
# ruamel.yaml composes a folded string with BEL characters in it, where the lines were folded.
#
# Guess:  YAML().compose() returns the nodes of a document, with each scalar as the YAML specification reads it: ">-" over
#         "one" and "two" is "one two", as load() of the same object gives it, and as compose() of PyYAML does.
# Seen:   ruamel.yaml 0.19.1. The node's value is "one\x07 two". The default type keeps the places of the folds there for
#         its own constructor, which removes them. With typ="safe" there are none.
# Why it matters: nodes have positions in the text, so programs that edit a configuration in place read it that way. Hosts
#         such as Goose and Continue keep the command of an MCP server in YAML; a long one that is folded gets characters
#         that no terminal shows, and names another program.
#
# Needs Python 3 with venv, and PyPI. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ruamel.yaml==0.19.1 PyYAML==6.0.3

"$folder/venv/bin/python" - <<'PYTHON'
import yaml
from ruamel.yaml import YAML

TEXT = "cmd: >-\n  one\n  two\n"


def value(root):
    ((_, node),) = root.value
    return node.value


loaded = YAML(pure=True).load(TEXT)["cmd"]
composed = value(YAML(pure=True).compose(TEXT))
safe = value(YAML(typ="safe", pure=True).compose(TEXT))
other = value(yaml.compose(TEXT))
print(f"load() {loaded!r}, compose() {composed!r}, with typ='safe' {safe!r}, PyYAML {other!r}")
assert loaded == safe == other == "one two"
assert composed == "one\a two"
PYTHON
