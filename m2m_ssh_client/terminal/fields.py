"""Fields of a form from the server: how to ask for each, and how to read an answer.

MCP, elicitation/create: the requested schema is flat, with strings, numbers, booleans and choices.
Any other schema is refused as a whole. All text in it comes from the server.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from m2m_ssh_client.text import printable, shortened

Schema = dict[str, Any]

_WORDS = {
    "array": "with commas between",
    "boolean": "yes or no",
    "integer": "a whole number",
    "number": "a number",
    "string": "",
}
_YES_NO = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}
_MOST_SHOWN = 50  # choices


class WrongAnswer(Exception):  # noqa: N818 - the person's
    """The answer does not fit; the text says what would."""


class NoForm(Exception):  # noqa: N818 - the server's
    """The schema is not supported; the text is the label of the field."""


@dataclass(frozen=True)
class Field:
    name: str
    schema: Schema
    required: bool
    kind: str = field(init=False)
    choices: dict[str, str] = field(init=False)
    """Values and their titles; empty if any value is allowed."""

    def __post_init__(self) -> None:
        kind = self.schema.get("type")
        of = self.schema.get("items") if kind == "array" else self.schema
        choices = _choices(of) if isinstance(of, dict) else {}
        if not isinstance(kind, str) or kind not in _WORDS or (kind == "array" and not choices):
            raise NoForm(self.label)
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "choices", choices if kind in ("string", "array") else {})

    @property
    def label(self) -> str:
        title = self.schema.get("title")
        return shortened(printable(title if isinstance(title, str) and title else self.name), 80)

    @property
    def default(self) -> str | None:
        """The default, as a person would type it."""
        default = self.schema.get("default")
        return None if default is None else _written(default)

    def about(self) -> list[str]:
        """Return the lines to show before the question."""
        description = self.schema.get("description")
        lines = [shortened(printable(description), 500)] if isinstance(description, str) else []
        for number, (value, title) in enumerate(self.choices.items(), 1):
            if number > _MOST_SHOWN:
                return [*lines, f"… and {len(self.choices) - _MOST_SHOWN} more"]
            called = printable(title if title == value else f"{title} ({value})")
            lines.append(f"{number:3}  {called}" if self._numbered else f"     {called}")
        return lines

    def prompt(self, default: str | None) -> str:
        hints = [_WORDS[self.kind], self._limits(), _text(self.schema.get("format"))]
        hint = ", ".join(each for each in hints if each)
        offer = f" [{shortened(printable(default), 80)}]" if default else ""
        return f"{self.label}{'*' if self.required else ''}{f' ({hint})' if hint else ''}{offer}: "

    def value(self, text: str) -> Any:
        """Return the value to send. Raises WrongAnswer."""
        if self.kind == "array":
            words = [word.strip() for word in text.split(",")]
            chosen = list(dict.fromkeys(self._choice(word) for word in words if word))
            return self._within(chosen, len(chosen), "Items")
        if self.choices:
            return self._choice(text)
        if self.kind == "boolean":
            if text.lower() not in _YES_NO:
                raise WrongAnswer("Type yes or no.")
            return _YES_NO[text.lower()]
        if self.kind == "string":
            return self._within(text, len(text), "Length")
        number = _number(text, whole=self.kind == "integer")
        return self._within(number, number, "imum")

    @property
    def _numbered(self) -> bool:
        """True if choices may be picked by number: none of them has a number as its name."""
        return not any(name.isdigit() for pair in self.choices.items() for name in pair)

    def _choice(self, text: str) -> str:
        if text in self.choices:
            return text
        for value, title in self.choices.items():
            if text.lower() in (value.lower(), title.lower()):
                return value
        if (
            self._numbered
            and re.fullmatch("[0-9]{1,6}", text)
            and 0 < int(text) <= len(self.choices)
        ):
            return list(self.choices)[int(text) - 1]
        raise WrongAnswer(f"{shortened(printable(text), 60)!r} is not one of the choices.")

    def _within(self, value: Any, size: float, of: str) -> Any:
        low, high = self._bounds(of)
        if not low <= size <= high:
            raise WrongAnswer(f"It must be {self._limits()}.")
        return value

    def _bounds(self, of: str) -> tuple[float, float]:
        return _bound(self.schema.get(f"min{of}"), -math.inf), _bound(
            self.schema.get(f"max{of}"), math.inf
        )

    def _limits(self) -> str:
        """Return the limits in words; empty without limits."""
        of, unit = {"string": ("Length", " characters"), "array": ("Items", " choices")}.get(
            self.kind, ("imum", "")
        )
        bounds = self._bounds(of)
        low, high = (shortened(str(bound), 20) + unit for bound in bounds)
        if math.inf not in map(abs, bounds):
            return f"{low.removesuffix(unit)} to {high}"
        if bounds[0] > -math.inf:
            return f"at least {low}"
        return f"at most {high}" if bounds[1] < math.inf else ""


def fields_of(schema: Any) -> list[Field]:
    """Return the fields of a schema. Raises NoForm."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return []
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    return [
        Field(name, of if isinstance(of, dict) else {}, name in needed)
        for name, of in properties.items()
    ]


def _bound(value: Any, otherwise: float) -> float:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise


def _choices(schema: Schema) -> dict[str, str]:
    """Read choices from `enum` (and `enumNames`), `oneOf` or `anyOf`: MCP has had all of them."""
    values = schema.get("enum")
    if isinstance(values, list):
        names = schema.get("enumNames")
        titles = names if isinstance(names, list) and len(names) == len(values) else values
        pairs = list(zip(values, titles, strict=True))
    else:
        named = schema.get("oneOf", schema.get("anyOf"))
        parts = (
            [part for part in named if isinstance(part, dict)] if isinstance(named, list) else []
        )
        pairs = [(part.get("const"), part.get("title")) for part in parts]
    return {value: _text(title) or value for value, title in pairs if isinstance(value, str)}


def _number(text: str, *, whole: bool) -> int | float:
    if re.fullmatch("[+-]?[0-9]{1,300}", text):
        return int(text)
    if not whole and re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        number = float(text)
        if math.isfinite(number):
            return number
    raise WrongAnswer(f"Type {_WORDS['integer' if whole else 'number']}.")


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_written, value))
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _text(value: Any) -> str:
    return printable(value) if isinstance(value, str) else ""
