"""The tools that declare that a second call does no harm. Sans-I/O."""

from __future__ import annotations

from m2m_ssh_client.proxy.frames.frame import Message, fields, member

_HINTS = ("readOnlyHint", "idempotentHint")


class HarmlessTools:
    """The names of harmless tools, learned from answers to `tools/list`.

    A server may declare anything, so nothing is learned unless the user believes it (`believed`).
    """

    def __init__(self, *, believed: bool) -> None:
        self.believed = believed
        self._names: set[str] = set()

    def learn(self, answer: Message) -> None:
        """Note what an answer to `tools/list` declares."""
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
        """Return whether this `tools/call` calls a harmless tool."""
        name = fields(call.params).get("name") if self._names else None
        return isinstance(name, str) and name in self._names
