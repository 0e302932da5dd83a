"""`key=value` on the command line → arguments, each of the type that the tool's input schema says.

key=value    text, or what the schema wants it to be: a number, true or false, JSON for lists and objects
key=@file    the same, read from a file (`@-`: from stdin)
key:=JSON    JSON, whatever the schema says
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.text import printable, shortened

Schema = dict[str, Any]

TEXT_ONLY: Schema = {"additionalProperties": {"type": "string"}}
"""What a prompt takes (MCP, prompts/get)."""

_MOST_REFERENCES = 20
_COMBINING = ("anyOf", "oneOf", "allOf")


@dataclass(frozen=True)
class Given:
    """An argument as it was written; `text` has what its type is not known of yet."""

    key: str
    text: str | None
    json: Any = None

    def value(self, schema: Schema) -> Any:
        """By the schema of the whole input. Raises UsageError."""
        if self.text is None:
            return self.json
        types = types_of(_property(schema, self.key), schema)
        if types == {"string"}:
            return self.text
        try:
            value = _from_json(self.text)
        except ValueError:
            value = self.text
        # Text in quotes is text with quotes: only what is no text for JSON is taken as JSON says.
        if not isinstance(value, str) and (not types or _type(value) & types):
            return value
        if not types or "string" in types:
            return self.text
        raise UsageError(
            f"{printable(self.key)} wants {' or '.join(sorted(types))}, not "
            f"{shortened(printable(self.text), 60)!r}",
            f"To send it all the same: {printable(self.key)}:=JSON",
        )


def read_words(words: Sequence[str]) -> list[Given]:
    """Raises UsageError for what is no `key=value`, and for a file that cannot be read."""
    given: dict[str, Given] = {}
    for word in words:
        key, equals, text = word.partition("=")
        forced = key.endswith(":")
        key = key.removesuffix(":")
        if not equals or not key:
            raise UsageError(
                f"{printable(word)!r} is no argument", "Write key=value, key=@file or key:=JSON."
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
    """All arguments at once: a JSON object, `-` for stdin or `@file`. Raises UsageError."""
    if text == "-" or text.startswith("@"):
        text = _read(text.removeprefix("@"))
    value = read_json(text, "--json")
    if not isinstance(value, dict):
        raise UsageError("--json wants an object", 'For example: --json \'{"key": "value"}\'')
    return value


def read_json(text: str, where: str) -> Any:
    try:
        return _from_json(_check(text))
    except ValueError as exc:
        raise UsageError(f"{printable(where)} wants JSON: {printable(str(exc))}") from None


def types_of(schema: Any, root: Schema) -> set[str]:
    """The JSON types that a schema allows, as far as it says; empty if it does not."""
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
    """What a local JSON pointer (RFC 6901) leads to."""
    if not reference.startswith("#"):
        return None
    place: Any = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        place = place.get(name) if isinstance(place, dict) else None
    return place


def _type(value: Any) -> set[str]:
    """The names that JSON Schema has for the type of a value."""
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
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _read(name: str) -> str:
    """A file's text, or that of stdin for `-`."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{printable(name)} is no text in UTF-8") from None
    except OSError as exc:
        raise UsageError(f"{printable(name)} cannot be read: {exc.strerror}") from exc


def _check(text: str) -> str:
    """What a shell passed that is no text cannot be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{printable(text)!r} is no text in UTF-8") from None
    return text
