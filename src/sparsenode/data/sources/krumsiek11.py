"""krumsiek11: simulated myeloid differentiation, 11 genes, four fates, with its Boolean network as the truth.

Krumsiek et al., "Hierarchical differentiation of myeloid progenitors is encoded in the transcription factor
network", PLoS ONE 2011. Simulation and couplings ship with scanpy (`scanpy.datasets.krumsiek11`), so nothing
is downloaded.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from sparsenode.data.outline import Outline
from sparsenode.data.source import Source
from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory, constant_labels
from sparsenode.errors import UserError
from sparsenode.files import file_sha256

STEPS = 160
# Order of the branches in scanpy's file: its `highlights` name the fate at the end of each.
FATES = ("monocyte", "erythrocyte", "megakaryocyte", "neutrophil")


class Krumsiek11Source(Source):
    """The source and its options."""

    has_truth: ClassVar[bool] = True
    priors: ClassVar[tuple[str, ...]] = ()

    test_share: float = Field(
        0.15, ge=0, le=0.9, description="Share of each branch, at its end, that is held out as test data."
    )

    def outline(self) -> Outline:
        """Names of the genes and branches, and the size of the training data."""
        lines = _scanpy_file("datasets", "krumsiek11.txt").read_text(encoding="utf-8").splitlines()
        steps = STEPS - self._test_steps
        return Outline(
            features=tuple(_gene_names(lines)),
            groups=tuple(FATES),
            trajectories=len(FATES),
            observations=steps,
            duration=float(steps),
        )

    @property
    def _test_steps(self) -> int:
        return round(self.test_share * STEPS)

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:  # noqa: ARG002  the same for every source
        """Four branches of 160 steps each; the trailing `test_share` of each is test data."""
        simulation = _scanpy_file("datasets", "krumsiek11.txt")
        network = _scanpy_file("sim_models", "krumsiek11.txt")
        genes, values = _read_simulation(simulation)
        splits = np.repeat(["train", "test"], [STEPS - self._test_steps, self._test_steps])
        trajectories = tuple(
            Trajectory(
                name=fate,
                group=fate,
                subject=fate,
                times=np.arange(STEPS, dtype=np.float64),
                values=branch,
                splits=splits,
                phases=constant_labels("fit", STEPS),
            )
            for fate, branch in zip(FATES, values.reshape(len(FATES), STEPS, len(genes)), strict=True)
        )
        return RawTrajectories(
            kind="simulated",
            features=tuple(genes),
            trajectories=trajectories,
            time_unit="simulation step",
            value_unit="activity",
            truth=read_couplings(network, genes),
            truth_known=~np.eye(len(genes), dtype=bool),
            provenance={"simulation_sha256": file_sha256(simulation), "network_sha256": file_sha256(network)},
        )


def read_couplings(path: Path, genes: list[str]) -> Floats:
    """Couplings of a scanpy simulation model, (source, target), signed; lines read target, source, strength.

    Raises:
        UserError: a line does not fit, or the file has no list of couplings.
    """
    truth = np.zeros((len(genes), len(genes)))
    _, heading, couplings = path.read_text(encoding="utf-8").partition("# coupling list:\n")
    if not heading:
        message = f"{path} has no list of couplings; is the installed scanpy one that this package was tried with?"
        raise UserError(message)
    for line in couplings.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        target, source, strength = line.split()
        truth[genes.index(source), genes.index(target)] = float(strength)
    return truth


def _scanpy_file(folder: str, name: str) -> Path:
    # Found without importing scanpy, which takes five seconds.
    specification = importlib.util.find_spec("scanpy")
    package_folders = (specification.submodule_search_locations or []) if specification else []
    for package_folder in package_folders:
        path = Path(package_folder) / folder / name
        if path.is_file():
            return path
    message = f"scanpy's bundled file {folder}/{name} is not there; install scanpy"
    raise UserError(message)


def _gene_names(lines: Sequence[str]) -> list[str]:
    header = next((line for line in lines if line.startswith("# it ")), "")
    return header.split()[2:]


def _read_simulation(path: Path) -> tuple[list[str], Floats]:
    lines = path.read_text(encoding="utf-8").splitlines()
    genes = _gene_names(lines)
    values = np.loadtxt(path, comments="#", ndmin=2)
    if values.shape != (len(FATES) * STEPS, len(genes) + 1):
        expected = (len(FATES) * STEPS, len(genes) + 1)
        message = f"{path}: a table of {values.shape} numbers, expected {expected}"
        raise UserError(message)
    return genes, values[:, 1:]
