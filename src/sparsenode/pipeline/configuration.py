"""The configuration: checked against its schema, completed with defaults, and cut into the slices that rules take.

Light on purpose: the Snakefile imports this module again in every job, so nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsenode import versions
from sparsenode.data.downloads import MIRROR_VARIABLE
from sparsenode.errors import UserError, nearest_names
from sparsenode.files import describe_absence, is_web_address, lookup_problem, scheme_of, write_atomically
from sparsenode.labels import reserved_name
from sparsenode.pipeline.schema import STRENGTH, Configuration
from sparsenode.pipeline.sweeps import Sweeps, expand
from sparsenode.settings import AUTO, Auto, ModelSettings
from sparsenode.typed import (
    UNQUOTED,
    Settings,
    check_settings,
    describe_key,
    describe_names,
    describe_value,
    unknown_name,
)

if TYPE_CHECKING:
    from sparsenode.data.downloads import RemoteFile
    from sparsenode.data.outline import Outline
    from sparsenode.methods import Method

Schema = Mapping[str, Any]

_ASSIGNMENT = {"datasets", "methods"}  # keys of a model that say what it is trained on and with
_BY_HAND = "by_hand"  # key of a checked automatic model: the settings that its entry names
_FOLDERS = ("results_dir", "downloads_dir")

SCHEMA_PATH = Path("workflow/schemas/config.schema.json")
"""Where the schema for editors is in the folder of the workflow."""
PACKAGED = Path(__file__).resolve().parents[1] / "workflow"
"""The workflow in an installed wheel, which no clone has."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file of key-value pairs with the safe loader.

    Raises:
        UserError: the file is missing, is not YAML, names a key twice in one mapping, or is no mapping; with its line.
    """
    if lookup_problem(path) is not None or path.is_dir() or not path.exists():
        message = f"cannot read the configuration: {describe_absence(path)}"
        raise UserError(message)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}; check the path"
        raise UserError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path} is not valid YAML: byte {error.start} is no UTF-8"
        raise UserError(message) from error
    values = _parse(text, path)
    if values is None:
        return {}
    if not isinstance(values, dict):
        message = f"{path} holds {describe_value(values)}; a configuration is a mapping of keys to values"
        raise UserError(message)
    return values


def _parse(text: str, path: Path | str) -> Any:
    """The values of a text, in YAML or, with tabs between its parts, in JSON."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        problems = [*_repeated_keys(root), *_endless_aliases(root)]
        values = None if problems else yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        if text.lstrip().startswith("{"):
            with contextlib.suppress(json.JSONDecodeError):
                return json.loads(text, object_pairs_hook=partial(_without_repeated_keys, path))
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = " ".join(clause for clause in (error.context, error.problem) if clause)
        tab = "; indent by blanks, not by tabs" if "'\\t'" in reason else ""
        message = f"{path}{where}: not valid YAML: {reason}{tab}"
        raise UserError(message) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        message = f"{path}: not valid YAML: {reason}"
        raise UserError(message) from error
    if problems:
        message = "\n".join(f"{path}, {problem}" for problem in problems)
        raise UserError(message)
    return values


def _without_repeated_keys(path: Path | str, entries: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """One mapping of a JSON text from its entries.

    Raises:
        UserError: a key is there twice.
    """
    keys = [key for key, _ in entries]
    if repeated := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
        message = "\n".join(f"{path}: the key {key!r} is in one mapping twice; keep one of them" for key in repeated)
        raise UserError(message)
    return dict(entries)


def _endless_aliases(root: Any) -> Iterator[str]:
    """Yield the anchors whose own content names them, which would never end."""
    import yaml

    above, nodes = set[int](), [(root, False)]
    finished = set[int]()
    while nodes:
        node, is_done = nodes.pop()
        if is_done:
            above.discard(id(node))
            finished.add(id(node))
        elif id(node) in above:
            yield f"line {node.start_mark.line + 1}: what is anchored here contains itself; write it without the alias"
        elif isinstance(node, yaml.CollectionNode) and id(node) not in finished:
            above.add(id(node))
            nodes.append((node, True))
            entries = (
                node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
            )
            nodes += [(entry, False) for entry in entries]


def _repeated_keys(root: Any) -> Iterator[str]:
    """Yield keys that occur twice in one mapping, of which YAML would take the last without a word."""
    import yaml

    nodes, seen = [root], set[int]()
    while nodes:
        node = nodes.pop(0)
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        if isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                nodes.append(value)
                if not isinstance(key, yaml.ScalarNode):
                    continue
                identity, line = (key.tag, key.value), key.start_mark.line + 1
                if identity in lines:
                    yield f"line {line}: the key {key.value!r} is in line {lines[identity]} already; keep one of them"
                lines.setdefault(identity, line)


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `override` over `base` the way Snakemake does: mappings are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in override.items():
        if isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def find_workflow() -> Path:
    """The folder of the workflow: the working folder if it is one, the clone that is installed, or that of the wheel.

    Raises:
        UserError: it is none of them.
    """
    for folder in (Path(), Path(__file__).resolve().parents[3], PACKAGED):
        if (folder / SCHEMA_PATH).is_file():
            return folder
    message = f"no workflow in {Path().absolute()} (no {SCHEMA_PATH}); name its folder: --workflow FOLDER"
    raise UserError(message)


def with_own_configuration(workflow: Path, overrides: Sequence[Path]) -> list[Path]:
    """Files to lay over the workflow's `config.yaml`: that of the working folder where it is another one, then others.

    Args:
        workflow: the folder of the workflow.
        overrides: the files that a person names.
    """
    local, base = Path("config.yaml"), workflow / "config.yaml"
    if not local.is_file() or any(path.exists() and path.samefile(local) for path in (base, *overrides)):
        return list(overrides)
    return [local, *overrides]


def check_configuration_files(base: Path, overrides: Sequence[Path]) -> list[str]:
    """Read each file of a configuration strictly before Snakemake merges them, which names neither file nor line.

    Gives a remark where the working folder has a `config.yaml` that is none of them.

    Raises:
        UserError: see `read_yaml`.
    """
    paths = [base, *overrides]
    for path in paths:
        if path.is_file():  # not a pipe, which Snakemake has read already
            read_yaml(path)
    local = Path("config.yaml")
    if not local.is_file() or any(path.exists() and path.samefile(local) for path in paths):
        return []
    return [
        f"{local} of the working folder is not read: the base is {base}. Lay it over that by --configfile {local} "
        "(`sparsenode run` does), or give it another name"
    ]


def read_configuration(
    workflow: Path, overrides: Sequence[Path] = (), assignments: Sequence[str] = ()
) -> dict[str, Any]:
    """Read and check `config.yaml` of a workflow's folder with override files laid over it, as Snakemake would.

    Args:
        workflow: the folder that holds `config.yaml`.
        overrides: files of further settings, each laid over those before it.
        assignments: `KEY=VALUE` each, laid over all files, as by Snakemake's `--config`.
    """
    configuration = read_yaml(workflow / "config.yaml")
    for path in overrides:
        configuration = merge(configuration, read_yaml(path))
    if assignments:
        configuration = merge(configuration, _read_assignments(assignments))
    return check_configuration(configuration)


def _read_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """The values of `KEY=VALUE`, read by Snakemake itself, so that they mean the same."""
    from snakemake.cli import parse_config

    keys = [assignment.partition("=")[0] for assignment in assignments]
    if repeated := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
        message = f"--config: found {repeated[0]} more than once; allowed: each key once"
        raise UserError(message)
    for assignment in assignments:
        key, _, text = assignment.partition("=")
        if "{" in text:  # Snakemake would take the last of two values of a key
            _parse(text, f"--config {key}")
    try:
        values: dict[str, Any] = parse_config(assignments)
    except ValueError as error:
        message = f"--config: {error} Found: {' '.join(assignments)}"
        raise UserError(message) from error
    return values


def check_configuration(config: Mapping[str, Any]) -> dict[str, Any]:
    """Check a configuration and give a completed copy: defaults filled in, numbers in their own type.

    `sparsenode.pipeline.schema` describes keys and values; beside it are checked the options of sources, methods and
    peers, the strengths, and that names refer to entries that exist. Sweeps are expanded: every entry of the copy is
    plain, and `sweeps` says which of them a sweep stands for, with the values of its options.

    Raises:
        UserError: lists every problem, one a line, as `key.path: found X; allowed: Y`.
    """
    values = _plain(config)
    _report(list(_key_problems(values)))
    # YAML has such numbers (.nan, .inf).
    _report(list(_number_problems(values)))
    if isinstance(values.get("models"), dict):
        values["models"] = {
            name: {"auto": True} if entry == "auto" else entry for name, entry in values["models"].items()
        }
    settings, problems = check_settings(Configuration, values)
    _report(problems)
    completed = {key: _plain(entry) for key, entry in (settings.model_dump() if settings else {}).items()}
    swept, problems = expand(completed)
    _report(problems)
    for name, entry in values["models"].items():
        for model, options in swept["models"].get(name, {name: {}}).items():
            _note_by_hand(completed["models"][model], {*entry, *(option.partition(".")[0] for option in options)})
    if any(swept.values()):
        completed["sweeps"] = swept
    _report(list(_entry_problems(completed)))
    _report(list(_name_problems(completed)))
    _report(list(_reference_problems(completed)))
    _report(list(_pair_problems(completed)))
    return completed


def _note_by_hand(entry: dict[str, Any], named: Set[str]) -> None:
    """Note of an automatic model which settings its entry names; which network it takes is open until it has data."""
    if entry.pop("auto"):
        entry[_BY_HAND] = sorted(named & set(ModelSettings.model_fields))
        if "network" not in named:
            entry["network"] = "per_target"  # with which all methods can be trained


def is_automatic(config: Mapping[str, Any], model: str) -> bool:
    """Tell whether the settings of a model are chosen from the data of each dataset."""
    return _BY_HAND in config["models"][model]


def sweeps_of(config: Mapping[str, Any]) -> Sweeps:
    """Give the sweeps of a checked configuration, empty where it has none."""
    swept: Sweeps = config.get("sweeps", {"datasets": {}, "models": {}})
    return swept


def pairs(config: Mapping[str, Any], dataset: str | None = None) -> list[tuple[str, str]]:
    """List the (dataset, model) pairs of the run, or of a dataset of it, that share a method, in the lists' order."""
    if dataset is not None and dataset not in config["run"]["datasets"]:
        return []
    return [
        (name, model)
        for name in (config["run"]["datasets"] if dataset is None else [dataset])
        for model in config["run"]["models"]
        if config["models"][model]["datasets"] is None or name in config["models"][model]["datasets"]
        if methods_of(config, model, name)
    ]


def models_of(config: Mapping[str, Any], dataset: str) -> list[str]:
    """List the models of the run that are trained on a dataset."""
    return [model for _, model in pairs(config, dataset)]


def methods_of(config: Mapping[str, Any], model: str, dataset: str | None = None) -> list[str]:
    """List the methods of the run that a model is trained with, on a dataset or at all, in the order of the run's list.

    A model that names none takes all that its network allows, a dataset that names none all of its models.
    """
    entry, methods = config["models"][model], config["run"]["methods"]
    if dataset is not None and config["datasets"][dataset]["methods"] is not None:
        methods = [method for method in methods if method in config["datasets"][dataset]["methods"]]
    if entry["methods"] is None:
        return [method for method in methods if entry["network"] == "per_target" or not _per_target(config, method)]
    return [method for method in methods if method in entry["methods"]]


def _per_target(config: Mapping[str, Any], method: str) -> bool:
    """Whether a method needs one network per target."""
    from sparsenode import methods

    return methods.needs_one_network_per_target(methods.get_method(config["methods"][method]["regularizer"]))


def grid(config: Mapping[str, Any], dataset: str | None = None) -> list[tuple[str, str, str]]:
    """List what is trained in the run, or on a dataset, as (dataset, model, method)."""
    return [
        (name, model, method) for name, model in pairs(config, dataset) for method in methods_of(config, model, name)
    ]


def remarks(config: Mapping[str, Any]) -> list[str]:
    """Give sentences on what a checked run names and leaves out all the same.

    These are methods that nothing is trained with, and benchmarks whose published scores nothing is measured beside.
    """
    from sparsenode.figures.published import read_published, scoring_of

    taken = {method for _, _, method in grid(config)}
    left_out = [method for method in config["run"]["methods"] if method not in taken]
    sentences = [
        f"run.methods: nothing is trained with {describe_names(left_out)}: no model of the run takes them on any "
        "dataset (see `models.NAME.methods` and `datasets.NAME.methods`; some methods need `network: per_target`)"
    ] * bool(left_out)
    for dataset in config["run"]["datasets"]:
        entry = config["datasets"][dataset]
        protocol = scoring_of(read_published(entry["benchmark"]))
        if protocol and protocol not in entry["evaluation"]["scoring"]:
            sentences.append(
                f"datasets.{dataset}.evaluation.scoring: the published scores of {entry['benchmark']} count pairs by "
                f"the protocol {protocol!r}, and none is measured beside them; add {protocol} to the list"
            )
    return sentences


def seed_blocks(config: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Cut the seeds 0 .. count - 1 into blocks of `seeds_per_job`: (first, last) of each, both included."""
    count, size = config["seeds"], config["seeds_per_job"]
    return [(first, min(first + size, count) - 1) for first in range(0, count, size)]


def slice_settings(config: Mapping[str, Any], dataset: str, model: str, method: str) -> dict[str, Any]:
    """Give what the training of one (dataset, model, method) depends on, and nothing else.

    Seeds, threads and the device are left out: they do not belong to what a result is. Of an automatic model it is what
    is set by hand, with the version of the rules as `auto`.
    """
    entry = config["methods"][method]
    model_entry = config["models"][model]
    if is_automatic(config, model):
        evaluation = config["datasets"][dataset]["evaluation"]
        by_hand = {key: model_entry[key] for key in model_entry[_BY_HAND]}
        if evaluation["rolling"] or evaluation["one_step"]:  # which learned starts cannot give
            by_hand.setdefault("starts", "given")
        model_settings = {"auto": versions.AUTOMATIC, **by_hand}
    else:
        model_settings = {key: value for key, value in model_entry.items() if key not in _ASSIGNMENT}
    return {
        "dataset": dataset,
        "model": model,
        "method": method,
        "model_settings": model_settings,
        "method_settings": {
            "regularizer": entry["regularizer"],
            "strengths": strengths_of(entry),
            "options": entry["options"],
        },
    }


def freeze_settings(settings: Mapping[str, Any], output: Path, *, data: Path | None = None) -> None:
    """Write the settings of one (dataset, model, method) to the JSON file that its training reads.

    Args:
        settings: what `slice_settings` gives; those of an automatic model are chosen here.
        output: the JSON file.
        data: the file of the trajectories that an automatic model is chosen from.
    """
    if "auto" in settings["model_settings"]:
        settings = choose_automatic(settings, data)
    with write_atomically(output) as path:
        path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def choose_automatic(settings: Mapping[str, Any], data: Path | None) -> dict[str, Any]:
    """Choose the settings of an automatic model from its data.

    Returns:
        The settings as training takes them, and as `automatic` what was asked for, each choice with its reason, and
        warnings.

    Raises:
        UserError: there are no data, or too little in them.
    """
    from sparsenode.automatic.choose import choose_settings
    from sparsenode.data.contract import read_trajectories

    if data is None:
        message = f"the model {settings['model']} is chosen from the data: give their file (--data)"
        raise UserError(message)
    by_hand = {key: value for key, value in settings["model_settings"].items() if key != "auto"}
    regularizer = settings["method_settings"]["regularizer"]
    try:
        choices = choose_settings(read_trajectories(data), by_hand, regularizer=regularizer)
    except UserError as error:
        message = f"{settings['model']} on {settings['dataset']}: {error}"
        raise UserError(message) from error
    return {
        **settings,
        "model_settings": choices.settings.model_dump(mode="json"),
        "automatic": {"asked": settings["model_settings"], **choices.plain()},
    }


def as_asked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give frozen settings as `slice_settings` has them: of an automatic model without what was chosen."""
    if "automatic" not in settings:
        return dict(settings)
    without = {key: value for key, value in settings.items() if key != "automatic"}
    return {**without, "model_settings": settings["automatic"]["asked"]}


def dataset_settings(config: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Give what the preprocessing of one dataset depends on."""
    later = {"methods", "peers", "evaluation", "interventions", "edges", "benchmark", "figures"}
    return {key: value for key, value in config["datasets"][dataset].items() if key not in later}


def results_settings(config: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Give what the results of a dataset depend on, with the versions of the code; looks and interventions aside."""
    return {
        "data": dataset_settings(config, dataset),
        "training": [slice_settings(config, *trained) for trained in grid(config, dataset)],
        "seeds": config["seeds"],
        "peers": {peer: peer_settings(config, dataset, peer) for peer in peers_of(config, dataset)},
        "evaluation": config["datasets"][dataset]["evaluation"],
        **({"edges": [edges, versions.EDGES]} if (edges := config["datasets"][dataset]["edges"]) is not None else {}),
        "versions": [versions.PREPROCESSING, versions.TRAINING, versions.PEERS, versions.EVALUATION],
    }


def fingerprint(values: Any) -> str:
    """16 hexadecimal digits that differ where values differ, and not where they are only written otherwise."""
    return hashlib.sha256(canonical_json(values).encode()).hexdigest()[:16]


def has_truth(config: Mapping[str, Any], dataset: str) -> bool:
    """Tell whether the true network of a dataset is known."""
    from sparsenode.data import sources

    entry = config["datasets"][dataset]
    return sources.get_source(entry["source"]).has_truth or entry["options"].get("truth") is not None


def peers_of(config: Mapping[str, Any], dataset: str) -> list[str]:
    """List the peers of the run that infer the network of a dataset: all or those it names, or without a truth none."""
    if not has_truth(config, dataset):
        return []
    named = config["datasets"][dataset]["peers"]
    return [peer for peer in config["run"]["peers"] if named is None or peer in named]


def peer_settings(config: Mapping[str, Any], dataset: str, peer: str) -> dict[str, Any]:
    """Give what the inference of a peer on a dataset depends on: `peer`, `options`, `seeds` and `order`.

    The order is the highest one of the models that are trained on the dataset; seeds count only for random peers.
    """
    from sparsenode import peers

    entry = config["peers"][peer]
    is_random = issubclass(peers.get_peer(entry["peer"]), peers.RandomPeer)
    return {
        "peer": entry["peer"],
        "options": entry["options"],
        "seeds": (entry["seeds"] or config["seeds"]) if is_random else 1,
        "order": max(config["models"][model]["order"] for model in models_of(config, dataset)),
    }


def figures_of(config: Mapping[str, Any], dataset: str) -> list[str]:
    """Give the figures of a dataset: those of every dataset, and those that its source and its evaluation allow."""
    from sparsenode.data import sources
    from sparsenode.figures import FIGURES

    entry = config["datasets"][dataset]
    source = sources.get_source(entry["source"])
    needs_met = {
        "always": True,
        "rolling": entry["evaluation"]["rolling"] is not None,
        "interventions": entry["interventions"] is not None,
        "edges": entry["edges"] is not None,
        "body": source.has_body,
        "cells": source.has_cells,
        # Some sources of cells bring no coordinates.
        "map": "embedding" in source.model_fields and source.has_cells and entry["options"].get("embedding") != "none",
        "truth": has_truth(config, dataset),
    }
    return [name for name, figure in FIGURES.items() if needs_met[figure.needs]]


def figures_drawn(config: Mapping[str, Any], dataset: str) -> list[str]:
    """Give the figures of a dataset that a run draws by itself: none in a sweep, unless its entry says so."""
    drawn = config["datasets"][dataset]["figures"]
    is_swept = any(dataset in members for members in sweeps_of(config)["datasets"].values())
    return figures_of(config, dataset) if drawn or (drawn is None and not is_swept) else []


def benchmarks_of(config: Mapping[str, Any]) -> dict[str, str | None]:
    """Give the datasets of the run that the table of benchmarks holds, each with its published benchmark, if any.

    They are those that repeat a published benchmark, and those whose true network is known.
    """
    benchmarks = {name: config["datasets"][name]["benchmark"] for name in config["run"]["datasets"]}
    return {name: benchmark for name, benchmark in benchmarks.items() if benchmark or has_truth(config, name)}


def studied_datasets(config: Mapping[str, Any]) -> list[str]:
    """Datasets of the run that have test sets at levels of distance."""
    datasets = config["datasets"]
    return [name for name in config["run"]["datasets"] if datasets[name]["options"].get("distances") is not None]


def kinds_of_study(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Datasets of the study by kind of system, that is by data source."""
    kinds: dict[str, list[str]] = {}
    for name in studied_datasets(config):
        kinds.setdefault(config["datasets"][name]["source"], []).append(name)
    return kinds


def comparisons_of(config: Mapping[str, Any]) -> list[str]:
    """Give the comparisons that the run draws: those whose datasets and methods are all among its own."""
    run = config["run"]
    return [
        name
        for name, entry in config["comparisons"].items()
        if set(datasets_compared(config, name)) <= set(run["datasets"])
        and all(set(line) <= set(run["methods"]) for line in (entry["methods"] or {}).values())
    ]


def datasets_compared(config: Mapping[str, Any], comparison: str) -> list[str]:
    """Give the datasets whose tables a comparison is drawn from."""
    entry = config["comparisons"][comparison]
    return list(entry["datasets"] or [entry["dataset"]])


def remote_files(config: Mapping[str, Any], dataset: str | None = None) -> dict[str, RemoteFile]:
    """Give the files that a dataset, or every dataset of the run, needs from the internet, by their local HOST/PATH.

    A file that is needed both packed and unpacked is listed twice.

    Raises:
        UserError: one file is to be downloaded to where another one is to be unpacked.
    """
    from sparsenode.data import sources

    names = config["run"]["datasets"] if dataset is None else [dataset]
    entries = [config["datasets"][name] for name in names]
    files = [
        file for entry in entries for file in sources.make_source(entry["source"], entry["options"]).required_files()
    ]
    downloads = {file.relative_path: file for file in files}
    for file in files:
        if file.unpack and file.local_path in downloads:
            both = f"{downloads[file.local_path].url}, and {file.url} unpacked"
            message = f"two files for one place, {file.local_path}: {both}; run their datasets apart"
            raise UserError(message)
    return {file.local_path: file for file in files}


def local_files(config: Mapping[str, Any], dataset: str) -> list[str]:
    """Give the user's own files that a dataset is made from."""
    from sparsenode.data import sources

    entry = config["datasets"][dataset]
    return [str(path) for path in sources.make_source(entry["source"], entry["options"]).local_files()]


def check_folders(config: Mapping[str, Any]) -> None:
    """Check that no file is where a folder of the run should be.

    Raises:
        UserError: names the key and what is there.
    """
    folders = [(key, folder) for key in _FOLDERS for folder in (Path(config[key]), *Path(config[key]).parents)]
    problems = [f"{key}: {problem}" for key, folder in folders if (problem := lookup_problem(folder)) is not None]
    _report(
        problems[:1]
        or [
            f"{key}: found {folder}, which is a file; allowed: a folder, there or not yet there"
            for key, folder in folders
            if folder.exists() and not folder.is_dir()
        ]
    )


def check_sources(config: Mapping[str, Any]) -> None:
    """Check that what the datasets of the run name is there and fits: files, and what is named within them.

    Of files no more is read than names; it is done before every run, and heeds what changes outside the configuration.

    Raises:
        UserError: lists every problem, one a line, as `key.path: found X; allowed: Y`.
    """
    problems = [problem for dataset in config["run"]["datasets"] for problem in _source_problems(config, dataset)]
    mirror = config["mirror"]
    if (
        mirror is not None
        and not is_web_address(mirror)
        and (lookup_problem(Path(mirror)) or not Path(mirror).is_dir())
    ):
        what = "whose scheme is neither http nor https" if scheme_of(mirror) else "which is no folder"
        allowed = "a folder laid out as HOST/PATH, an http(s) address of such a folder, or null"
        problems.append(f"mirror: found {mirror}, {what}; allowed: {allowed}")
    _report(problems)


def outline_of(config: Mapping[str, Any], dataset: str) -> Outline | None:
    """Names and size of a dataset, as far as its source can tell before it is made; None if it cannot.

    Raises:
        UserError: a file of the user's own is not there, or lacks what the options name.
    """
    from sparsenode.data import sources

    entry = config["datasets"][dataset]
    return sources.make_source(entry["source"], entry["options"]).outline()


def _source_problems(config: Mapping[str, Any], dataset: str) -> list[str]:
    """What is wrong with the source of one dataset, or with what the rest of the configuration names of it."""
    from sparsenode.data import sources

    entry, key = config["datasets"][dataset], f"datasets.{dataset}"
    if absences := [absence for path in local_files(config, dataset) if (absence := describe_absence(Path(path)))]:
        return [f"{key}.options: {absence}" for absence in absences]
    source = sources.make_source(entry["source"], entry["options"])
    try:
        problems = [f"{key}.options.{problem}" for problem in source.check()]
        outline = outline_of(config, dataset) if not problems else None
    except UserError as error:
        return [f"{key}.options: {error}"]
    return problems if outline is None else list(_outline_problems(config, dataset, outline))


def _outline_problems(config: Mapping[str, Any], dataset: str, outline: Outline) -> Iterator[str]:
    """Yield variables, fates and priors that the configuration names and a dataset does not have."""
    from sparsenode.data import sources
    from sparsenode.data.source import SolvableSource

    entry, key = config["datasets"][dataset], f"datasets.{dataset}"
    interventions = entry["interventions"] or {"clamp": {}, "expected": {}}
    is_solvable = issubclass(sources.get_source(entry["source"]), SolvableSource)
    if entry["interventions"] and outline.groups is not None and len(outline.groups) < 2 and not is_solvable:
        yield (
            f"{key}.interventions: found trajectories of one group, {describe_names(outline.groups)}; allowed: null, "
            "or trajectories of two groups (lineages, branches) or more, whose ends are the fates that are compared"
        )
    held = [(name, feature) for name, clamp in interventions["clamp"].items() for feature in clamp]
    for name, feature in held:
        if outline.features is not None and feature not in outline.features:
            nearest = nearest_names(feature, outline.features)
            yield (
                f"{key}.interventions.clamp.{name}: found {json.dumps(feature)}; allowed: a variable of the dataset, "
                f"of which the nearest are {nearest}"
            )
    edges = entry["edges"] or {"forbidden": (), "required": ()}
    named = [(kind, feature) for kind in ("forbidden", "required") for pair in edges[kind] for feature in pair]
    for kind, feature in dict.fromkeys(named):
        if outline.features is not None and feature not in outline.features:
            nearest = nearest_names(feature, outline.features)
            yield (
                f"{key}.edges.{kind}: found {json.dumps(feature)}; allowed: a variable of the dataset, of which the "
                f"nearest are {nearest}"
            )
    expected = [(name, kind, fates[kind]) for name, fates in interventions["expected"].items() for kind in fates]
    for name, kind, fates in expected:
        for fate in fates:
            if outline.groups is not None and fate not in outline.groups:
                yield unknown_name(f"{key}.interventions.expected.{name}.{kind}", fate, outline.groups)
    if outline.priors is not None and _priors_of_source(config, dataset) is None:
        yield from _unknown_origins(config, dataset, outline.priors)
        yield from _unknown_priors(config, dataset, outline.priors)


def set_environment(config: Mapping[str, Any]) -> None:
    """Set what the jobs of the workflow find in their environment: the command line, and the mirror.

    Without an activated virtual environment, the command line is found beside the Python that runs the workflow.
    The mirror is no parameter of a rule, since where a file comes from does not belong to what it is.
    """
    if shutil.which("sparsenode") is None:
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if config["mirror"] is not None:
        os.environ[MIRROR_VARIABLE] = config["mirror"]


def strengths_of(method: Mapping[str, Any]) -> list[float] | Auto:
    """Give the strengths of a checked method entry as sorted numbers; `[0.0]` for a method without strengths.

    "auto" where training chooses them by itself.
    """
    from sparsenode.methods import get_method, offered_strengths

    return offered_strengths(get_method(method["regularizer"]), method["strengths"])


def count_strengths(method: Mapping[str, Any]) -> tuple[int, int]:
    """Strengths that are trained side by side, and in all, at most where training chooses them by itself."""
    from sparsenode.methods import get_method, most_strengths

    strengths = strengths_of(method)
    return most_strengths(get_method(method["regularizer"])) if strengths == AUTO else (len(strengths), len(strengths))


def canonical_json(values: Any) -> str:
    """Write settings as JSON on one line with sorted keys, so that equal settings are equal texts."""
    return json.dumps(values, sort_keys=True, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """Turn mappings and sequences of any kind into dict and list."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _report(problems: Sequence[str]) -> None:
    distinct = list(dict.fromkeys(problems))
    if distinct:
        count = "a problem" if len(distinct) == 1 else f"{len(distinct)} problems"
        listed = "\n".join(f"  {problem}" for problem in distinct)
        message = f"the configuration has {count}:\n{listed}"
        raise UserError(message)


def _key_problems(value: Any, path: Sequence[Any] = ()) -> Iterator[str]:
    """Yield the keys within a value that are no text, as `key: found; allowed`."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        if isinstance(value, dict) and not isinstance(key, str):
            is_word = isinstance(key, bool)
            example = "" if is_word else f', such as "{"null" if key is None else key}"'
            description = f"found {describe_value(key)} as a key{UNQUOTED if is_word else ''}"
            yield f"{describe_key(path)}: {description}; allowed: the name in quotes{example}"
        yield from _key_problems(entry, [*path, key])


def _number_problems(value: Any, path: Sequence[Any] = ()) -> Iterator[str]:
    """Yield the numbers within a value that are not finite, as `key: found; allowed`."""
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, entry in entries:
            yield from _number_problems(entry, [*path, key])
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{describe_key(path)}: found {value}; allowed: a finite number"


def _entry_problems(config: dict[str, Any]) -> Iterator[str]:
    """Yield problems inside single datasets, methods and peers: sources, regularizers, their options, strengths."""
    from sparsenode import methods, peers
    from sparsenode.data import sources
    from sparsenode.figures.published import benchmark_names

    sweep_of = {member: sweep for sweep, members in sweeps_of(config)["datasets"].items() for member in members}
    reported = set[str]()  # sweeps: one member's problems are those of the others
    for name, dataset in config["datasets"].items():
        path = ("datasets", name)
        if sweep_of.get(name) in reported:
            continue
        if dataset["benchmark"] not in {None, *benchmark_names()}:
            yield unknown_name(describe_key([*path, "benchmark"]), dataset["benchmark"], ["null", *benchmark_names()])
        if dataset["source"] not in sources.source_names():
            yield unknown_name(describe_key([*path, "source"]), dataset["source"], sources.source_names())
        else:
            problems = _complete_options(dataset, sources.get_source(dataset["source"]), [*path, "options"])
            yield from problems
            if problems and name in sweep_of:
                reported.add(sweep_of[name])
    for name, method in config["methods"].items():
        path = ("methods", name)
        method["regularizer"] = method["regularizer"] or name
        if method["regularizer"] not in methods.method_names():
            yield unknown_name(describe_key([*path, "regularizer"]), method["regularizer"], methods.method_names())
            continue
        record = methods.get_method(method["regularizer"])
        yield from _complete_options(method, record, [*path, "options"])
        yield from _strength_problems(method, describe_key([*path, "strengths"]), record)
    for name, entry in config["peers"].items():
        path = ("peers", name)
        entry["peer"] = entry["peer"] or name
        if entry["peer"] not in peers.peer_names():
            yield unknown_name(describe_key([*path, "peer"]), entry["peer"], peers.peer_names())
        else:
            yield from _complete_options(entry, peers.get_peer(entry["peer"]), [*path, "options"])


def _complete_options(entry: dict[str, Any], model: type[Settings], path: Sequence[Any]) -> list[str]:
    """Fill in the defaults of the options of an entry, or list what is wrong with them."""
    options, problems = check_settings(model, entry["options"], path)
    if options is not None:
        entry["options"] = options.model_dump(mode="json")
    return problems


def _strength_problems(method: Mapping[str, Any], key: str, record: type[Method]) -> Iterator[str]:
    strengths = method["strengths"]
    if strengths == AUTO:
        return
    if record.strength is None:
        if strengths:
            none = f"no strengths, since `{method['regularizer']}` has no penalty"
            yield f"{key}: found {describe_value(strengths)}; allowed: {none}"
        return
    if not strengths:
        yield f"{key}: found {describe_value(strengths)}; allowed: {STRENGTHS}"
    spelling_of: dict[float, str] = {}
    for index, strength in enumerate(strengths):
        number = _number(strength)
        if number is None or not math.isfinite(number) or number < 0:
            yield f"{key}[{index}]: found {describe_value(strength)}; allowed: {STRENGTH}"
        elif number > record.largest_strength:
            allowed = f"at most {record.largest_strength:g}: {record.strength}"
            yield f"{key}[{index}]: found {describe_value(strength)}; allowed: {allowed}"
        elif number in spelling_of:
            same = f"which equals {describe_value(spelling_of[number])} as a number"
            yield f"{key}[{index}]: found {describe_value(strength)}, {same}; allowed: each strength once"
        else:
            spelling_of[number] = strength


STRENGTHS = f"auto or a list of strengths, each {STRENGTH}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


_COMPARISONS = "comparisons"


def _name_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield names of entries that results use for other things, or that two entries have in results."""
    from sparsenode import methods, peers

    for name in config["datasets"]:
        if name.lower() == _COMPARISONS:
            use = "`figures/comparisons` holds figures of several datasets"
            yield f"datasets: found the name {name!r}; allowed: another name, since {use}"
    for kind, key, shipped in (
        ("methods", "regularizer", methods.method_names()),
        ("peers", "peer", peers.peer_names()),
    ):
        for name, entry in config[kind].items():
            if name in shipped and entry[key] != name:
                yield (
                    f"{kind}.{name}.{key}: found {entry[key]}; allowed: {name}, of which results would tell by this "
                    "name, or another name for the entry"
                )
    together = {f"run.{kind}": config["run"][kind] for kind in ("datasets", "models", "methods", "peers")}
    for key, entries in {**together, _COMPARISONS: config["comparisons"]}.items():
        names: dict[str, str] = {}
        for name in entries:
            other = names.setdefault(name.lower(), name)
            if other != name:
                yield (
                    f"{key}: found {other} and {name}; allowed: names that differ in more than their case, since "
                    "many file systems (of macOS and Windows) take their files for the same"
                )


def _network_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield models and methods whose networks would have one name, MODEL_METHOD, in `network.h5ad`."""
    names: dict[tuple[str, str], tuple[str, str]] = {}
    for dataset, model, method in grid(config):
        joined = f"{model}_{method}"
        other = names.setdefault((dataset, joined), (model, method))
        if other != (model, method):
            yield (
                f"run: found the method {other[1]} of the model {other[0]}, and {method} of {model}; allowed: names "
                f"that differ when joined, since both networks would be network_{joined} in network.h5ad"
            )


def _reference_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names that refer to no entry."""
    run = config["run"]
    for kind in ("datasets", "models", "methods", "peers"):
        for index, name in enumerate(run[kind]):
            if name not in config[kind]:
                yield unknown_name(f"run.{kind}[{index}]", name, list(config[kind]))
    for dataset in config["datasets"]:
        yield from _dataset_problems(config, dataset)
    for name, entry in config["comparisons"].items():
        yield from _comparison_problems(config, entry, f"comparisons.{name}")
    for model, entry in config["models"].items():
        for kind in ("datasets", "methods"):
            for index, name in enumerate(entry[kind] or ()):
                if name not in config[kind]:
                    yield unknown_name(f"models.{model}.{kind}[{index}]", name, list(config[kind]))


def _dataset_problems(config: Mapping[str, Any], dataset: str) -> Iterator[str]:
    """Yield problems of one dataset: settings that contradict each other, and names that refer to no entry."""
    entry = config["datasets"][dataset]
    for kind in ("methods", "peers"):
        for index, name in enumerate(entry[kind] or ()):
            if name not in config[kind]:
                yield unknown_name(f"datasets.{dataset}.{kind}[{index}]", name, list(config[kind]))
    for prior, prior_entry in entry["priors"].items():
        if (use := reserved_name("prior network", prior)) is not None:
            yield f"datasets.{dataset}.priors: found the name {prior!r}; allowed: another name, since {use}"
        if prior_entry["of"] == "truth" and not has_truth(config, dataset):
            allowed = "a prior of the source, since the true network is not known"
            yield f"datasets.{dataset}.priors.{prior}.of: found truth; allowed: {allowed}"
    of_source = _priors_of_source(config, dataset)
    if of_source is not None:
        yield from _unknown_origins(config, dataset, of_source)


def _unknown_origins(config: Mapping[str, Any], dataset: str, of_source: Sequence[str]) -> Iterator[str]:
    """Yield priors of a dataset that are made of a network that its source does not bring."""
    for prior, prior_entry in config["datasets"][dataset]["priors"].items():
        if prior_entry["of"] not in {"truth", *of_source}:
            network_names = [*(["truth"] if has_truth(config, dataset) else []), *of_source]
            yield unknown_name(f"datasets.{dataset}.priors.{prior}.of", prior_entry["of"], network_names)


def _comparison_problems(config: Mapping[str, Any], entry: Mapping[str, Any], key: str) -> Iterator[str]:
    """Yield problems of one comparison: of its form, its names, and what would be no line."""
    present_keys = [name for name in ("datasets", "dataset", "methods") if entry[name] is not None]
    if present_keys not in (["datasets"], ["dataset", "methods"]):
        named_keys = " and ".join(present_keys) or "neither"
        yield f"{key}: found {named_keys}; allowed: either datasets, or a dataset and methods"
        return
    if entry["dataset"] is not None and entry["dataset"] not in config["datasets"]:
        yield unknown_name(f"{key}.dataset", entry["dataset"], list(config["datasets"]))
    lines = {f"{key}.methods.{line}": ("methods", positions) for line, positions in (entry["methods"] or {}).items()}
    lines |= {f"{key}.datasets": ("datasets", entry["datasets"])} if entry["datasets"] is not None else {}
    for path, (kind, positions) in lines.items():
        for name in positions:
            if name not in config[kind]:
                yield unknown_name(path, name, list(config[kind]))
        if len(positions) < 2:
            listed = describe_names(list(positions))
            yield f"{path}: found {listed}; allowed: two or more {kind}, each with a number of its own"
        elif kind == "datasets" and any(set(positions) & set(members) for members in sweeps_of(config)[kind].values()):
            if len(set(positions.values())) < 2:
                yield f"{path}: found one number for all; allowed: datasets of two or more numbers"
        elif len(set(positions.values())) < len(positions):
            twice = next(
                f"{position:g}" for position in positions.values() if list(positions.values()).count(position) > 1
            )
            yield f"{path}: found the number {twice} more than once; allowed: each {kind[:-1]} with a number of its own"


def _trained_model_problems(config: Mapping[str, Any], model: str) -> Iterator[str]:
    """Yield problems of the methods that one model of the run is trained with."""
    from sparsenode import methods

    model_datasets = config["models"][model]["datasets"]
    trained_on = [name for name in config["run"]["datasets"] if model_datasets is None or name in model_datasets]
    if trained_on and methods_of(config, model) and all(name != model for _, name in pairs(config)):
        yield (
            f"run.models: found {model}, which has no method in common with {describe_names(trained_on)}; allowed: a "
            "model that is trained on a dataset (see `datasets.NAME.methods` and `models.NAME.methods`)"
        )
    if not methods_of(config, model):
        yield (
            f"run.models: found {model}, for which run.methods has no method; allowed: a model that is trained "
            "with a method of `run.methods` (see its `methods`, and its `network`, which some methods need to be "
            "per_target)"
        )
    network = config["models"][model]["network"]
    if network != "per_target":
        for method in methods_of(config, model):
            if _per_target(config, method):
                yield (
                    f"models.{model}.network: found {network}, with the method {method}, which needs one network "
                    f"per target; allowed: per_target, or `models.{model}.methods` without {method}"
                )
    for method in methods_of(config, model):
        entry = config["methods"][method]
        reason = methods.make_method(entry["regularizer"], entry["options"]).why_warm_up()
        if reason is not None and config["models"][model]["warm_up"] == 0:
            yield f"models.{model}.warm_up: found 0, with the method {method}, {reason}; allowed: above 0"


def _priors_of_source(config: Mapping[str, Any], dataset: str) -> list[str] | None:
    """Names of the prior networks that a dataset's source brings, None where only its files tell."""
    from sparsenode.data import sources

    entry = config["datasets"][dataset]
    always = sources.get_source(entry["source"]).priors
    return None if always is None else [*always, *entry["options"].get("networks", ())]


def _unknown_priors(config: Mapping[str, Any], dataset: str, of_source: Sequence[str]) -> Iterator[str]:
    """Yield methods that are given a prior network that a dataset does not have."""
    network_names = [*config["datasets"][dataset]["priors"], *of_source]
    for method in dict.fromkeys(method for _, _, method in grid(config, dataset)):
        prior_name = config["methods"][method]["options"].get("prior")
        if prior_name is not None and prior_name not in network_names:
            key = f"methods.{method}.options.prior"
            problem = unknown_name(key, prior_name, network_names)
            yield f"{problem} (prior networks of the dataset {dataset}; `datasets.{dataset}.priors` makes others)"


def _pair_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield problems of what is to be trained on what; every name is known by now."""
    for dataset in config["run"]["datasets"]:
        if not models_of(config, dataset):
            allowed = (
                "a dataset that a model of `run.models` is trained on (see `models.NAME.datasets`), by a method of "
                "`run.methods` (see `models.NAME.methods` and `datasets.NAME.methods`)"
            )
            yield f"run.datasets: found {dataset}, for which run.models has no model; allowed: {allowed}"
    for model in config["run"]["models"]:
        yield from _trained_model_problems(config, model)
    for dataset in config["run"]["datasets"]:
        if (of_source := _priors_of_source(config, dataset)) is not None:
            yield from _unknown_priors(config, dataset, of_source)
    yield from _network_problems(config)
    for dataset, model in pairs(config):
        needed = config["models"][model]["velocity_observations"] or 1
        known_count = config["datasets"][dataset]["initial_state"]["known"]
        if needed > known_count:
            yield (
                f"models.{model}.velocity_observations: found {needed}, with datasets.{dataset}.initial_state.known: "
                f"{known_count}; allowed: at most as many as a forecast is given"
            )
        for name in ("rolling", "one_step"):
            if config["models"][model]["starts"] == "learned" and config["datasets"][dataset]["evaluation"][name]:
                yield (
                    f"models.{model}.starts: found learned, with datasets.{dataset}.evaluation.{name}; allowed: given, "
                    "since such forecasts start within the trajectories"
                )
        by = config["datasets"][dataset]["validation"]["by"]
        if by == "observation" and config["models"][model]["windows"] is not None:
            yield (
                f"models.{model}.windows: found windows, with datasets.{dataset}.validation.by: observation; "
                "allowed: windows: null, or validation by trajectory, time_blocks or inner_blocks, since a window "
                "never crosses splits"
            )
