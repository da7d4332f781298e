"""anndata: trajectories of your own, from an h5ad file whose columns you name.

Prior networks are taken over: every `varp["prior_NAME"]` (row = source, column = target), and with it
`varp["known_NAME"]`, which says of which pairs it tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from sparsenode.data.centering import refuse_rounded, refuse_rounded_times
from sparsenode.data.outline import Outline
from sparsenode.data.readers.h5ad_headers import open_headers
from sparsenode.data.readers.logical import logical_matrix, logical_values
from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory
from sparsenode.data.transforms import resolve_repeated_times, scale_of_range, scaling_ranges, unit_time
from sparsenode.errors import UserError, describe_names
from sparsenode.files import file_sha256
from sparsenode.typed import EachOnce, PathText, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas
    from anndata import AnnData
    from numpy.typing import NDArray

    from sparsenode.data.downloads import RemoteFile
    from sparsenode.data.readers.h5ad_headers import Headers

_SPLITS = ("train", "validation", "test")
_PHASES = ("fit", "extrapolation")
_NAMED = 8  # names listed in a message
_ONLY = "trajectory"  # name of the trajectory that all observations are, where no column names any
_RAW = "raw"  # name by which the values of `raw` are chosen, where no layer has it
_PRIOR = "prior_"


class Options(Settings):
    """Options of the source."""

    path: PathText = Field(description="The h5ad file.")
    layer: str | None = Field(
        None,
        description="Layer to model, or `raw` for the values of `raw`; null: X, or `raw` where there is no X. Of "
        "`raw` those features are modeled that the file itself has, or those of `genes`.",
    )
    time: str = Field("time", description="Column of `obs` with the times (or pseudotimes).")
    time_unit: str = Field("time unit", description="Unit of time, for axis labels.")
    value_unit: str = Field("value", description="Unit of the values, for axis labels.")
    trajectory: str | None = Field(
        None, description="Column of `obs` with the trajectory of each observation; null: all are one."
    )
    group: str | None = Field(
        None, description="Column of `obs` whose value the trajectories of one kind share (lineage); null: one kind."
    )
    subject: str | None = Field(
        None, description="Column of `obs` with the donor or person; null: each trajectory is its own."
    )
    genes: Annotated[tuple[str, ...], Field(min_length=1), EachOnce] | None = Field(
        None, description="Names of the features to model, in this order; null: all."
    )
    split: str | None = Field(
        None, description="Column of `obs` with train, validation or test; null: see `test_trajectories`."
    )
    test_trajectories: Annotated[tuple[str, ...], EachOnce] = Field(
        (), description="Trajectories that are test data, where no `split` column is named."
    )
    phase: str | None = Field(
        None,
        description="Column of `obs` with fit or extrapolation, which is forecast and not trained on; null: all are "
        "fit.",
    )
    transform: Literal["none", "log1p"] = Field("none", description="`log1p`: log of one plus the value.")
    scaling: Literal["none", "per_trajectory", "training_range"] = Field(
        "none",
        description="`training_range`: one scale per feature for all, from training data, to [0, 1]; "
        "`per_trajectory`: each trajectory to [0, 1] by its own range, test data too; `none`: the values "
        "are modeling units already.",
    )
    repeated_times: Literal["keep", "error"] = Field(
        "keep", description="Observations of one trajectory at one time: keep them all, or refuse the data."
    )
    time_scaling: Literal["none", "unit"] = Field("none", description="`unit`: the times of each trajectory to [0, 1].")
    truth: str | None = Field(
        None, description="Entry of `varp` with the true network: row = source, column = target, signed."
    )
    regulators: str | None = Field(
        None,
        description="Column of `var` that is true for features that can regulate others (true or false, yes or no, 1 "
        "or 0).",
    )


def required_files(options: Mapping[str, Any]) -> list[RemoteFile]:  # noqa: ARG001  the same for every source
    """Nothing is downloaded."""
    return []


def local_files(options: Mapping[str, Any]) -> list[Path]:
    """The user's file."""
    return [Path(options["path"])]


def check(options: Mapping[str, Any]) -> list[str]:
    """What the options name and the file does not have, each as `option: found; allowed`.

    Raises:
        UserError: the file is not there or no h5ad file.
    """
    with open_headers(Path(options["path"])) as file:
        problems = [*_column_problems(file, options), *_test_problems(file, options), *_entry_problems(file, options)]
        if not problems and not _is_training(file, options).any():
            option = "split" if options["split"] is not None else "test_trajectories"
            problems.append(f"{option}: no observation of {file.path} is left to train on")
        return problems


def outline(options: Mapping[str, Any]) -> Outline:
    """Names and size of the dataset by the file's headers, once `check` has nothing to say.

    Raises:
        UserError: the file is not there, or a column that the options name is not.
    """
    with open_headers(Path(options["path"])) as file:
        count = file.shape[0]
        rows = _is_training(file, options)
        labels = _row_labels(file, options["trajectory"], _ONLY, count)[rows]
        groups = dict.fromkeys(_row_labels(file, options["group"], "all", count)[rows].tolist())
        names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        times = file.numbers(options["time"])
        duration = 1.0
        if options["time_scaling"] == "none" and times is not None and len(names):
            spans = [np.ptp(times[rows][codes == code]) for code in range(len(names))]
            duration = float(max(spans))
        return Outline(
            features=tuple(options["genes"] or file.features(None).tolist()),
            groups=tuple(groups),
            priors=tuple(_prior_names(file.entries("varp"))),
            trajectories=len(names),
            observations=int(counts.max(initial=0)),
            duration=duration,
        )


def _prior_names(keys: Sequence[str]) -> list[str]:
    """Names of the prior networks among the keys of `varp`."""
    return sorted(key.removeprefix(_PRIOR) for key in keys if key.startswith(_PRIOR) and key != _PRIOR)


def _row_labels(file: Headers, column: str | None, single: str, count: int) -> NDArray[np.str_]:
    """A column of `obs` as text, or without one the `single` label of all, (observation,)."""
    return np.full(count, single) if column is None else file.labels(column)


def _is_training(file: Headers, options: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which observations are training data, before validation data are set aside, (observation,)."""
    count = file.shape[0]
    rows = np.ones(count, dtype=bool)
    if options["split"] is not None:
        rows &= file.labels(options["split"]) == "train"
    else:
        rows &= ~np.isin(_row_labels(file, options["trajectory"], _ONLY, count), options["test_trajectories"])
    if options["phase"] is not None:
        rows &= file.labels(options["phase"]) == "fit"
    return rows


def _column_problems(file: Headers, options: Mapping[str, Any]) -> Iterator[str]:
    """Columns of `obs` that are not there, are empty in some rows, or hold what they must not."""
    allowed = {"split": _SPLITS, "phase": _PHASES}
    columns = file.columns("obs")
    for option in ("time", "trajectory", "group", "subject", "split", "phase"):
        name = options[option]
        if name is None:
            continue
        if name not in columns:
            names = describe_names(name, columns)
            yield f"{option}: found {name!r}; allowed: a column of `obs` of {file.path}. {names}"
            continue
        column = file.column("obs", name)
        if column.missing:
            yield f"{option}: the column {name!r} of `obs` of {file.path} is empty for {column.missing} observations"
        elif option == "time":
            yield from _time_problems(file, name)
        elif wrong := [label for label in column.present if label not in allowed.get(option, column.present)]:
            names = ", ".join(allowed[option])
            yield f"{option}: the column {name!r} of `obs` of {file.path} holds {wrong[0]!r}; allowed: {names}"


def _time_problems(file: Headers, name: str) -> Iterator[str]:
    times = file.numbers(name)
    where = f"time: the column {name!r} of `obs` of {file.path}"
    if times is None:
        yield f"{where} holds {file.column('obs', name).present[0]!r}; allowed: a column of numbers"
    elif not np.isfinite(times).all():
        infinite = int((~np.isfinite(times)).sum())
        yield f"{where} is infinite for {infinite} observations; remove those observations"


def _test_problems(file: Headers, options: Mapping[str, Any]) -> Iterator[str]:
    """Test trajectories that are not there."""
    test, column = options["test_trajectories"], options["trajectory"]
    if options["split"] is not None and test:
        yield "split: found with test_trajectories; allowed: one of them"
    if column is not None and column not in file.columns("obs"):
        return
    labels = [_ONLY] if column is None else sorted(file.column("obs", column).present)
    for name in [name for name in test if name not in labels][:_NAMED]:
        names = describe_names(name, labels)
        where = f"{file.path} (column {column!r} of `obs`)"
        yield f"test_trajectories: found {name!r}; allowed: a trajectory of {where}. {names}"


def _entry_problems(file: Headers, options: Mapping[str, Any]) -> Iterator[str]:
    """Layers, features, networks and flags that are not there."""
    raw = [_RAW] if file.has_raw and _RAW not in file.layers else []
    named = {
        "layer": ("a layer", [*file.layers, *raw]),
        "truth": ("an entry of `varp`", file.entries("varp")),
        "regulators": ("a column of `var`", file.columns("var")),
    }
    for option, (what, names) in named.items():
        name = options[option]
        if name is not None and name not in names:
            yield f"{option}: found {name!r}; allowed: {what} of {file.path}. {describe_names(name, names)}"
    if options["layer"] is None and not file.has_matrix and not raw:
        layers = ", ".join(file.layers) or "none, it has no layer"
        yield f"layer: found null, but {file.path} has no X; allowed: {layers}"
    features = file.column("var", None)
    if len(features.present) < len(features.codes):
        yield f"path: names of features repeat in {file.path}; see `AnnData.var_names_make_unique`"
    genes = set(features.present)
    if raw and (options["layer"] == _RAW or not file.has_matrix):
        genes |= set(file.column("raw/var", None).present)
    for name in [gene for gene in options["genes"] or () if gene not in genes][:_NAMED]:
        yield f"genes: found {name!r}; allowed: a feature of {file.path}. {describe_names(name, features.present)}"


def load(options: Mapping[str, Any], files: Mapping[str, Path]) -> RawTrajectories:  # noqa: ARG001  the same for every source
    """Trajectories of the file, each sorted by time (equal times stay in the file's order).

    Raises:
        UserError: the file, or something that an option names in it, is not there or cannot be used.
    """
    from sparsenode.data.contract import read_h5ad

    adata = read_h5ad(Path(options["path"]))
    layer = options["layer"]
    if _is_raw(adata, layer):
        adata, layer = _with_values_of_raw(adata, options["genes"]), None
    file = _File(adata, Path(options["path"]))
    genes = options["genes"] or [str(name) for name in adata.var_names]
    columns = file.positions(genes)
    times = file.times(options["time"])
    labels = file.labels(options["trajectory"], _ONLY)
    splits = _splits(file, options, labels)
    phases = file.labels(options["phase"], "fit")
    if unknown := sorted(set(phases.tolist()) - set(_PHASES)):
        message = f"{file.path}: phases {', '.join(unknown)} in {options['phase']!r}; allowed: {', '.join(_PHASES)}"
        raise UserError(message)
    rows = {
        name: chosen[np.argsort(times[chosen], kind="stable")]
        for name in dict.fromkeys(labels.tolist())
        for chosen in [np.flatnonzero(labels == name)]
    }
    values, kind = file.values(layer, columns)
    refuse_rounded([values[chosen] for chosen in rows.values()], kind, genes, str(file.path))
    if options["transform"] == "log1p":
        if (values < 0).any():
            message = f"{file.path}: negative values, which `transform: log1p` does not allow"
            raise UserError(message)
        values = np.log1p(values)
    training = [splits[chosen] == "train" for chosen in rows.values()]
    ranges = _ranges([values[chosen] for chosen in rows.values()], training, options["scaling"], file.path)
    groups = file.labels(options["group"], "all")
    subjects = file.labels(options["subject"] or options["trajectory"], _ONLY)
    trajectories = []
    for (name, chosen), (offset, extent) in zip(rows.items(), ranges, strict=True):
        where = f"{file.path}, trajectory {name!r}"
        trajectory_times, time_offset, time_scale = times[chosen], 0.0, 1.0
        refuse_rounded_times(trajectory_times, file.number_type(options["time"]), where)
        if options["repeated_times"] == "error":
            resolve_repeated_times(trajectory_times, values[chosen], "error", where, instead="`keep`")
        if options["time_scaling"] == "unit":
            trajectory_times, time_offset, time_scale = unit_time(trajectory_times)
        scale = scale_of_range(extent)
        trajectories.append(
            Trajectory(
                name=name,
                group=_single(groups[chosen], options["group"], where),
                subject=_single(subjects[chosen], options["subject"], where),
                times=trajectory_times,
                values=(values[chosen] - offset) / scale,
                splits=splits[chosen],
                phases=phases[chosen],
                offset=offset,
                scale=scale,
                observation_names=tuple(str(label) for label in adata.obs_names[chosen]),
                time_offset=time_offset,
                time_scale=time_scale,
            )
        )
    truth = None if options["truth"] is None else file.network(options["truth"], columns)
    priors = file.networks(_PRIOR, columns)
    known_pairs = {name: matrix for name, matrix in file.networks("known_", columns).items() if name in priors}
    return RawTrajectories(
        kind="measured",
        features=tuple(genes),
        trajectories=tuple(trajectories),
        time_unit=options["time_unit"],
        value_unit=options["value_unit"],
        scaling=options["scaling"],
        transform=options["transform"],
        truth=truth,
        truth_known=None if truth is None else ~np.eye(len(genes), dtype=bool),
        priors=priors,
        priors_known={
            name: logical_matrix(matrix, genes, genes, f"{file.path}: varp['known_{name}']")
            for name, matrix in known_pairs.items()
        },
        is_regulator=None if options["regulators"] is None else file.flags(options["regulators"], columns),
        provenance={"file": file.path.name, "sha256": file_sha256(file.path)},
    )


def _ranges(
    values: Sequence[Floats], training: Sequence[NDArray[np.bool_]], scaling: str, path: Path
) -> Sequence[tuple[Floats, Floats]]:
    """Offset and extent (variable,) by which each trajectory is scaled."""
    if scaling == "none":
        count = values[0].shape[1]
        return [(np.zeros(count), np.ones(count))] * len(values)
    if not all(np.isfinite(trajectory).all() for trajectory in values):
        message = f"{path}: NaN or infinite values cannot be scaled; remove those observations"
        raise UserError(message)
    if not any(rows.any() for rows in training):
        message = f"{path}: no observation is training data"
        raise UserError(message)
    return scaling_ranges(values, training, "per_trajectory" if scaling == "per_trajectory" else "training_range")


def _is_raw(adata: AnnData, layer: str | None) -> bool:
    """Whether the values of `raw` are chosen: by name, or since there are no other values."""
    if adata.raw is None or _RAW in adata.layers:
        return False
    return layer == _RAW or (layer is None and adata.X is None)


def _with_values_of_raw(adata: AnnData, genes: Sequence[str] | None) -> AnnData:
    """The data with the values of `raw` as X, of the features of the data; of those of `raw` if `genes` need them."""
    import anndata

    raw = adata.raw.to_adata()
    raw_names, var_names = set(raw.var_names), set(adata.var_names)
    if not raw.var_names.is_unique or not var_names <= raw_names or not set(genes or ()) <= var_names:
        return raw
    return anndata.AnnData(raw[:, adata.var_names].X, obs=adata.obs, var=adata.var, varp=dict(adata.varp))


@dataclass(frozen=True)
class _File:
    """The user's file, with a clear error for everything that is asked of it in vain."""

    adata: AnnData
    path: Path

    def fail(self, what: str, name: str, names: Sequence[str]) -> UserError:
        listed = ", ".join(list(names)[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        return UserError(f"{self.path}: {what} {name!r} is not there; there are: {listed or 'none'}")

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
            infinite = int((~np.isfinite(times)).sum())
            message = (
                f"{self.path}: {infinite} times in the column {name!r} of `obs` are infinite "
                "(cells out of reach of the root have such pseudotimes); remove those observations"
            )
            raise UserError(message)
        return times

    def number_type(self, name: str) -> np.dtype:
        """The type in which the file has the numbers of a column of `obs`; double precision where it is text."""
        kind = self.column(name).dtype
        kind = getattr(kind, "numpy_dtype", kind)
        return kind if isinstance(kind, np.dtype) and kind.kind in "fiu" else np.dtype(np.float64)

    def positions(self, genes: Sequence[str]) -> NDArray[np.int_]:
        names = self.adata.var_names
        if not names.is_unique:
            message = f"{self.path}: names of features repeat; see `AnnData.var_names_make_unique`"
            raise UserError(message)
        if missing := [gene for gene in genes if gene not in names]:
            raise self.fail("the feature", missing[0], [str(name) for name in names])
        return np.asarray(names.get_indexer(list(genes)), dtype=np.int_)

    def values(self, layer: str | None, columns: NDArray[np.int_]) -> tuple[Floats, np.dtype]:
        """Values of the columns, (observation, feature), and the type in which the file has them."""
        names = [*self.adata.layers, *([_RAW] if _is_raw(self.adata, _RAW) else [])]
        if layer is not None and layer not in self.adata.layers:
            raise self.fail("the layer", layer, names)
        matrix = self.adata.X if layer is None else self.adata.layers[layer]
        if matrix is None:
            message = f"{self.path} has no X; name a layer; there are: {', '.join(names[:_NAMED]) or 'none'}"
            raise UserError(message)
        chosen = matrix[:, columns]
        return _dense(chosen), np.dtype(chosen.dtype)

    def network(self, name: str, columns: NDArray[np.int_]) -> Floats:
        if name not in self.adata.varp:
            raise self.fail("the entry of `varp`", name, list(self.adata.varp))
        return _dense(self.adata.varp[name])[np.ix_(columns, columns)]

    def networks(self, prefix: str, columns: NDArray[np.int_]) -> dict[str, Floats]:
        """Every network of `varp` whose key begins with `prefix`, by the rest of its key."""
        keys = sorted(key for key in self.adata.varp if key.startswith(prefix) and key != prefix)
        return {key.removeprefix(prefix): self.network(key, columns) for key in keys}

    def flags(self, name: str, columns: NDArray[np.int_]) -> NDArray[np.bool_]:
        if name not in self.adata.var:
            raise self.fail("the column of `var`", name, list(self.adata.var.columns))
        chosen = self.adata.var.iloc[columns]
        return logical_values(chosen[name], chosen.index, f"{self.path}: the column {name!r} of `var`")


def _dense(matrix: Any) -> Floats:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64)


def _single(labels: NDArray[np.str_], column: str | None, where: str) -> str:
    distinct = sorted(set(labels.tolist()))
    if len(distinct) > 1:
        message = f"{where}: the column {column!r} of `obs` differs within it: {', '.join(distinct[:_NAMED])}"
        raise UserError(message)
    return str(distinct[0])


def _splits(file: _File, options: Mapping[str, Any], labels: NDArray[np.str_]) -> NDArray[np.str_]:
    """Split of each observation, (observation,)."""
    test = options["test_trajectories"]
    if options["split"] is not None:
        if test:
            message = f"{file.path}: give `split` or `test_trajectories`, not both"
            raise UserError(message)
        splits = file.labels(options["split"], "train")
        if unknown := sorted(set(splits.tolist()) - set(_SPLITS)):
            message = (
                f"{file.path}: the column {options['split']!r} of `obs` holds {unknown[0]!r}; allowed: "
                f"{', '.join(_SPLITS)}"
            )
            raise UserError(message)
        return splits
    if missing := [name for name in test if name not in labels]:
        raise file.fail("the test trajectory", missing[0], sorted(set(labels.tolist())))
    return np.where(np.isin(labels, test), "test", "train")
