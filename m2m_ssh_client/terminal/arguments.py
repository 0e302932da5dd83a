"""Convert `key=value` words to arguments, each of the type in the tool's input schema.

key=value    text, or the type in the schema: a number, true or false, JSON for lists and objects
key=@file    the same, read from a file (`@-`: from stdin)
key:=JSON    JSON, whatever the schema
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m2m_ssh_client.errors import UsageError, reason
from m2m_ssh_client.text import printable, shortened

Schema = dict[str, Any]

TEXT_ONLY: Schema = {"additionalProperties": {"type": "string"}}
"""Schema of a prompt's arguments (MCP, prompts/get)."""

_MOST_REFERENCES = 20
_COMBINING = ("anyOf", "oneOf", "allOf")


@dataclass(frozen=True)
class Given:
    """An argument as typed: `text` of a type still unknown, or `json`."""

    key: str
    text: str | None
    json: Any = None

    def value(self, schema: Schema) -> Any:
        """Return the value, by the schema of the whole input. Raises UsageError."""
        if self.text is None:
            return self.json
        types = types_of(_property(schema, self.key), schema)
        if types == {"string"}:
            return self.text
        try:
            value = _from_json(self.text)
        except ValueError:
            value = self.text
        # Quoted text stays text with its quotes: JSON is only read for values of other types.
        if not isinstance(value, str) and (not types or _type(value) & types):
            return value
        if not types or "string" in types:
            return self.text
        raise UsageError(
            f"{printable(self.key)} must be {' or '.join(sorted(types))}, not "
            f"{shortened(printable(self.text), 60)!r}",
            f"To send another type anyway, use {printable(self.key)}:=JSON.",
        )


def read_words(words: Sequence[str]) -> list[Given]:
    """Read the words. Raises UsageError for an invalid word and for an unreadable file."""
    given: dict[str, Given] = {}
    for word in words:
        key, equals, text = word.partition("=")
        forced = key.endswith(":")
        key = key.removesuffix(":")
        if not equals or not key:
            raise UsageError(
                f"Invalid argument {printable(word)!r}", "Use key=value, key=@file or key:=JSON."
            )
        if key in given:
            raise UsageError(f"{printable(key)} is given twice")
        _check(key)
        if forced:
            given[key] = Given(key, None, read_json(text, f"{key}:="))
        else:
            given[key] = Given(key, _read(text[1:]) if text.startswith("@") else _check(text))
    return list(given.values())


def values(given: Iterable[Given], schema: Schema) -> dict[str, Any]:
    return {each.key: each.value(schema) for each in given}


def read_object(text: str) -> dict[str, Any]:
    """Read all arguments at once: a JSON object, `-` for stdin or `@file`. Raises UsageError."""
    if text == "-" or text.startswith("@"):
        text = _read(text.removeprefix("@"))
    value = read_json(text, "--arguments")
    if not isinstance(value, dict):
        raise UsageError(
            "--arguments must be an object", 'For example: --arguments \'{"key": "value"}\''
        )
    return value


def read_json(text: str, where: str) -> Any:
    try:
        return _from_json(_check(text))
    except ValueError as exc:
        raise UsageError(f"{printable(where)} must be JSON: {printable(str(exc))}") from None


def types_of(schema: Any, root: Schema) -> set[str]:
    """Return the JSON types that a schema allows; empty if it does not restrict them."""
    return _types_of(schema, root, [_MOST_REFERENCES])


def _types_of(schema: Any, root: Schema, left: list[int]) -> set[str]:
    if not isinstance(schema, dict):
        return set()
    reference = schema.get("$ref")
    if isinstance(reference, str):
        left[0] -= 1
        return _types_of(_at(root, reference), root, left) if left[0] >= 0 else set()
    named = schema.get("type")
    if isinstance(named, str):
        return {named}
    if isinstance(named, list):
        return {name for name in named if isinstance(name, str)}
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(choices, list):
        return {min(_type(choice)) for choice in choices}  # "integer" before "number"
    found = [
        _types_of(part, root, left)
        for name in _COMBINING
        if isinstance(parts := schema.get(name), list)
        for part in parts
    ]
    return set().union(*found) if all(found) else set()


def _property(schema: Schema, key: str) -> Any:
    properties = schema.get("properties")
    if isinstance(properties, dict) and key in properties:
        return properties[key]
    return schema.get("additionalProperties")


def _at(root: Schema, reference: str) -> Any:
    """Follow a local JSON pointer (RFC 6901)."""
    if not reference.startswith("#"):
        return None
    place: Any = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        place = place.get(name) if isinstance(place, dict) else None
    return place


def _type(value: Any) -> set[str]:
    """Return JSON Schema's names for the type of a value."""
    if value is None:
        return {"null"}
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return {"integer", "number"}
    if isinstance(value, float):
        return {"number"}
    return {
        "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"
    }


def _from_json(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _read(name: str) -> str:
    """Return the text of a file, or of stdin for `-`."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{printable(name)} is not UTF-8 text") from None
    except OSError as exc:
        raise UsageError(f"{printable(name)} cannot be read: {reason(exc)}") from exc


def _check(text: str) -> str:
    """Return the text; raise UsageError for bytes from the shell that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{printable(text)!r} is not UTF-8 text") from None
    return text
