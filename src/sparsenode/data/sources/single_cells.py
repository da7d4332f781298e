"""single_cells: trajectories from an h5ad file of cells of any tissue, whose columns, types and lineages you name.

A trajectory is one lineage of one donor: its cells in the order of their diffusion pseudotime, which is computed for
each donor from all cells of the lineages. The defaults are those of the human bone marrow (Luecken et al., NeurIPS
2021; GEO GSE194122) as Aliee et al., NeurIPS 2022 (github.com/theislab/PathReg) prepared it. The file is read piece by
piece, one donor at a time. What its values are is found out from them: counts, normalized counts or logarithms;
normalized counts are what is modeled, or their logarithms with `transform: log1p`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.data.downloads import RemoteFile, known_file
from sparsenode.data.outline import Outline
from sparsenode.data.ranks import rank_correlation
from sparsenode.data.readers.h5ad_cells import RAW, CellFile, open_cells
from sparsenode.data.single_cell.cells import (
    CellOptions,
    Cells,
    describe_units,
    order_cells,
    scale_cells,
    trajectory_problem,
)
from sparsenode.data.single_cell.expression import Found, find_kind, highly_variable, normalize
from sparsenode.data.single_cell.pseudotime import (
    FEWEST_CELLS,
    PseudotimeSettings,
    compare_roots,
    diffusion_embedding,
    order_lineages,
)
from sparsenode.data.single_cell.regulators import (
    Priors,
    base_network_file,
    network_names,
    read_network,
    read_regulators,
    unite_networks,
)
from sparsenode.data.source import Source
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError, nearest_names, some_of
from sparsenode.files import file_sha256, is_web_address
from sparsenode.labels import TRUTH
from sparsenode.typed import EachOnce, PathText, Settings, Text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

logger = logging.getLogger(__name__)


_BASE = "base"  # the network whose regulators are the regulators
_NAMED = 40  # donors or cell types listed in a message
_COUNTS = "counts"
_EMBEDDING = "GEX_X_pca"
_COMPONENT_GENES = 2000
_WEAK_ORDER = 0.3  # rank correlation of pseudotime and the order of cell types


_PATTERN, _REFUSAL = network_names(TRUTH, why="which is the true network")


class GeneOptions(Settings):
    """Which genes are modeled."""

    highly_variable: int = Field(
        200, ge=0, description="How many of the most variable genes of each of `donors` are taken, and united."
    )
    donors: Annotated[tuple[Text, ...], Field(min_length=1), EachOnce] | None = Field(
        None,
        description="Donors whose variable genes are taken; null for the training donors. The study took test donors "
        "too.",
    )
    regulators: bool | Annotated[tuple[str, ...], Field(min_length=1), EachOnce] = Field(
        True,
        description="Whether the measured regulators of the network `base` (without it, of all networks) are taken, "
        "or the names of the networks whose regulators are.",
    )
    names: Annotated[tuple[Text, ...], EachOnce] = Field((), description="Further genes to take.")


class FeatureTypes(Settings):
    """Which features are genes."""

    column: str = Field(description="Column of `var`.")
    keep: str = Field(description="Its value at genes.")


class Donors(Settings):
    """Donors by what they are for."""

    train: Annotated[tuple[Text, ...], Field(min_length=1), EachOnce] = Field(description="Donors to train on.")
    test: Annotated[tuple[Text, ...], EachOnce] = Field(description="Donors to test on.")


class SingleCellsSource(CellOptions, Source):
    """The source and its options."""

    has_cells: ClassVar[bool] = True

    file: PathText = Field(
        description="The h5ad file: a path, or an http(s) address it is downloaded from (and unpacked, if `.gz`)."
    )
    values: Text | None = Field(
        None,
        description="Matrix to take: the name of a layer, `X`, or `raw` for that of `raw`, whose features are its "
        "own; null: the layer `counts` where there is one, else X, else that of `raw`. What it holds is "
        "found out: counts, which are divided by a size factor, the cell's total over the median total of "
        "the donor's cells in use; normalized counts, which stay as they are; or natural logarithms of "
        "one plus them.",
    )
    counts_per_cell: float | None = Field(
        None, gt=0, description="Total that every cell is brought to instead, the same for all donors (1000 to 10000)."
    )
    gene_names: Text | None = Field(None, description="Column of `var` with the names of genes; null: its index.")
    feature_types: FeatureTypes | None = Field(
        FeatureTypes(column="feature_types", keep="GEX"), description="Which features are genes; null: all."
    )
    donor: Text = Field("batch", description="Column of `obs` with the donor (sample, batch) of each cell.")
    cell_type: Text = Field("cell_type", description="Column of `obs` with the type of each cell.")
    donors: Donors = Field(
        description="Donors to train and to test on, by the names of the column; those not named are not used."
    )
    lineages: dict[Text, Annotated[tuple[Text, ...], Field(min_length=1), EachOnce]] = Field(
        {
            "erythroid": ("HSC", "MK/E prog", "Proerythroblast", "Erythroblast", "Normoblast"),
            "monocyte": ("HSC", "G/M prog", "CD14+ Mono", "CD16+ Mono"),
            "B": ("HSC", "Lymph prog", "Transitional B", "Naive CD20+ B"),
        },
        min_length=1,
        description="Of each lineage, by name, the cell types in the order in which a cell passes through them.",
    )
    root: Text = Field(
        "HSC", description="Cell type that all lineages come from: pseudotime is counted from one of its cells."
    )
    embedding: Text | None = Field(
        "GEX_X_pca",
        description="Entry of `obsm` by which cells are near each other; null, or where the file has no entry of the "
        "default's name: the principal components of the logarithms of the donor's 2000 most variable "
        "genes.",
    )
    pseudotime: PseudotimeSettings = Field(PseudotimeSettings(), description="How pseudotime is computed.")
    genes: GeneOptions = Field(GeneOptions(), description="Which genes are modeled.")
    networks: dict[
        Annotated[str, _PATTERN, _REFUSAL], PathText | Annotated[tuple[PathText, ...], Field(min_length=1), EachOnce]
    ] = Field(
        {_BASE: base_network_file().url},
        description="Prior networks by name: paths or http(s) addresses of tables; several tables are united. A table "
        "is a matrix of 0 and 1 (lines: regulators; columns: targets; the first column, called `tf`, "
        "`regulator` or nothing, names the regulators) or a list of edges with the columns source, target "
        "and, where there is one, weight (0: no edge). Fields are separated by commas, semicolons or "
        "tabs. A gene is a regulator if it is one of any network; `{}`: none is known.",
    )

    def required_files(self) -> list[RemoteFile]:
        """The file of cells and the networks, as far as they are addresses."""
        cells = [known_file(self.file, unpack=self.file.endswith(".gz"))] if is_web_address(self.file) else []
        networks = [known_file(location) for location in _network_places(self) if is_web_address(location)]
        return [*cells, *networks]

    def local_files(self) -> list[Path]:
        """The file of cells and the networks, as far as they are paths."""
        return [Path(location) for location in [self.file, *_network_places(self)] if not is_web_address(location)]

    def check(self) -> list[str]:
        """What can be seen to be wrong before the file of cells is preprocessed, if it is one of the user's own.

        Raises:
            UserError: as `load`, as far as options and the file's names tell.
        """
        _check_options(self)
        for location in _network_places(self):
            if not is_web_address(location):
                read_regulators(Path(location))
        if not is_web_address(self.file):
            with open_cells(_path(self.file, {}, unpack=True)) as file:
                layer, names, _ = _genes(file, self)
                file.check_matrix(layer)
                _find_donors(file, self)
                _check_named_genes(file, names, self.genes.names)
                _has_embedding(file, self.embedding)
        return []

    def outline(self) -> Outline:
        """Names and size of the dataset as far as they are known: which genes vary most is found out from the values.

        Raises:
            UserError: as `check`.
        """
        outline = Outline(
            groups=tuple(self.lineages),
            priors=tuple(self.networks),
            trajectories=len(self.donors.train) * len(self.lineages),
            duration=1.0,
            feature_count=_expected_genes(self),
        )
        if is_web_address(self.file):
            return outline
        with open_cells(_path(self.file, {}, unpack=True)) as file:
            features = tuple(dict.fromkeys(_genes(file, self)[1].tolist()))
            training = [donor for donor in _find_donors(file, self) if donor.split == "train"]
        longest = max(
            int(np.isin(donor.cell_types, types).sum()) for donor in training for types in self.lineages.values()
        )
        observations = max(1, longest - self.drop_first - self.drop_last)
        return replace(outline, features=features, observations=observations)

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:
        """One trajectory for each donor and lineage, named like `s1d2 erythroid`; `files` by HOST/PATH.

        `var` says of each gene what it was `chosen_as`. The provenance holds, as JSON, of each donor what its `values`
        were, what its `neighbors_by`, and of each of its `lineages` the root cell, the rank correlation of the
        pseudotimes from two roots, that of pseudotime with the order of the cell types, and how many
        cells of each type there are.

        Raises:
            UserError: the file is damaged, or has no such donor, cell type, column or gene; its values are neither
                counts nor normalized nor logarithms; a donor has no cell to start from, fewer than 20 in a lineage, or
                cells that cannot be reached; names of genes repeat; donors overlap; a network is damaged.
        """
        _check_options(self)
        path = _path(self.file, files, unpack=True)
        networks = {
            name: [_path(location, files) for location in locations] for name, locations in _networks(self).items()
        }
        with open_cells(path) as file:
            measured = _measured(file, self)
            donors = _find_donors(file, self)
            chosen = _choose_genes(measured, donors, self, networks)
            followed = [_follow(measured, donor, list(chosen), self) for donor in donors if donor.split]
        _check_kinds(followed, f"{path}: {measured.matrix}")
        cells = [lineage_cells for followed_donor in followed for lineage_cells in followed_donor.cells]
        genes = measured.names[list(chosen)].tolist()
        trajectories, keep_mask = scale_cells(self, cells, genes)
        genes, reasons = (
            [entry for entry, keep in zip(entries, keep_mask, strict=True) if keep]
            for entries in (genes, chosen.values())
        )
        priors = _read_priors(networks, genes)
        return RawTrajectories(
            kind="measured",
            features=tuple(genes),
            trajectories=trajectories,
            **describe_units(self),
            priors=priors.edges if priors else {},
            priors_known=priors.known if priors else {},
            is_regulator=priors.is_regulator if priors else None,
            feature_labels={"chosen_as": tuple("; ".join(each) for each in reasons)},
            provenance={
                "file": path.name,
                **({} if is_web_address(self.file) else {"sha256": file_sha256(path)}),
                "values": measured.matrix,
                "donors": json.dumps({followed_donor.donor: followed_donor.facts for followed_donor in followed}),
                **({"networks": priors.facts} if priors else {}),
            },
        )


@dataclass(frozen=True)
class _Donor:
    """Cells in use of a donor, by their places in the file, ascending, and their types; both (cell,)."""

    name: str
    split: str
    cells: NDArray[np.int_]
    cell_types: NDArray[np.str_]


@dataclass(frozen=True)
class _Measured:
    """The genes of a file: their names and places, (gene,), and how their values are read.

    `matrix` is what messages call the matrix of the values.
    """

    file: CellFile
    layer: str | None
    matrix: str
    names: NDArray[np.str_]
    places: NDArray[np.int_]
    counts_per_cell: float | None

    def normalized(self, donor: _Donor) -> tuple[csr_matrix, Found]:
        """Normalized counts of a donor's cells, (cell, gene), and what they were."""
        where = f"{self.file.path}: {self.matrix} of donor {donor.name!r}"
        values = self.file.values(self.layer, donor.cells, self.places)
        try:
            assessment = find_kind(values, where)
        except UserError as error:
            raise UserError(f"{error}{self._elsewhere(donor)}") from error
        return normalize(values, assessment.kind, self.counts_per_cell, where), assessment

    def _elsewhere(self, donor: _Donor) -> str:
        """What other matrices of the file hold that can be modeled, for a message."""
        kinds = []
        for name in self.file.matrices:
            layer = None if name == "X" else name
            if layer == self.layer:
                continue
            try:
                features = np.arange(len(self.file.features(None, layer)))
                kind = find_kind(self.file.values(layer, donor.cells, features), name).kind
            except UserError:
                continue
            kinds.append(f"{kind} in {self.file.matrix_name(layer)} (`values: {name}`)")
        return f"; the file has {', '.join(kinds)}" if kinds else ""


@dataclass(frozen=True)
class _Followed:
    """A donor's trajectories before scaling, and what is worth knowing of how they came about."""

    donor: str
    cells: list[Cells]
    found: Found
    facts: dict[str, Any]


def _networks(options: SingleCellsSource) -> dict[str, list[str]]:
    return {
        name: [locations] if isinstance(locations, str) else list(locations)
        for name, locations in options.networks.items()
    }


def _network_places(options: SingleCellsSource) -> list[str]:
    return list(dict.fromkeys(location for locations in _networks(options).values() for location in locations))


def _expected_genes(options: SingleCellsSource) -> int:
    """About how many genes are modeled: at most, the variable ones of all donors and those that are named."""
    genes = options.genes
    donors = genes.donors or options.donors.train
    return max(1, genes.highly_variable * len(donors) + len(genes.names))


def _has_embedding(file: CellFile, embedding: str | None) -> bool:
    """Whether the file has the embedding; it may do without it only where the name is the default.

    Raises:
        UserError: another one is named, and is not there.
    """
    if embedding is None or embedding in file.embeddings:
        return embedding is not None
    if embedding != _EMBEDDING:
        raise file.fail("obsm", embedding, file.embeddings)
    return False


def _check_options(options: SingleCellsSource) -> None:
    both = sorted(set(options.donors.train) & set(options.donors.test))
    genes = options.genes
    problem = None
    if both:
        problem = f"donors.train and donors.test share {', '.join(both)}"
    elif genes.regulators and not options.networks:
        problem = "genes.regulators is true, but there are no networks; name one, or set it to false"
    elif not isinstance(genes.regulators, bool) and (
        unknown := [name for name in genes.regulators if name not in options.networks]
    ):
        there = ", ".join(options.networks)
        problem = f"genes.regulators names {unknown[0]!r}, which is none of the networks; there are: {there}"
    elif not (genes.highly_variable or genes.regulators or genes.names):
        problem = "genes chooses none; set highly_variable, regulators or names"
    else:
        problem = trajectory_problem([*options.donors.train, *options.donors.test], list(options.lineages))
    if problem:
        message = f"data source single_cells: {problem}"
        raise UserError(message)


def _path(location: str, files: Mapping[str, Path], *, unpack: bool = False) -> Path:
    """Where a file given by its path or its address lies."""
    unpack = unpack and location.endswith(".gz")
    if is_web_address(location):
        return files[known_file(location, unpack=unpack).local_path]
    if unpack:
        message = f"{location} is packed, and read in pieces; unpack it (gunzip) and name the h5ad file"
        raise UserError(message)
    return Path(location)


def _measured(file: CellFile, options: SingleCellsSource) -> _Measured:
    layer, names, positions = _genes(file, options)
    return _Measured(file, layer, file.matrix_name(layer), names, positions, options.counts_per_cell)


def _genes(file: CellFile, options: SingleCellsSource) -> tuple[str | None, NDArray[np.str_], NDArray[np.int_]]:
    """The layer of the values, None for X, and names and places of the genes of the file, both (gene,)."""
    layer = options.values
    if layer == "X":
        layer = None
    elif layer is None and _COUNTS in file.layers:
        layer = _COUNTS
    elif layer is None and not file.has_values and file.has_raw:
        layer = RAW
    names = file.features(options.gene_names, layer)
    positions = np.arange(len(names))
    if (feature_types := options.feature_types) is not None:
        types = file.features(feature_types.column, layer)
        positions = np.flatnonzero(types == feature_types.keep)
        if not len(positions):
            there = _listed(sorted(set(types.tolist())))
            message = (
                f"{file.path}: no feature is {feature_types.keep!r} in var[{feature_types.column!r}]; "
                f"there are: {there}"
            )
            raise UserError(message)
    if not len(positions):
        message = f"{file.path} has no features"
        raise UserError(message)
    return layer, names[positions], positions


def _listed(names: Sequence[str]) -> str:
    return some_of([name or "(empty)" for name in names], _NAMED)


def _find_donors(file: CellFile, options: SingleCellsSource) -> list[_Donor]:
    """Donors in use, with their cells of the lineages' types; those of which only genes are looked at have no split."""
    donors, types = file.labels(options.donor), file.labels(options.cell_type)
    cell_types = list(dict.fromkeys([options.root, *(name for each in options.lineages.values() for name in each)]))
    splits = {name: split for split, names in options.donors for name in names}
    splits |= {name: "" for name in options.genes.donors or () if name not in splits}
    for what, column, there, asked in (
        ("donor", options.donor, donors, splits),
        ("cell type", options.cell_type, types, cell_types),
    ):
        if missing := [name for name in asked if name not in set(there.tolist())]:
            listed = _listed(sorted(set(there.tolist())))
            message = f"{file.path}: no cell of {what} {missing[0]!r} in obs[{column!r}]; there are: {listed}"
            raise UserError(message)
    in_use = np.isin(types, cell_types)
    selected = []
    for name, split in splits.items():
        cells = np.flatnonzero((donors == name) & in_use)
        donor = _Donor(name, split, cells, types[cells])
        _check_donor(file, donor, options)
        selected.append(donor)
    return selected


def _check_donor(file: CellFile, donor: _Donor, options: SingleCellsSource) -> None:
    counts = {
        str(name): int(count) for name, count in zip(*np.unique(donor.cell_types, return_counts=True), strict=True)
    }
    if options.root not in counts:
        message = (
            f"{file.path}: donor {donor.name!r} has no cell of the root's type {options.root!r} to start from; "
            f"of the lineages it has {_counted(counts)}"
        )
        raise UserError(message)
    for lineage, types in options.lineages.items():
        lineage_counts = {name: counts.get(name, 0) for name in types}
        if sum(lineage_counts.values()) < FEWEST_CELLS:
            message = (
                f"{file.path}: lineage {lineage!r} of donor {donor.name!r} has {sum(lineage_counts.values())} cells "
                f"({_counted(lineage_counts)}); it takes at least {FEWEST_CELLS}; leave out the donor or the lineage"
            )
            raise UserError(message)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _choose_genes(
    measured: _Measured, donors: Sequence[_Donor], options: SingleCellsSource, networks: Mapping[str, Sequence[Path]]
) -> dict[int, list[str]]:
    """Places among the measured genes of those to model, ascending, and what each was chosen as."""
    asked = options.genes
    reasons: dict[int, list[str]] = {}
    sources = asked.donors or options.donors.train
    if tested := sorted(set(sources) & set(options.donors.test)):
        logger.warning("variable genes are taken of the test donors %s too", ", ".join(tested))
    if asked.highly_variable:
        for donor in (donor for donor in donors if donor.name in sources):
            for position in highly_variable(measured.normalized(donor)[0], asked.highly_variable):
                reasons.setdefault(int(position), []).append(f"highly variable in {donor.name}")
    _check_named_genes(measured.file, measured.names, asked.names)
    position_of = {name: position for position, name in reversed(list(enumerate(measured.names.tolist())))}
    regulators = _regulators(networks, asked.regulators) if asked.regulators else []
    measured_regulators = [name for name in regulators if name in position_of]
    if regulators and not measured_regulators:
        message = (
            f"{measured.file.path}: none of the {len(regulators)} regulators of the networks ({some_of(regulators)}) "
            f"is among the {len(measured.names)} genes ({some_of(measured.names.tolist())}); name genes alike, by "
            "gene_names, or set genes.regulators to false"
        )
        raise UserError(message)
    for names, reason in ((measured_regulators, "regulator"), (asked.names, "named")):
        for name in names:
            reasons.setdefault(position_of[name], []).append(reason)
    _check_repeated(measured, reasons)
    logger.info("%d of %d genes chosen: %s", len(reasons), len(measured.names), _tally(reasons))
    return dict(sorted(reasons.items()))


def _check_named_genes(file: CellFile, measured: NDArray[np.str_], names: Sequence[str]) -> None:
    genes = set(measured.tolist())
    if missing := [name for name in names if name not in genes]:
        message = (
            f"{file.path}: no gene {missing[0]!r} (genes.names); the nearest of the {len(genes)} genes: "
            f"{nearest_names(missing[0], sorted(genes))}"
        )
        raise UserError(message)


def _regulators(networks: Mapping[str, Sequence[Path]], asked: bool | Sequence[str]) -> list[str]:
    """Names of the regulators of the networks asked for, or of the base network, or where there is none, of all."""
    chosen = [_BASE] if _BASE in networks else list(networks)
    if not isinstance(asked, bool):
        chosen = list(asked)
    paths = [path for name in chosen for path in networks[name]]
    return list(dict.fromkeys(name for path in paths for name in read_regulators(path)))


def _tally(reasons: Mapping[int, Sequence[str]]) -> str:
    all_reasons = [reason for each in reasons.values() for reason in each]
    return ", ".join(f"{all_reasons.count(reason)} {reason}" for reason in dict.fromkeys(all_reasons))


def _check_repeated(measured: _Measured, chosen: Mapping[int, Any]) -> None:
    """A name that two genes have cannot be modeled; among genes that are not, it does no harm."""
    names, counts = np.unique(measured.names, return_counts=True)
    repeated = set(names[counts > 1].tolist())
    used = sorted(repeated & {str(measured.names[position]) for position in chosen})
    if used:
        message = (
            f"{measured.file.path}: {len(used)} of the genes to model have a name that occurs more than once "
            f"({some_of(used)}); make the names unique (AnnData.var_names_make_unique) or name another column by "
            "gene_names"
        )
        raise UserError(message)
    if repeated:
        logger.warning("%d names of genes that are not modeled repeat: %s", len(repeated), some_of(sorted(repeated)))


def _follow(measured: _Measured, donor: _Donor, chosen: Sequence[int], options: SingleCellsSource) -> _Followed:
    """Pseudotime of a donor's cells, and its trajectories."""
    file = measured.file
    normalized, assessment = measured.normalized(donor)
    nearness, kind, used = _nearness(file, donor, normalized, options.embedding)
    logger.info(
        "donor %s: %s holds %s (%s); %d cells, neighbors by %s",
        donor.name,
        measured.matrix,
        assessment.kind,
        assessment.evidence,
        len(donor.cells),
        used,
    )
    settings = options.pseudotime
    lineages = {name: np.isin(donor.cell_types, types) for name, types in options.lineages.items()}
    is_root = donor.cell_types == options.root
    labels: dict[str, Any] = {"kind": kind, "cell_types": donor.cell_types, "where": f"{file.path}: donor {donor.name}"}
    orders = order_lineages(nearness, is_root, lineages, settings, **labels)
    other = settings.root if settings.root != "first" else "extreme"
    compared = compare_roots(nearness, is_root, lineages, settings, roots=("first", other), **labels)
    values, names = normalized[:, chosen], file.cell_names()[donor.cells]
    cells, facts = [], {}
    for lineage, order in orders.items():
        members = lineages[lineage]
        types = donor.cell_types[members]
        lineage_cells = Cells(
            donor=donor.name,
            lineage=lineage,
            split=donor.split,
            times=order.pseudotime,
            values=values[members].toarray().astype(np.float64),
            embedding=diffusion_embedding(order),
            cell_types=types,
        )
        cells.append(order_cells(options, lineage_cells))
        stages = options.lineages[lineage]
        first, alternative, agreement = compared[lineage]
        facts[lineage] = {
            "root": str(names[order.root]),
            "roots": {"first": str(names[first]), other: str(names[alternative])},
            "rank_correlation_of_roots": agreement,
            "rank_correlation_with_types": rank_correlation(
                order.pseudotime, np.array([float(stages.index(name)) for name in types]), undefined=0.0
            ),
            "cells": {name: int((types == name).sum()) for name in stages},
        }
        _log_order(lineage_cells.name, facts[lineage], settings.root, other)
    return _Followed(
        donor.name, cells, assessment, {"values": assessment.kind, "neighbors_by": used, "lineages": facts}
    )


def _nearness(
    file: CellFile, donor: _Donor, normalized: csr_matrix, embedding: str | None
) -> tuple[Any, Literal["normalized", "embedding"], str]:
    """What cells are compared by, of which kind that is, and what to call it."""
    if _has_embedding(file, embedding) and embedding is not None:
        return file.embedding(embedding, donor.cells), "embedding", f"obsm[{embedding!r}]"
    variable = highly_variable(normalized, _COMPONENT_GENES)
    return normalized[:, variable], "normalized", f"principal components of its {len(variable)} most variable genes"


def _log_order(name: str, facts: Mapping[str, Any], rule: str, other: str) -> None:
    logger.info(
        "%s: %s; root %s (%s); rank correlation of pseudotime from the roots first and %s %.3f, and with the order of "
        "the cell types %.3f",
        name,
        _counted(facts["cells"]),
        facts["root"],
        rule,
        other,
        facts["rank_correlation_of_roots"],
        facts["rank_correlation_with_types"],
    )
    if facts["rank_correlation_with_types"] < _WEAK_ORDER:
        logger.warning("%s: pseudotime hardly follows the order of the cell types; look at root and embedding", name)


def _check_kinds(followed: Sequence[_Followed], where: str) -> None:
    kinds = {followed_donor.donor: followed_donor.found.kind for followed_donor in followed}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{kind} of {name}" for name, kind in kinds.items())
        message = f"{where} holds {listed}; name a matrix with values of one kind by `values`"
        raise UserError(message)


def _read_priors(networks: Mapping[str, Sequence[Path]], genes: Sequence[str]) -> Priors | None:
    """Networks among the genes, and which of these are regulators."""
    prior_networks = {
        name: unite_networks([read_network(path, genes) for path in paths]) for name, paths in networks.items()
    }
    if not prior_networks:
        return None
    for name, network in prior_networks.items():
        if not network.known.any():
            message = f"options.networks.{name}: no regulator and target of it are both among the {len(genes)} genes"
            raise UserError(f"{message}; leave it out")
    return Priors(prior_networks, unite_networks(list(prior_networks.values())).is_regulator)
