"""What a result was made with."""

from __future__ import annotations

import subprocess
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path

from sparsenode import versions


def file_sha256(path: Path) -> str:
    """Checksum of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


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
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
