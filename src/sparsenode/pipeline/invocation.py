"""How a run was started: targets that nothing makes, and options that Snakemake would drop without a word."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePosixPath

from sparsenode.errors import did_you_mean, nearest_names

_LISTED = 30  # names listed in a message
_LISTS = {"--configfile": "--configfile", "--configfiles": "--configfile", "--config": "--config", "-C": "--config"}


def targets_of(command: Sequence[str]) -> list[str]:
    """The targets that a command line names, by Snakemake's own parser; none where the command is not Snakemake's."""
    if "snakemake" not in PurePosixPath(command[0]).parts[-2:]:
        return []
    from snakemake.cli import get_argument_parser

    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        return list(map(str, get_argument_parser().parse_args(command[1:]).targets))
    return []


def repeated_option(arguments: Sequence[str]) -> str | None:
    """Say which option of Snakemake's for a list of values is repeated, of which it would take only the last."""
    named = [_LISTS[name] for argument in arguments if (name := argument.partition("=")[0]) in _LISTS]
    for option in dict.fromkeys(named):
        if named.count(option) > 1:
            return (
                f"{option}: found {named.count(option)} times, of which Snakemake takes only the last; allowed: once, "
                "with all its values after it"
            )
    return None


def describe_unknown_target(target: str, rules: Collection[str], files: Iterable[str]) -> str:
    """Say what there is in place of a target that is no rule and that no rule makes, with the nearest names.

    `files` are those that the run can make. The target is followed down their folders to the first name that none has.
    """
    if "/" not in target and (hint := did_you_mean(target, list(rules))):
        return f"there is no rule and no file {target!r}; {hint}"
    files = list(files)
    paths = [PurePosixPath(file).parts for file in files]
    components = PurePosixPath(target).parts
    depth = next(
        (depth for depth in range(len(components)) if not _names_below(paths, components[: depth + 1])),
        len(components) - 1,
    )
    names = sorted({path[depth] for path in paths if path[:depth] == components[:depth] and len(path) > depth})
    hint = did_you_mean(components[depth], names)
    if not hint and (
        namesakes := [file for file, path in zip(files, paths, strict=True) if path[-1] == components[-1]]
    ):
        hint = f"did you mean {min(namesakes)!r}?"
    listed = names
    if len(names) > _LISTED:
        listed = [nearest_names(components[depth], names, count=_LISTED), "..."]
    folder = f" in {PurePosixPath(*components[:depth])}/" if depth else ""
    sentences = [f"there is no {components[depth]}{folder}", hint, f"there are: {', '.join(listed) or 'none'}"]
    return f"nothing makes {target}: {'; '.join(sentence for sentence in sentences if sentence)}"


def _names_below(paths: Sequence[tuple[str, ...]], beginning: tuple[str, ...]) -> bool:
    return any(path[: len(beginning)] == beginning for path in paths)
