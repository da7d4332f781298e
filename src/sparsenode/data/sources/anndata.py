"""anndata: trajectories of your own, from an h5ad file whose columns you name.

Prior networks are taken over: every `varp["prior_NAME"]` (row = source, column = target), and with it
`varp["known_NAME"]`, which says of which pairs it tells.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from sparsenode.data.centering import refuse_rounded, refuse_rounded_times
from sparsenode.data.outline import Outline
from sparsenode.data.own_data import (
    NAMED,
    ONLY,
    PHASES,
    SPLITS,
    OwnSource,
    label_problem,
    trajectory_problems,
)
from sparsenode.data.readers.h5ad_cells import RAW
from sparsenode.data.readers.h5ad_headers import is_number, open_headers
from sparsenode.data.readers.lineages import CUTOFF, Course, Lineages, read_lineages
from sparsenode.data.readers.logical import ALLOWED, logical_matrix, logical_value, logical_values
from sparsenode.data.single_cell.cells import trajectory_name
from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory
from sparsenode.data.transforms import resolve_repeated_times, scale_of_range, scaling_ranges, unit_time
from sparsenode.errors import UserError, describe_choice, some_of
from sparsenode.files import file_sha256
from sparsenode.typed import EachOnce, PathText, SomeNames

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas
    from anndata import AnnData
    from numpy.typing import NDArray

    from sparsenode.data.readers.h5ad_headers import Headers

logger = logging.getLogger(__name__)

_PRIOR = "prior_"


class AnnDataSource(OwnSource):
    """The source and its options; columns are those of `obs`."""

    path: PathText = Field(description="The h5ad file.")
    layer: str | None = Field(
        None,
        description="Layer to model, or `raw` for the values of `raw`; null: X, or `raw` where there is no X. Of "
        "`raw` those features are modeled that the file itself has, too, or those of `genes`.",
    )
    lineage_weights: str | None = Field(
        None,
        description="Entry of `obsm` with weights or a mask (cell, lineage) of cells that are of several lineages, "
        "such as fate probabilities; null: none. Each lineage, of each `trajectory`, is a trajectory and a group, "
        "and a cell's weight is its weight in the loss.",
    )
    lineage_times: SomeNames | None = Field(
        None,
        description="Columns of `obs` with the pseudotimes of each lineage, empty where a cell is not of it, in place "
        "of `time`; null: none.",
    )
    lineage_cutoff: float = Field(
        CUTOFF,
        ge=0,
        le=1,
        description="A cell is of the lineages whose weight is at least this share of its largest one.",
    )
    genes: Annotated[tuple[str, ...], Field(min_length=1), EachOnce] | None = Field(
        None, description="Names of the features to model, in this order; null: all."
    )
    repeated_times: Literal["keep", "error"] = Field(
        "keep", description="Observations of one trajectory at one time: keep them all, or refuse the data."
    )
    truth: str | None = Field(
        None, description="Entry of `varp` with the true network: row = source, column = target, signed."
    )
    regulators: str | None = Field(
        None,
        description=f"Column of `var` that is true for features that can regulate others ({ALLOWED}).",
    )

    def check(self) -> list[str]:
        """What the options name and the file does not have, each as `option: found; allowed`.

        Raises:
            UserError: the file is not there or no h5ad file.
        """
        with open_headers(Path(self.path)) as file:
            problems = [
                *_size_problems(file),
                *_column_problems(file, self),
                *_test_problems(file, self),
                *_entry_problems(file, self),
            ]
            if not problems:
                problems = [
                    *_lineage_problems(file, self),
                    *_name_problems(file, self),
                    *_flag_problems(file, self),
                ]
            if not problems and not _is_training(file, self).any():
                option = "split" if self.split is not None else "test_trajectories"
                problems.append(f"{option}: no observation of {file.path} is left to train on")
            return problems

    def outline(self) -> Outline:
        """Names and size of the dataset by the file's headers, once `check` has nothing to say.

        Raises:
            UserError: the file is not there, or a column that the options name is not.
        """
        with open_headers(Path(self.path)) as file:
            count = file.shape[0]
            rows = _is_training(file, self)
            if (lineages := _outlined_lineages(file, self)) is not None:
                return _outline_lineages(file, self, lineages, rows)
            labels = _row_labels(file, self.trajectory, ONLY, count)[rows]
            groups = dict.fromkeys(_row_labels(file, self.group, "all", count)[rows].tolist())
            names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
            times = file.numbers(self.time)
            duration = 1.0
            if self.time_scaling == "none" and times is not None and len(names):
                spans = [np.ptp(times[rows][codes == code]) for code in range(len(names))]
                duration = float(max(spans))
            return Outline(
                features=_features(file, self),
                groups=tuple(groups),
                priors=tuple(_prior_names(file.entries("varp"))),
                trajectories=len(names),
                observations=int(counts.max(initial=0)),
                duration=duration,
            )

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:  # noqa: ARG002  the same for every source
        """Trajectories of the file, each sorted by time (equal times stay in the file's order).

        Raises:
            UserError: the file, or something that an option names in it, is not there or cannot be used.
        """
        from sparsenode.data.contract import read_h5ad

        path = Path(self.path)
        adata = read_h5ad(path)
        provenance = {"file": path.name, "sha256": file_sha256(path)}
        return read_trajectories_of(adata, self, path, provenance)


def _outlined_lineages(file: Headers, options: AnnDataSource) -> Lineages | None:
    """The lineages of a file; None where the options name none.

    Raises:
        UserError: they cannot be used, or are not there.
    """
    key, columns = options.lineage_weights, options.lineage_times
    if key is None and columns is None:
        return None
    count = file.shape[0]
    times = [file.numbers(name) for name in (columns or [options.time])]
    table = np.column_stack([np.full(count, np.nan) if numbers is None else numbers for numbers in times])
    weights = None if key is None else file.embedding(key, np.arange(count))
    return _lineages(options, weights, table, file.path, None if key is None else file.embedding_names(key))


def _lineages(
    options: AnnDataSource, weights: Any, times: Floats, path: Path | str, names: Sequence[str] | None = None
) -> Lineages:
    """Lineages of weights (cell, lineage), or None, and times (cell, column of times)."""
    key, columns = options.lineage_weights, options.lineage_times
    where = f"{path}: obsm[{key!r}]", f"{path}: {', '.join(columns or [options.time])} of `obs`"
    per_lineage = columns is not None
    return read_lineages(
        weights,
        times if per_lineage else times[:, 0],
        len(times),
        where=where,
        names=columns if key is None else names,
        cutoff=options.lineage_cutoff,
    )


def _courses(lineages: Lineages, labels: NDArray[np.str_], named: bool) -> list[tuple[str, Course]]:
    """Each lineage of each trajectory that the `labels` (cell,) name, by the name that it gets."""
    return [
        (trajectory_name(label, course.lineage) if named else course.lineage, course)
        for label in dict.fromkeys(labels.tolist())
        for course in lineages.courses(np.flatnonzero(labels == label))
    ]


def _outline_lineages(file: Headers, options: AnnDataSource, lineages: Lineages, rows: NDArray[np.bool_]) -> Outline:
    """Names and size of a dataset of lineages, of its training `rows` (cell,)."""
    labels = _row_labels(file, options.trajectory, ONLY, len(rows))
    cells = np.flatnonzero(rows)
    courses = [
        course
        for label in dict.fromkeys(labels[cells].tolist())
        for course in lineages.courses(cells[labels[cells] == label])
    ]
    groups = [course.lineage for course in courses]
    if options.group is not None:
        groups = file.labels(options.group)[cells].tolist()
    spans = [float(np.ptp(course.times)) for course in courses]
    return Outline(
        features=_features(file, options),
        groups=tuple(dict.fromkeys(groups)),
        priors=tuple(_prior_names(file.entries("varp"))),
        trajectories=len(courses),
        observations=max(map(len, (course.cells for course in courses)), default=0),
        duration=max(spans, default=1.0) if options.time_scaling == "none" else 1.0,
    )


def _prior_names(keys: Sequence[str]) -> list[str]:
    """Names of the prior networks among the keys of `varp`."""
    return sorted(key.removeprefix(_PRIOR) for key in keys if key.startswith(_PRIOR) and key != _PRIOR)


def _takes_raw(file: Headers, layer: str | None) -> bool:
    """Whether the values of `raw` are chosen: by name, or since there are no other values."""
    return file.has_raw and RAW not in file.layers and (layer == RAW or (layer is None and not file.has_values))


def _features(file: Headers, options: AnnDataSource) -> tuple[str, ...]:
    """Names of the features to model: `genes`, or those of the file itself that the chosen values have."""
    if options.genes:
        return tuple(options.genes)
    names = file.features(None).tolist()
    if _takes_raw(file, options.layer):
        return _shared_features(names, file.features(None, RAW).tolist())
    return tuple(names)


def _shared_features(names: Sequence[str], raw_names: Sequence[str]) -> tuple[str, ...]:
    """Names of features that `raw` has too, in the order of the file itself."""
    in_raw = set(raw_names)
    return tuple(name for name in names if name in in_raw)


def _row_labels(file: Headers, column: str | None, single: str, count: int) -> NDArray[np.str_]:
    """A column of `obs` as text, or without one the `single` label of all, (observation,)."""
    return np.full(count, single) if column is None else file.labels(column)


def _is_training(file: Headers, options: AnnDataSource) -> NDArray[np.bool_]:
    """Which observations are training data, before validation data are set aside, (observation,)."""
    count = file.shape[0]
    rows = np.ones(count, dtype=bool)
    if options.split is not None:
        rows &= file.labels(options.split) == "train"
    else:
        rows &= ~np.isin(_row_labels(file, options.trajectory, ONLY, count), options.test_trajectories)
    if options.phase is not None:
        rows &= file.labels(options.phase) == "fit"
    return rows


def _size_problems(file: Headers) -> Iterator[str]:
    """A file that holds nothing, and entries that anndata itself cannot read."""
    for count, what in zip(file.shape, ("observations", "features"), strict=True):
        if not count:
            yield f"path: {file.path} has no {what}"
    for group in ("layers", "obsm", "varm", "obsp", "varp"):
        for name in file.entries(group):
            if "/" in name:
                yield (
                    f"path: found {group}[{name!r}] in {file.path}; allowed: names without a slash, which anndata "
                    "writes and cannot read; rename it"
                )


def _column_problems(file: Headers, options: AnnDataSource) -> Iterator[str]:
    """Columns of `obs` that are not there, are empty in some rows, or hold what they must not."""
    columns = file.columns("obs")
    named = [
        (option, getattr(options, option)) for option in ("time", "trajectory", "group", "subject", "split", "phase")
    ]
    if options.lineage_times is not None:
        named[:1] = [("lineage_times", name) for name in options.lineage_times]
    for option, name in named:
        if name is None:
            continue
        if name not in columns:
            names = describe_choice(name, columns)
            yield f"{option}: found {name!r}; allowed: a column of `obs` of {file.path}. {names}"
            continue
        column = file.column("obs", name)
        if option == "lineage_times":
            if file.numbers(name) is None:
                wrong_label = next(label for label in column.present if not is_number(label))
                yield f"{option}: the column {name!r} of `obs` of {file.path} holds {wrong_label!r}; allowed: numbers"
        elif column.missing:
            yield f"{option}: the column {name!r} of `obs` of {file.path} is empty for {column.missing} observations"
        elif option == "time":
            yield from _time_problems(file, name)
        elif problem := label_problem(option, column.present, f"the column {name!r} of `obs` of {file.path}"):
            yield problem


def _time_problems(file: Headers, name: str) -> Iterator[str]:
    times = file.numbers(name)
    where = f"time: the column {name!r} of `obs` of {file.path}"
    if times is None:
        wrong = next(label for label in file.column("obs", name).present if not is_number(label))
        yield f"{where} holds {wrong!r}; allowed: a column of numbers"
    elif not np.isfinite(times).all():
        yield f"{where} {_not_finite(times)}; remove those observations"


def _not_finite(times: Floats) -> str:
    """What is wrong with times of which some are not finite, in words."""
    infinite, no_numbers = int(np.isinf(times).sum()), int(np.isnan(times).sum())
    problems = ((infinite, "is infinite"), (no_numbers, "holds NaN"))
    return " and ".join(f"{problem} for {count} observations" for count, problem in problems if count)


def _test_problems(file: Headers, options: AnnDataSource) -> Iterator[str]:
    """Test trajectories that are not there."""
    test, column = options.test_trajectories, options.trajectory
    if options.split is not None and test:
        yield "split: found with test_trajectories; allowed: one of them"
    if column is not None and column not in file.columns("obs"):
        return
    labels = [ONLY] if column is None else sorted(file.column("obs", column).present)
    where = f"{file.path} (column {column!r} of `obs`)"
    if column is None:
        where = f"{file.path}, whose observations are all one, since `trajectory` names no column"
    yield from trajectory_problems(test, labels, where)


def _entry_problems(file: Headers, options: AnnDataSource) -> Iterator[str]:
    """Layers, features, networks and flags that are not there."""
    raw = [RAW] if file.has_raw and RAW not in file.layers else []
    named = {
        "layer": ("a layer", [*file.layers, *raw]),
        "lineage_weights": ("an entry of `obsm`", file.embeddings),
        "truth": ("an entry of `varp`", file.entries("varp")),
        "regulators": ("a column of `var`", file.columns("var")),
    }
    for option, (what, names) in named.items():
        name = getattr(options, option)
        if name is not None and name not in names:
            yield f"{option}: found {name!r}; allowed: {what} of {file.path}. {describe_choice(name, names)}"
    if options.layer is None and not file.has_values and not raw:
        layers = ", ".join(file.layers) or "none, it has no layer"
        yield f"layer: found null, but {file.path} has no X; allowed: {layers}"
    features = file.column("var", None)
    if len(features.present) < len(features.codes):
        yield f"path: names of features repeat in {file.path}; see `AnnData.var_names_make_unique`"
    what = f"a feature of {file.path}"
    if _takes_raw(file, options.layer):
        features, what = file.column("raw/var", None), f"a feature of `raw` of {file.path}"
        if len(features.present) < len(features.codes):
            yield f"path: names of features repeat in `raw` of {file.path}; see `AnnData.var_names_make_unique`"
        if not _features(file, options):
            yield f"layer: `raw` of {file.path} has none of the features of the file itself; name its features as genes"
    genes = set(features.present)
    for name in [gene for gene in options.genes or () if gene not in genes][:NAMED]:
        yield f"genes: found {name!r}; allowed: {what}. {describe_choice(name, features.present)}"


def _name_problems(file: Headers, options: AnnDataSource) -> Iterator[str]:
    """Names that results use for other things, or that cannot be told apart."""
    from sparsenode.data.contract import name_problem

    names: dict[str, tuple[str, Sequence[str]]] = {
        "trajectory": ("trajectory", _present(file, options.trajectory)),
        "group": ("group", _present(file, options.group)),
        "subject": ("subject", _present(file, options.subject or options.trajectory)),
        "genes": ("feature", _features(file, options)),
        "path": ("prior network", _prior_names(file.entries("varp"))),
    }
    for option, (kind, labels) in names.items():
        if (problem := name_problem({kind: labels})) is not None:
            yield f"{option}: {problem}"
            return


def _present(file: Headers, column: str | None) -> Sequence[str]:
    """Labels of a column of `obs` that an observation has; none without a column."""
    return () if column is None else file.column("obs", column).present


def _lineage_problems(file: Headers, options: AnnDataSource) -> Iterator[str]:
    """Weights or times of lineages that cannot be used."""
    option = "lineage_times" if options.lineage_weights is None else "lineage_weights"
    try:
        _outlined_lineages(file, options)
    except UserError as error:
        yield f"{option}: {error}"


def _flag_problems(file: Headers, options: AnnDataSource) -> Iterator[str]:
    """The first feature of which the file does not say whether it can regulate others."""
    if (name := options.regulators) is None:
        return
    tables = ["raw/var"] if _takes_raw(file, options.layer) and name in file.columns("raw/var") else []
    flags: dict[str, str] = {}
    for table in [*tables, "var"]:
        flags |= zip(file.column(table, None).text.tolist(), file.column(table, name).text.tolist(), strict=True)
    wrong = [feature for feature in _features(file, options) if logical_value(flags.get(feature, "")) is None]
    if wrong:
        value = repr(flags[wrong[0]]) if flags.get(wrong[0]) else "nothing"
        where = f"the column {name!r} of `var` of {file.path}"
        yield f"regulators: {where} holds {value} for {wrong[0]!r}; allowed: {ALLOWED}"


def read_trajectories_of(
    adata: AnnData, options: AnnDataSource, where: Path | str, provenance: Mapping[str, Any]
) -> RawTrajectories:
    """Trajectories of an AnnData, each sorted by time (equal times stay in its order).

    Args:
        adata: the observations, with the columns that the options name.
        options: this source, of which everything but `path` counts.
        where: what messages call the AnnData: the path of its file, or words.
        provenance: what is written down of its origin.

    Raises:
        UserError: something that an option names is not there or cannot be used.
    """
    layer = options.layer
    file = measured = _File(adata, where)
    names = [str(name) for name in adata.var_names]
    if _is_raw(adata, layer):
        measured, layer = _File(adata.raw.to_adata(), file.path), None
        names = list(_shared_features(names, measured.adata.var_names.astype(str).tolist()))
    genes = list(options.genes or names)
    if not genes:
        message = f"{file.path} has no features to model"
        raise UserError(message)
    # What only `raw` has is in no network.
    columns = file.positions_or_none(genes)
    labels = file.labels(options.trajectory, ONLY)
    splits = _splits(file, options, labels)
    phases = _phases(file, options.phase)
    courses = file.courses(options, labels)
    values, kind = measured.values(layer, measured.positions(genes))
    refuse_rounded([values[course.cells] for _, course in courses], kind, genes, str(file.path))
    if options.transform == "log1p":
        if (values < 0).any():
            message = f"{file.path}: negative values, which `transform: log1p` does not allow"
            raise UserError(message)
        values = np.log1p(values)
    training = [splits[course.cells] == "train" for _, course in courses]
    ranges = _ranges([values[course.cells] for _, course in courses], training, options.scaling, file.path)
    has_lineages = options.lineage_weights is not None or options.lineage_times is not None
    groups = file.labels(options.group, "all")
    subjects = file.labels(options.subject or options.trajectory, ONLY)
    trajectories = []
    for (name, course), (offset, extent) in zip(courses, ranges, strict=True):
        where = f"{file.path}, trajectory {name!r}"
        chosen = course.cells
        trajectory_times, time_offset, time_scale = course.times, 0.0, 1.0
        refuse_rounded_times(trajectory_times, file.number_type(options, course.lineage), where)
        if options.repeated_times == "error":
            resolve_repeated_times(trajectory_times, values[chosen], "error", where, instead="`keep`")
        if options.time_scaling == "unit":
            trajectory_times, time_offset, time_scale = unit_time(trajectory_times)
        scale = scale_of_range(extent)
        trajectories.append(
            Trajectory(
                name=name,
                group=course.lineage
                if has_lineages and options.group is None
                else _single(groups[chosen], options.group, where),
                subject=_single(subjects[chosen], options.subject, where),
                times=trajectory_times,
                values=(values[chosen] - offset) / scale,
                splits=splits[chosen],
                phases=phases[chosen],
                offset=offset,
                scale=scale,
                weights=course.weights if has_lineages else None,
                cells=chosen if has_lineages else None,
                observation_names=tuple(
                    f"{label}:{course.lineage}" if has_lineages else str(label) for label in adata.obs_names[chosen]
                ),
                time_offset=time_offset,
                time_scale=time_scale,
            )
        )
    truth = None if options.truth is None else file.network(options.truth, columns)
    priors = file.networks(_PRIOR, columns)
    known_pairs = file.networks("known_", columns)
    for name in [name for name in known_pairs if name not in priors]:
        logger.warning("%s: varp['known_%s'] is not used, since there is no varp['prior_%s']", file.path, name, name)
        del known_pairs[name]
    in_file = np.outer(columns >= 0, columns >= 0)
    if not in_file.all():
        known_pairs = {name: known_pairs.get(name, in_file.astype(np.float64)) for name in priors}
    return RawTrajectories(
        kind="measured",
        features=tuple(genes),
        trajectories=tuple(trajectories),
        time_unit=options.time_unit,
        value_unit=options.value_unit,
        scaling=options.scaling,
        transform=options.transform,
        truth=truth,
        truth_known=None if truth is None else in_file & ~np.eye(len(genes), dtype=bool),
        priors=priors,
        priors_known={
            name: logical_matrix(matrix, genes, genes, f"{file.path}: varp['known_{name}']")
            for name, matrix in known_pairs.items()
        },
        is_regulator=None if (flags := options.regulators) is None else _flags(file, measured, flags, genes),
        provenance=provenance,
    )


def _ranges(
    values: Sequence[Floats], training: Sequence[NDArray[np.bool_]], scaling: str, path: Path | str
) -> Sequence[tuple[Floats, Floats]]:
    """Offset and extent (variable,) by which each trajectory is scaled."""
    if scaling == "none":
        count = values[0].shape[1]
        return [(np.zeros(count), np.ones(count))] * len(values)
    if any(np.isinf(trajectory).any() for trajectory in values):
        message = f"{path}: infinite values cannot be scaled; remove them, or write NaN for what was not observed"
        raise UserError(message)
    if not any(rows.any() for rows in training):
        message = f"{path}: no observation is training data"
        raise UserError(message)
    return scaling_ranges(values, training, "per_trajectory" if scaling == "per_trajectory" else "training_range")


def _is_raw(adata: AnnData, layer: str | None) -> bool:
    """Whether the values of `raw` are chosen: by name, or since there are no other values."""
    if adata.raw is None or RAW in adata.layers:
        return False
    return layer == RAW or (layer is None and adata.X is None)


@dataclass(frozen=True)
class _File:
    """The user's file, with a clear error for everything that is asked of it in vain."""

    adata: AnnData
    path: Path | str

    def fail(self, what: str, name: str, names: Sequence[str]) -> UserError:
        return UserError(f"{self.path}: {what} {name!r} is not there; there are: {some_of(names, NAMED)}")

    def column(self, name: str) -> pandas.Series:
        if name not in self.adata.obs:
            raise self.fail("the column of `obs`", name, list(self.adata.obs.columns))
        column: pandas.Series = self.adata.obs[name]
        if column.isna().any():
            empty = int(column.isna().sum())
            message = f"{self.path}: the column {name!r} of `obs` is empty for {empty} observations"
            raise UserError(message)
        return column

    def labels(self, name: str | None, otherwise: str) -> NDArray[np.str_]:
        """A column as text, or one label for all observations; (observation,)."""
        if name is None:
            return np.full(self.adata.n_obs, otherwise)
        return np.asarray(self.column(name).astype(str), dtype=np.str_)

    def times(self, name: str) -> Floats:
        try:
            times = np.asarray(self.column(name), dtype=np.float64)
        except (TypeError, ValueError) as error:
            message = f"{self.path}: the column {name!r} of `obs` is to be times, but holds no numbers ({error})"
            raise UserError(message) from error
        if not np.isfinite(times).all():
            message = (
                f"{self.path}: the column {name!r} of `obs` {_not_finite(times)} (cells out of reach of the root have "
                "infinite pseudotimes); remove those observations"
            )
            raise UserError(message)
        return times

    def courses(self, options: AnnDataSource, labels: NDArray[np.str_]) -> list[tuple[str, Course]]:
        """The trajectories by their names: the `labels` (observation,), or each lineage within each of them."""
        key, columns = options.lineage_weights, options.lineage_times
        if key is None and columns is None:
            times = self.times(options.time)
            whole = Lineages((ONLY,), np.ones((len(times), 1)), times[:, None])
            return [
                (label, course)
                for label in dict.fromkeys(labels.tolist())
                for course in whole.courses(np.flatnonzero(labels == label))
            ]
        if key is not None and key not in self.adata.obsm:
            raise self.fail("the entry of `obsm`", key, list(self.adata.obsm))
        table = [self.times(options.time)] if columns is None else [self.lineage_times(name) for name in columns]
        weights = None if key is None else self.adata.obsm[key]
        lineages = _lineages(options, weights, np.column_stack(table), self.path)
        return _courses(lineages, labels, named=options.trajectory is not None)

    def lineage_times(self, name: str) -> Floats:
        """A column of times, NaN where an observation is not of the lineage."""
        if name not in self.adata.obs:
            raise self.fail("the column of `obs`", name, list(self.adata.obs.columns))
        try:
            return np.asarray(self.adata.obs[name], dtype=np.float64)
        except (TypeError, ValueError) as error:
            message = f"{self.path}: the column {name!r} of `obs` is to be times, but holds no numbers ({error})"
            raise UserError(message) from error

    def number_type(self, options: AnnDataSource, lineage: str) -> np.dtype:
        """The type in which the file has the times of a lineage; double precision where they are text."""
        columns = options.lineage_times
        name = lineage if columns is not None and lineage in columns else (columns or [options.time])[0]
        kind = self.adata.obs[name].dtype
        kind = getattr(kind, "numpy_dtype", kind)
        return kind if isinstance(kind, np.dtype) and kind.kind in "fiu" else np.dtype(np.float64)

    def positions(self, genes: Sequence[str]) -> NDArray[np.int_]:
        positions = self.positions_or_none(genes)
        if (positions < 0).any():
            raise self.fail("the feature", genes[int(np.argmin(positions))], [*map(str, self.adata.var_names)])
        return positions

    def positions_or_none(self, genes: Sequence[str]) -> NDArray[np.int_]:
        """Places of the genes in `var`, -1 for those that are not there, (gene,)."""
        names = self.adata.var_names
        if not names.is_unique:
            message = f"{self.path}: names of features repeat; see `AnnData.var_names_make_unique`"
            raise UserError(message)
        return np.asarray(names.get_indexer(list(genes)), dtype=np.int_)

    def values(self, layer: str | None, columns: NDArray[np.int_]) -> tuple[Floats, np.dtype]:
        """Values of the columns, (observation, feature), and the type in which the file has them."""
        names = [*self.adata.layers, *([RAW] if _is_raw(self.adata, RAW) else [])]
        if layer is not None and layer not in self.adata.layers:
            raise self.fail("the layer", layer, names)
        matrix = self.adata.X if layer is None else self.adata.layers[layer]
        if matrix is None:
            message = f"{self.path} has no X; name a layer; there are: {', '.join(names[:NAMED]) or 'none'}"
            raise UserError(message)
        chosen = matrix[:, columns]
        return _dense(chosen), np.dtype(chosen.dtype)

    def network(self, name: str, columns: NDArray[np.int_]) -> Floats:
        """A network among the columns, (source, target); without an edge from or to the column -1."""
        if name not in self.adata.varp:
            raise self.fail("the entry of `varp`", name, list(self.adata.varp))
        edges = _dense(self.adata.varp[name])[np.ix_(columns, columns)]
        return np.where(np.outer(columns >= 0, columns >= 0), edges, 0.0)

    def networks(self, prefix: str, columns: NDArray[np.int_]) -> dict[str, Floats]:
        """Every network of `varp` whose key begins with `prefix`, by the rest of its key."""
        keys = sorted(key for key in self.adata.varp if key.startswith(prefix) and key != prefix)
        return {key.removeprefix(prefix): self.network(key, columns) for key in keys}


def _flags(file: _File, measured: _File, name: str, genes: Sequence[str]) -> NDArray[np.bool_]:
    """A column of `var` of truth values, (gene,); that of `raw` for features that only `raw` has."""
    if name not in file.adata.var:
        raise file.fail("the column of `var`", name, list(file.adata.var.columns))
    flags = {} if name not in measured.adata.var else measured.adata.var[name].to_dict()
    flags |= file.adata.var[name].to_dict()
    values = [flags.get(gene) for gene in genes]
    return logical_values(values, list(genes), f"{file.path}: the column {name!r} of `var`")


def _dense(matrix: Any) -> Floats:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64)


def _single(labels: NDArray[np.str_], column: str | None, where: str) -> str:
    distinct = sorted(set(labels.tolist()))
    if len(distinct) > 1:
        message = f"{where}: the column {column!r} of `obs` differs within it: {', '.join(distinct[:NAMED])}"
        raise UserError(message)
    return str(distinct[0])


def _phases(file: _File, column: str | None) -> NDArray[np.str_]:
    """Phase of each observation."""
    phases = file.labels(column, "fit")
    if unknown := sorted(set(phases.tolist()) - set(PHASES)):
        message = f"{file.path}: phases {', '.join(unknown)} in {column!r}; allowed: {', '.join(PHASES)}"
        raise UserError(message)
    return phases


def _splits(file: _File, options: AnnDataSource, labels: NDArray[np.str_]) -> NDArray[np.str_]:
    """Split of each observation, (observation,)."""
    test = options.test_trajectories
    if options.split is not None:
        if test:
            message = f"{file.path}: give `split` or `test_trajectories`, not both"
            raise UserError(message)
        splits = file.labels(options.split, "train")
        if unknown := sorted(set(splits.tolist()) - set(SPLITS)):
            message = (
                f"{file.path}: the column {options.split!r} of `obs` holds {unknown[0]!r}; allowed: {', '.join(SPLITS)}"
            )
            raise UserError(message)
        return splits
    if missing := [name for name in test if name not in labels]:
        raise file.fail("the test trajectory", missing[0], sorted(set(labels.tolist())))
    return np.where(np.isin(labels, test), "test", "train")
