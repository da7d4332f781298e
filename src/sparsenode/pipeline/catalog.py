"""What a configuration can name: its sections, data sources, methods and peers, and the keys or options of each."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sparsenode import methods, peers
from sparsenode.data import sources
from sparsenode.errors import UserError, did_you_mean
from sparsenode.pipeline.schema import Configuration
from sparsenode.typed import Settings, describe_bounds, kinds_of, properties_of, settings_schema

_WIDTH = 100
_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "mapping",
    "null": "null",
}


_TOP = "configuration"
"""Name of the entry that has the keys of the top level which are no sections."""


class Entry(NamedTuple):
    """One section, source, method or peer: what it is, further notes on it, and its keys as JSON-schema properties."""

    name: str
    summary: str
    notes: tuple[str, ...]
    options: Mapping[str, Mapping[str, Any]]


class Kind(NamedTuple):
    """What the entries are, and the key of the configuration that names them."""

    title: str
    key: str
    entries: tuple[Entry, ...]


def read_catalog() -> tuple[Kind, ...]:
    """All sections of the configuration, in its order, and all data sources, methods and peers, sorted by name."""
    return (
        Kind("section", "of the configuration", tuple(_sections())),
        Kind(
            "data source",
            "datasets.NAME.source",
            tuple(
                Entry(name, source.summary.removesuffix("."), (), _properties(source))
                for name in sources.source_names()
                for source in [sources.get_source(name)]
            ),
        ),
        Kind(
            "method", "methods.NAME.regularizer", tuple(_method(methods.get_method(n)) for n in methods.method_names())
        ),
        Kind("peer", "peers.NAME.peer", tuple(_peer(peers.get_peer(name)) for name in peers.peer_names())),
    )


def describe_catalog(name: str | None = None) -> str:
    """All that there is, a line each; or everything of that `name` with its options.

    Raises:
        UserError: nothing has the name; what there is.
    """
    kinds = read_catalog()
    if name is None:
        overviews = [_list(kind) for kind in kinds]
        return "\n\n".join([*overviews, "sparsenode options NAME says more of one of them."])
    descriptions = [_describe(kind, entry) for kind in kinds for entry in kind.entries if entry.name == name]
    if not descriptions:
        names = list(dict.fromkeys(entry.name for kind in kinds for entry in kind.entries))
        hints = [did_you_mean(name, names), f"There are: {', '.join(names)}"]
        message = (
            f"there is no section, data source, method or peer {name!r}; {' '.join(hint for hint in hints if hint)}"
        )
        raise UserError(message)
    return "\n\n".join(descriptions)


def _properties(model: type[Settings]) -> Mapping[str, Mapping[str, Any]]:
    """The options of a source, method or peer."""
    properties: Mapping[str, Mapping[str, Any]] = settings_schema(model).get("properties", {})
    return properties


def _sections() -> Iterator[Entry]:
    """The keys of the top level, and each section: a mapping, or a mapping of named entries that are alike."""
    properties = _properties(Configuration)
    within = {key: value.get("properties") or _entry_properties(value) for key, value in properties.items()}
    plain = {key: value for key, value in properties.items() if not within[key]}
    yield Entry(_TOP, "the keys of the top level", (), plain)
    for key, value in properties.items():
        if within[key]:
            notes = () if "properties" in value else (f"each entry is {key}.NAME",)
            yield Entry(key, value["description"].removesuffix("."), notes, within[key])


def _entry_properties(schema: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The keys of the entries of a mapping whose names are free."""
    entries: Any = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), {})
    return properties_of(entries) if isinstance(entries, Mapping) else {}


def _method(method: type[methods.Method]) -> Entry:
    needs = []
    if method.strength is not None:
        least = "0 or more" if math.isinf(method.largest_strength) else f"0 to {method.largest_strength:g}"
        needs.append(f"strength ({least}): {method.strength}")
    else:
        needs.append("takes no strengths")
    if method.gated:
        needs.append("learns gates, on single weights or on units (`gates` of the model)")
    if methods.needs_one_network_per_target(method):
        needs.append("needs `network: per_target` in the model")
    return Entry(method.name, method.summary, tuple(needs), _properties(method))


def _peer(peer: type[peers.Peer]) -> Entry:
    notes = ("random: one result a seed",) if issubclass(peer, peers.RandomPeer) else ()
    return Entry(peer.name, peer.summary, notes, _properties(peer))


def _list(kind: Kind) -> str:
    widest = max(len(entry.name) for entry in kind.entries)
    lines = [f"  {entry.name:<{widest}}  {entry.summary.partition('. ')[0]}" for entry in kind.entries]
    return "\n".join([f"{kind.title}s ({kind.key})", *lines])


def _describe(kind: Kind, entry: Entry) -> str:
    lines = [_fill(f"{kind.title} {entry.name}: {entry.summary}", "")]
    lines += [_fill(note, "  ") for note in entry.notes]
    word = "keys" if kind.title == "section" else "options"
    lines.append(f"  {word}:" if entry.options else f"  no {word}")
    for option in options_of(entry):
        text = f"{option.path[-1]} ({option.allowed}; {option.requirement}): {option.description}"
        lines.append(_fill(text, "    " * len(option.path)))
    return "\n".join(lines)


class Option(NamedTuple):
    """One key: its names from the outermost on, what it may be, its default if any, and what it means, in words."""

    path: tuple[str, ...]
    allowed: str
    requirement: str
    description: str


def options_of(entry: Entry) -> Iterator[Option]:
    """The keys of an entry, and those of the mappings within them."""
    # Of a source or method, what has no default is to be given.
    return _options({"properties": entry.options, "required": list(entry.options)})


def _options(schema: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[Option]:
    """Keys of a mapping, or of the mappings in a list, and those within them."""
    for key, option in schema.get("properties", {}).items():
        if "default" in option:
            requirement = f"default {json.dumps(option['default'])}"
        else:
            requirement = "to be given" if key in schema.get("required", ()) else "may be left out"
        yield Option((*path, key), _allowed(option), requirement, option["description"])
        yield from _options(option if "properties" in option else option.get("items", {}), (*path, key))


def _allowed(schema: Mapping[str, Any]) -> str:
    """What an option may be, in words."""
    if "enum" in schema:
        return " or ".join(json.dumps(value).strip('"') for value in schema["enum"])
    words = " or ".join(dict.fromkeys(_TYPES[kind] for kind in kinds_of(schema)))
    return ", ".join([words, *describe_bounds(schema)])


def _fill(text: str, indent: str) -> str:
    return textwrap.fill(
        text,
        width=_WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
