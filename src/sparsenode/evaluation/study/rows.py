"""The long table of one dataset, from the results of a run: errors by level of distance, and structure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.data.distances import CHANGED, HELD, INTERPOLATION, LEVELS
from sparsenode.errors import UserError
from sparsenode.evaluation.metrics.errors import LARGEST_ERROR
from sparsenode.evaluation.study.tables import (
    COLUMNS,
    ERROR,
    NO_DISTANCE,
    RAN_AWAY,
    TRUTH,
    VALIDATION,
    each_row,
    join_long,
    write_long,
)
from sparsenode.labels import ALL, BASELINE, ORACLE, PEER, TESTED

if TYPE_CHECKING:
    import pandas as pd

    from sparsenode.data.observations import Observations

UNCHANGED = f"{ORACLE}unchanged_system"
"""Method of the error of the true system without the change of level 4."""
_STRUCTURE = {
    # metric: the entry of the tables, its estimator and reference, and whether it is one less it.
    "auroc": ("auroc", "jacobian", "", False),
    "auprc": ("auprc", "jacobian", "", False),
    "spurious": ("spurious_feature_sparsity", "paths", "truth", True),
    "sign_errors": ("sign_accuracy", "paths", "", True),
}
"""Structure: rankings by the mean absolute Jacobian, which all architectures have; `spurious`, the share of the absent
pairs that are connected; `sign_errors`, the share of wrong signs among the true edges found."""
_OF_TEST = ("false_discovery_rate", "recall")
_LARGER_IS_BETTER = {"auroc", "auprc"}
_OF_SYSTEM = {"parameter_factors", "hidden", "missing", "process_noise"}
"""Options that all simulated sources share and that make another network, or another observation than is compared."""
_OF_OBSERVATION = {"horizon", "observations", "points_per_period", "periods", "lyapunov_times", "irregular"}
"""Options that say how a system is observed, beside those that all simulated sources share."""


def tabulate_study(data: Path, metrics: Path, output: Path, interventions: Path | None = None) -> None:
    """Write the long table of one dataset.

    Args:
        data: file of its trajectories.
        metrics: its metrics.
        output: where the table is written.
        interventions: its forecasts with held variables, None where it has none.

    Raises:
        UserError: a file cannot be read, or the dataset has no test sets at levels of distance.
    """
    from sparsenode.data.contract import read_trajectories
    from sparsenode.data.observations import read_observations
    from sparsenode.files import read_table

    observations = read_observations(read_trajectories(data), networks=False)
    held = None if interventions is None else read_table(interventions, needed=("metric", "value"))
    write_long(long_rows(observations, read_table(metrics, needed=("metric", "value")), held), output)


def long_rows(data: Observations, metrics: pd.DataFrame, held: pd.DataFrame | None = None) -> pd.DataFrame:
    """The long table of one dataset.

    Args:
        data: its observations.
        metrics: its tidy table of metrics.
        held: that of interventions.

    Raises:
        UserError: it has no test sets at levels of distance.
    """
    import pandas as pd

    errors = _errors(metrics, _fitted_trajectories(data))
    if errors.empty:
        message = f"dataset {data.name} has no test sets at levels of distance; set its option `distances`"
        raise UserError(message)
    diverged = _diverged(metrics)
    places = errors[["distance", "phase"]].drop_duplicates()
    values = pd.concat([errors, _errors_of_diverged(diverged, places), _structure(metrics)])
    chosen = metrics[(metrics["metric"] == "chosen_strength") & (metrics["status"] == "finished")]
    strengths = {(row.model, row.method): row.value for row in each_row(chosen)}
    tables = [_at_choice(values, strengths), _at_best(values), _references(values), _tested(metrics), _unchanged(data)]
    if held is not None:
        tables.append(_held(held))
        at_choice = _at_choice(_errors_of_diverged(diverged, tables[-1][["distance", "phase"]].head(1)), strengths)
        tables.append(at_choice)
    rows = pd.concat(tables, ignore_index=True)
    for column, value in describe_dataset(data.settings).items():
        rows[column] = value
    rows["dataset"] = data.name
    return join_long([rows[list(COLUMNS)]])


def describe_dataset(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Kind, network and conditions of a dataset, from the settings that it was made with.

    The network is told by the seed and by the options of the system that are not at their defaults.
    """
    from sparsenode.data.simulated.source import SimulatedSource
    from sparsenode.data.sources import make_source

    source = make_source(settings["source"], settings["options"])
    if not isinstance(source, SimulatedSource):
        message = f"the study takes simulated data, not those of the data source {source.name}"
        raise UserError(message)
    if getattr(source, "irregular", False):
        message = (
            f"the study takes regular times of which a share is kept, not `irregular` ones of the data source "
            f"{source.name}; leave `irregular` out and set `share_kept`"
        )
        raise UserError(message)
    shared = set(SimulatedSource.model_fields) - _OF_SYSTEM | _OF_OBSERVATION
    defaults = {name: field.default for name, field in type(source).model_fields.items()}
    system = {
        name: getattr(source, name)
        for name in type(source).model_fields
        if name not in shared and getattr(source, name) != defaults[name]
    }
    return {
        "kind": source.name,
        "network": " ".join(f"{name}={value}" for name, value in {**system, "seed": source.seed}.items()),
        "noise": source.noise,
        "share_kept": source.share_kept,
        "trajectories": source.training_trajectories,
    }


_KEYS_OF_METRICS = ["model", "method", "seed", "strength", "phase", "metric"]
_KEYS = [*_KEYS_OF_METRICS, "distance"]


def _errors(metrics: pd.DataFrame, training: Collection[int]) -> pd.DataFrame:
    """Errors of forecasts from the start of trajectories, by level of distance: `_KEYS` and the value.

    Those of held-out times are the mean over the trajectories that models were fitted to: validation by trajectory
    takes the other ones for the choice of the strength.
    """
    import pandas as pd

    rows = metrics[
        metrics["metric"].isin([ERROR, RAN_AWAY])
        & (metrics["horizon"] == "trajectory")
        & (metrics["status"] == "finished")
    ]
    is_held_out = (rows["split"] == "test") & (rows["phase"] == INTERPOLATION)
    single = rows[is_held_out & (rows["trajectory"] != ALL)]
    single = single[single["trajectory"].map(lambda name: _number_of(name) in training).astype(bool)]
    keys = [*_KEYS_OF_METRICS, "split"]
    fitted = single.astype(dict.fromkeys(keys[:2], str)).groupby(keys, dropna=False, observed=True)["value"].mean()
    rows = pd.concat([rows[~is_held_out & (rows["trajectory"] == ALL)], fitted.reset_index()])
    levels = [LEVELS.get(pair, NO_DISTANCE) for pair in zip(rows["split"], rows["phase"], strict=True)]
    rows = rows.assign(distance=levels)
    return rows.loc[rows["distance"] != NO_DISTANCE, [*_KEYS, "value"]]


def _diverged(metrics: pd.DataFrame) -> pd.DataFrame:
    """Members whose training broke down: model, method, strength and seed."""
    lost = metrics[(metrics["metric"] == "iterations") & (metrics["status"] == "diverged")]
    return lost[["model", "method", "strength", "seed"]]


def _errors_of_diverged(diverged: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """Members without a forecast err by the bound in all `places`, by level and phase, and all of it ran away."""
    import pandas as pd

    rows = diverged.merge(places, how="cross")
    return pd.concat([rows.assign(metric=ERROR, value=LARGEST_ERROR), rows.assign(metric=RAN_AWAY, value=1.0)])


def _number_of(trajectory: str) -> int:
    """The number at the end of a trajectory's name, which is padded to a length of its own in each set."""
    return int(trajectory.rpartition("_")[2])


def _fitted_trajectories(data: Observations) -> set[int]:
    """Numbers of the trajectories that models are fitted to."""
    rows = np.unique(data.trajectory[data.split == "train"])
    return {_number_of(str(data.trajectory_names[row])) for row in rows}


def _structure(metrics: pd.DataFrame) -> pd.DataFrame:
    """Structure of single members, and of peers by their own scores."""
    import pandas as pd

    rows = metrics[(metrics["status"] == "finished") & (metrics["trajectory"] == ALL)]
    tables = []
    for name, (metric, estimator, reference, is_complement) in _STRUCTURE.items():
        is_peer = rows["method"].str.startswith(PEER) & (rows["estimator"] == "peer")
        taken = rows[
            (rows["metric"] == metric)
            & (rows["reference"] == reference)
            & ((rows["estimator"] == estimator) & (rows["seed"] >= 0) | is_peer)
        ]
        value = 1.0 - taken["value"] if is_complement else taken["value"]
        tables.append(taken.assign(metric=name, value=value, distance=NO_DISTANCE, phase=""))
    return pd.concat(tables)[[*_KEYS, "value"]]


def _is_member(values: pd.DataFrame) -> pd.Series:
    return ~values["method"].str.startswith((BASELINE, ORACLE, PEER))


def _at_choice(values: pd.DataFrame, strengths: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    """What members reach at the strength chosen on validation."""
    members = values[_is_member(values)]
    chosen = [strengths.get(pair, np.nan) for pair in zip(members["model"], members["method"], strict=True)]
    return members[members["strength"] == chosen].assign(choice=VALIDATION)


def _at_best(values: pd.DataFrame) -> pd.DataFrame:
    """What members reach at the strength that is best by the truth, for each quantity by itself.

    Among the strengths of which most seeds have it (the structure of what diverged is none): the least geometric mean
    of errors, the best mean of all else. How many forecasts ran away is told of the strength of the least error.
    """
    import pandas as pd

    members = values[_is_member(values)]
    quantity = ["model", "method", "distance", "phase", "metric"]
    tables = []
    best: dict[tuple[Any, ...], float] = {}
    for key, rows in members.groupby(quantity, sort=True):
        metric = key[-1]
        if metric == RAN_AWAY:
            continue
        by_strength = rows.assign(value=np.log(rows["value"]) if metric == ERROR else rows["value"]).groupby("strength")
        means = by_strength["value"].agg(["mean", "size"])
        means = means.loc[means["size"] == means["size"].max(), "mean"]
        best[key[:-1]] = strength = float(means.idxmax() if metric in _LARGER_IS_BETTER else means.idxmin())
        tables.append(rows[rows["strength"] == strength])
    for key, rows in members[members["metric"] == RAN_AWAY].groupby(quantity[:-1], sort=True):
        tables.append(rows[rows["strength"] == best[key]])
    return pd.concat(tables).assign(choice=TRUTH)


def _references(values: pd.DataFrame) -> pd.DataFrame:
    """Trivial forecasts and peers, which have no strength."""
    rows = values[~_is_member(values)]
    return rows[rows["method"].str.startswith((BASELINE, PEER))].assign(choice="")


def _tested(metrics: pd.DataFrame) -> pd.DataFrame:
    """What the test of edges has selected, beside the truth, where the dataset has one; it has no strength."""
    rows = metrics[(metrics["method"] == TESTED) & metrics["metric"].isin(_OF_TEST) & (metrics["status"] == "finished")]
    return rows.assign(choice="", distance=NO_DISTANCE, phase="")[[*_KEYS, "choice", "value"]]


def _held(held: pd.DataFrame) -> pd.DataFrame:
    """Errors of forecasts with a held variable within the trained interval, the mean over the variables held.

    An error that is not finite, or above the bound, counts as the bound.
    """
    import pandas as pd

    rows = held[(held["metric"] == "intervention_mse") & (held["trajectory"] != ALL) & (held["phase"] == "fit")]
    rows = rows[rows["method"].ne("") & (rows["status"] != "undefined")]
    is_within = rows["value"] < LARGEST_ERROR
    cut = {ERROR: np.where(is_within, rows["value"], LARGEST_ERROR), RAN_AWAY: np.where(is_within, 0.0, 1.0)}
    keys = ["model", "method", "seed", "strength"]
    tables = [
        rows.assign(value=value).groupby(keys, dropna=False)["value"].mean().reset_index().assign(metric=metric)
        for metric, value in cut.items()
    ]
    table = pd.concat(tables).assign(distance=LEVELS["test", HELD], phase=HELD)
    choice = np.where(table["method"].str.startswith(BASELINE), "", VALIDATION)
    return table.assign(choice=choice)


def _unchanged(data: Observations) -> pd.DataFrame:
    """Error of the true system without the change, from the same exact starts: how much of an error it explains."""
    import pandas as pd

    assert data.noise_free is not None  # noqa: S101 there are errors beside the exact values
    within = (data.split == "test") & (data.phase == "fit")
    rows = []
    for phase in CHANGED:
        changed = (data.split == "test") & (data.phase == phase)
        # Level 4 starts as the test trajectories do, in their order and at their times.
        errors = np.square(data.noise_free[changed] - data.noise_free[within]).mean(axis=1)
        sizes = np.unique(data.trajectory[changed], return_inverse=True)[1]
        means = np.bincount(sizes, np.minimum(errors, LARGEST_ERROR)) / np.bincount(sizes)
        share = np.bincount(sizes, errors >= LARGEST_ERROR) / np.bincount(sizes)
        for metric, value in ((ERROR, means.mean()), (RAN_AWAY, share.mean())):
            rows.append((phase, metric, value))
    table = pd.DataFrame(rows, columns=["phase", "metric", "value"])
    level = LEVELS["test", next(iter(CHANGED))]
    return table.assign(model="", method=UNCHANGED, seed=-1, choice="", distance=level)
