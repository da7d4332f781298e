"""Typed settings: keys, types, bounds, defaults and descriptions declared once, and what follows from them in words.

A group of settings is a frozen pydantic model. From it come the check with one message a problem, the JSON schema that
editors read, and the descriptions that `sparsenode options` and the documents show.
"""

from __future__ import annotations

import datetime
import inspect
import json
import math
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from sparsenode.errors import UserError, did_you_mean
from sparsenode.files import scheme_of

Schema = Mapping[str, Any]


class Settings(BaseModel):
    """A group of settings, each a field with a description; those without a default must be set.

    A number must be a number and a text a text: nothing is converted, but whole numbers where any number is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def contradictions(self) -> Iterator[Contradiction]:
        """What is wrong with the values together, each of them being allowed by itself."""
        return iter(())

    def changed(self, **changes: Any) -> Self:
        """A copy with other values of some keys, checked as any other."""
        return type(self)(**{**dict(self), **changes})


AnySettings = TypeVar("AnySettings", bound=Settings)


class Contradiction(NamedTuple):
    """A value that others do not allow: its key (within the settings), what was found, and what is allowed."""

    key: str
    found: str
    allowed: str


def expand_home(path: str) -> str:
    """A path as programs read it, with the home folder in the place of `~`; an address stays as it is.

    Raises:
        UserError: the home folder is not known.
    """
    if scheme_of(path):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError as error:
        message = f"the configuration names the path {path!r}, whose home folder is not known; write the path in full"
        raise UserError(message) from error


def _refuse_repeated(values: Any) -> Any:
    """Pass values in which each entry is there once."""
    if repeated := sorted({str(entry) for entry in values if values.count(entry) > 1}):
        description = f"{describe_names(repeated)} more than once"
        raise PydanticCustomError("repeated", "found {found}", {"found": description})
    return values


Text = Annotated[str, Field(min_length=1)]
"""Text that is not empty."""
EachOnce = AfterValidator(_refuse_repeated)
"""Validator of a list in which no entry is repeated."""
Names = Annotated[tuple[str, ...], Field(json_schema_extra={"uniqueItems": True}), EachOnce]
"""A list of names, each once."""
SomeNames = Annotated[tuple[str, ...], Field(min_length=1, json_schema_extra={"uniqueItems": True}), EachOnce]
"""One or more names, each once."""
HomePath = Annotated[str, AfterValidator(expand_home), Field(json_schema_extra={"x-path": True})]
"""A path or address, in which `~` is the home folder."""
PathText = Annotated[
    str,
    Field(
        min_length=1,
        pattern=r"^[^{}\n]+$",
        json_schema_extra={
            "x-path": True,
            "x-allowed": "a path, without braces ({ and }), which Snakemake would take for wildcards",
        },
    ),
    AfterValidator(expand_home),
]
"""A path that becomes one of the workflow's files or folders."""
Name = Annotated[
    str,
    Field(
        pattern="^[A-Za-z0-9][A-Za-z0-9_]*$",
        json_schema_extra={"x-allowed": "letters, digits and underscores, starting with a letter or a digit"},
    ),
]
"""A name that is part of the names of files."""


def plain_value(value: Any) -> Any:
    """A value of a setting in the types of JSON, as a configuration has it."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {name: plain_value(entry) for name, entry in value.items()}
    if hasattr(value, "tolist"):  # numbers and arrays of NumPy, which is not imported here
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain_value(entry) for entry in value]
    return value


def read_settings(model: type[AnySettings], values: Mapping[str, Any], name: str) -> AnySettings:
    """Settings from a mapping of keys to values.

    Raises:
        UserError: lists every problem as `name.key: found X; allowed: Y`.
    """
    settings, problems = check_settings(model, values, [name])
    if settings is None:
        raise UserError("\n".join(problems))
    return settings


def check_settings(
    model: type[AnySettings], values: Any, path: Sequence[Any] = ()
) -> tuple[AnySettings | None, list[str]]:
    """Settings from a mapping of keys to values, or None and what is wrong with these.

    Args:
        model: the group of settings.
        values: the mapping; what is no mapping is a problem too.
        path: where the mapping is in the configuration, for messages.

    Returns:
        The settings, and the problems, each as `key: found X; allowed: Y`, in the order of the keys.
    """
    values = _whole_numbers(values)
    try:
        settings = model.model_validate(values)
        problems = list(_contradictions(settings, path))
        return (None if problems else settings), problems
    except ValidationError as error:
        faults = [_locate(detail, values, settings_schema(model)) for detail in error.errors()]
    # A list with a wrong entry is not wrong itself, nor does it matter that it is of no other type of a union.
    inner = {fault.location[:length] for fault in faults for length in range(len(fault.location))}
    problems = [
        _describe(fault, path) for fault in faults if fault.location not in inner or fault.detail["loc"][-1:] == _KEY
    ]
    return None, list(dict.fromkeys(problems))


def _contradictions(value: Any, path: Sequence[Any]) -> Iterator[str]:
    """Describe the contradictions within settings and those below them."""
    if isinstance(value, Settings):
        for problem in value.contradictions():
            key = describe_key([*path, problem.key] if problem.key else path)
            yield f"{key}: found {problem.found}; allowed: {problem.allowed}"
        value = dict(value)
    if isinstance(value, tuple):
        value = dict(enumerate(value))
    for key, entry in value.items() if isinstance(value, Mapping) else ():
        yield from _contradictions(entry, [*path, key])


_KEY = ("[key]",)  # the last step to what is wrong with a key itself


class _Fault(NamedTuple):
    """One error of pydantic: where it is, what is there, what is allowed there, and above it."""

    detail: Any
    location: tuple[str | int, ...]
    value: Any
    schema: Schema
    above: Schema


def _locate(detail: Any, values: Any, schema: Schema) -> _Fault:
    """Find the place of an error, whose steps also name types of unions."""
    value, above = values, schema
    location: list[str | int] = []
    for number, step in enumerate(detail["loc"], start=1):
        is_missing = detail["type"] == "missing" and number == len(detail["loc"])
        if isinstance(value, Mapping) and (step in value or is_missing):
            value = value.get(step)
        elif isinstance(value, tuple) and isinstance(step, int):
            value = value[step]
        else:
            continue
        above, schema = schema, _schema_below(schema, step)
        location.append(step)
    return _Fault(detail, tuple(location), value, schema, above)


def _schema_below(schema: Schema, step: str | int) -> Schema:
    """The schema of one entry of a list or mapping."""
    for alternative in (schema, *schema.get("anyOf", ())):
        if isinstance(step, int):
            below = alternative.get("items")
        else:
            below = alternative.get("properties", {}).get(step) or alternative.get("additionalProperties")
        if isinstance(below, Mapping):
            return below
    return {}


def properties_of(schema: Schema) -> dict[str, Schema]:
    """The keys of a schema, or of those that it allows one of."""
    alternatives = (schema, *schema.get("anyOf", ()))
    return {name: below for alternative in alternatives for name, below in alternative.get("properties", {}).items()}


def _describe(fault: _Fault, path: Sequence[Any]) -> str:
    """One error of pydantic in the words of the product."""
    detail, location = fault.detail, [*path, *fault.location]
    key = describe_key(location)
    if detail["type"] == "missing":
        return f"{key}: missing; allowed: {describe_allowed(fault.schema)}"
    if detail["loc"][-1:] == _KEY:
        allowed = describe_allowed(fault.above.get("propertyNames", {}))
        return f"{describe_key(location[:-1])}: found the name {location[-1]!r}; allowed: {allowed}"
    if detail["type"] == "repeated":
        return f"{key}: found {detail['ctx']['found']}; allowed: each entry once"
    if detail["type"] == "extra_forbidden":
        return unknown_key(describe_key(location[:-1]), str(location[-1]), list(properties_of(fault.above)))
    return describe_problem(key, fault.value, fault.schema)


def _whole_numbers(value: Any) -> Any:
    """The same values in plain dictionaries and tuples; 3.0 becomes 3, which a field for any number makes 3.0 again."""
    if isinstance(value, Mapping):
        return {key: _whole_numbers(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_whole_numbers(entry) for entry in value)
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
    if "patternProperties" in plain:  # of a mapping whose keys have a pattern
        ((pattern, below),) = plain.pop("patternProperties").items()
        plain["additionalProperties"] = below
        plain["propertyNames"] = {**plain.get("propertyNames", {}), "pattern": pattern}
    if "default" in plain and plain["default"] is None and plain.get("type") not in {None, "null"}:
        del plain["default"]  # what may be left out, and may not be null
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


def describe_problem(key: str, value: Any, schema: Schema) -> str:
    """Say that a value is not allowed: `key: found X; allowed: Y`.

    Says so where YAML may have read a text without quotes as something else, and where a number is not finite.
    """
    allowed = describe_allowed(schema)
    kinds = kinds_of(schema)
    takes_text = "string" in kinds or any(isinstance(name, str) for name in schema.get("enum", ()))
    remark = UNQUOTED if isinstance(value, bool) and takes_text and "boolean" not in kinds else ""
    if "string" in kinds and isinstance(value, int | float | datetime.date) and "in quotes" not in allowed:
        if "x-allowed" in schema:
            allowed += "" if isinstance(value, bool) else f' ("{value}" in quotes is text)'
        else:
            example = "" if isinstance(value, bool) else f', such as "{value}"'
            several = allowed.replace("text", "text in quotes", 1)
            allowed = several if len(kinds) > 1 else f"{allowed} in quotes{example}"
    if isinstance(value, float) and not math.isfinite(value):
        allowed = allowed.replace("a number", "a finite number", 1)
    return f"{key}: found {describe_value(value)}{remark}; allowed: {allowed}"


UNQUOTED = " (YAML reads yes, no, on and off without quotes so)"
"""Why a truth value may not be what was written."""


def kinds_of(schema: Schema) -> list[str]:
    """The types that a schema allows, as it calls them."""
    kinds = schema.get("type", [])
    below = [kind for alternative in schema.get("anyOf", ()) for kind in kinds_of(alternative)]
    return [*([kinds] if isinstance(kinds, str) else kinds), *below]


def describe_allowed(schema: Schema) -> str:
    """Say in words what a schema allows."""
    if "x-allowed" in schema:
        return str(schema["x-allowed"])
    if "enum" in schema:
        return describe_names(schema["enum"])
    if "const" in schema:
        return describe_names([schema["const"]])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(describe_allowed, schema["anyOf"])))
    return " or ".join(_describe_kind(kind, schema) for kind in kinds_of(schema)) or "any value"


def _describe_kind(kind: str, schema: Schema) -> str:
    """Say in words what values of one type a schema allows."""
    words = _TYPES[kind]
    if kind == "string" and schema.get("minLength"):
        words += " that is not empty"
    if kind in {"integer", "number"}:
        words = " ".join([words, " and ".join(describe_bounds(schema))]).strip()
    if kind == "array":
        least = schema.get("minItems")
        if least and least == schema.get("maxItems"):
            words += f" with {least} entries"
        elif least:
            words += f" with {least} or more entries"
        if schema.get("items"):
            words += f", each {describe_allowed(schema['items'])}"
    return words


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
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, set):
        return "a set"
    if isinstance(value, bytes):
        return "bytes"
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


def classes_of(package: str, kind: type) -> dict[str, Any]:
    """The classes of a kind, one in each file of a package that has any, by the sorted names of the files."""
    names = sorted(module.name for module in pkgutil.iter_modules(import_module(package).__path__))
    return {
        name: entry
        for name in names
        for module in [import_module(f"{package}.{name}")]
        for entry in vars(module).values()
        if isinstance(entry, type) and issubclass(entry, kind) and entry.__module__ == module.__name__
        if not inspect.isabstract(entry)
    }


def unknown_key(key: str, name: str, allowed: Sequence[str]) -> str:
    """The problem of a key that is none of those that are allowed below `key`."""
    if not allowed:
        return f"{key}: unknown key: found {json.dumps(name)}; allowed: no key, since there are no options"
    return unknown_name(f"{key}: unknown key", name, allowed)


def unknown_name(key: str, name: str, allowed: Sequence[str]) -> str:
    """The problem of a name that is none of those that are allowed, with the nearest of them."""
    return f"{key}: found {describe_unknown(name, allowed)}; allowed: {describe_names(allowed)}"


def describe_unknown(name: str, allowed: Sequence[str]) -> str:
    """A name that is none of those that are allowed, with the nearest of them."""
    hint = did_you_mean(name, allowed)
    return json.dumps(name) + (f" ({hint})" if hint else "")
