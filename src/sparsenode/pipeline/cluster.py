"""What the workflow asks a Slurm cluster before it submits to it. Imports nothing heavy."""

from __future__ import annotations

import re
import subprocess

_SECONDS = 20
_GPU = re.compile(r"(?:^|,)gpu(?::|$)")


def partition_has_gpus(partition: str | None = None) -> bool:
    """Tell whether a partition (the default one where it is None) has nodes with GPUs, among its generic resources.

    False where Slurm cannot be asked: then jobs ask for CPUs.
    """
    chosen = [] if partition is None else [f"--partition={partition}"]
    try:
        answer = subprocess.run(
            ["sinfo", "--noheader", "--format=%P %G", *chosen],
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return _lists_gpus(answer.stdout, default_alone=partition is None)


def _lists_gpus(answer: str, *, default_alone: bool) -> bool:
    """Whether lines of a partition's name and its generic resources list GPUs; the default's name ends in a star."""
    lines = [line.split(maxsplit=1) for line in answer.splitlines()]
    return any(
        len(fields) == 2 and _GPU.search(fields[1]) is not None and (fields[0].endswith("*") or not default_alone)
        for fields in lines
    )
