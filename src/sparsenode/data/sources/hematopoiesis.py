"""hematopoiesis: human bone marrow cells along three lineages, in pseudotime, as published with PathReg.

Cells and pseudotimes: Luecken et al., NeurIPS 2021 (GEO GSE194122), prepared by Aliee et al., NeurIPS 2022
(github.com/theislab/PathReg, MIT). Values are counts over a cell's size factor, not logged. The defaults
repeat the study's protocol; `transform: log1p` with `scaling: training_range` lets donors differ: a forecast is given
the first cells of a test donor and the pseudotimes, scaled to the range of their lineage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.data.downloads import RemoteFile, known_file
from sparsenode.data.outline import Outline
from sparsenode.data.readers.tables import read_numeric_table
from sparsenode.data.single_cell.cells import CellOptions, Cells, describe_units, order_cells, scale_cells
from sparsenode.data.single_cell.pseudotime import PseudotimeSettings, diffuse, diffusion_embedding
from sparsenode.data.single_cell.regulators import NetworkOptions, network_files, read_priors
from sparsenode.data.source import Source
from sparsenode.data.trajectories import Floats, RawTrajectories
from sparsenode.errors import UserError
from sparsenode.typed import EachOnce, Settings

_ADDRESS = "https://raw.githubusercontent.com/theislab/PathReg/main/data/data"
_PSEUDOTIME = "dpt_pseudotime"
# Names used here, and those in the published file names.
DONORS = {"s1d1": "11", "s1d2": "12", "s2d1": "21", "s2d4": "24", "s3d6": "36"}
LINEAGES = {"erythroid": "eryth", "monocyte": "mono", "B": "B"}
# Of the diffusion map: neighbors as in the study; few components, since more of some hundred genes are noise; and the
# share of a lineage's cells that the map begins with, which gives its axes their sign.
_NEIGHBORS = 30
_COMPONENTS = 20
_EARLY_SHARE = 0.05


class Donors(Settings):
    """Donors by what they are for."""

    train: Annotated[tuple[Literal["s1d1", "s1d2", "s2d1", "s2d4", "s3d6"], ...], Field(min_length=1), EachOnce] = (
        Field(description="Donors to train on.")
    )
    test: Annotated[tuple[Literal["s1d1", "s1d2", "s2d1", "s2d4", "s3d6"], ...], EachOnce] = Field(
        description="Donors to test on."
    )


class HematopoiesisSource(NetworkOptions, CellOptions, Source):
    """The source and its options."""

    priors: ClassVar[tuple[str, ...]] = ("base",)
    has_cells: ClassVar[bool] = True

    donors: Donors = Field(
        Donors(train=("s1d2",), test=("s2d1", "s3d6", "s1d1")),
        description="Donors to train and to test on. A trajectory is one lineage of one donor.",
    )
    lineages: Annotated[tuple[Literal["erythroid", "monocyte", "B"], ...], Field(min_length=1), EachOnce] = Field(
        ("erythroid", "monocyte", "B"), description="Lineages to use."
    )
    embedding: Literal["diffmap", "none"] = Field(
        "diffmap",
        description="Coordinates of the cells for figures: the first two components of a diffusion map of each "
        "donor's cells, or none.",
    )

    def required_files(self) -> list[RemoteFile]:
        """One table for each donor and lineage, and those of the prior networks."""
        donors = [*self.donors.train, *self.donors.test]
        tables = [_trajectory_file(donor, lineage) for donor in donors for lineage in self.lineages]
        return [*tables, *network_files(self)]

    def check(self) -> list[str]:
        """Options that contradict each other, each as what is wrong."""
        both = sorted(set(self.donors.train) & set(self.donors.test))
        return [f"donors.train and donors.test share {', '.join(both)}"] if both else []

    def outline(self) -> Outline:
        """The lineages, and about what is left of the published cells; the tables tell of the genes."""
        return Outline(
            groups=tuple(self.lineages),
            trajectories=len(self.donors.train) * len(self.lineages),
            observations=450,
            duration=1.0,
            feature_count=529,
        )

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:
        """One trajectory for each donor and lineage, named like `s1d2 erythroid`; `files` by HOST/PATH.

        Raises:
            UserError: a table is damaged, donors overlap, too few cells are left, repeated pseudotimes or constant
                genes are refused by the options, or a diffusion map does not connect a donor's cells.
        """
        if problems := self.check():
            message = f"data source hematopoiesis: {problems[0]}"
            raise UserError(message)
        genes: list[str] = []
        cells = []
        for split, donors in self.donors:
            for donor in donors:
                donor_cells = []
                for lineage in self.lineages:
                    path = files[_trajectory_file(donor, lineage).relative_path]
                    table_genes, times, values = _read_cells(path)
                    genes = genes or table_genes
                    if table_genes != genes:
                        message = f"{path}: its genes are not those of the other tables, in the same order"
                        raise UserError(message)
                    donor_cells.append(Cells(donor, lineage, split, times, values))
                cells += _embedded(donor_cells) if self.embedding == "diffmap" else donor_cells
        cells = [order_cells(self, trajectory) for trajectory in cells]
        trajectories, gene_mask = scale_cells(self, cells, genes)
        genes = [gene for gene, keep in zip(genes, gene_mask, strict=True) if keep]
        priors = read_priors(self, files, genes)
        return RawTrajectories(
            kind="measured",
            features=tuple(genes),
            trajectories=trajectories,
            **describe_units(self),
            priors=priors.edges,
            priors_known=priors.known,
            is_regulator=priors.is_regulator,
            provenance={"networks": priors.facts},
        )


def _trajectory_file(donor: str, lineage: str) -> RemoteFile:
    return known_file(f"{_ADDRESS}/trajectories/{LINEAGES[lineage]}_{DONORS[donor]}_norm.csv")


def _read_cells(path: Path) -> tuple[list[str], Floats, Floats]:
    header, values = read_numeric_table(path, "\t")
    if header[0] != _PSEUDOTIME:
        message = f"{path}, line 1: the first column is {header[0]!r}, expected {_PSEUDOTIME!r}"
        raise UserError(message)
    return header[1:], values[:, 0], values[:, 1:]


def _embedded(cells: Sequence[Cells]) -> list[Cells]:
    """The cells of one donor's lineages with their coordinates in a diffusion map of all of them, (cell, 2).

    Equal rows are one cell, which takes part in the map once: the stem belongs to every lineage.
    """
    # Not in the order of the file, which would change the map by rounding.
    distinct, row_numbers = np.unique(
        np.vstack([trajectory.values for trajectory in cells]), axis=0, return_inverse=True
    )
    early = np.concatenate([trajectory.times <= np.quantile(trajectory.times, _EARLY_SHARE) for trajectory in cells])
    is_root = np.zeros(len(distinct), dtype=bool)
    is_root[row_numbers[early]] = True
    settings = PseudotimeSettings(neighbors=min(_NEIGHBORS, len(distinct) - 1), pca_components=_COMPONENTS)
    try:
        diffusion = diffuse(distinct, is_root, settings, where=f"donor {cells[0].donor}")
    except UserError as error:
        message = f"{error}; or do without a diffusion map: `embedding: none`"
        raise UserError(message) from error
    ends = np.cumsum([len(trajectory.times) for trajectory in cells])[:-1]
    coordinates = np.split(diffusion_embedding(diffusion)[row_numbers], ends)
    return [replace(trajectory, embedding=embedding) for trajectory, embedding in zip(cells, coordinates, strict=True)]
