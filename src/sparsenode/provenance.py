"""What a result was made with."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

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
