"""Sweeps: one entry of `datasets` or `models` that stands for many, one for each combination of some values.

Light on purpose: the Snakefile expands the configuration again in every job.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsenode.files import write_atomically
from sparsenode.pipeline.schema import SWEEP_KEYS, DatasetEntry, ModelEntry
from sparsenode.typed import check_settings, describe_names, describe_value, unknown_name

Values = dict[str, Any]
"""Swept options, each with its value in one member of a sweep."""
Sweeps = dict[str, dict[str, dict[str, Values]]]
"""`datasets` and `models`, each with its sweeps by name, and of each the members by name with their values."""

LONGEST_NAME = 150
"""Characters of a member's name at most; files are named by it, with an ending."""

_FIELD = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
# Keys of a dataset that are swept as a whole or by what is below them; others name entries or belong to one source.
_OF_DATASET = ("validation", "initial_state", "evaluation", "feature_weight")


def combinations(sweep: Mapping[str, Sequence[Any]], design: str, center: Mapping[str, Any] | None) -> list[Values]:
    """The combinations of a design, each once, the last option changing fastest.

    Args:
        sweep: options with their values.
        design: `full` for every combination; `corners` for those of the first and the last values; `one_at_a_time`
            for the center and what differs from it in one option.
        center: the value of each option in the center of `one_at_a_time`.
    """
    if design == "one_at_a_time":
        middle = {option: (center or {})[option] for option in sweep}
        others = [{**middle, option: value} for option in sweep for value in sweep[option] if value != middle[option]]
        return [middle, *others]
    if design == "corners":
        sweep = {option: values if len(values) < 2 else (values[0], values[-1]) for option, values in sweep.items()}
    return [dict(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())]


def member_name(entry: str, values: Mapping[str, Any], pattern: str | None = None) -> str:
    """The name of a member of a sweep: that of its entry, then each option with its value, `hill_noise0.05_seed1`.

    Of an option with dots the last name counts. Numbers are in their shortest form, lists are joined by hyphens, and
    what is not safe in a file's name is a hyphen.

    Args:
        entry: name of the entry that has the sweep.
        values: the swept options with their values, in the order of the configuration.
        pattern: the name with each option in braces, such as `hill_{seed}`; None for the usual form.
    """
    if pattern is not None:
        return _FIELD.sub(lambda match: value_text(values[match[1]]), pattern)
    return "_".join([entry, *(f"{option.rpartition('.')[2]}{value_text(value)}" for option, value in values.items())])


def value_text(value: Any) -> str:
    """A value as it is in the name of a member."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value).replace("+", "")
    if isinstance(value, Mapping):
        return "-".join(f"{key}{value_text(below)}" for key, below in value.items())
    if isinstance(value, list | tuple):
        return "-".join(map(value_text, value))
    return _UNSAFE.sub("-", str(value))


def expand(config: dict[str, Any]) -> tuple[Sweeps, list[str]]:
    """Put the members of each sweep into the place of its entry, and into the place of its name elsewhere.

    Args:
        config: a configuration whose keys are checked; it is changed.

    Returns:
        The sweeps, and what is wrong with them, each as `key: found X; allowed: Y`.
    """
    sweeps: Sweeps = {"datasets": {}, "models": {}}
    problems: list[str] = []
    for kind, groups in sweeps.items():
        entries: dict[str, Any] = {}
        for name, entry in config[kind].items():
            settings = {key: entry.pop(key) for key in SWEEP_KEYS}
            if settings["sweep"] is None:
                problems += _without_sweep(f"{kind}.{name}", settings)
                entries[name] = entry
                continue
            faults = list(_sweep_problems(kind, name, entry, settings))
            if not faults:
                members, faults = _members(kind, name, entry, settings)
                groups[name] = members_values = {member: values for member, (_, values) in members.items()}
                for member in members_values:
                    if member in config[kind] or member in entries:
                        faults.append(_taken(kind, name, member))
                entries |= {member: expanded for member, (expanded, _) in members.items()}
            problems += faults
        config[kind] = entries
    if not problems:
        problems += _name_members(config, sweeps)
    return sweeps, list(dict.fromkeys(problems))


def table_rows(sweeps: Sweeps) -> dict[str, Any]:
    """The sweeps as a table: `columns` and `rows`, a row for each member, empty where its sweep has no such option."""
    options = list(
        dict.fromkeys(
            option
            for groups in sweeps.values()
            for members in groups.values()
            for values in members.values()
            for option in values
        )
    )
    rows = [
        [kind.removesuffix("s"), entry, member, *(_cell(values, option) for option in options)]
        for kind, groups in sweeps.items()
        for entry, members in groups.items()
        for member, values in members.items()
    ]
    return {"columns": ["kind", "sweep", "name", *options], "rows": rows}


def tabulate_sweeps(table: Mapping[str, Any], output: Path) -> None:
    """Write the values of each member of each sweep as CSV, from what `table_rows` gives."""
    import csv

    with write_atomically(output) as path, path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(table["columns"])
        writer.writerows(table["rows"])


def _cell(values: Mapping[str, Any], option: str) -> Any:
    if option not in values:
        return ""
    value = values[option]
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else json.dumps(value)


def _without_sweep(path: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield what only an entry with a sweep may have."""
    for key in ("center", "names"):
        if settings[key] is not None:
            yield f"{path}.{key}: found {describe_value(settings[key])} without `sweep`; allowed: null, or with a sweep"
    if settings["design"] != "full":
        yield f"{path}.design: found {settings['design']} without `sweep`; allowed: full, or with a sweep"


def _taken(kind: str, name: str, member: str) -> str:
    return (
        f"{kind}.{name}.sweep: found the member {member}, and another entry {kind}.{member}; allowed: names that "
        "differ (another name of the entry, or `names`)"
    )


def _sweep_problems(kind: str, name: str, entry: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the sweep of an entry before its members are made."""
    path, sweep = f"{kind}.{name}", settings["sweep"]
    if not sweep:
        yield f"{path}.sweep: found an empty mapping; allowed: a mapping of one or more options to lists of values"
    allowed = _sweepable(kind, entry)
    for option, values in sweep.items():
        key = f"{path}.sweep.{option}"
        texts = [json.dumps(value, sort_keys=True) for value in values]
        if repeated := [text for text in dict.fromkeys(texts) if texts.count(text) > 1]:
            yield f"{key}: found {describe_names(repeated)} more than once; allowed: each value once"
        beginning = option.partition(".")[0]
        if allowed and option not in allowed and (beginning == option or beginning not in _above(kind, allowed)):
            yield unknown_name(f"{path}.sweep", option, allowed)
    keys = {option: ".".join(_steps(kind, option, allowed)) for option in sweep}
    for first, second in itertools.combinations(sweep, 2):
        if f"{keys[first]}.".startswith(f"{keys[second]}.") or f"{keys[second]}.".startswith(f"{keys[first]}."):
            yield f"{path}.sweep: found {first} and {second}, of which one sets the other; allowed: each setting once"
    yield from _center_problems(path, settings)
    if settings["names"] is not None:
        for option in _FIELD.findall(settings["names"]):
            if option not in sweep:
                yield unknown_name(f"{path}.names", option, list(sweep))


def _steps(kind: str, option: str, allowed: Sequence[str]) -> list[str]:
    """Keys below those of an entry at which a swept option is set."""
    steps = option.split(".")
    is_of_source = kind == "datasets" and steps[0] in allowed and option != "feature_weight"
    return ["options", *steps] if is_of_source else steps


def _above(kind: str, allowed: Sequence[str]) -> Sequence[str]:
    """Keys whose own keys can be swept, by their path."""
    return ("options", *_OF_DATASET, *allowed) if kind == "datasets" else allowed


def _center_problems(path: str, settings: Mapping[str, Any]) -> Iterator[str]:
    sweep, center = settings["sweep"], settings["center"]
    if settings["design"] != "one_at_a_time":
        if center is not None:
            yield (
                f"{path}.center: found {describe_value(center)}, with the design {settings['design']}; allowed: null, "
                "or the design one_at_a_time"
            )
        return
    if center is None:
        yield f"{path}.center: missing; allowed: a mapping of each swept option to one of its values"
        return
    for option in center:
        if option not in sweep:
            yield unknown_name(f"{path}.center", option, list(sweep))
    for option, values in sweep.items():
        if option not in center:
            yield f"{path}.center.{option}: missing; allowed: {describe_names(list(values))}"
        elif center[option] not in values:
            listed = describe_names(list(values))
            yield f"{path}.center.{option}: found {describe_value(center[option])}; allowed: {listed}"


def _sweepable(kind: str, entry: Mapping[str, Any]) -> list[str]:
    """The options that an entry's sweep may name; none where its source is not known, which is told by itself."""
    if kind == "models":
        return [key for key in ModelEntry.model_fields if key not in {"datasets", "methods", "auto", *SWEEP_KEYS}]
    from sparsenode.data import sources

    if entry["source"] not in sources.source_names():
        return []
    options = sources.get_source(entry["source"]).model_fields
    below = [f"{key}.{option}" for key in _OF_DATASET[:3] for option in entry[key]]
    return [*options, *below, "feature_weight"]


def _members(
    kind: str, name: str, entry: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[dict[str, tuple[dict[str, Any], Values]], list[str]]:
    """The members of a sweep, each with its entry and its values, and what is wrong with them."""
    members: dict[str, tuple[dict[str, Any], Values]] = {}
    model = DatasetEntry if kind == "datasets" else ModelEntry
    allowed = _sweepable(kind, entry)
    for values in combinations(settings["sweep"], settings["design"], settings["center"]):
        member = member_name(name, values, settings["names"])
        path = f"{kind}.{name}.sweep"
        if member in members:
            first, second = (_describe(each) for each in (members[member][1], values))
            same = f"found {first}, and {second}, both with the name {member}"
            return {}, [f"{path}: {same}; allowed: values whose names differ (see `names`)"]
        if member == name or not 0 < len(member) <= LONGEST_NAME or _UNSAFE.search(member) or not member[0].isalnum():
            rule = f"another name than the entry's, of at most {LONGEST_NAME} letters, digits and _ . -"
            return {}, [f"{path}: found the member {member!r} ({_describe(values)}); allowed: {rule}"]
        expanded = copy.deepcopy(dict(entry))
        checked = kind == "models"
        for option, value in values.items():
            steps = _steps(kind, option, allowed)
            checked = checked or steps[0] != "options"
            _set(expanded, steps, value)
        if checked:
            own, problems = check_settings(model, expanded, [kind, member])
            if own is None:
                return {}, problems
            expanded = {key: value for key, value in _lists(own.model_dump()).items() if key not in SWEEP_KEYS}
        members[member] = (expanded, values)
    return members, []


def _set(entry: dict[str, Any], steps: Sequence[str], value: Any) -> None:
    """Set a value below the keys of an entry, in mappings that are made where there are none."""
    for step in steps[:-1]:
        below = entry.get(step)
        entry[step] = below = dict(below) if isinstance(below, Mapping) else {}
        entry = below
    entry[steps[-1]] = copy.deepcopy(value)


def _lists(value: Any) -> Any:
    """The same with lists in the place of tuples."""
    if isinstance(value, Mapping):
        return {key: _lists(below) for key, below in value.items()}
    return [_lists(below) for below in value] if isinstance(value, list | tuple) else value


def _describe(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{option}: {json.dumps(value)}" for option, value in values.items())


def _name_members(config: dict[str, Any], sweeps: Sweeps) -> list[str]:
    """Put the members into the place of their sweep's name wherever datasets or models are named."""
    for kind, groups in sweeps.items():
        if groups:
            config["run"][kind] = _resolve(config["run"][kind], groups)
    groups, problems = sweeps["datasets"], []
    for entry in config["models"].values() if groups else ():
        if entry["datasets"] is not None:
            entry["datasets"] = _resolve(entry["datasets"], groups)
    for name, entry in config["comparisons"].items():
        path = f"comparisons.{name}"
        if entry["dataset"] in groups:
            members = list(groups[entry["dataset"]])
            found = f"found {entry['dataset']}, a sweep of {len(members)}"
            problems.append(f"{path}.dataset: {found}; allowed: one of its datasets, such as {members[0]}")
        if entry["datasets"] is not None:
            positions: dict[str, Any] = {}
            for dataset, position in entry["datasets"].items():
                problems += _place(positions, dataset, position, groups, f"{path}.datasets.{dataset}")
            entry["datasets"] = positions
    return problems


def _resolve(names: Sequence[str], groups: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(member for name in names for member in groups.get(name, (name,))))


def _place(
    positions: dict[str, Any], dataset: str, position: Any, groups: Mapping[str, Mapping[str, Values]], key: str
) -> Iterator[str]:
    """Give a dataset its number, or each member of a sweep its value of an option; yield what is wrong."""
    if dataset not in groups:
        if isinstance(position, str):
            yield f"{key}: found {describe_value(position)}; allowed: a number, since {dataset} is no sweep"
        else:
            positions[dataset] = position
        return
    members = groups[dataset]
    options = list(next(iter(members.values())))
    if not isinstance(position, str) or position not in options:
        yield (
            unknown_name(key, position, options)
            if isinstance(position, str)
            else f"{key}: found {describe_value(position)}; allowed: an option of the sweep, {describe_names(options)}"
        )
        return
    for member, values in members.items():
        value = values[position]
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{key}: found {position}, whose values are no numbers; allowed: an option with numbers"
            return
        positions[member] = float(value)
