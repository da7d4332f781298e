"""The files that `sparsenode init` writes into a folder: what a person needs to begin."""

from __future__ import annotations

from pathlib import Path

from sparsenode.errors import UserError
from sparsenode.files import lookup_problem, write_atomically
from sparsenode.pipeline.configuration import find_workflow

SLURM_PROFILE = "slurm/config.yaml"


def init_folder(folder: Path) -> list[Path]:
    """Write a configuration, a profile for Slurm and a README into a folder, and give their paths.

    Raises:
        UserError: one of the files is there already, or cannot be written.
    """
    starter = Path(__file__).parent
    sources = {
        "config.yaml": starter / "config.yaml",
        SLURM_PROFILE: find_workflow() / SLURM_PROFILE,
        "README.md": starter / "README.md",
    }
    if (problem := lookup_problem(folder)) is not None:
        raise UserError(problem)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder")
    if present := [name for name in sources if (folder / name).exists()]:
        raise UserError(
            f"{folder} has {' and '.join(present)} already, and nothing is overwritten; name another folder"
        )
    for name, source in sources.items():
        with write_atomically(folder / name) as temporary:
            temporary.write_bytes(source.read_bytes())
    return [folder / name for name in sources]
