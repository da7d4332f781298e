"""Everything that is measured on one data set: the metrics, forecasts, networks and choices of all its ensembles."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.contract import dense
from sparsenode.errors import UserError
from sparsenode.evaluation import forecast as forecasts_
from sparsenode.evaluation.baselines import BASELINES, ORACLES, baseline_errors, fit_polynomial
from sparsenode.evaluation.forecast import TRAJECTORY, WINDOW, Errors, Kept, Observations, Plan
from sparsenode.evaluation.networks import network_table, selection_frequency, write_network
from sparsenode.evaluation.selection import choose_strength, write_selection
from sparsenode.evaluation.sparsity import THRESHOLD, feature_sparsity, pair_sparsity
from sparsenode.evaluation.structure import score_pairs, select_pairs
from sparsenode.evaluation.tables import ALL, cross_table, join_tables, make_table
from sparsenode.files import file_sha256, write_atomically

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.ensemble import Ensemble

logger = logging.getLogger(__name__)

KEPT_FEATURES = 12
"""Features whose forecasts are written out: those whose smooth course over time moves most."""
KEPT_TIMES = 200
"""Forecast values written out per trajectory and protocol, at most."""
JACOBIAN_STATES = {50: 256, 500: 128}
"""Training observations over which Jacobians are averaged, by the largest number of features it holds for."""
MANY_FEATURES_JACOBIAN_STATES = 48
ABSENT = object()
FREQUENCY_THRESHOLD = 0.5
"""An edge counts as found when at least half of the members selected it."""


@dataclass
class Evaluation:
    """What was measured: tidy `metrics`, long `forecasts`, and by (model, method) a network and a selection."""

    metrics: pd.DataFrame
    forecasts: pd.DataFrame
    networks: dict[tuple[str, str], pd.DataFrame]
    selections: dict[tuple[str, str], dict[str, Any]]


@dataclass(frozen=True)
class Truth:
    """True network (source, target), where it is known, and which sources can regulate at all."""

    edges: np.ndarray | None
    known: np.ndarray
    regulators: np.ndarray


@dataclass(frozen=True)
class Protocol:
    """A plan of forecasts with the errors of the trivial forecasts on it."""

    plan: Plan
    kept: Kept
    baselines: Mapping[str, Errors]
    oracles: Mapping[str, Errors]

    @property
    def name(self) -> str:
        """What stands in the column `horizon`."""
        return self.plan.protocol


@dataclass
class _Parts:
    metrics: list[pd.DataFrame] = field(default_factory=list)
    forecasts: list[pd.DataFrame] = field(default_factory=list)


def evaluate_models(
    data: Path,
    models: Sequence[Path],
    settings: Sequence[Path],
    metrics: Path,
    forecasts: Path,
    networks: Path,
    selection: Path,
) -> None:
    """Evaluate all trained blocks of one data set.

    Reads the trajectories `data`, the blocks `models` and the frozen `settings` they were trained with; writes the
    tidy table `metrics`, the table `forecasts`, and into the folders `networks` and `selection` a
    `{model}/{method}.csv` and a `{model}/{method}.json` each.

    Raises:
        UserError: a model file differs from its settings, or was trained on other features; settings without a
            model file or the reverse; no validation observations to choose a strength on.
    """
    from sparsenode.data.contract import read_trajectories

    adata = read_trajectories(data)
    name = str(adata.uns["sparsenode"]["name"])
    evaluation = evaluate_ensembles(adata, load_blocks(models, settings, name, file_sha256(data)))
    for (model, method), table in evaluation.networks.items():
        write_network(table, networks / model / f"{method}.csv")
    for (model, method), choice in evaluation.selections.items():
        write_selection(choice, selection / model / f"{method}.json")
    with write_atomically(forecasts) as temporary:
        evaluation.forecasts.to_parquet(temporary, index=False)
    with write_atomically(metrics) as temporary:
        evaluation.metrics.to_parquet(temporary, index=False)


def load_blocks(
    models: Sequence[Path], settings: Sequence[Path], dataset: str, data_sha256: str | None = None
) -> list[Ensemble]:
    """Join the blocks of each (model, method) after comparing them with their frozen settings and data.

    Raises:
        UserError: see `evaluate_models`.
    """
    from sparsenode.ensemble import join_ensembles, load_ensemble

    wanted = {}
    for path in settings:
        frozen = json.loads(Path(path).read_text(encoding="utf-8"))
        wanted[frozen["dataset"], frozen["model"], frozen["method"]] = (frozen, path)
    blocks: dict[tuple[str, str, str], list[Ensemble]] = {key: [] for key in wanted}
    for path in models:
        block = load_ensemble(path)
        key = (block.settings["dataset"], block.settings["model"], block.settings["method"])
        if key not in wanted:
            raise UserError(f"{path} holds {key}, for which no frozen settings were given: pass their JSON file too")
        frozen, origin = wanted[key]
        check_settings(block.settings, frozen, path, origin)
        if data_sha256 is not None and block.metadata.get("data_sha256") != data_sha256:
            raise UserError(f"{path} was trained on another version of the dataset {dataset}: train it anew")
        blocks[key].append(block)
    for key, found in blocks.items():
        if key[0] != dataset:
            raise UserError(f"{wanted[key][1]} belongs to data set {key[0]}, but the data are {dataset}")
        if not found:
            raise UserError(f"no trained model was given for {wanted[key][1]}: train it first")
        members = [(member.strength, member.seed) for block in found for member in block.members]
        if len(set(members)) < len(members):
            raise UserError(f"several model files of {key} hold the same seeds: give each block of seeds once")
    return [join_ensembles(found) for found in blocks.values()]


def check_settings(found: Mapping[str, Any], frozen: Mapping[str, Any], path: Path, origin: Path) -> None:
    """Refuse a model that was trained with other settings than the frozen ones.

    Raises:
        UserError: names the keys that differ, and their values.
    """
    differing = list(_differences(found, frozen))
    if differing:
        listed = "; ".join(differing[:5])
        raise UserError(f"{path} was not trained with the settings in {origin}: {listed}; train it again")


def _differences(found: Any, frozen: Any, key: str = "") -> list[str]:
    if isinstance(found, Mapping) and isinstance(frozen, Mapping):
        return [
            difference
            for name in sorted({*found, *frozen})
            for difference in _differences(
                found.get(name, ABSENT), frozen.get(name, ABSENT), f"{key}.{name}" if key else name
            )
        ]
    if isinstance(found, (list, tuple)) and isinstance(frozen, (list, tuple)):
        same = list(found) == list(frozen)
    else:
        same = found == frozen
    shown = ["nothing" if value is ABSENT else repr(value) for value in (found, frozen)]
    return [] if same else [f"{key}: {shown[0]} in the model, {shown[1]} in the settings"]


def evaluate_ensembles(adata: AnnData, ensembles: Sequence[Ensemble]) -> Evaluation:
    """Measure ensembles, one for each (model, method), on an AnnData of trajectories.

    Raises:
        UserError: see `evaluate_models`.
    """
    data = forecasts_.read_observations(adata)
    dataset = str(adata.uns["sparsenode"]["name"])
    truth = read_truth(adata)
    result = Evaluation(pd.DataFrame(), pd.DataFrame(), {}, {})
    parts = _Parts()
    whole = make_protocol(data, forecasts_.plan_trajectories(data))
    _add_baselines(parts, data, whole, dataset=dataset, model="")
    windows: dict[tuple[int, int], Protocol] = {}
    models_done = set()
    if truth.edges is not None:
        parts.metrics.append(_random_structure(truth, dataset))
    for ensemble in ensembles:
        started = time.perf_counter()
        model, method = ensemble.settings["model"], ensemble.settings["method"]
        forecasts_.check_features(ensemble, data, f"{model}/{method}")
        protocols = [whole]
        # A restart tells a second-order model no velocity, and its own is for the start of a trajectory alone.
        model_settings = ensemble.settings["model_settings"]
        window = model_settings.get("windows") if model_settings.get("order", 1) == 1 else None
        if window:
            key = (window["length"], window["stride"])
            if key not in windows:
                windows[key] = make_protocol(data, forecasts_.plan_windows(data, cut_windows(adata, *key)))
            protocols.append(windows[key])
            if model not in models_done:
                _add_baselines(parts, data, windows[key], dataset=dataset, model=model)
            models_done.add(model)
        label = {"dataset": dataset, "model": model, "method": method}
        result.selections[model, method], result.networks[model, method] = _evaluate_ensemble(
            parts, ensemble, data, truth, protocols, label
        )
        logger.info(
            "evaluated %s/%s: %d members in %.1f s", model, method, len(ensemble.members), time.perf_counter() - started
        )
    result.metrics = join_tables(parts.metrics)
    result.forecasts = _join_forecasts(parts.forecasts)
    return result


def read_truth(adata: AnnData) -> Truth:
    """Truth and regulators of an AnnData of trajectories; without `varp["truth_known"]` all pairs are known."""
    shape = (adata.n_vars, adata.n_vars)
    edges = known = None
    if "truth" in adata.varp:
        edges = dense(adata.varp["truth"]) != 0
        known = dense(adata.varp["truth_known"]) != 0 if "truth_known" in adata.varp else np.ones(shape, bool)
        known = known & ~np.eye(adata.n_vars, dtype=bool)
        if not known.any():
            edges = None
    if edges is None:
        known = np.zeros(shape, bool)
    regulators = (
        adata.var["is_regulator"].to_numpy(bool) if "is_regulator" in adata.var else np.ones(adata.n_vars, bool)
    )
    return Truth(edges, np.asarray(known), regulators)


def cut_windows(adata: AnnData, length: int, stride: int) -> list[np.ndarray]:
    """Observation numbers of the windows of every split and phase; a split too short for one has none."""
    from sparsenode.windows import make_windows

    windows = []
    present = adata.obs[["split", "phase"]].astype(str).drop_duplicates()
    for split, phase in present.itertuples(index=False):
        try:
            windows.extend(make_windows(adata, split, phase, length, stride))
        except UserError as error:
            logger.warning("no window forecasts of split %s, phase %s: %s", split, phase, error)
    return windows


def make_protocol(data: Observations, plan: Plan) -> Protocol:
    """Add the errors of the trivial forecasts to a plan, and say which of its forecasts are kept for figures."""
    kept = choose_kept(data, plan)
    baselines = {name: baseline_errors(name, data, plan, kept) for name in BASELINES}
    return Protocol(plan, kept, baselines, {name: baseline_errors(name, data, plan, kept) for name in ORACLES})


def choose_kept(data: Observations, plan: Plan) -> Kept:
    """Keep at most `KEPT_FEATURES` features and `KEPT_TIMES` entries of each trajectory, evenly spread.

    Features are ranked by the variance of a cubic in time through each training trajectory, so that noise counts
    little. Of windows, whole ones that do not overlap are kept.
    """
    movement = np.zeros(len(data.features))
    training = (data.split == "train") & (data.phase == "fit")
    for code in np.unique(data.trajectory[training]):
        own = np.flatnonzero(training & (data.trajectory == code))
        movement += fit_polynomial(data.time[own], data.values[own], 3)(data.time[own]).var(axis=0)
    features = np.sort(np.argsort(-movement, kind="stable")[:KEPT_FEATURES])
    trajectory = data.trajectory[plan.observation]
    entries = []
    for code in np.unique(trajectory):
        own = np.flatnonzero(trajectory == code)
        if plan.protocol == WINDOW:
            rows = _disjoint_rows(plan, own)
            count = int(np.isin(plan.row[own], rows).sum())
            rows = rows[_spread(len(rows), max(1, KEPT_TIMES * len(rows) // count))]
            entries.append(own[np.isin(plan.row[own], rows)])
        else:
            entries.append(own[_spread(len(own), KEPT_TIMES)])
    return Kept(np.concatenate(entries) if entries else np.empty(0, np.int64), features)


def _disjoint_rows(plan: Plan, entries: np.ndarray) -> np.ndarray:
    chosen: list[int] = []
    end = -np.inf
    rows = np.unique(plan.row[entries])
    for row in sorted(rows, key=lambda number: plan.times[number][0]):
        if plan.times[row][0] >= end:
            chosen.append(int(row))
            end = plan.times[row][-1]
    return np.array(chosen, dtype=np.int64)


def _spread(count: int, wanted: int) -> np.ndarray:
    """Numbers of at most `wanted` of `count` things, evenly spread from first to last."""
    if count <= wanted:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, wanted).round().astype(np.int64))


def _evaluate_ensemble(
    parts: _Parts,
    ensemble: Ensemble,
    data: Observations,
    truth: Truth,
    protocols: Sequence[Protocol],
    label: dict[str, str],
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Add the rows of one ensemble to `parts`; return its selection and its network at the chosen strength."""
    members = pd.DataFrame(
        [(member.strength, member.seed, member.status) for member in ensemble.members],
        columns=["strength", "seed", "status"],
    )
    finished = np.flatnonzero(members["status"] == "finished")
    keys = members.loc[finished, ["strength", "seed"]].reset_index(drop=True)
    parts.metrics.append(_training_rows(ensemble, label))
    errors = []
    for protocol in protocols:
        found = forecasts_.forecast_errors(ensemble, data, protocol.plan, protocol.kept)
        errors.append(found)
        parts.metrics.extend(_error_rows(_pick(found, finished), keys, data, protocol, label))
    # A model that trains on windows is chosen by windows: the last protocol is the one it was trained for.
    selection = _select(errors[-1], members, protocols[-1].plan, label)
    parts.metrics.append(_selection_row(selection, label))
    paths = np.asarray(ensemble.path_matrix(), np.float64)
    parts.metrics.extend(_sparsity_rows(ensemble, paths, finished, keys, truth, label))
    chosen = finished[keys["strength"].to_numpy() == selection["chosen"]] if len(finished) else finished
    states, velocities = _jacobian_states(data, ensemble.settings["model_settings"].get("order", 1))
    jacobian = np.empty((0,) * 3)
    if len(chosen):
        jacobian = np.asarray(ensemble.select(chosen.tolist()).mean_jacobian(states, velocities), np.float64)
    if truth.edges is not None:
        scores = {"paths": paths[finished]}
        if len(finished):
            scores["jacobian"] = np.asarray(ensemble.mean_absolute_jacobian(states, velocities), np.float64)[finished]
        parts.metrics.extend(_structure_rows(scores, keys, truth, label))
    for protocol, found in zip(protocols, errors, strict=True):
        parts.forecasts.append(
            _forecast_rows(found.kept[chosen], members.loc[chosen, ["strength", "seed"]], data, protocol, label)
        )
    return selection, network_table(paths[chosen], jacobian, data.features)


def _pick(errors: Errors, members: np.ndarray) -> Errors:
    noise_free = None if errors.noise_free is None else errors.noise_free[members]
    return Errors(errors.mse[members], errors.weighted[members], noise_free, errors.kept[members])


def _training_rows(ensemble: Ensemble, label: Mapping[str, str]) -> pd.DataFrame:
    """What training took and where it broke down: `seconds` and `iterations`, and one empty `mse` if diverged."""
    members = ensemble.members
    keys: dict[str, list[Any]] = {
        "strength": [member.strength for member in members],
        "seed": [member.seed for member in members],
    }
    told: dict[str, list[Any]] = {
        "status": [member.status for member in members],
        "reason": [member.reason for member in members],
    }
    tables = [
        make_table(**label, **keys, **told, metric="seconds", unit="s", value=[member.seconds for member in members]),
        make_table(**label, **keys, **told, metric="iterations", value=[member.iterations for member in members]),
    ]
    if memory := ensemble.metadata.get("memory_bytes"):
        peak = {**keys, **told, "metric": "memory_bytes", "unit": "bytes of the job", "value": [memory] * len(members)}
        tables.append(make_table(**label, **peak))
    lost = [number for number, member in enumerate(members) if member.status != "finished"]
    if lost:
        picked = {name: [column[number] for number in lost] for name, column in {**keys, **told}.items()}
        tables.append(make_table(**label, **picked, metric="mse", value=np.full(len(lost), np.nan)))
    return join_tables(tables)


def _error_metrics(errors: Errors, data: Observations) -> dict[str, tuple[np.ndarray, str]]:
    """Values (member, group) and unit of each kind of mean squared error."""
    metrics = {"mse": (errors.mse, data.unit)}
    if np.ptp(data.weights) > 0:
        metrics["mse_weighted"] = (errors.weighted, "share of movement")
    if errors.noise_free is not None:
        metrics["mse_noise_free"] = (errors.noise_free, data.unit)
    return metrics


def _error_rows(
    errors: Errors, keys: pd.DataFrame, data: Observations, protocol: Protocol, label: Mapping[str, str]
) -> list[pd.DataFrame]:
    """Errors, and what they are worth beside the trivial forecasts and oracles, by member and group."""
    groups = protocol.plan.groups
    common = {**label, "horizon": protocol.name}
    tables = []
    for metric, (values, unit) in _error_metrics(errors, data).items():
        tables.extend(_with_means(values, keys, groups, metric=metric, unit=unit, **common))
    named, mse = forecasts_.add_means(groups, errors.mse)
    columns = named[["trajectory", "split", "phase"]]
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, trivial in protocol.baselines.items():
            reference = forecasts_.add_means(groups, trivial.mse)[1]
            skill = 1 - mse / np.where(reference > 0, reference, np.nan)
            tables.append(cross_table(keys, columns, skill, metric="skill", reference=f"baseline:{name}", **common))
        mean, cubic = (forecasts_.add_means(groups, protocol.oracles[name].mse)[1] for name in ("mean", "cubic"))
        explained = (mean - mse) / np.where(mean > cubic, mean - cubic, np.nan)
    tables.append(cross_table(keys, columns, explained, metric="explained", reference="oracle:cubic", **common))
    return tables


def _with_means(
    values: np.ndarray, keys: pd.DataFrame, groups: pd.DataFrame, *, metric: str, **constants: Any
) -> list[pd.DataFrame]:
    """Rows by trajectory, their mean, and for `mse` the sum over each subject's trajectories."""
    named, extended = forecasts_.add_means(groups, values)
    tables = [cross_table(keys, named[["trajectory", "split", "phase"]], extended, metric=metric, **constants)]
    if metric == "mse":
        subjects, sums = forecasts_.sum_by_subject(groups, values)
        tables.append(cross_table(keys, subjects, sums, metric="mse_sum", **constants))
    return tables


def _add_baselines(parts: _Parts, data: Observations, protocol: Protocol, *, dataset: str, model: str) -> None:
    """Add errors and forecasts of baselines and oracles; those of windows stand under the model they belong to."""
    keys = pd.DataFrame({"strength": [np.nan], "seed": [-1]})
    named = {f"baseline:{name}": errors for name, errors in protocol.baselines.items()}
    named |= {f"oracle:{name}": errors for name, errors in protocol.oracles.items()}
    for method, errors in named.items():
        label = {"dataset": dataset, "model": model, "method": method}
        for metric, (values, unit) in _error_metrics(errors, data).items():
            parts.metrics.extend(
                _with_means(
                    values, keys, protocol.plan.groups, metric=metric, unit=unit, horizon=protocol.name, **label
                )
            )
        if method.startswith("baseline:"):
            parts.forecasts.append(_forecast_rows(errors.kept, keys, data, protocol, label))


def _select(errors: Errors, members: pd.DataFrame, plan: Plan, label: Mapping[str, str]) -> dict[str, Any]:
    """Choose the strength on the validation observations of the fit phase."""
    columns = plan.groups[(plan.groups["split"] == "validation") & (plan.groups["phase"] == "fit")]
    if columns.empty and members["strength"].nunique() > 1:
        asked = "windows" if plan.protocol == WINDOW else "observations"
        raise UserError(
            f"data set {label['dataset']} has no validation {asked} (split validation, phase fit) to choose the "
            f"strength of {label['model']}/{label['method']} on: enlarge `validation.share` of the data set"
            + (" or shorten `windows.length` of the model" if plan.protocol == WINDOW else "")
        )
    table = pd.DataFrame(
        {
            "strength": np.repeat(members["strength"].to_numpy(), max(len(columns), 1)),
            "seed": np.repeat(members["seed"].to_numpy(), max(len(columns), 1)),
            "trajectory": np.tile(columns["trajectory"] if len(columns) else [""], len(members)),
            "value": errors.mse[:, columns.index].ravel() if len(columns) else np.zeros(len(members)),
        }
    )
    return {
        **label,
        **choose_strength(table, members),
        "protocol": plan.protocol,
        "split": "validation",
        "phase": "fit",
    }


def _selection_row(selection: Mapping[str, Any], label: Mapping[str, str]) -> pd.DataFrame:
    chosen = selection["chosen"]
    told = {} if chosen is not None else {"status": "undefined", "reason": "fewer than half of the members finished"}
    return make_table(
        **label,
        strength=np.nan if chosen is None else chosen,
        metric="chosen_strength",
        value=np.nan if chosen is None else chosen,
        split="validation",
        phase="fit",
        horizon=selection["protocol"],
        **told,
    )


def _sparsity_rows(
    ensemble: Ensemble,
    paths: np.ndarray,
    finished: np.ndarray,
    keys: pd.DataFrame,
    truth: Truth,
    label: Mapping[str, str],
) -> list[pd.DataFrame]:
    """Sparsities of the finished members, and of the same networks before training (status "untrained")."""
    untrained = ensemble.untrained()
    seeds = pd.Series([member.seed for member in untrained.members]).drop_duplicates()
    tables = []
    for kind, source, network_paths, picked, rows in (
        ("", ensemble, paths, finished, keys),
        (
            "untrained",
            untrained,
            np.asarray(untrained.path_matrix(), np.float64),
            seeds.index.to_numpy(),
            pd.DataFrame({"strength": np.nan, "seed": seeds.to_numpy()}),
        ),
    ):
        told = {"status": kind} if kind else {}
        common: dict[str, Any] = {
            **label,
            "strength": rows["strength"].to_numpy(),
            "seed": rows["seed"].to_numpy(),
            "trajectory": ALL,
            **told,
        }
        tables.append(
            make_table(**common, metric="weight_sparsity", estimator="weights", value=_weight_sparsity(source)[picked])
        )
        for estimator, relative in (("paths", False), ("relative", True)):
            value = feature_sparsity(network_paths[picked], relative=relative)
            tables.append(make_table(**common, metric="feature_sparsity", estimator=estimator, value=value))
        for reference, value in _spurious(network_paths[picked], truth).items():
            tables.append(
                make_table(
                    **common,
                    metric="spurious_feature_sparsity",
                    estimator="paths",
                    reference=reference,
                    value=value,
                )
            )
        opened = source.open_probability()
        if opened is not None:
            value = 1 - np.asarray(opened, np.float64)[picked].mean(axis=(1, 2))
            tables.append(make_table(**common, metric="feature_sparsity", estimator="open_probability", value=value))
    return tables


def _weight_sparsity(ensemble: Ensemble) -> np.ndarray:
    return np.asarray(ensemble.weight_sparsity(THRESHOLD), np.float64)


def _spurious(paths: np.ndarray, truth: Truth) -> dict[str, np.ndarray]:
    """Sparsity among what is known not to be there, by the source of that knowledge."""
    found = {}
    if not truth.regulators.all():
        found["not_regulators"] = feature_sparsity(paths, sources=~truth.regulators)
    if truth.edges is not None and (absent := truth.known & ~truth.edges).any():
        found["truth"] = pair_sparsity(paths, absent)
    return found


def _structure_rows(
    scores: Mapping[str, np.ndarray], keys: pd.DataFrame, truth: Truth, label: Mapping[str, str]
) -> list[pd.DataFrame]:
    """Structure metrics of each member by each estimator, and of the selection frequency over seeds."""
    assert truth.edges is not None  # noqa: S101 the caller asks for structure only where there is a truth
    edges = select_pairs(truth.edges, truth.known)
    tables = []
    for estimator, matrices in scores.items():
        pairs = select_pairs(matrices, truth.known)
        tables.append(_score_table(pairs, keys, edges, THRESHOLD, estimator=estimator, **label))
    strengths = np.unique(keys["strength"])
    if len(strengths):
        frequency = np.stack(
            [selection_frequency(scores["paths"][keys["strength"] == strength]) for strength in strengths]
        )
        every = pd.DataFrame({"strength": strengths, "seed": -1})
        pairs = select_pairs(frequency, truth.known)
        tables.append(_score_table(pairs, every, edges, FREQUENCY_THRESHOLD, estimator="frequency", **label))
    return tables


def _score_table(
    pairs: np.ndarray, keys: pd.DataFrame, edges: np.ndarray, threshold: float, **constants: Any
) -> pd.DataFrame:
    found = [score_pairs(scores, edges, threshold=threshold) for scores in pairs]
    if not found:
        return make_table(value=np.empty(0))
    metrics = pd.DataFrame({"metric": list(found[0])})
    values = np.array([list(scores.values()) for scores in found])
    return cross_table(keys, metrics, values, trajectory=ALL, **constants)


def _random_structure(truth: Truth, dataset: str) -> pd.DataFrame:
    """What equal scores for all pairs, that is pure chance, would reach."""
    assert truth.edges is not None  # noqa: S101 as above
    edges = select_pairs(truth.edges, truth.known)
    found = score_pairs(np.zeros(len(edges)), edges, threshold=1.0)
    kept = {name: found[name] for name in ("auroc", "auprc", "auprc_ratio", "early_precision", "balanced_accuracy")}
    return make_table(
        dataset=dataset, method="baseline:random", trajectory=ALL, metric=list(kept), value=list(kept.values())
    )


def _jacobian_states(data: Observations, order: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Training observations, evenly spread over them, fewer for wide data where each Jacobian is large.

    At second order with their velocities, from a local fit through the neighbors in time.
    """
    from sparsenode.windows import local_fit

    training = np.flatnonzero((data.split == "train") & (data.phase == "fit"))
    wanted = next(
        (count for features, count in JACOBIAN_STATES.items() if len(data.features) <= features),
        MANY_FEATURES_JACOBIAN_STATES,
    )
    places = _spread(len(training), wanted)
    states = data.values[training[places]]
    if order == 1:
        return states, None
    velocities = np.empty_like(states)
    for number, place in enumerate(places):
        near = training[max(0, place - 3) : place + 4]
        near = near[data.trajectory[near] == data.trajectory[training[place]]]
        velocities[number] = local_fit(data.time[near], data.values[near], data.time[training[place]])[1]
    return states, velocities


def _forecast_rows(
    kept: np.ndarray, keys: pd.DataFrame, data: Observations, protocol: Protocol, label: Mapping[str, str]
) -> pd.DataFrame:
    """Kept forecasts (member, entry, feature) as rows; `start` is the time of the state they start from."""
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
    rows["observed"] = np.tile(data.values[observation][:, features].astype(np.float32).ravel(), members)
    rows["predicted"] = kept.astype(np.float32).ravel()
    return pd.DataFrame(rows)


def _join_forecasts(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    joined = pd.concat([table for table in tables if len(table)], ignore_index=True)
    text = [name for name in joined.columns if joined[name].dtype == object]
    return joined.astype(dict.fromkeys(text, "category"))


__all__ = ["TRAJECTORY", "Evaluation", "evaluate_ensembles", "evaluate_models"]
