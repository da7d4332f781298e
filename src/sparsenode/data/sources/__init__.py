"""Sources of trajectories and the one file they become.

A source is a module of this package that defines `Options` (typed settings, each a field with a
description, and a default where the option may be left out), `required_files(options)` (what has to be
downloaded) and `load(options, files)` (everything else; `files` are keyed by the `local_path` of what is
downloaded). One whose provenance names `skeletons` sets `HAS_BODY`, one of cells along lineages `HAS_CELLS`, one
whose data have a true network `HAS_TRUTH` (or it has an option `truth`). `PRIORS` names the prior networks
that it brings beside those that its option `networks` names, where that is known without its files. A
source that reads files of the user's own also defines `local_files(options)`, and gives the options that name them
the type `typed.PathText`. One whose options can contradict each other, or a file of the user's own, defines
`check(options)`, which lists what is wrong, each as `option: found; allowed`, or raises a UserError; one that can say
something of its dataset before it is made defines `outline(options)`, an `outline.Outline`. Both are called before each
run: they are quick, import nothing heavy, and read no more than names. One that can be simulated again under an
intervention defines `system_from_provenance(provenance)`, given the provenance and beside it the source's `options` and
the trajectories' `scale`, and `solve(system, initial_states, times, clamp)`, where `clamp` holds features, by number,
at values. To add a source, add a file: it is found by its name.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

from sparsenode.errors import UserError
from sparsenode.typed import read_settings


@cache
def _sources() -> Mapping[str, ModuleType]:
    modules = {name: importlib.import_module(f"{__name__}.{name}") for _, name, _ in pkgutil.iter_modules(__path__)}
    return {name: module for name, module in sorted(modules.items()) if hasattr(module, "Options")}


def source_names() -> list[str]:
    """Names of all sources, sorted."""
    return list(_sources())


def source(name: str) -> ModuleType:
    """The module of the source `name`, with `Options`, `required_files(options)` and `load(options, files)`.

    Raises:
        UserError: there is no source of that name.
    """
    if name not in _sources():
        message = f"unknown data source {name!r}; there are: {', '.join(source_names())}"
        raise UserError(message)
    return _sources()[name]


def complete_options(name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check `options` of the source `name` and fill in the defaults of those left out.

    Raises:
        UserError: a key is unknown or a value is not allowed; the message lists all of them.
    """
    return read_settings(source(name).Options, options or {}, "options").model_dump(mode="json")
