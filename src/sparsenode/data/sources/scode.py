"""scode: 100 transcription factors of single cells in pseudotime, with a network of DNase footprints as a weak truth.

Matsumoto et al., "SCODE", Bioinformatics 2017 (github.com/hmatsu1226/SCODE, MIT). Data set 1: 356 mouse cells from
embryonic stem cells to primitive endoderm, and 100 more for the test. Data set 2: 373 cells from mouse fibroblasts to
neurons (Treutlein et al., Nature 2016). Values are logarithms of expression, pseudotimes those of the authors.
A footprint says where a factor can bind, not that it acts, and only of factors with a known motif: published scores
leave out those without an edge as sources, and the diagonal (scoring protocol `regulators`). Self-effects are in the
truth.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.data.downloads import RemoteFile, known_file
from sparsenode.data.outline import Outline
from sparsenode.data.readers.factor_tables import (
    read_factor_cells,
    read_factor_network,
    read_factors,
    read_pseudotimes,
)
from sparsenode.data.single_cell.cells import CellOptions, Cells, describe_units, order_cells, scale_cells
from sparsenode.data.source import Source
from sparsenode.data.trajectories import RawTrajectories

_ADDRESS = "https://raw.githubusercontent.com/hmatsu1226/SCODE/master"
_LINEAGES = {1: "endoderm", 2: "neuron"}
_CELLS = {1: 356, 2: 373}  # for training
# Folder, and expression and pseudotimes of each split.
_FOLDERS = {1: "data", 2: "data2"}
_TABLES: Mapping[int, Mapping[str, tuple[str, str]]] = {
    1: {"train": ("exp_train.txt", "time_train.txt"), "test": ("exp_test.txt", "time_test.txt")},
    2: {"train": ("data.txt", "time.txt")},
}


class ScodeSource(CellOptions, Source):
    """The source and its options."""

    has_truth: ClassVar[bool] = True
    has_cells: ClassVar[bool] = True
    priors: ClassVar[tuple[str, ...]] = ()

    cells: Literal[1, 2] = Field(
        2, description="The data set: 1, 356 cells to endoderm and 100 for the test, or 2, 373 cells to neurons."
    )
    scaling: Literal["per_trajectory", "training_range"] = Field(
        "training_range",
        description="`training_range`: one scale per gene for all, from the training cells; `per_trajectory`: each "
        "gene to [0, 1] within each trajectory, test cells too.",
    )
    repeated_pseudotimes: Literal["first", "mean", "error"] = Field(
        "mean", description="Of cells with one pseudotime: keep the first, average them, or refuse the data."
    )
    drop_first: int = Field(0, ge=0, description="Cells left out at the start of each trajectory.")
    drop_last: int = Field(0, ge=0, description="Cells left out at the end of each trajectory.")

    def _files(self) -> dict[str, RemoteFile]:
        """What is downloaded, by its name in the folder of the data set."""
        tables = [name for pair in _TABLES[self.cells].values() for name in pair]
        folder = _FOLDERS[self.cells]
        return {
            name: known_file(f"{_ADDRESS}/{folder}/{name}")
            for name in (*tables, "tf.txt", "reference_TFTF_network.txt")
        }

    def required_files(self) -> list[RemoteFile]:
        """Expression and pseudotimes of each split, names of the factors, and the network of footprints."""
        return list(self._files().values())

    def outline(self) -> Outline:
        """The lineage and the size of the training data; the tables tell of the factors."""
        return Outline(
            groups=(_LINEAGES[self.cells],),
            trajectories=1,
            observations=_CELLS[self.cells],
            duration=1.0,
            feature_count=100,
        )

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:
        """One trajectory of training cells, and of data set 1 one of test cells; `files` by HOST/PATH.

        Raises:
            UserError: a file is damaged, they do not belong together, or the options leave too few cells or genes, or
                refuse repeated pseudotimes.
        """
        paths = {name: files[file.local_path] for name, file in self._files().items()}
        factors = read_factors(paths["tf.txt"])
        truth = read_factor_network(paths["reference_TFTF_network.txt"], factors)
        ordered = []
        for split, (expression, pseudotimes) in _TABLES[self.cells].items():
            values = read_factor_cells(paths[expression], len(factors))
            labels, times = read_pseudotimes(paths[pseudotimes], len(values))
            lineage = _LINEAGES[self.cells]
            ordered.append(order_cells(self, Cells(split, lineage, split, times, values, cell_types=labels)))
        trajectories, gene_mask = scale_cells(self, ordered, factors)
        selected = np.flatnonzero(gene_mask)
        network = truth[np.ix_(selected, selected)]
        units = describe_units(self)
        units["time_unit"] = units["time_unit"].removeprefix("diffusion ")
        return RawTrajectories(
            kind="measured",
            features=tuple(factors[number] for number in selected),
            trajectories=trajectories,
            **units,
            truth=network.astype(np.float64),
            truth_known=np.ones(network.shape, dtype=bool),
            truth_signed=False,
            # Otherwise it would be read off the truth.
            is_regulator=np.ones(len(selected), dtype=bool),
            provenance={
                "truth": {
                    "edges": int(network.sum()),
                    "self_effects": int(network.trace()),
                    "sources": int(network.any(axis=1).sum()),
                }
            },
        )
