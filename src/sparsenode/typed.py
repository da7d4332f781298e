"""Typed settings: keys, types, bounds, defaults and descriptions declared once, and what follows from them in words.

A group of settings is a frozen pydantic model. From it come the check with one message a problem, the JSON schema that
editors read, and the descriptions that `sparsenode options` and the documents show.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from sparsenode.errors import UserError, did_you_mean

Schema = Mapping[str, Any]


class Settings(BaseModel):
    """A group of settings, each a field with a description; those without a default must be set.

    A number must be a number and a text a text: nothing is converted, but whole numbers where any number is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


AnySettings = TypeVar("AnySettings", bound=Settings)


def contradiction(key: str, found: str, allowed: str) -> PydanticCustomError:
    """The error that a check between fields raises: the key that is wrong, what was found, and what is allowed."""
    return PydanticCustomError("contradiction", "{key}: found {found}; allowed: {allowed}", locals())


def read_settings(model: type[AnySettings], values: Mapping[str, Any], name: str) -> AnySettings:
    """Settings from a mapping of keys to values.

    Raises:
        UserError: lists every problem as `name.key: found X; allowed: Y`.
    """
    problems = settings_problems(model, values, [name])
    if problems:
        raise UserError("\n".join(problems))
    return model.model_validate(_whole_numbers(values))


def settings_problems(model: type[Settings], values: Mapping[str, Any], path: Sequence[Any] = ()) -> list[str]:
    """What is wrong with the values of some settings, each as `key: found X; allowed: Y`, in the order of the keys."""
    try:
        model.model_validate(_whole_numbers(values))
    except ValidationError as error:
        return list(dict.fromkeys(_describe(detail, values, model, path) for detail in error.errors()))
    return []


def _describe(detail: Any, values: Any, model: type[Settings], path: Sequence[Any]) -> str:
    """One error of pydantic in the words of the product."""
    schema, value = settings_schema(model), values
    location: list[Any] = []
    for step in detail["loc"]:
        if isinstance(value, Mapping) and (step in value or (detail["type"] == "missing" and step != "[key]")):
            value, schema = value.get(step), _schema_below(schema, step)
        elif isinstance(value, list) and isinstance(step, int):
            value, schema = value[step], schema.get("items", {})
        else:  # the name of one type of a union
            break
        location.append(step)
    key = describe_key([*path, *location])
    if detail["type"] == "contradiction":
        context = detail["ctx"]
        key = describe_key([*path, *location, context["key"]])
        return f"{key}: found {context['found']}; allowed: {context['allowed']}"
    if detail["type"] == "missing":
        return f"{key}: missing; allowed: {describe_allowed(schema)}"
    if detail["type"] == "extra_forbidden":
        above = settings_schema(model)
        for step in location[:-1]:
            above = _schema_below(above, step) if not isinstance(step, int) else above.get("items", {})
        return unknown_name(
            f"{describe_key([*path, *location[:-1]])}: unknown key",
            str(location[-1]),
            list(above.get("properties", {})),
        )
    return f"{key}: found {describe_value(value)}; allowed: {describe_allowed(schema)}"


def _schema_below(schema: Schema, key: str) -> Schema:
    below: Schema = schema.get("properties", {}).get(key) or schema.get("additionalProperties") or {}
    return below


def _whole_numbers(value: Any) -> Any:
    """The same values in plain dictionaries and lists; 3.0 becomes 3, which a field for any number makes 3.0 again."""
    if isinstance(value, Mapping):
        return {key: _whole_numbers(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_whole_numbers(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@cache
def settings_schema(model: type[Settings]) -> Schema:
    """JSON schema of some settings: references resolved, titles left out, what may be null as a list of types."""
    schema = model.model_json_schema()
    resolved: Schema = _resolve(schema, schema.get("$defs", {}))
    return resolved


def _resolve(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_resolve(entry, definitions) for entry in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return _resolve({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    names = {"properties"}
    plain = {
        key: {name: _resolve(entry, definitions) for name, entry in value.items()}
        if key in names
        else _resolve(value, definitions)
        for key, value in schema.items()
        if key not in {"$defs", "title"}
    }
    if plain.get("anyOf") and plain["anyOf"][-1] == {"type": "null"} and len(plain["anyOf"]) == 2:
        allowed = plain.pop("anyOf")[0]
        if "enum" in allowed:
            allowed = {"enum": [*allowed["enum"], None]}
        elif "type" in allowed:
            allowed = {**allowed, "type": [allowed["type"], "null"]}
        plain = {**allowed, **plain}
    return plain


_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def describe_allowed(schema: Schema) -> str:
    """Say in words what a schema allows."""
    if "x-allowed" in schema:
        return str(schema["x-allowed"])
    if "enum" in schema:
        return describe_names(schema["enum"])
    if "const" in schema:
        return describe_names([schema["const"]])
    kinds = schema.get("type", "any value")
    if schema.get("minLength"):
        return "text that is not empty"
    words = [_TYPES.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    words[0] = " ".join([words[0], " and ".join(describe_bounds(schema))]).strip()
    if "array" in kinds:
        least = schema.get("minItems")
        if least:
            words[0] += f" with {least} or more entries"
        if schema.get("items"):
            words[0] += f", each {describe_allowed(schema['items'])}"
    return " or ".join(words)


def describe_bounds(schema: Schema) -> list[str]:
    """Say in words between which numbers a schema allows."""
    phrases = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    return [f"{phrase} {schema[keyword]}" for keyword, phrase in phrases.items() if keyword in schema]


def describe_value(value: Any) -> str:
    """Name a value and its type in a reader's words, shortened."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, datetime.date):
        return f"the date {value}"
    text = json.dumps(value, default=str)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"the number {text}" if isinstance(value, int | float) else text


def describe_key(path: Sequence[Any]) -> str:
    """Write the path of a key as people do, such as `models.plain.hidden[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text or "configuration"


def describe_names(values: Sequence[Any]) -> str:
    """Write values one after the other, as YAML writes null."""
    return ", ".join("null" if value is None else str(value) for value in values) or "none"


def unknown_name(key: str, name: str, allowed: Sequence[str]) -> str:
    """The problem of a name that is none of those that are allowed, with the nearest of them."""
    hint = did_you_mean(name, allowed)
    return f"{key}: found {json.dumps(name)}{f' ({hint})' if hint else ''}; allowed: {describe_names(allowed)}"
