"""Sources of trajectories and the one file they become: one file each, found by name.

To add one, write `sources/NAME.py` with one class of `sparsenode.data.source.Source`, whose options are its fields;
nothing else needs to know of it. A source that can be simulated again under an intervention is a `SolvableSource`.
Heavy packages are imported within methods, so that the workflow can read names and options without loading them.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from sparsenode.data.source import Source
from sparsenode.errors import UserError
from sparsenode.typed import classes_of, read_settings


@cache
def _sources() -> Mapping[str, type[Source]]:
    return classes_of(__name__, Source)


def source_names() -> list[str]:
    """Names of all sources, sorted."""
    return list(_sources())


def get_source(name: str) -> type[Source]:
    """The class of a source.

    Raises:
        UserError: there is no source of that name.
    """
    if name not in _sources():
        message = f"unknown data source {name!r}; there are: {', '.join(source_names())}"
        raise UserError(message)
    return _sources()[name]


def make_source(name: str, options: Mapping[str, Any] | None) -> Source:
    """A source with its options; those left out have their defaults.

    Raises:
        UserError: there is no such source, or a key is unknown or a value is not allowed; the message lists all.
    """
    return read_settings(get_source(name), options or {}, "options")
