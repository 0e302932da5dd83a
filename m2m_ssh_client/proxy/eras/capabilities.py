"""The questions that a server may ask: elicitation, sampling, roots. Sans-I/O."""

from __future__ import annotations

from typing import Any

from m2m_ssh_client.proxy.eras.terms import QUESTIONS, value_in
from m2m_ssh_client.proxy.frames.frame import Members


def missing_capability(capabilities: Any, method: str, params: Members) -> str:
    """Return the client capability that a question needs and the host lacks; empty if none.

    `capabilities` are the host's. An empty `elicitation` stands for forms, as in 2025-06-18.
    """
    declared = capabilities if isinstance(capabilities, dict) else {}
    name = method.partition("/")[0]
    had = declared.get(name)
    if method not in QUESTIONS or not isinstance(had, dict):
        return name
    if name == "sampling" and not params.keys().isdisjoint(("tools", "toolChoice")):
        return "" if "tools" in had else "sampling.tools"
    if name == "elicitation":
        mode = mode_of(params)
        return "" if mode in had or (mode == "form" and not had) else f"elicitation.{mode}"
    return ""


def mode_of(params: Members) -> str:
    """Return the mode of an elicitation, which is a form unless it says otherwise."""
    mode = value_in(params, "mode")
    return mode if isinstance(mode, str) else "form"
