"""The protocol eras that a server speaks, and what that means for hosts."""

from __future__ import annotations

from contextlib import suppress

from m2m_ssh_client._version import PROGRAM, __version__
from m2m_ssh_client.conversation import Conversation, EndedError, RefusedError
from m2m_ssh_client.doctor.steps import Channels, Status, Step
from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.ssh.settings import Request

LEGACY_VERSION = "2025-11-25"
MODERN_VERSION = "2026-07-28"
CLIENT = {"name": f"{PROGRAM} doctor", "version": __version__}
META = "io.modelcontextprotocol"
ENVELOPE: dict[str, object] = {
    "_meta": {
        f"{META}/protocolVersion": MODERN_VERSION,
        f"{META}/clientCapabilities": {},
        f"{META}/clientInfo": CLIENT,
    }
}
"""The params of a modern request."""

_PATIENCE = 5.0  # seconds; silence counts as the older era


def step(
    connection: Channels, request: Request, longest: int, *, is_legacy: bool, bridge: str
) -> Step:
    """Return which eras a server speaks; for a legacy one, by starting it once more.

    A server that has been initialized must not be asked again (modelcontextprotocol.io,
    "Versioning").
    """
    modern = not is_legacy or _speaks_modern(connection, request, longest)
    found = {"legacy": is_legacy, "modern": modern, "bridge": bridge}
    if is_legacy and modern:
        return Step("eras", Status.OK, found, f"up to {LEGACY_VERSION} and {MODERN_VERSION}")
    if modern:
        summary = f"{MODERN_VERSION} only: hosts of up to {LEGACY_VERSION} are bridged"
        if bridge == "off":
            summary = f"{MODERN_VERSION} only: hosts of up to {LEGACY_VERSION} cannot use it"
            return Step("eras", Status.WARNING, found, summary, "Leave out --bridge off.")
        return Step("eras", Status.OK, found, summary)
    advice = {
        "auto": f"For a host that speaks {MODERN_VERSION} alone: --bridge modern.",
        "off": f"For a host that speaks {MODERN_VERSION} alone: leave out --bridge off.",
    }.get(bridge, "")
    summary = f"up to {LEGACY_VERSION} only"
    return Step("eras", Status.OK, found, summary, details=(advice,) if advice else ())


def _speaks_modern(connection: Channels, request: Request, longest: int) -> bool:
    with suppress(SSHClientError, RefusedError, EndedError):
        conversation = Conversation(
            connection.channel(request), _PATIENCE, guarded=request.may_be_shell, longest=longest
        )
        try:
            versions = conversation.ask("server/discover", ENVELOPE).get("supportedVersions")
        finally:
            conversation.end()
        return isinstance(versions, list) and MODERN_VERSION in versions
    return False
