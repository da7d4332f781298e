"""How a run and its jobs are started: unknown targets, options that Snakemake drops, lists too long for a command."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from sparsenode.errors import did_you_mean, nearest_names
from sparsenode.files import write_atomically

_LISTED = 30  # names listed in a message
_LONGEST_LIST = 60_000  # bytes; Linux gives a shell a command of at most 131,072, which has other arguments too
_UP_TO_TRAINING = ("train_", "freeze_settings", "preprocess_dataset", "download_source", "unpack_source")
_NAMING_TARGETS = ("forcerun", "prioritize", "until", "omit_from")  # options that name rules or files


@dataclass(frozen=True)
class _Command:
    """What a command line names: targets, those that options name, by option, and how often each is repeated."""

    targets: tuple[str, ...] = ()
    targets_of_options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    repeated: Mapping[str, int] = field(default_factory=dict)
    forces_all: bool = False


class _CountingNamespace(argparse.Namespace):
    """Arguments, and how often each of them was set, which a parser does once before it reads any."""

    def __init__(self) -> None:
        self.__dict__["times_set"] = Counter()

    def __setattr__(self, name: str, value: Any) -> None:
        self.times_set[name] += 1
        super().__setattr__(name, value)


def targets_of(command: Sequence[str]) -> list[str]:
    """The targets that a command line names, by Snakemake's own parser; none where the command is not Snakemake's."""
    return list(_read(tuple(command)).targets)


def targets_of_options(command: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """The rules and files that options of a command line name, such as `--until`, by option."""
    return _read(tuple(command)).targets_of_options


def repeated_option(command: Sequence[str]) -> str | None:
    """Say which option for a list of values a command line repeats, of which Snakemake would take only the last."""
    for option, count in _read(tuple(command)).repeated.items():
        return (
            f"{option}: found {count} times, of which Snakemake takes only the last; allowed: once, with all its "
            "values after it"
        )
    return None


def forces_training(command: Sequence[str]) -> bool:
    """Whether a command line asks for trainings again that are done: all jobs, or rules up to the training."""
    forced = targets_of_options(command).get("--forcerun", ())
    return _read(tuple(command)).forces_all or any(name.startswith(_UP_TO_TRAINING) for name in forced)


def arguments_of(flags: Mapping[str, Sequence[object]], folder: Path) -> str:
    """Flags with their values as words of a shell command.

    Where they are too long for a command, they are in a file, one a line, which `sparsenode ... --arguments-from FILE`
    reads. It is named by its content, so that it is written once and never changes.

    Args:
        flags: values by flag, such as {"--metrics": paths}.
        folder: where the file is written.

    Raises:
        UserError: the file cannot be written.
    """
    words = [word for flag, values in flags.items() for word in (flag, *map(str, values))]
    command = shlex.join(words)
    if len(command.encode()) <= _LONGEST_LIST:
        return command
    content = "".join(f"{word}\n" for word in words).encode()
    path = folder / f"{hashlib.sha256(content).hexdigest()[:20]}.txt"
    if not path.is_file():
        with write_atomically(path) as temporary:
            temporary.write_bytes(content)
    return shlex.join(["--arguments-from", str(path)])


@lru_cache
def _read(command: tuple[str, ...]) -> _Command:
    """What a command line names, by Snakemake's own parser; nothing where the command is not Snakemake's."""
    if "snakemake" not in PurePosixPath(command[0]).parts[-2:]:
        return _Command()
    from snakemake.cli import get_argument_parser

    parser = get_argument_parser()
    arguments = _CountingNamespace()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            parser.parse_args(list(command[1:]), namespace=arguments)
    except SystemExit:
        return _Command()
    counts = {
        option.option_strings[0]: arguments.times_set[option.dest] - 1
        for option in parser._actions
        if option.option_strings and option.nargs in {"+", "*"}
    }
    named = {f"--{name.replace('_', '-')}": tuple(sorted(getattr(arguments, name) or ())) for name in _NAMING_TARGETS}
    return _Command(
        targets=tuple(map(str, arguments.targets)),
        targets_of_options={option: names for option, names in named.items() if names},
        repeated={option: count for option, count in counts.items() if count > 1},
        forces_all=bool(arguments.forceall or arguments.force),
    )


def describe_unknown_target(target: str, rules: Collection[str], files: Iterable[str]) -> str:
    """Say what there is in place of a target that is no rule and that no rule makes, with the nearest names.

    `files` are those that the run can make. The target is followed down their folders to the first name that none has;
    where it is one of these folders a file in it is named.
    """
    if "/" not in target and (hint := did_you_mean(target, list(rules))):
        return f"there is no rule and no file {target!r}; {hint}"
    files = list(files)
    paths = [PurePosixPath(file).parts for file in files]
    components = PurePosixPath(target).parts
    if below := [file for file, path in zip(files, paths, strict=True) if path[: len(components)] == components]:
        return f"nothing makes {target}, which is a folder; name a file in it, such as {min(below)}"
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
