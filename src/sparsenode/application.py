"""Trained models on a user's own files: forecasts, rates, networks and descriptions, without the workflow."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.ensemble.states import check_columns
from sparsenode.errors import UserError
from sparsenode.files import write_atomically

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.ensemble.conditions import Conditions
    from sparsenode.ensemble.members import Ensemble

logger = logging.getLogger(__name__)

LINES_AT_ONCE = 500_000
"""Lines of a table that are made and written at once, about."""
MANY_STEPS = 100_000
"""Steps of a forecast of which it is said that they take long."""


def forecast_file(
    model: Path,
    initial_states: Path,
    output: Path,
    *,
    times: Sequence[float] | None = None,
    layer: str | None = None,
    strength: float | None = None,
    clamp: Mapping[str, float] | None = None,
) -> None:
    """Write forecasts as a tidy table: trajectory, strength, seed, time, feature, predicted.

    Args:
        model: a model file.
        initial_states: a text table (a name, then a column for each feature; see `read_states`), any AnnData whose rows
            are states, or a dataset's h5ad file, which brings its initial states and its times.
        output: where the table is written.
        times: increasing times, the first being the initial state's; None where the file of the states brings them.
        layer: layer of an AnnData that holds the states; `X` where it is None.
        strength: strength of the members that forecast; all members where it is None.
        clamp: values at which features are held all the time (a knock-out, an over-expression).

    Raises:
        UserError: a file that cannot be read, features that are missing or unknown, values that are no numbers, bad
            times.
    """
    ensemble = _load(model, strength)
    states, own_times = read_initial_states(initial_states, ensemble.features, layer=layer)
    rows = _check_times(times, own_times, len(states), initial_states)
    conditions = replace(read_conditions(initial_states, ensemble, states), clamp=clamp or {})
    _warn_of_steps(ensemble.count_steps(rows))
    values = states.to_numpy(np.float64)
    lost = _Lost(ensemble)

    def tables() -> Iterator[pd.DataFrame]:
        for batch in _batches([len(row) for row in rows], len(ensemble.members) * len(ensemble.features)):
            forecasts = conditions.select(batch).forecast(ensemble, values[batch], rows[batch])
            names = states.index[batch].astype(str).to_numpy(object)
            lost.look(names, forecasts)
            yield _tidy_forecasts(ensemble, names, rows[batch], forecasts)

    _write_tables(tables(), output)
    lost.warn()


def rates_file(
    model: Path, states: Path, output: Path, *, layer: str | None = None, strength: float | None = None
) -> None:
    """Write the rates of change at given states as a tidy table: observation, strength, seed, feature, rate.

    Raises:
        UserError: as for `forecast_file`.
    """
    ensemble = _load(model, strength)
    table = read_states(states, ensemble.features, layer=layer)
    if ensemble.model_settings.takes_slopes:
        raise UserError(
            f"{model} gives the acceleration at a position and a velocity, and its velocity is not a matter of the "
            "position only; call Ensemble.rates with velocities"
        )
    values, names = table.to_numpy(np.float64), table.index.astype(str).to_numpy(object)

    def tables() -> Iterator[pd.DataFrame]:
        # Member by member, as the rows of the table are.
        for number in range(len(ensemble.members)):
            single = ensemble.select([number])
            for batch in _batches([1] * len(values), len(ensemble.features)):
                yield _tidy(single, single.rates(values[batch]), {"observation": names[batch]}, value="rate")

    _write_tables(tables(), output)


def network_file(model: Path, output: Path, *, strength: float | None = None) -> None:
    """Write the effective network as a tidy table: source, target, strength, seed, weight (strength of the paths)."""
    ensemble = _load(model, strength)
    sources = np.array(ensemble.features, object)

    def tables() -> Iterator[pd.DataFrame]:
        for number in range(len(ensemble.members)):
            single = ensemble.select([number])
            paths = single.path_matrix()
            for batch in _batches([1] * len(sources), len(sources)):
                table = _tidy(single, paths[:, batch], {"source": sources[batch]}, value="weight")
                yield table.rename(columns={"feature": "target"})

    _write_tables(tables(), output)


def edges_file(
    dataset: Path,
    output: Path,
    *,
    graph: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    threads: int = 1,
) -> str:
    """Test which edges of a dataset are needed, and write a table of all pairs and a graph of those that are.

    Args:
        dataset: an h5ad file of trajectories.
        output: CSV file of `EdgeTest.table`.
        graph: GraphML file of the edges at the false discovery rate; None for none.
        settings: those of `EdgeSettings`.
        threads: folds that are computed at a time.

    Returns:
        What came out, in words.

    Raises:
        UserError: data or settings cannot be used.
    """
    from sparsenode.data.contract import read_trajectories
    from sparsenode.evaluation.edges import graph_edges, run_test, write_edges
    from sparsenode.inference import EdgeSettings
    from sparsenode.typed import read_settings

    adata = read_trajectories(dataset)
    test = run_test(adata, read_settings(EdgeSettings, settings or {}, "edges"), threads=threads)
    write_edges(test.table, output)
    if graph is not None:
        graph_edges(test, list(adata.var_names), graph)
    return test.summary()


def describe_model(model: Path, *, strength: float | None = None) -> str:
    """Say in words what a model file holds: where it comes from, its settings, and each member's state."""
    from sparsenode.pipeline.configuration import canonical_json

    ensemble = _load(model, strength)
    sparsity = ensemble.weight_sparsity()
    settings = ensemble.settings
    lines = [
        f"{model}: {len(ensemble.members)} members, {len(ensemble.features)} features",
        f"dataset {settings['dataset']}, model {settings['model']}, method {settings['method']}",
        f"model settings:  {canonical_json(settings['model_settings'])}",
        f"method settings: {canonical_json(settings['method_settings'])}",
        *(f"{key}: {value}" for key, value in sorted(ensemble.metadata.items())),
        "",
        f"{'strength':>10} {'seed':>5} {'status':>9} {'iterations':>10} {'sparsity of weights':>20}  reason",
    ]
    for index, member in enumerate(ensemble.members):
        lines.append(
            f"{member.strength:>10g} {member.seed:>5} {member.status:>9} {member.iterations:>10} "
            f"{sparsity[index]:>20.3f}  {member.reason}".rstrip()
        )
    return "\n".join(lines)


def read_initial_states(
    path: Path, features: Sequence[str], *, layer: str | None = None
) -> tuple[pd.DataFrame, list[np.ndarray] | None]:
    """Read initial states (trajectory x feature) and, from a dataset's h5ad file, the times of each trajectory.

    The first time of a trajectory is that of the observation that a forecast starts from.
    """
    if path.suffix != ".h5ad":
        return read_states(path, features, layer=layer), None
    from sparsenode.data.contract import has_metadata, read_metadata, read_trajectories, subtracted_center

    adata = _read_h5ad(path)
    if not has_metadata(adata):
        return _states_of(adata, path, features, layer), None
    _refuse_layer(layer, path, "a dataset whose initial states are in modeling units,")
    adata = read_trajectories(path)
    states = read_metadata(adata).initial_states + subtracted_center(adata)
    passed = read_metadata(adata).known_observations - 1
    times = [np.unique(adata.obs["time"].to_numpy()[adata.obs["trajectory"] == name][passed:]) for name in states.index]
    return _in_order(states, features, path), times


def read_conditions(path: Path, ensemble: Ensemble, states: pd.DataFrame) -> Conditions:
    """Slopes, groups and levels of initial states, for models that take them.

    Args:
        path: a dataset's h5ad file, which tells the observations up to each initial state, or any other file of states.
        ensemble: the model.
        states: the initial states (trajectory, feature) of the file.

    Raises:
        UserError: the model takes slopes, and `path` is no dataset's h5ad file that has the observations.
    """
    from sparsenode.data.contract import has_metadata, read_metadata, read_trajectories
    from sparsenode.data.observations import read_observations
    from sparsenode.ensemble.conditions import Conditions, prepare_conditions

    slopes = ensemble.model_settings.takes_slopes
    if not slopes and not ensemble.groups:
        return Conditions()
    if path.suffix != ".h5ad" or not has_metadata(_read_h5ad(path)):
        if slopes:
            count = ensemble.model_settings.velocity_observations
            raise UserError(
                f"{path}: this model starts from the slopes of the last {count} observations, which states do "
                "not tell; give a dataset's h5ad file, or call Ensemble.forecast with slopes or initial_velocities"
            )
        logger.info("%s tells no groups: each forecast begins at the learned start nearest to its state", path)
        return Conditions()
    adata = read_trajectories(path)
    data, known_count = read_observations(adata, networks=False), read_metadata(adata).known_observations
    codes = [data.trajectory_names.index(str(name)) for name in states.index]
    starts = np.array([data.rows_of(code)[known_count - 1] for code in codes])
    positions = [data.features.index(feature) for feature in ensemble.features]
    return prepare_conditions(ensemble, replace(data, values=data.values[:, positions]), starts, known_count)


def read_states(path: Path, features: Sequence[str], *, layer: str | None = None) -> pd.DataFrame:
    """Read states (name x feature), the features in the order given, from a CSV, TSV or h5ad file.

    A text table has a column of names and then one for each feature, separated by commas, semicolons or tabs.

    Args:
        path: the file.
        features: names of the features to read.
        layer: layer of an h5ad file that holds the states; `X` where it is None.

    Raises:
        UserError: the file cannot be read, lacks a feature, has a feature or a name twice, or holds what is not a
            finite number.
    """
    if path.suffix == ".h5ad":
        return _states_of(_read_h5ad(path), path, features, layer)
    from sparsenode.data.readers.tables import finite_numbers, named_rows, read_written_table

    _refuse_layer(layer, path, "a text table,")
    feature_names = set(features)

    def names_rows(columns: Sequence[str], decimal_commas: bool) -> bool:
        return columns[0] in feature_names or (not decimal_commas and not feature_names.isdisjoint(columns))

    table = read_written_table(path, names_rows=names_rows)
    if table.columns[0] in feature_names:
        message = (
            f"{path}: the first column is to name the states, and is called {table.columns[0]!r}, like a feature; put "
            "a column of names before it"
        )
        raise UserError(message)
    check_columns(table.columns[1:], features, str(path))
    position_of = {name: position for position, name in enumerate(table.columns)}
    positions = [position_of[feature] for feature in features]
    values = {
        name: np.array(finite_numbers(table, line, positions, fields))
        for line, name, fields in named_rows(table, "state")
    }
    return _in_order(pd.DataFrame(np.array(list(values.values())), list(values), list(features)), features, path)


def _read_h5ad(path: Path) -> AnnData:
    from sparsenode.data.contract import read_h5ad

    return read_h5ad(path)


def _states_of(adata: AnnData, path: Path, features: Sequence[str], layer: str | None) -> pd.DataFrame:
    from sparsenode.data.contract import has_metadata, read_metadata, subtracted_center

    if layer is not None and layer not in adata.layers:
        message = f"{path} has no layer {layer!r}; there are: {', '.join(adata.layers) or 'none'}"
        raise UserError(message)
    if layer is None and adata.X is None:
        message = f"{path} has no X; name a layer by --layer; there are: {', '.join(adata.layers) or 'none'}"
        raise UserError(message)
    table = adata.to_df(layer=layer)
    if layer is None and has_metadata(adata) and read_metadata(adata).center is not None:
        table = table.astype(np.float64) + subtracted_center(adata)
    return _in_order(table, features, path)


def _refuse_layer(layer: str | None, path: Path, what: str) -> None:
    if layer is not None:
        message = f"--layer: found {layer!r}, with {path}, {what} which has no layers to choose from; leave it out"
        raise UserError(message)


def _in_order(table: pd.DataFrame, features: Sequence[str], path: Path) -> pd.DataFrame:
    """Columns of a table in the order of the features, once all are there and finite numbers."""
    check_columns([str(name) for name in table.columns], features, str(path))
    table = table.loc[:, list(features)]
    if not len(table):
        message = f"{path} has no rows; each row is a state"
        raise UserError(message)
    if not table.index.is_unique:
        repeated = table.index[table.index.duplicated()][0]
        message = f"{path}: the name {repeated!r} is there more than once; give each state a name of its own"
        raise UserError(message)
    if refused := [str(name) for name, dtype in table.dtypes.items() if dtype.kind in "mMc"]:
        message = f"{path}: the feature {refused[0]!r} holds {table.dtypes[refused[0]]}, and no real numbers"
        raise UserError(message)
    numbers = table.apply(pd.to_numeric, errors="coerce")
    with np.errstate(over="ignore"):  # models compute in single precision
        wrong = np.argwhere(~np.isfinite(numbers.to_numpy(np.float32, na_value=np.nan)))
    if len(wrong):
        row, column = wrong[0]
        location = f"row {table.index[row]!r}, column {table.columns[column]!r}"
        value = table.iat[row, column]
        first = repr(value) if isinstance(value, str | bytes) else str(value)
        message = f"{path}: {len(wrong)} values are no finite numbers, the first {first} at {location}"
        raise UserError(message)
    return numbers


def _load(model: Path, strength: float | None) -> Ensemble:
    """Read a model file; only the members of a strength where one is given."""
    from sparsenode.ensemble.members import load_ensemble
    from sparsenode.training.divergence import count_lost

    ensemble = load_ensemble(model)
    if strength is not None:
        chosen = [row for row, member in enumerate(ensemble.members) if member.strength == strength]
        if not chosen:
            allowed = ", ".join(f"{trained:g}" for trained in sorted({member.strength for member in ensemble.members}))
            message = f"--strength: found {strength:g}; allowed: {allowed}"
            raise UserError(message)
        ensemble = ensemble.select(chosen)
    if lost := count_lost(ensemble.members):
        logger.warning("%s: members were lost in training (%s); use those whose status is finished", model, lost)
    return ensemble


def _check_times(
    times: Sequence[float] | None, own_times: list[np.ndarray] | None, count: int, path: Path
) -> list[np.ndarray]:
    if times is None:
        if own_times is None:
            message = f"--times: missing; {path} has no times of its own, give the times to forecast, such as 0 0.5 1"
            raise UserError(message)
        return own_times
    forecast_times = np.asarray(times, np.float64)
    if len(forecast_times) < 2 or not np.isfinite(forecast_times).all() or (np.diff(forecast_times) <= 0).any():
        listed_times = " ".join(f"{time:.15g}" for time in forecast_times)
        message = f"--times: found {listed_times}; allowed: two or more finite numbers that increase"
        raise UserError(message)
    return [forecast_times] * count


def _batches(sizes: Sequence[int], each: int) -> Iterator[slice]:
    """Parts of rows of so many lines times `each` that make a table of about `LINES_AT_ONCE` lines."""
    first, lines = 0, 0
    for number, size in enumerate(sizes):
        if number > first and lines + size * each > LINES_AT_ONCE:
            yield slice(first, number)
            first, lines = number, 0
        lines += size * each
    if first < len(sizes):
        yield slice(first, len(sizes))


def _warn_of_steps(steps: np.ndarray) -> None:
    """Say that forecasts will take long, which nothing else shows while they run."""
    most = int(steps.max(initial=0))
    if most > MANY_STEPS:
        logger.warning(
            "the longest forecast takes %s steps of the solver, one after another: minutes or more", f"{most:,}"
        )


class _Lost:
    """Counts forecasts that leave the range of numbers."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self.count = self.all = 0
        self.first = ""

    def look(self, names: np.ndarray, forecasts: Sequence[np.ndarray]) -> None:
        """Look at the forecasts (member, time, feature) of some states, by their names."""
        for name, forecast in zip(names, forecasts, strict=True):
            self.all += len(forecast)
            broken = np.flatnonzero(~np.isfinite(forecast).all(axis=(1, 2)))
            self.count += len(broken)
            if len(broken) and not self.first:
                member = self.ensemble.members[broken[0]]
                self.first = f"{name}, strength {member.strength:g}, seed {member.seed} ({member.status})"

    def warn(self) -> None:
        """Say so, if there were any."""
        if self.count:
            logger.warning(
                "%d of %d forecasts leave the range of numbers and hold values that are not finite, the first: %s; ask "
                "for earlier times, or take other members (--strength)",
                self.count,
                self.all,
                self.first,
            )


def _tidy_forecasts(
    ensemble: Ensemble, names: np.ndarray, times: Sequence[np.ndarray], forecasts: Sequence[np.ndarray]
) -> pd.DataFrame:
    """One line per value of forecasts (member, time, feature), of one state after another."""
    members, features = ensemble.members, np.array(ensemble.features, object)
    lines = np.array([len(row) for row in times]) * len(features)  # of one member of each state
    of_member = np.repeat(lines, len(members))

    def by_member(values: Sequence[Any], kind: Any) -> np.ndarray:
        return np.repeat(np.tile(np.array(values, kind), len(names)), of_member)

    return pd.DataFrame(
        {
            "trajectory": np.repeat(names, lines * len(members)),
            "time": np.concatenate([np.tile(np.repeat(row, len(features)), len(members)) for row in times]),
            "strength": by_member([member.strength for member in members], np.float64),
            "seed": by_member([member.seed for member in members], np.int64),
            "status": by_member([member.status for member in members], object),
            "feature": np.tile(features, int(lines.sum()) * len(members) // len(features)),
            "predicted": np.concatenate([forecast.ravel() for forecast in forecasts]),
        }
    )


def _tidy(ensemble: Ensemble, values: np.ndarray, rows: dict[str, str | np.ndarray], *, value: str) -> pd.DataFrame:
    """One line per value of an array (member, row, feature); `rows` gives columns that hold for each row or for all."""
    features = len(ensemble.features)
    repeated = {
        name: column if isinstance(column, str) else np.repeat(column, features) for name, column in rows.items()
    }
    # Objects, of which there is one for each name: arrays of text take the width of the longest name for each line.
    names = np.array(ensemble.features, object)
    tables = [
        pd.DataFrame(
            {
                **repeated,
                "strength": member.strength,
                "seed": member.seed,
                "status": member.status,
                "feature": np.tile(names, len(below) // features),
                value: below,
            }
        )
        for member, below in zip(ensemble.members, values.reshape(len(values), -1), strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _write_tables(tables: Iterator[pd.DataFrame], output: Path) -> None:
    """Write tables below each other, each as it comes: none of them is kept."""
    import pyarrow as pa
    from pyarrow import parquet

    with write_atomically(output) as path:
        if output.suffix != ".parquet":
            with path.open("w", encoding="utf-8", newline="") as stream:
                for number, table in enumerate(tables):
                    table.to_csv(stream, index=False, header=number == 0)
            return
        writer = None
        try:
            for table in tables:
                rows = pa.Table.from_pandas(table, preserve_index=False)
                writer = writer or parquet.ParquetWriter(path, rows.schema)
                writer.write_table(rows)
        finally:
            if writer is not None:
                writer.close()
