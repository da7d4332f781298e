"""Steps from the cells of a lineage to a trajectory, shared by the sources that order cells in pseudotime."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sparsenode.data.checks import refuse_constant
from sparsenode.data.single_cell.levels import LevelLaw, learn_levels
from sparsenode.data.trajectories import Floats, Trajectory, constant_labels
from sparsenode.data.transforms import (
    resolve_repeated_times,
    scale_of_range,
    scaling_ranges,
    unit_time,
)
from sparsenode.errors import UserError
from sparsenode.labels import reserved_problem
from sparsenode.typed import EachOnce, Settings

EMBEDDING = "diffmap"
CELL_TYPE = "cell_type"
_FEWEST_CELLS = 2
_FEWEST_AVERAGES = 2
_FIRST_CELLS = 100  # kept of what was averaged, for the initial state
_COMPONENTS = 10  # of metacells: with 20 or 50, more and more groups are single cells


class AverageOptions(Settings):
    """Averages of cells."""

    by: Literal["pseudotime", "metacell"] = Field(
        description="`pseudotime`: consecutive cells, as many in each average. `metacell`: cells of similar "
        "expression (k-means on principal components of the logarithms within a trajectory), wherever "
        "they are."
    )
    cells: int = Field(10, ge=2, description="Cells in an average; of metacells the mean number.")
    splits: Annotated[tuple[Literal["train", "test"], ...], Field(min_length=1), EachOnce] = Field(
        ("train",),
        description="Which donors' cells are averaged. Test donors stay single cells by default, so that errors "
        "compare with those of other averages, and of none.",
    )
    seed: int = Field(0, ge=0, description="Seed of the k-means.")


class CellOptions(Settings):
    """Options that all sources of cells have: how cells become trajectories."""

    transform: Literal["none", "log1p"] = Field(
        "none", description="`log1p`: logarithm of one plus the value; `none` repeats the study."
    )
    scaling: Literal["per_trajectory", "training_range"] = Field(
        "per_trajectory",
        description="`per_trajectory`: each gene to [0, 1] within each donor and lineage, test donors too, as in the "
        "study. `training_range`: one scale per gene for all, from the training donors; test values may "
        "leave [0, 1].",
    )
    repeated_pseudotimes: Literal["first", "mean", "error"] = Field(
        "first", description="Of cells with one pseudotime: keep the first, average them, or refuse the data."
    )
    constant_genes: Literal["zero", "drop", "error"] = Field(
        "zero",
        description="Genes without a range to scale by: set to 0, leave out of the data (those constant in training "
        "data; others are set to 0), or refuse the data.",
    )
    drop_first: int = Field(10, ge=0, description="Cells left out at the start of each trajectory.")
    drop_last: int = Field(20, ge=0, description="Cells left out at the end of each trajectory.")
    time_scaling: Literal["unit", "none"] = Field(
        "unit", description="`unit`: the pseudotimes of each trajectory to [0, 1]; `none`: as they are."
    )
    average: AverageOptions | None = Field(
        None,
        description="Averages of cells, which are less noisy, in place of them; null for none. An average weighs as "
        "much as its cells. The first cell of a trajectory is not averaged, so that time begins with it. "
        "Scales are those of the single cells, whose first ones also make the initial state.",
    )


@dataclass(frozen=True)
class Cells:
    """Cells of one trajectory, in any order, before scaling.

    Shapes: `times` (cell,), `values` (cell, gene); `weights` (cell,), None for one each; `embedding` (cell,
    dimension) and `cell_types` (cell,), where known. `split` is `train` or `test`. Where these are averages,
    `singles` are the cells that went into them.
    """

    donor: str
    lineage: str
    split: str
    times: Floats
    values: Floats
    weights: Floats | None = None
    embedding: Floats | None = None
    cell_types: NDArray[np.str_] | None = None
    singles: "Cells | None" = None

    @property
    def name(self) -> str:
        """Name of the trajectory."""
        return trajectory_name(self.donor, self.lineage)


def trajectory_name(donor: str, lineage: str) -> str:
    """Name of the trajectory of a donor along a lineage."""
    return f"{donor} {lineage}"


def trajectory_problem(donors: Sequence[str], lineages: Sequence[str]) -> str | None:
    """What is wrong with the names of donors and lineages, or with those of their trajectories; None for nothing."""
    of_name: dict[str, tuple[str, str]] = {}
    for donor in donors:
        for lineage in lineages:
            name = trajectory_name(donor, lineage)
            other = of_name.setdefault(name, (donor, lineage))
            if other != (donor, lineage):
                first, second = (f"lineage {of[1]!r} of donor {of[0]!r}" for of in (other, (donor, lineage)))
                return f"{first} and {second} would both be the trajectory {name!r}; give a lineage another name"
    named = {"subject": donors, "group": lineages, "trajectory": list(of_name)}
    return next(filter(None, (reserved_problem(kind, names) for kind, names in named.items())), None)


class Units(TypedDict):
    """What trajectories are in, as `RawTrajectories` takes it."""

    time_unit: str
    value_unit: str
    scaling: str
    transform: str


def describe_units(options: CellOptions) -> Units:
    """What the trajectories of cells are in: their units of time and value, scaling and transform."""
    return {
        "time_unit": "pseudotime (0 to 1)" if options.time_scaling == "unit" else "diffusion pseudotime",
        "value_unit": "scaled log expression" if options.transform == "log1p" else "scaled expression",
        "scaling": options.scaling,
        "transform": options.transform,
    }


def order_cells(options: CellOptions, cells: Cells) -> Cells:
    """Cells in the order of their pseudotime, one a pseudotime, without those that the options drop; or their averages.

    The order of the steps is the study's: sort, transform, one cell a pseudotime, then drop both ends. Averages come
    last.

    Raises:
        UserError: too few cells are left, the transform does not allow a value, or repeated pseudotimes are refused.
    """
    order = np.argsort(cells.times, kind="stable")
    times, values = cells.times[order], cells.values[order]
    if options.transform == "log1p":
        values = _logarithms(values, cells.name, "`transform: log1p`")
    how = options.repeated_pseudotimes
    distinct, values, weights = resolve_repeated_times(times, values, how, cells.name)
    remaining = slice(options.drop_first, len(distinct) - options.drop_last)
    if len(distinct[remaining]) < _FEWEST_CELLS:
        message = (
            f"{cells.name}: {len(distinct)} cells with different pseudotimes, of which drop_first "
            f"{options.drop_first} and drop_last {options.drop_last} leave fewer than {_FEWEST_CELLS}"
        )
        raise UserError(message)
    embedding, cell_types = cells.embedding, cells.cell_types
    if embedding is not None:
        embedding = resolve_repeated_times(times, embedding[order], how, cells.name)[1][remaining]
    if cell_types is not None:
        cell_types = cell_types[order][np.unique(times, return_index=True)[1]][remaining]
    ordered = replace(
        cells,
        times=distinct[remaining],
        values=values[remaining],
        weights=weights[remaining],
        embedding=embedding,
        cell_types=cell_types,
    )
    return _averages(options, ordered)


def _logarithms(values: Floats, where: str, wanted_by: str) -> Floats:
    if (values < 0).any():
        message = f"{where}: negative expression, which {wanted_by} does not allow"
        raise UserError(message)
    return np.log1p(values)


def _averages(options: CellOptions, cells: Cells) -> Cells:
    """Averages of ordered cells where the options ask for them, else the cells."""
    average = options.average
    if average is None or cells.split not in average.splits:
        return cells
    averaged_count = len(cells.times) - 1
    count = round(averaged_count / average.cells)
    if count < _FEWEST_AVERAGES:
        message = (
            f"{cells.name}: its {len(cells.times)} cells are too few for averages of {average.cells}, of which it "
            f"takes {_FEWEST_AVERAGES} beside the first cell; choose a smaller `average.cells`, or leave it out"
        )
        raise UserError(message)
    if average.by == "pseudotime":
        groups = equal_groups(averaged_count, count)
    else:
        logs = cells.values
        if options.transform != "log1p":
            logs = _logarithms(logs, cells.name, "`average.by: metacell`")
        groups = similar_groups(logs[1:], count, average.seed)
    return average_cells(cells, np.concatenate(([0], groups + 1)))


def equal_groups(cells: int, count: int) -> NDArray[np.int_]:
    """Numbers (cell,) of `count` groups of consecutive cells, whose sizes differ by at most one."""
    return np.repeat(np.arange(count), [len(group) for group in np.array_split(np.arange(cells), count)])


def similar_groups(logs: Floats, count: int, seed: int) -> NDArray[np.int_]:
    """Numbers (cell,) of `count` groups of cells with similar expression.

    k-means on the first ten principal components, the best of ten starts. Groups differ in size, down to single cells
    that are like no other.

    Args:
        logs: logarithms of expression, (cell, gene).
        count: number of groups.
        seed: seed of the k-means.

    Returns:
        The number of each cell's group, (cell,).
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    components = PCA(min(_COMPONENTS, len(logs) - 1, logs.shape[1]), svd_solver="full").fit_transform(logs)
    return np.asarray(KMeans(count, n_init=10, random_state=seed).fit_predict(components), dtype=np.int_)


def average_cells(cells: Cells, groups: NDArray[np.int_]) -> Cells:
    """Averages of the cells of each group, in the order of their mean pseudotime; `groups` (cell,) are numbers.

    Pseudotimes, values and coordinates are means under the cells' weights, whose sum is the weight of the average: a
    least-squares fit of a constant to averages is that to the cells. The cell type is the most frequent one.
    """
    numbers, members = np.unique(groups, return_inverse=True)
    weights = np.ones(len(cells.times)) if cells.weights is None else cells.weights
    sums = np.zeros((len(numbers), len(weights)))
    sums[members, np.arange(len(weights))] = weights
    together = sums.sum(axis=1)

    def means(values: Floats) -> Floats:
        return np.asarray((sums @ values) / together.reshape(-1, *[1] * (values.ndim - 1)))

    times = means(cells.times)
    order = np.argsort(times, kind="stable")
    return replace(
        cells,
        times=times[order],
        values=means(cells.values)[order],
        weights=together[order],
        embedding=None if cells.embedding is None else means(cells.embedding)[order],
        cell_types=None if cells.cell_types is None else _most_frequent(cells.cell_types, members)[order],
        singles=cells,
    )


def _most_frequent(labels: NDArray[np.str_], members: NDArray[np.int_]) -> NDArray[np.str_]:
    """Of each group the label that most of its members have; of those that tie, the alphabetically first."""
    names, codes = np.unique(labels, return_inverse=True)
    counts = np.zeros((members.max() + 1, len(names)), dtype=np.int_)
    np.add.at(counts, (members, codes), 1)
    return names[counts.argmax(axis=1)]


def scale_cells(
    options: CellOptions,
    cells: Sequence[Cells],
    genes: Sequence[str],
) -> tuple[tuple[Trajectory, ...], NDArray[np.bool_]]:
    """Trajectories in modeling units of ordered cells, and which genes are kept.

    Args:
        options: those of the source, complete, with all of `CellOptions`.
        cells: cells of each trajectory, as `order_cells` gives them.
        genes: names of the genes, (gene,), for messages.

    Returns:
        One trajectory for each of `cells`, of the genes that are kept, and a mask of these genes, (gene,).

    Raises:
        UserError: constant genes are refused by the options, or none would be left.
    """
    # The range is that of single cells: averages have a smaller one, and their errors would not compare.
    singles = [trajectory.singles or trajectory for trajectory in cells]
    training = [np.full(len(trajectory.times), trajectory.split == "train") for trajectory in singles]
    ranges = scaling_ranges([trajectory.values for trajectory in singles], training, options.scaling)
    if options.constant_genes == "error":
        scaled_together = {trajectory.name: trajectory.values for trajectory in singles}
        if options.scaling == "training_range":
            in_training = [trajectory.values for trajectory in singles if trajectory.split == "train"]
            scaled_together = {"all training donors": np.vstack(in_training)}
        for where, values in scaled_together.items():
            refuse_constant(genes, values, where=where, advice="choose `zero` or `drop` to allow it")
    gene_mask = np.ones(len(genes), dtype=bool)
    if options.constant_genes == "drop":
        gene_mask = np.all(
            [extent > 0 for trajectory, (_, extent) in zip(cells, ranges, strict=True) if trajectory.split == "train"],
            0,
        )
        if not gene_mask.any():
            message = "`constant_genes: drop` leaves no gene: each is constant in some training trajectory"
            raise UserError(message)
    levels = _levels(singles) if options.scaling == "per_trajectory" else [1.0] * len(cells)
    return tuple(
        _scaled_trajectory(
            options, trajectory, (lowest[gene_mask], scale_of_range(extent[gene_mask])), gene_mask, level
        )
        for trajectory, (lowest, extent), level in zip(cells, ranges, levels, strict=True)
    ), gene_mask


def _levels(cells: Sequence[Cells]) -> list[float]:
    """Expected level of each trajectory: 1 in training, else by the laws of its lineage's training trajectories."""
    laws: dict[str, list[LevelLaw]] = {}
    for trajectory in cells:
        if trajectory.split == "train":
            laws.setdefault(trajectory.lineage, []).append(learn_levels(trajectory.values))
    return [
        1.0
        if trajectory.split == "train" or trajectory.lineage not in laws
        else float(np.mean([law.at(len(trajectory.times)) for law in laws[trajectory.lineage]]))
        for trajectory in cells
    ]


def _scaled_trajectory(
    options: CellOptions, cells: Cells, ranges: tuple[Floats, Floats], gene_mask: NDArray[np.bool_], level: float
) -> Trajectory:
    offset, scale = ranges
    singles = cells.singles or cells
    time_offset, time_scale = unit_time(singles.times)[1:] if options.time_scaling == "unit" else (0.0, 1.0)

    def scaled(values: Floats) -> Floats:
        return (values[:, gene_mask] - offset) / scale

    return Trajectory(
        name=cells.name,
        group=cells.lineage,
        subject=cells.donor,
        times=(cells.times - time_offset) / time_scale,
        values=scaled(cells.values),
        splits=constant_labels(cells.split, len(cells.times)),
        phases=constant_labels("fit", len(cells.times)),
        weights=cells.weights,
        offset=offset,
        scale=scale,
        time_offset=time_offset,
        time_scale=time_scale,
        first_values=scaled(singles.values[:_FIRST_CELLS]) if cells.singles else None,
        embeddings={} if cells.embedding is None else {EMBEDDING: cells.embedding},
        observation_labels={} if cells.cell_types is None else {CELL_TYPE: tuple(cells.cell_types.tolist())},
        level=level,
    )
