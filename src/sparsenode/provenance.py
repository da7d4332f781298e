"""What a result was made with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sparsenode import versions


def describe_software() -> dict[str, str | int | None]:
    """Versions of the package, its training code and the libraries that numbers depend on, and the git commit."""
    return {
        "sparsenode_version": version("sparsenode"),
        "training_version": versions.TRAINING,
        "torch_version": version("torch"),
        "numpy_version": version("numpy"),
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """Commit of the checkout that the package runs from; None if it is installed elsewhere."""
    folder = Path(__file__).resolve().parent
    try:
        process = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.strip() or None


def list_differences(old: Any, new: Any, absent: Any = None, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Entries in which two nested mappings differ: dotted key, old and new value, in the order of the keys.

    Args:
        old: a mapping, or a value.
        new: what it is compared with; lists and tuples of equal entries are equal.
        absent: what a mapping holds for a key that it does not have.
        key: key of both.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            inner = f"{key}.{name}" if key else name
            yield from list_differences(old.get(name, absent), new.get(name, absent), absent, inner)
        return
    sequences = isinstance(old, (list, tuple)) and isinstance(new, (list, tuple))
    if (list(old) != list(new)) if sequences else (old != new):
        yield key, old, new
