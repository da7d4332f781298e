"""hematopoiesis: human bone marrow cells along three lineages, in pseudotime, as published with PathReg.

Cells and pseudotimes: Luecken et al., NeurIPS 2021 (GEO GSE194122), prepared by Aliee et al., NeurIPS 2022
(github.com/theislab/PathReg, MIT). Values are counts over a cell's size factor, not logged. The defaults
repeat the study's protocol; `transform: log1p` with `scaling: training_range` lets donors differ: a forecast is given
the first cells of a test donor and the pseudotimes, scaled to the range of their lineage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.downloads import RemoteFile, known_file
from sparsenode.data.tables import gzip_lines, read_numeric_table
from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory, constant_labels
from sparsenode.data.transforms import (
    refuse_constant,
    resolve_repeated_times,
    scale_of_range,
    scaling_ranges,
    unit_time,
)
from sparsenode.errors import UserError

_ADDRESS = "https://raw.githubusercontent.com/theislab/PathReg/main/data/data"
_BASE_NETWORK = f"{_ADDRESS}/TFs_Targets/tf_targets_baseGRN_human_matrix.csv.gz"
_BASE_NETWORK_LIMIT = 100 * 2**20  # bytes unpacked; the published file has 41 million
_PSEUDOTIME = "dpt_pseudotime"
_REGULATORS = "TF.human"
# Names used here, and those in the published file names.
DONORS = {"s1d1": "11", "s1d2": "12", "s2d1": "21", "s2d4": "24", "s3d6": "36"}
LINEAGES = {"erythroid": "eryth", "monocyte": "mono", "B": "B"}
_FEWEST_CELLS = 2


def _donor_list(description: str) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"enum": list(DONORS)},
        "uniqueItems": True,
        "description": description,
    }


OPTIONS: dict[str, dict[str, Any]] = {
    "donors": {
        "type": "object",
        "properties": {
            "train": {**_donor_list("Donors to train on."), "minItems": 1},
            "test": _donor_list("Donors to test on."),
        },
        "required": ["train", "test"],
        "additionalProperties": False,
        "default": {"train": ["s1d2"], "test": ["s2d1", "s3d6", "s1d1"]},
        "description": "Donors to train and to test on. A trajectory is one lineage of one donor.",
    },
    "lineages": {
        "type": "array",
        "items": {"enum": list(LINEAGES)},
        "minItems": 1,
        "uniqueItems": True,
        "default": list(LINEAGES),
        "description": "Lineages to use.",
    },
    "transform": {
        "enum": ["none", "log1p"],
        "default": "none",
        "description": "`log1p`: logarithm of one plus the value; `none` repeats the study.",
    },
    "scaling": {
        "enum": ["per_trajectory", "training_range"],
        "default": "per_trajectory",
        "description": (
            "`per_trajectory`: each gene to [0, 1] within each donor and lineage, test donors too, as in "
            "the study. "
            "`training_range`: one scale per gene for all, from the training donors; test values may leave "
            "[0, 1]."
        ),
    },
    "repeated_pseudotimes": {
        "enum": ["first", "mean", "error"],
        "default": "first",
        "description": "Of cells with one pseudotime: keep the first, average them, or refuse the data.",
    },
    "constant_genes": {
        "enum": ["zero", "drop", "error"],
        "default": "zero",
        "description": (
            "Genes without a range to scale by: set to 0, leave out of the data (those constant in training "
            "data; "
            "others are set to 0), or refuse the data."
        ),
    },
    "drop_first": {
        "type": "integer",
        "minimum": 0,
        "default": 10,
        "description": "Cells left out at the start of each trajectory.",
    },
    "drop_last": {
        "type": "integer",
        "minimum": 0,
        "default": 20,
        "description": "Cells left out at the end of each trajectory.",
    },
    "time_scaling": {
        "enum": ["unit", "none"],
        "default": "unit",
        "description": "`unit`: the pseudotimes of each trajectory to [0, 1]; `none`: as published.",
    },
}


@dataclass(frozen=True)
class _Cells:
    """Cells of one trajectory before scaling: `times` and `weights` (cell,), `values` (cell, gene)."""

    donor: str
    lineage: str
    split: str
    times: Floats
    values: Floats
    weights: Floats

    @property
    def name(self) -> str:
        return f"{self.donor} {self.lineage}"


def required_files(options: Mapping[str, Any]) -> list[RemoteFile]:
    """One table for each donor and lineage, and the base network."""
    donors = [*options["donors"]["train"], *options["donors"]["test"]]
    tables = [_trajectory_file(donor, lineage) for donor in donors for lineage in options["lineages"]]
    return [*tables, known_file(_BASE_NETWORK)]


def _trajectory_file(donor: str, lineage: str) -> RemoteFile:
    return known_file(f"{_ADDRESS}/trajectories/{LINEAGES[lineage]}_{DONORS[donor]}_norm.csv")


def load(options: Mapping[str, Any], files: Mapping[str, Path]) -> RawTrajectories:
    """One trajectory for each donor and lineage, named like `s1d2 erythroid`; `files` by HOST/PATH.

    Raises:
        UserError: a table is damaged, donors overlap, too few cells are left, or repeated pseudotimes or
        constant
            genes are refused by the options.
    """
    _check_donors(options)
    genes: list[str] = []
    cells = []
    for split in ("train", "test"):
        for donor in options["donors"][split]:
            for lineage in options["lineages"]:
                path = files[_trajectory_file(donor, lineage).relative_path]
                found, times, values = _read_cells(path)
                genes = genes or found
                if found != genes:
                    message = f"{path}: its genes are not those of the other tables, in the same order"
                    raise UserError(message)
                cells.append(_ordered_cells(options, (donor, lineage, split), times, values))
    trajectories, kept = _scale(options, cells, genes)
    genes = [gene for gene, keep in zip(genes, kept, strict=True) if keep]
    prior, is_regulator = read_base_network(files[known_file(_BASE_NETWORK).relative_path], genes)
    return RawTrajectories(
        kind="measured",
        features=tuple(genes),
        trajectories=trajectories,
        time_unit="pseudotime (0 to 1)" if options["time_scaling"] == "unit" else "diffusion pseudotime",
        value_unit="scaled log expression" if options["transform"] == "log1p" else "scaled expression",
        scaling=options["scaling"],
        transform=options["transform"],
        priors={"base": prior},
        is_regulator=is_regulator,
    )


def _check_donors(options: Mapping[str, Any]) -> None:
    both = sorted(set(options["donors"]["train"]) & set(options["donors"]["test"]))
    if both:
        message = f"data source hematopoiesis: donors.train and donors.test share {', '.join(both)}"
        raise UserError(message)


def _read_cells(path: Path) -> tuple[list[str], Floats, Floats]:
    header, values = read_numeric_table(path, "\t")
    if header[0] != _PSEUDOTIME:
        message = f"{path}, line 1: the first column is {header[0]!r}, expected {_PSEUDOTIME!r}"
        raise UserError(message)
    return header[1:], values[:, 0], values[:, 1:]


def _ordered_cells(
    options: Mapping[str, Any],
    labels: tuple[str, str, str],
    times: Floats,
    values: Floats,
) -> _Cells:
    # The order of the steps is the study's: sort, one cell a pseudotime, then drop both ends.
    donor, lineage, split = labels
    where = f"{donor} {lineage}"
    order = np.argsort(times, kind="stable")
    values = values[order]
    if options["transform"] == "log1p":
        if (values < 0).any():
            message = f"{where}: negative expression, which `transform: log1p` does not allow"
            raise UserError(message)
        values = np.log1p(values)
    times, values, weights = resolve_repeated_times(times[order], values, options["repeated_pseudotimes"], where)
    kept = slice(options["drop_first"], len(times) - options["drop_last"])
    if len(times[kept]) < _FEWEST_CELLS:
        message = (
            f"{where}: {len(times)} cells with different pseudotimes, of which drop_first "
            f"{options['drop_first']} and drop_last {options['drop_last']} leave fewer than {_FEWEST_CELLS}"
        )
        raise UserError(message)
    return _Cells(donor, lineage, split, times[kept], values[kept], weights[kept])


def _scale(
    options: Mapping[str, Any],
    cells: Sequence[_Cells],
    genes: Sequence[str],
) -> tuple[tuple[Trajectory, ...], NDArray[np.bool_]]:
    """Trajectories in modeling units, and which genes are kept."""
    training = [np.full(len(part.times), part.split == "train") for part in cells]
    ranges = scaling_ranges([part.values for part in cells], training, options["scaling"])
    if options["constant_genes"] == "error":
        for part, (_, extent) in zip(cells, ranges, strict=True):
            shared = options["scaling"] == "training_range"
            refuse_constant(extent, genes, "all training donors" if shared else part.name)
    kept = np.ones(len(genes), dtype=bool)
    if options["constant_genes"] == "drop":
        kept = np.all([extent > 0 for part, (_, extent) in zip(cells, ranges, strict=True) if part.split == "train"], 0)
        if not kept.any():
            message = "data source hematopoiesis: `constant_genes: drop` leaves no gene"
            raise UserError(message)
    return tuple(
        _scaled_trajectory(options, part, lowest[kept], scale_of_range(extent[kept]), kept)
        for part, (lowest, extent) in zip(cells, ranges, strict=True)
    ), kept


def _scaled_trajectory(
    options: Mapping[str, Any], part: _Cells, offset: Floats, scale: Floats, kept: NDArray[np.bool_]
) -> Trajectory:
    times, time_offset, time_scale = (
        unit_time(part.times) if options["time_scaling"] == "unit" else (part.times, 0.0, 1.0)
    )
    return Trajectory(
        name=part.name,
        group=part.lineage,
        subject=part.donor,
        times=times,
        values=(part.values[:, kept] - offset) / scale,
        splits=constant_labels(part.split, len(part.times)),
        phases=constant_labels("fit", len(part.times)),
        weights=part.weights,
        offset=offset,
        scale=scale,
        time_offset=time_offset,
        time_scale=time_scale,
    )


def read_base_network(path: Path, genes: Sequence[str]) -> tuple[Floats, NDArray[np.bool_]]:
    """Base network among `genes`: (source, target) of 0 and 1, and which genes are transcription factors.

    Raises:
        UserError: the file is damaged, too large once unpacked, or holds anything but 0 and 1.
    """
    lines = gzip_lines(path, limit=_BASE_NETWORK_LIMIT)
    header = next(lines, "").split(",")
    if header[0] != _REGULATORS:
        message = f"{path}, line 1: the first column is {header[0]!r}, expected {_REGULATORS!r}"
        raise UserError(message)
    column = {name: number for number, name in enumerate(header)}
    targets = [(column[gene], index) for index, gene in enumerate(genes) if gene in column]
    row = {gene: index for index, gene in enumerate(genes)}
    network = np.zeros((len(genes), len(genes)))
    is_regulator = np.zeros(len(genes), dtype=bool)
    for number, line in enumerate(lines, start=2):
        if (count := line.count(",") + 1) != len(header):
            message = f"{path}, line {number}: {count} fields where line 1 has {len(header)}; is it cut off?"
            raise UserError(message)
        if (source := row.get(line.partition(",")[0])) is None:
            continue
        fields = line.split(",")
        is_regulator[source] = True
        for position, target in targets:
            if fields[position] not in {"0.0", "1.0", "0", "1"}:
                message = f"{path}, line {number}: {fields[position]!r} for {header[position]!r}, expected 0 or 1"
                raise UserError(message)
            network[source, target] = float(fields[position])
    return network, is_regulator
