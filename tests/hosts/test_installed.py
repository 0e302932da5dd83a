from __future__ import annotations

import json
from pathlib import Path

from m2m_ssh_client.hosts.apps import Machine
from m2m_ssh_client.hosts.installed import installed

ENTRIES = {"a": {"command": "m2m-ssh-client", "args": ["--host", "lab"]}, "b": {"command": "other"}}


def test_the_servers_of_every_application_are_found_and_broken_files_told(tmp_path: Path) -> None:
    for place, content in (
        (".cursor/mcp.json", json.dumps({"mcpServers": ENTRIES})),
        (".codeium/windsurf/mcp_config.json", "{"),
        (".claude.json", json.dumps({"mcpServers": {"a": {"url": "https://x"}}})),
    ):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    machine = Machine("linux", tmp_path, {})
    failed: list[str] = []
    found = installed(machine, lambda app, exc: failed.append(f"{app.name} {exc}"))
    assert [(entry.app.name, entry.name, entry.argv) for entry in found] == [
        ("claude-code", "a", ["https://x"]),
        ("cursor", "a", ["m2m-ssh-client", "--host", "lab"]),
        ("cursor", "b", ["other"]),
    ]
    (text,) = failed
    assert text.startswith("windsurf ")
    assert len(list(installed(machine))) == 3
