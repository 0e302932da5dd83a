"""Which tools say of themselves that calling them twice does no harm. Sans-I/O."""

from __future__ import annotations

from m2m_ssh_client.proxy.frames.frame import Message, fields, member

_HINTS = ("readOnlyHint", "idempotentHint")


class HarmlessTools:
    """What the answers to `tools/list` said. Believed only where the user allows it: a server may say anything."""

    def __init__(self, *, believed: bool) -> None:
        self.believed = believed
        self._names: set[str] = set()

    def learn(self, answer: Message) -> None:
        """An answer to `tools/list` passes."""
        if not self.believed:
            return
        tools = fields(answer.result).get("tools")
        for tool in tools if isinstance(tools, list) else ():
            name = member(tool, "name")
            annotations = member(tool, "annotations")
            if isinstance(name, str):
                harmless = any(member(annotations, hint) is True for hint in _HINTS)
                (self._names.add if harmless else self._names.discard)(name)

    def include(self, call: Message) -> bool:
        """Whether this `tools/call` is for one of them."""
        name = fields(call.params).get("name") if self._names else None
        return isinstance(name, str) and name in self._names
