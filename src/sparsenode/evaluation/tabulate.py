"""Rows of the tables of metrics and forecasts, from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.observations import Observations
from sparsenode.evaluation.degrees import calibrate
from sparsenode.evaluation.forecast import Errors
from sparsenode.evaluation.metrics import COMPARISONS, registered_metrics
from sparsenode.evaluation.metrics.errors import error_units
from sparsenode.evaluation.metrics.rankings import ENDS, PRIOR_METRICS
from sparsenode.evaluation.networks import (
    EdgeCounts,
    count_all_edges,
    group_table,
    network_table,
    pick_members,
    pool_paths,
    ranking_table,
    stability_table,
    target_shares,
)
from sparsenode.evaluation.paired import paired_rows
from sparsenode.evaluation.plans import add_means, is_summary, sum_by_subject
from sparsenode.evaluation.protocols import Protocol
from sparsenode.evaluation.scoring import model_scoring
from sparsenode.evaluation.sparsity import (
    THRESHOLD,
)
from sparsenode.evaluation.structure import (
    RANKING_METRICS,
    Pooled,
    pool_members,
    pooled_interval,
    rank_pairs,
    score_pairs,
    select_pairs,
    source_numbers,
)
from sparsenode.evaluation.tables import ALL, NO_SEED, cross_table, join_tables, make_table
from sparsenode.evaluation.truth import Truth
from sparsenode.labels import BASELINE, ORACLE, PRIOR

if TYPE_CHECKING:
    from sparsenode.evaluation.measure import Measurement, NetworkMeasurement

FREQUENCY_THRESHOLD = 0.5
"""An edge counts as predicted when at least half of the members selected it."""
COLUMNS = ["trajectory", "split", "phase", "horizon"]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Rows of one ensemble.

    Attributes:
        metrics: tables of metrics.
        forecasts: tables of forecasts.
        rankings: pooled scores beside the truth, where there is one.
        network: edges at the chosen strength.
        edges: their numbers before the list is cut.
        groups: influences of regulators in each group.
        stability: how often each pair is selected at each strength.
    """

    metrics: Sequence[pd.DataFrame]
    forecasts: Sequence[pd.DataFrame]
    rankings: Sequence[pd.DataFrame]
    network: pd.DataFrame
    edges: EdgeCounts
    groups: pd.DataFrame
    stability: pd.DataFrame


def tabulate(
    measurement: Measurement,
    choice: Mapping[str, Any],
    networks: NetworkMeasurement,
    data: Observations,
    truth: Truth,
    *,
    references: Mapping[str, np.ndarray],
    repeats: int | None = None,
) -> Tables:
    """Rows of one ensemble from what was measured and what was chosen.

    Args:
        measurement: what was measured before the choice.
        choice: the choice of a strength.
        networks: what was measured of the networks after it.
        data: the observations.
        truth: what is known of the network.
        references: squared errors (entry,) of the trivial forecasts, by method.
        repeats: bootstrap samples of the comparison with them.
    """
    label, keys, paths = measurement.label, measurement.keys, measurement.paths
    finished, chosen = measurement.finished, networks.members
    at_choice = {**label, "strength": choice["chosen"]}
    chosen_keys = measurement.members.loc[chosen, ["strength", "seed"]]
    scores = {"paths": pick_members(paths, chosen), "jacobian": networks.absolute_jacobian}
    metrics = [training_rows(measurement)]
    for protocol, errors in zip(measurement.protocols, measurement.errors, strict=True):
        metrics.extend(error_rows(errors.pick(finished), keys, data, protocol, label))
    metrics.append(selection_row(choice, label))
    metrics.extend(sparsity_rows(measurement))
    if len(chosen) and truth.priors:
        metrics.extend(prior_rows(scores, chosen_keys, truth, label))
    if networks.entry_errors is not None:
        plan = measurement.protocols[0].plan
        metrics.extend(paired_rows(*networks.entry_errors, references, plan, at_choice, repeats=repeats or 0))
    rankings = []
    if truth.edges is not None:
        every = {"paths": pick_members(paths, finished), "jacobian": networks.absolute}
        metrics.extend(model_scoring(every, keys, truth.scoring, truth.deviations, label))
        metrics.extend(structure_rows(every, networks.signed, keys, truth, label, _mostly_usable(choice)))
        if len(chosen):
            metrics.extend(interval_rows(scores, truth, at_choice))
            pooled = pool_members(scores, networks.jacobian, truth.deviations)
            compared = {name: (estimate.scores, estimate.presence) for name, estimate in pooled.items()}
            metrics.extend(degree_rows(compared, truth, at_choice))
            signed = {name: (estimate.scores, estimate.signs) for name, estimate in pooled.items()}
            named = {"model": label["model"], "method": label["method"]}
            rankings.append(ranking_table(signed, data.features, (truth.edges, truth.known), **named))
    known_edges = None if truth.edges is None else (truth.edges, truth.known)
    pooled_paths = pool_paths(scores["paths"])
    return Tables(
        metrics=metrics,
        forecasts=[
            forecast_rows(errors.kept[chosen], chosen_keys, data, protocol, label)
            for protocol, errors in zip(measurement.protocols, measurement.errors, strict=True)
        ],
        rankings=rankings,
        network=network_table(
            scores["paths"], networks.jacobian, data.features, known_edges, truth.deviations, pooled_paths
        ),
        edges=count_all_edges(pooled_paths),
        groups=group_table(networks.influences, data.features, truth.regulators),
        stability=stability_table(
            pick_members(paths, finished), keys["strength"].to_numpy(), data.features, truth.pair_groups
        ),
    )


def _mostly_usable(selection: Mapping[str, Any]) -> list[float]:
    """Strengths of which at least half of the members are usable, dense ones too, whatever was chosen."""
    return [
        entry["strength"]
        for entry in selection["candidates"]
        if entry["usable"] and 2 * entry["usable"] >= entry["members"]
    ]


def training_rows(measurement: Measurement) -> pd.DataFrame:
    """What training took and where it broke down: `seconds` and `iterations`, and one empty `mse` if diverged."""
    members, label = measurement.trained, measurement.label
    keys: dict[str, list[Any]] = {
        "strength": [member.strength for member in members],
        "seed": [member.seed for member in members],
    }
    outcome: dict[str, list[Any]] = {
        "status": [member.status for member in members],
        "reason": [member.reason for member in members],
    }
    tables = [
        make_table(
            **label, **keys, **outcome, metric="seconds", unit="s", value=[member.seconds for member in members]
        ),
        make_table(**label, **keys, **outcome, metric="iterations", value=[member.iterations for member in members]),
    ]
    if memory := measurement.memory_bytes:
        peak = {
            **keys,
            **outcome,
            "metric": "memory_bytes",
            "unit": "bytes of the job",
            "value": [memory] * len(members),
        }
        tables.append(make_table(**label, **peak))
    lost = [number for number, member in enumerate(members) if member.status != "finished"]
    if lost:
        picked = {name: [column[number] for number in lost] for name, column in {**keys, **outcome}.items()}
        tables.append(make_table(**label, **picked, metric="mse", value=np.full(len(lost), np.nan)))
    return join_tables(tables)


def error_rows(
    errors: Errors, keys: pd.DataFrame, data: Observations, protocol: Protocol, label: Mapping[str, str]
) -> list[pd.DataFrame]:
    """Errors, and what they are worth beside the trivial forecasts and oracles, by member and group.

    Args:
        errors: errors of the members.
        keys: strength and seed of each member.
        data: the observations.
        protocol: the plan of the forecasts, with the errors of the trivial ones.
        label: constant columns of the rows.
    """
    tables = mean_rows(errors, keys, data, protocol, label)
    groups = protocol.plan.groups
    named, mse = add_means(groups, errors.mse)
    mask = is_summary(named)
    columns = named.loc[mask, COLUMNS]
    trivial, oracles = (
        {name: add_means(groups, forecast.mse)[1] for name, forecast in forecasts.items()}
        for forecasts in (protocol.baselines, protocol.oracles)
    )
    for name, metric in registered_metrics(COMPARISONS).items():
        last = metric.parameters[-1]
        if last == "trivial":
            references = {f"{BASELINE}{baseline}": {last: error} for baseline, error in trivial.items()}
        else:
            references = {f"{ORACLE}{last}": oracles} if oracles else {}
        for reference, reference_errors in references.items():
            values = metric.measure(mse=mse, **reference_errors)[:, mask]
            tables.append(cross_table(keys, columns, values, metric=name, reference=reference, **label))
    return tables


def mean_rows(
    errors: Errors, keys: pd.DataFrame, data: Observations, protocol: Protocol, label: Mapping[str, str]
) -> list[pd.DataFrame]:
    """Errors by trajectory, their means, and for `mse` of courses in time the sum over each subject's trajectories."""
    groups = protocol.plan.groups
    units = error_units(data)
    tables = []
    for metric, values in errors.means.items():
        named, extended = add_means(groups, values)
        mask = is_summary(named)
        constants = {"metric": metric, "unit": units[metric], **label}
        tables.append(cross_table(keys, named.loc[mask, COLUMNS], extended[:, mask], **constants))
        if metric == "mse" and protocol.oracles:
            subjects, sums = sum_by_subject(groups, values)
            tables.append(cross_table(keys, subjects, sums, **{**constants, "metric": "mse_sum"}))
    return tables


def baseline_rows(data: Observations, protocol: Protocol, *, dataset: str, model: str) -> list[pd.DataFrame]:
    """Errors of baselines and oracles; those of windows are under the model they belong to."""
    keys = pd.DataFrame({"strength": [np.nan], "seed": [-1]})
    named = {f"{BASELINE}{name}": errors for name, errors in protocol.baselines.items()}
    named |= {f"{ORACLE}{name}": errors for name, errors in protocol.oracles.items()}
    return [
        table
        for method, errors in named.items()
        for table in mean_rows(errors, keys, data, protocol, {"dataset": dataset, "model": model, "method": method})
    ]


def baseline_forecasts(data: Observations, protocol: Protocol, *, dataset: str, model: str) -> list[pd.DataFrame]:
    """Kept forecasts of baselines; those of windows are under the model they belong to."""
    keys = pd.DataFrame({"strength": [np.nan], "seed": [-1]})
    return [
        forecast_rows(
            errors.kept, keys, data, protocol, {"dataset": dataset, "model": model, "method": f"{BASELINE}{name}"}
        )
        for name, errors in protocol.baselines.items()
    ]


def selection_row(selection: Mapping[str, Any], label: Mapping[str, str]) -> pd.DataFrame:
    """The chosen strength, or that there is none."""
    chosen = selection["chosen"]
    outcome = (
        {}
        if chosen is not None
        else {"status": "undefined", "reason": registered_metrics()["chosen_strength"].undefined}
    )
    return make_table(
        **label,
        strength=np.nan if chosen is None else chosen,
        metric="chosen_strength",
        value=np.nan if chosen is None else chosen,
        split="validation",
        phase="fit",
        horizon=selection["protocol"],
        **outcome,
    )


def sparsity_rows(measurement: Measurement) -> list[pd.DataFrame]:
    """Sparsities of the finished members, and of the same networks before training (status "untrained")."""
    return [
        mark_undefined(
            make_table(
                **measurement.label,
                strength=sparsity.keys["strength"].to_numpy(),
                seed=sparsity.keys["seed"].to_numpy(),
                trajectory=ALL,
                value=sparsity.values,
                **sparsity.columns,
            )
        )
        for sparsity in measurement.sparsities
    ]


def structure_rows(
    scores: Mapping[str, np.ndarray],
    jacobian: np.ndarray,
    keys: pd.DataFrame,
    truth: Truth,
    label: Mapping[str, str],
    strengths: Sequence[float] = (),
) -> list[pd.DataFrame]:
    """Structure metrics of each member by each estimator, and of every strength pooled over its members (seed -1).

    What is ranked is the share of what each target gets (`networks.target_shares`), of single members as of all; which
    pairs are predicted depends on the scores themselves. The rankings by the mean `frequency` over `strengths`, where
    there are several, are the estimator `frequency_path`: it takes neither a truth nor a choice.

    Args:
        scores: scores (member, source, target) by estimator.
        jacobian: mean signed Jacobian (member, source, target).
        keys: strength and seed of each member.
        truth: the true network.
        label: constant columns of the rows.
        strengths: strengths of the stability path.
    """
    assert truth.edges is not None  # noqa: S101 the caller asks for structure only where there is a truth
    tables = []
    for estimator, matrices in scores.items():
        shares = (target_shares(matrix, truth.deviations) for matrix in matrices)
        triples = zip(_known(shares, truth), _known(matrices, truth), _known(jacobian, truth), strict=True)
        tables.append(_score_table(triples, keys, truth, THRESHOLD, estimator=estimator, **label))
    by_strength: dict[float, dict[str, Pooled]] = {}
    for strength in np.unique(keys["strength"]).tolist():
        at = np.flatnonzero(keys["strength"] == strength)
        strength_scores = {name: pick_members(matrices, at) for name, matrices in scores.items()}
        pooled = pool_members(strength_scores, pick_members(jacobian, at), truth.deviations)
        by_strength[strength] = {name: estimate.select(truth.known) for name, estimate in pooled.items()}
    every = pd.DataFrame({"strength": list(by_strength), "seed": NO_SEED})
    for estimator in next(iter(by_strength.values()), {}):
        estimates = (members[estimator] for members in by_strength.values())
        pairs = ((estimate.scores, estimate.presence, estimate.signs) for estimate in estimates)
        tables.append(_score_table(pairs, every, truth, FREQUENCY_THRESHOLD, estimator=estimator, **label))
    along = [by_strength[strength]["frequency"].scores for strength in strengths if strength in by_strength]
    if len(along) > 1:
        tables.append(_stability_path_table(along, truth, label))
    return tables


def _known(matrices: Iterable[np.ndarray], truth: Truth) -> Iterator[np.ndarray]:
    """Known pairs (pair,) of one matrix (source, target) after another: with thousands of genes they take 100 MB."""
    return (select_pairs(matrix, truth.known) for matrix in matrices)


def _stability_path_table(along: Sequence[np.ndarray], truth: Truth, label: Mapping[str, str]) -> pd.DataFrame:
    """Rankings by the area under the stability path: the mean frequency (pair,) over strengths."""
    assert truth.edges is not None  # noqa: S101 as above
    # Rounded: what is equal but for the order of its terms is to stay a tie.
    area = np.mean(along, axis=0).round(12)
    metrics = rank_pairs(area, select_pairs(truth.edges, truth.known))
    values = {"metric": list(metrics), "value": list(metrics.values())}
    return mark_undefined(make_table(**label, estimator="frequency_path", trajectory=ALL, **values))


def interval_rows(scores: Mapping[str, np.ndarray], truth: Truth, label: Mapping[str, Any]) -> list[pd.DataFrame]:
    """Ends of the 95 % interval over members of the pooled estimators: `auprc_lower`, `auprc_upper` and of the ratio.

    Args:
        scores: scores (member, source, target) of the members at one strength by estimator; a single member has no
            interval.
        truth: the true network.
        label: constant columns of the rows.
    """
    assert truth.edges is not None  # noqa: S101 as above
    if len(scores["paths"]) < 2:
        return []
    edges = select_pairs(truth.edges, truth.known)
    tables = []
    for estimator in (*scores, "frequency"):
        members = [
            select_pairs(matrix >= THRESHOLD, truth.known).astype(np.float64)
            if estimator == "frequency"
            else select_pairs(target_shares(matrix, truth.deviations), truth.known)
            for matrix in scores["paths" if estimator == "frequency" else estimator]
        ]
        intervals = pooled_interval(np.stack(members), edges)
        ends = {
            f"{name}_{end}": value for name, pair in intervals.items() for end, value in zip(ENDS, pair, strict=True)
        }
        values = {"metric": list(ends), "value": list(ends.values())}
        tables.append(mark_undefined(make_table(**label, estimator=estimator, trajectory=ALL, **values)))
    return tables


def degree_rows(
    scores: Mapping[str, tuple[np.ndarray, np.ndarray]], truth: Truth, label: Mapping[str, Any]
) -> list[pd.DataFrame]:
    """What pooled scores are worth beside random networks of the same degrees (see `sparsenode.evaluation.degrees`).

    Args:
        scores: scores and presence, both (source, target), by estimator; pairs of which at least half of the members
            have the path are predicted.
        truth: the true network, with random networks of the same degrees.
        label: constant columns of the rows.
    """
    assert truth.edges is not None  # noqa: S101 as above
    edges = select_pairs(truth.edges, truth.known)
    tables = []
    for estimator, (matrix, presence) in scores.items():
        predicted = select_pairs(presence, truth.known) >= FREQUENCY_THRESHOLD
        calibrated = calibrate(select_pairs(matrix, truth.known), predicted, edges, truth.same_degrees)
        values, reasons = zip(*calibrated.values(), strict=True)
        status = ["undefined" if reason else "finished" for reason in reasons]
        columns = {"metric": list(calibrated), "value": list(values), "status": status, "reason": list(reasons)}
        tables.append(make_table(**label, estimator=estimator, trajectory=ALL, **columns))
    return tables


def _score_table(
    pairs: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    keys: pd.DataFrame,
    truth: Truth,
    threshold: float,
    **constants: Any,
) -> pd.DataFrame:
    """Metrics of scores, presence and signs, each (pair,), one row of `keys` after another.

    Pairs of which the presence reaches the threshold are predicted.
    """
    assert truth.edges is not None  # noqa: S101 as above
    edges = select_pairs(truth.edges, truth.known)
    true_signs = None if truth.signs is None else select_pairs(truth.signs, truth.known)
    same: dict[str, Any] = {"threshold": threshold, "true_signs": true_signs, "sources": source_numbers(truth.known)}
    metric_rows = [score_pairs(scores, edges, presence=present, signs=sign, **same) for scores, present, sign in pairs]
    if not metric_rows:
        return make_table(value=np.empty(0))
    metrics = pd.DataFrame({"metric": list(metric_rows[0])})
    values = np.array([list(scores.values()) for scores in metric_rows])
    return mark_undefined(cross_table(keys, metrics, values, trajectory=ALL, **constants))


def mark_undefined(table: pd.DataFrame) -> pd.DataFrame:
    """Give metrics that are not defined for a network the status "undefined" and the reason."""
    reasons = {name: entry.undefined for name, entry in registered_metrics().items() if entry.undefined}
    lost = table["metric"].isin(list(reasons)) & table["value"].isna()
    table.loc[lost, "status"] = "undefined"
    table.loc[lost, "reason"] = table.loc[lost, "metric"].map(reasons)
    return table


def prior_rows(
    scores: Mapping[str, np.ndarray], keys: pd.DataFrame, truth: Truth, label: Mapping[str, str]
) -> list[pd.DataFrame]:
    """How well scores rank the pairs that each prior network names.

    They are ranked as beside a truth, by each source's share in what its target gets.

    Args:
        scores: scores (member, source, target) by estimator.
        keys: strength and seed of each member.
        truth: the prior networks.
        label: constant columns of the rows.
    """
    tables = []
    for name, (edges, known_pairs) in truth.priors.items():
        true_pairs = select_pairs(edges, known_pairs)
        for estimator, matrices in scores.items():
            # Member by member: with thousands of genes the pairs of one take 100 MB.
            shares = (target_shares(matrix, truth.deviations) for matrix in matrices)
            rankings = [rank_pairs(select_pairs(share, known_pairs), true_pairs) for share in shares]
            values = np.array([[ranking[metric] for metric in PRIOR_METRICS] for ranking in rankings])
            tables.append(_prior_table(keys, values, name, estimator=estimator, **label))
    return tables


def random_priors(truth: Truth, dataset: str) -> list[pd.DataFrame]:
    """What equal scores for all pairs, that is pure chance, would reach against each prior network."""
    keys = pd.DataFrame({"strength": [np.nan], "seed": [-1]})
    tables = []
    for name, (edges, known_pairs) in truth.priors.items():
        true_pairs = select_pairs(edges, known_pairs)
        ranking = rank_pairs(np.zeros(len(true_pairs)), true_pairs)
        values = np.array([[ranking[metric] for metric in PRIOR_METRICS]])
        tables.append(_prior_table(keys, values, name, dataset=dataset, method=f"{BASELINE}random"))
    return tables


def _prior_table(keys: pd.DataFrame, values: np.ndarray, name: str, **constants: Any) -> pd.DataFrame:
    metrics = pd.DataFrame({"metric": [f"prior_{metric}" for metric in PRIOR_METRICS]})
    return cross_table(keys, metrics, values, trajectory=ALL, reference=f"{PRIOR}{name}", **constants)


def random_structure(truth: Truth, dataset: str) -> pd.DataFrame:
    """What equal scores for all pairs, that is pure chance, would reach."""
    assert truth.edges is not None  # noqa: S101 as above
    edges = select_pairs(truth.edges, truth.known)
    metrics = score_pairs(np.zeros(len(edges)), edges, threshold=1.0)
    reported = {name: metrics[name] for name in (*RANKING_METRICS, "balanced_accuracy")}
    table = make_table(
        dataset=dataset,
        method=f"{BASELINE}random",
        trajectory=ALL,
        metric=list(reported),
        value=list(reported.values()),
    )
    return mark_undefined(table)


def forecast_rows(
    stored: np.ndarray, keys: pd.DataFrame, data: Observations, protocol: Protocol, label: Mapping[str, str]
) -> pd.DataFrame:
    """Kept forecasts as rows; `start` is the time of the state they start from.

    Args:
        stored: forecasts (member, entry, feature).
        keys: strength and seed of each member.
        data: the observations.
        protocol: the plan of the forecasts, and which of them are kept.
        label: constant columns of the rows.
    """
    plan, entries, features = protocol.plan, protocol.kept.entries, protocol.kept.features
    members, count, width = len(keys), len(entries), len(features)
    observation = plan.observation[entries]
    by_entry = {
        "trajectory": np.asarray(data.trajectory_names, object)[data.trajectory[observation]],
        "group": data.group[observation],
        "split": data.split[observation],
        "phase": data.phase[observation],
        "start": np.array([plan.times[row][0] for row in plan.row[entries]], np.float64),
        "time": data.time[observation],
    }
    rows: dict[str, Any] = {name: np.full(members * count * width, value, object) for name, value in label.items()}
    rows["strength"] = np.repeat(keys["strength"].to_numpy(np.float64), count * width)
    rows["seed"] = np.repeat(keys["seed"].to_numpy(np.int64), count * width)
    rows["protocol"] = np.full(members * count * width, plan.protocol, object)
    rows |= {name: np.tile(np.repeat(values, width), members) for name, values in by_entry.items()}
    rows["time_unit"] = np.full(members * count * width, data.time_unit, object)
    rows["value_unit"] = np.full(members * count * width, data.unit, object)
    rows["feature"] = np.tile(np.asarray(data.features, object)[features], members * count)
    observed, predicted = data.values[observation][:, features].astype(np.float32), stored.astype(np.float32)
    if data.center is not None:
        observed, predicted = observed + data.center[features], predicted + data.center[features]
    rows["observed"], rows["predicted"] = np.tile(observed.ravel(), members), predicted.ravel()
    return pd.DataFrame(rows)


def join_forecasts(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All rows of forecasts, text as categories."""
    joined = pd.concat([table for table in tables if len(table)], ignore_index=True)
    text = [name for name in joined.columns if joined[name].dtype == object]
    return joined.astype(dict.fromkeys(text, "category"))
