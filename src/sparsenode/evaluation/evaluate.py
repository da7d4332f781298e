"""Everything that is measured on one dataset: the metrics, forecasts, networks and choices of all its ensembles."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.contract import prior_networks, read_metadata, reference_network, training_mask, true_network
from sparsenode.data.magnitudes import measure_magnitudes
from sparsenode.data.observations import Observations, read_observations
from sparsenode.errors import UserError
from sparsenode.evaluation import rows
from sparsenode.evaluation.baselines import fit_polynomial
from sparsenode.evaluation.blocks import load_blocks
from sparsenode.evaluation.degrees import sample_networks
from sparsenode.evaluation.forecast import Errors, check_features, forecast_errors
from sparsenode.evaluation.networks import (
    count_all_edges,
    group_pairs,
    group_table,
    network_keys,
    network_table,
    pick_members,
    ranking_table,
    stability_table,
    write_annotated,
    write_graph,
    write_groups,
    write_network,
    write_rankings,
    write_stability,
)
from sparsenode.evaluation.paired import entry_errors, paired_rows, reference_errors
from sparsenode.evaluation.peers import PeerScores, peer_degree_rows, peer_rankings, peer_rows, read_peer
from sparsenode.evaluation.plans import (
    LEAD,
    ONE_STEP,
    ROLLING,
    WINDOW,
    Plan,
    RollingSettings,
    plan_one_step,
    plan_rolling,
    plan_trajectories,
    plan_windows,
)
from sparsenode.evaluation.protocols import Protocol, cut_windows, make_protocol, spread
from sparsenode.evaluation.remarks import check_finished, remarks_of_dataset
from sparsenode.evaluation.rows import Truth
from sparsenode.evaluation.selection import choose_strength, write_selection
from sparsenode.evaluation.sparsity import THRESHOLD, feature_sparsity
from sparsenode.evaluation.structure import NO_PAIR, pool_members, select_pairs
from sparsenode.evaluation.tables import join_tables
from sparsenode.files import file_sha256, write_atomically
from sparsenode.methods import get_method
from sparsenode.remarks import write_remarks

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.ensemble.members import Ensemble

logger = logging.getLogger(__name__)

JACOBIAN_STATES = {50: 256, 500: 128}
"""Training observations over which Jacobians are averaged, by the largest number of features it holds for."""
MANY_FEATURES_JACOBIAN_STATES = 48


@dataclass(frozen=True)
class EvaluationSettings:
    """How models are scored and chosen: the `evaluation` of a dataset's entry in the configuration.

    With `rolling` forecasts start within the trajectories too. With `one_step` those from each observation to the next
    are scored as well; no strength is chosen by them.
    Strengths are chosen among those of `least_feature_sparsity` where there are any. With `interval_repeats` the
    errors at the chosen strength are compared with the trivial ones observation by observation, with an interval from
    so many bootstrap samples.
    """

    rolling: RollingSettings | None = None
    one_step: bool = False
    least_feature_sparsity: float = 0.0
    interval_repeats: int | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> EvaluationSettings:
        """Settings from a JSON object; missing keys take their default.

        Raises:
            UserError: an unknown key, or one that is missing.
        """
        settings = dict(values)
        try:
            if settings.get("rolling") is not None:
                settings["rolling"] = RollingSettings(**settings["rolling"])
            return cls(**settings)
        except TypeError as error:
            reason = str(error).partition(" ")[2]
            raise UserError(
                f"settings of the evaluation: {reason}; known are rolling (past, horizon, stride), "
                "one_step, least_feature_sparsity and interval_repeats"
            ) from error


@dataclass
class Evaluation:
    """What was measured: tidy `metrics`, long `forecasts`, and by (model, method) its networks and its selection.

    `networks` hold the edges over all the data, the strongest of the `edges_found`, `groups` the influences of
    regulators in each group (lineage, branch), `stability` how often each pair is selected at each strength. `rankings`
    are the pooled scores beside the truth, if there is one.
    """

    metrics: pd.DataFrame
    forecasts: pd.DataFrame
    networks: dict[tuple[str, str], pd.DataFrame]
    selections: dict[tuple[str, str], dict[str, Any]]
    edges_found: dict[tuple[str, str], int] = field(default_factory=dict)
    groups: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    stability: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    rankings: list[pd.DataFrame] | None = None


@dataclass
class _Parts:
    metrics: list[pd.DataFrame] = field(default_factory=list)
    forecasts: list[pd.DataFrame] = field(default_factory=list)
    rankings: list[pd.DataFrame] = field(default_factory=list)

    def add(self, metrics: Sequence[pd.DataFrame], forecasts: Sequence[pd.DataFrame]) -> None:
        self.metrics.extend(metrics)
        self.forecasts.extend(forecasts)


def evaluate_models(
    data: Path,
    models: Sequence[Path],
    settings: Sequence[Path],
    metrics: Path,
    forecasts: Path,
    networks: Path,
    selection: Path,
    settings_of_evaluation: EvaluationSettings | None = None,
    peers: Sequence[Path] = (),
    remarks: Path | None = None,
    seeds: int | None = None,
) -> None:
    """Evaluate all trained blocks of one dataset, and write what was measured.

    Args:
        data: file of the trajectories.
        models: model files, each of a block of seeds.
        settings: frozen settings that the blocks were trained with, one file for each (model, method).
        metrics: where the tidy table of metrics is written.
        forecasts: where the table of forecasts is written.
        networks: folder into which `{model}/{method}.csv`, `.graphml`, `.groups.parquet` and `.stability.parquet` of
            each (model, method) are written, and `network.h5ad` and `rankings.parquet`, without rows where there is no
            truth.
        selection: folder into which a `{model}/{method}.json` of each choice of a strength is written.
        settings_of_evaluation: how models are scored and chosen; the default where it is None.
        peers: files of the scores of peers.
        remarks: where the table of what is doubtful about the models is written; None to write none.
        seeds: how many seeds to take, from 0 on; all if None.

    Raises:
        UserError: no member has finished its training; a model file differs from its settings, or was trained on other
            features; settings without a model file or the reverse; no validation observations to choose a strength on;
            names of models and methods that cannot be keys of `network.h5ad`.
    """
    from sparsenode.data.contract import read_trajectories

    adata = read_trajectories(data)
    name = read_metadata(adata).name
    ensembles = load_blocks(models, settings, name, file_sha256(data), seeds)
    # Before the work, not after it: two names that give one key are known now.
    network_keys([(ensemble.settings["model"], ensemble.settings["method"]) for ensemble in ensembles])
    magnitudes = measure_magnitudes(adata)
    check_finished(ensembles, magnitudes)
    scored = [read_peer(path, list(adata.var_names)) for path in peers]
    evaluation = evaluate_ensembles(adata, ensembles, settings_of_evaluation, scored)
    for (model, method), table in evaluation.networks.items():
        write_network(table, networks / model / f"{method}.csv")
        write_groups(evaluation.groups[model, method], networks, model, method)
        write_stability(evaluation.stability[model, method], networks, model, method)
        chosen = evaluation.selections[model, method]["chosen"]
        attributes = {"dataset": name, "model": model, "method": method} | (
            {} if chosen is None else {"strength": chosen}
        )
        attributes["edges_found"] = evaluation.edges_found[model, method]
        write_graph(table, list(adata.var_names), networks / model / f"{method}.graphml", **attributes)
    write_annotated(adata, _chosen_networks(evaluation), networks)
    write_rankings(evaluation.rankings or [], networks)
    for (model, method), choice in evaluation.selections.items():
        write_selection(choice, selection / model / f"{method}.json")
    if remarks is not None:
        write_remarks(remarks_of_dataset(ensembles, evaluation.metrics, evaluation.selections, magnitudes), remarks)
    with write_atomically(forecasts) as temporary:
        evaluation.forecasts.to_parquet(temporary, index=False)
    with write_atomically(metrics) as temporary:
        evaluation.metrics.to_parquet(temporary, index=False)


def _chosen_networks(evaluation: Evaluation) -> dict[tuple[str, str], pd.DataFrame]:
    """Networks of the methods that have a strength: nothing learned is not the same as no edge."""
    return {
        key: table for key, table in evaluation.networks.items() if evaluation.selections[key]["chosen"] is not None
    }


def evaluate_ensembles(
    adata: AnnData,
    ensembles: Sequence[Ensemble],
    settings: EvaluationSettings | None = None,
    peers: Sequence[PeerScores] = (),
) -> Evaluation:
    """Measure ensembles, one for each (model, method), and the networks of peers on an AnnData of trajectories.

    Args:
        adata: the trajectories.
        ensembles: one for each (model, method).
        settings: how models are scored and chosen; the default where it is None.
        peers: scores of peers.

    Raises:
        UserError: see `evaluate_models`.
    """
    settings = settings or EvaluationSettings()
    data = read_observations(adata)
    dataset = read_metadata(adata).name
    truth = read_truth(adata)
    result = Evaluation(pd.DataFrame(), pd.DataFrame(), {}, {})
    tables = _Parts()
    shared = [make_protocol(data, plan_trajectories(data))]
    if settings.one_step:
        shared.append(make_protocol(data, plan_one_step(data)))
    if settings.rolling is not None:
        shared.append(make_protocol(data, plan_rolling(data, settings.rolling)))
    for protocol in shared:
        tables.add(*rows.baseline_rows(data, protocol, dataset=dataset, model=""))
    references = reference_errors(data, shared[0].plan) if settings.interval_repeats else {}
    windows: dict[tuple[int, int], Protocol] = {}
    models_done = set()
    if truth.edges is not None:
        tables.metrics.append(rows.random_structure(truth, dataset))
        tables.metrics.extend(peer_rows(peers, truth, dataset))
        tables.metrics.extend(peer_degree_rows(peers, truth, dataset))
    tables.metrics.extend(rows.random_priors(truth, dataset))
    for ensemble in ensembles:
        started = time.perf_counter()
        model, method = ensemble.settings["model"], ensemble.settings["method"]
        check_features(ensemble, data, f"{model}/{method}")
        protocols = list(shared)
        window = _window_of(ensemble) if settings.rolling is None else None
        if window:
            if window not in windows:
                windows[window] = make_protocol(data, plan_windows(data, cut_windows(adata, *window)))
            protocols.append(windows[window])
            if model not in models_done:
                tables.add(*rows.baseline_rows(data, windows[window], dataset=dataset, model=model))
            models_done.add(model)
        label = {"dataset": dataset, "model": model, "method": method}
        _evaluate_ensemble(result, tables, ensemble, data, truth, protocols, label, settings, references)
        logger.info(
            "evaluated %s/%s: %d members in %.1f s", model, method, len(ensemble.members), time.perf_counter() - started
        )
    result.metrics = join_tables(tables.metrics)
    result.forecasts = rows.join_forecasts(tables.forecasts)
    if truth.edges is not None and peers:
        tables.rankings.extend(peer_rankings(peers, truth, data.features))
    if true_network(adata) is not None:
        if truth.edges is None:
            logger.warning("%s: %s, so that no network can be set beside it", dataset, NO_PAIR)
        result.rankings = tables.rankings
    return result


def _window_of(ensemble: Ensemble) -> tuple[int, int] | None:
    """Length and stride of the windows that a model can forecast from."""
    settings = ensemble.model_settings
    if settings.windows is None or not settings.forecasts_from_windows:
        return None
    return settings.windows.length, settings.windows.stride


def read_truth(adata: AnnData) -> Truth:
    """Truth, priors and regulators of an AnnData of trajectories; where nothing else is said all pairs are known."""
    shape = (adata.n_vars, adata.n_vars)
    edges = signs = None
    network = true_network(adata)
    known_pairs = np.zeros(shape, bool) if network is None else network.known & ~np.eye(adata.n_vars, dtype=bool)
    if network is not None and known_pairs.any():
        edges = network.truth != 0
        signs = np.sign(network.truth) if network.signed else None
    regulators = (
        adata.var["is_regulator"].to_numpy(bool) if "is_regulator" in adata.var else np.ones(adata.n_vars, bool)
    )
    training = training_mask(adata.obs["split"], adata.obs["phase"])
    deviations = np.asarray(adata.X, np.float64)[training].std(axis=0)
    same_degrees = None if edges is None else sample_networks(edges, known_pairs)
    prior_settings = read_metadata(adata).settings.get("priors", {})
    groups = group_pairs(reference_network(adata), adata.n_vars)
    return Truth(
        edges, known_pairs, regulators, read_priors(adata), signs, deviations, same_degrees, prior_settings, groups
    )


def read_priors(adata: AnnData) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Edges and known pairs, (source, target) both, of every prior network that has an edge, by name."""
    priors = {}
    for name, network in prior_networks(adata).items():
        edges = network.truth != 0
        known_pairs = network.known & ~np.eye(len(edges), dtype=bool)
        if (edges & known_pairs).any() and (known_pairs & ~edges).any():
            priors[name] = edges, known_pairs
    return priors


def _evaluate_ensemble(
    result: Evaluation,
    tables: _Parts,
    ensemble: Ensemble,
    data: Observations,
    truth: Truth,
    protocols: Sequence[Protocol],
    label: dict[str, str],
    settings: EvaluationSettings,
    references: Mapping[str, np.ndarray],
) -> None:
    """Add the rows of one ensemble to `tables`.

    To `result` its selection, at the chosen strength its network and the influences of regulators in each group, and
    the stability over all strengths.
    """
    key = label["model"], label["method"]
    members = pd.DataFrame(
        [(member.strength, member.seed, member.status) for member in ensemble.members],
        columns=["strength", "seed", "status"],
    )
    finished = np.flatnonzero(members["status"] == "finished")
    keys = members.loc[finished, ["strength", "seed"]].reset_index(drop=True)
    tables.metrics.append(rows.training_rows(ensemble, label))
    errors = []
    for protocol in protocols:
        protocol_errors = forecast_errors(ensemble, data, protocol.plan, protocol.kept)
        errors.append(protocol_errors)
        tables.metrics.extend(rows.error_rows(protocol_errors.pick(finished), keys, data, protocol, label))
    # By the last protocol: rolling forecasts where the dataset asks for them, else windows for a model trained on them.
    # Never by single steps, which noise and the data's own inertia decide.
    last = max(number for number, protocol in enumerate(protocols) if protocol.name != ONE_STEP)
    # Matrices of members keep the precision that they come in: of thousands of genes each takes 50 MB.
    paths = np.asarray(ensemble.path_matrix())
    members["feature_sparsity"] = feature_sparsity(paths)
    selected_pairs = select_pairs(paths >= THRESHOLD, np.ones(paths.shape[1:], bool))
    selection = _select(
        errors[last],
        members,
        selected_pairs,
        protocols[last].plan,
        {**label, **_tell_method(ensemble, truth)},
        settings.least_feature_sparsity,
    )
    tables.metrics.append(rows.selection_row(selection, label))
    tables.metrics.extend(rows.sparsity_rows(ensemble, paths, finished, keys, truth, label))
    is_chosen = (keys["strength"] == selection["chosen"]).to_numpy(bool)
    chosen = finished[is_chosen]
    order = ensemble.settings["model_settings"].get("order", 1)
    states, velocities = _jacobian_states(data, order)
    # With a truth the Jacobians of all that finished are scored; else only those of the chosen members.
    jacobian_members, of_chosen = (
        (finished, is_chosen) if truth.edges is not None else (chosen, np.ones(len(chosen), bool))
    )
    signed = absolute = np.empty((0, *paths.shape[1:]))
    if len(jacobian_members):
        whole = ensemble.select(jacobian_members.tolist())
        signed = np.asarray(whole.mean_jacobian(states, velocities))
        if truth.edges is not None or truth.priors:
            absolute = np.asarray(whole.mean_absolute_jacobian(states, velocities))
    jacobian = pick_members(signed, np.flatnonzero(of_chosen))
    influences: dict[str, np.ndarray] = {}
    if len(chosen):
        selected = ensemble.select(chosen.tolist())
        influences = _group_influences(selected, data, order, jacobian)
        if truth.priors:
            scores = {
                "paths": pick_members(paths, chosen),
                "jacobian": pick_members(absolute, np.flatnonzero(of_chosen)),
            }
            tables.metrics.extend(rows.prior_rows(scores, members.loc[chosen, ["strength", "seed"]], truth, label))
        if settings.interval_repeats:
            plan = protocols[0].plan
            compared = {**label, "strength": selection["chosen"]}
            member_errors, together = entry_errors(selected, data, plan)
            tables.metrics.extend(
                paired_rows(member_errors, together, references, plan, compared, repeats=settings.interval_repeats)
            )
    result.groups[key] = group_table(influences, data.features, truth.regulators)
    del influences
    if truth.edges is not None:
        scores = {"paths": pick_members(paths, finished), "jacobian": absolute}
        _add_structure(tables, scores, signed, keys, selection, truth, data.features, label)
    for protocol, protocol_errors in zip(protocols, errors, strict=True):
        tables.forecasts.append(
            rows.forecast_rows(
                protocol_errors.kept[chosen], members.loc[chosen, ["strength", "seed"]], data, protocol, label
            )
        )
    result.selections[key] = selection
    _add_network(result, key, pick_members(paths, chosen), jacobian, truth, data.features)
    result.stability[key] = stability_table(
        pick_members(paths, finished), keys["strength"].to_numpy(), data.features, truth.pair_groups
    )


def _add_network(
    result: Evaluation,
    key: tuple[str, str],
    paths: np.ndarray,
    jacobian: np.ndarray,
    truth: Truth,
    features: Sequence[str],
) -> None:
    """Add the edges at the chosen strength and their numbers; `paths` and `jacobian` (member, source, target)."""
    known_edges = None if truth.edges is None else (truth.edges, truth.known)
    result.networks[key] = network_table(paths, jacobian, features, known_edges, truth.deviations)
    counts = count_all_edges(paths)
    result.edges_found[key] = counts.found
    result.selections[key]["edges"] = counts._asdict()


def _add_structure(
    tables: _Parts,
    scores: Mapping[str, np.ndarray],
    jacobian: np.ndarray,
    keys: pd.DataFrame,
    selection: Mapping[str, Any],
    truth: Truth,
    features: Sequence[str],
    label: dict[str, str],
) -> None:
    """Add what the networks of the finished members are worth beside the truth: their metrics, and rankings."""
    assert truth.edges is not None  # noqa: S101 the caller asks for structure only where there is a truth
    tables.metrics.extend(rows.structure_rows(scores, jacobian, keys, truth, label, _mostly_usable(selection)))
    chosen = (keys["strength"] == selection["chosen"]).to_numpy(bool)
    if not chosen.any():
        return
    rows_of_chosen = np.flatnonzero(chosen)
    of_chosen = {name: pick_members(matrices, rows_of_chosen) for name, matrices in scores.items()}
    tables.metrics.extend(rows.interval_rows(of_chosen, truth, {**label, "strength": selection["chosen"]}))
    pooled = pool_members(of_chosen, pick_members(jacobian, rows_of_chosen), truth.deviations)
    compared = {name: (estimate.scores, estimate.presence) for name, estimate in pooled.items()}
    tables.metrics.extend(rows.degree_rows(compared, truth, {**label, "strength": selection["chosen"]}))
    signed = {name: (estimate.scores, estimate.signs) for name, estimate in pooled.items()}
    named = {"model": label["model"], "method": label["method"]}
    tables.rankings.append(ranking_table(signed, features, (truth.edges, truth.known), **named))


def _mostly_usable(selection: Mapping[str, Any]) -> list[float]:
    """Strengths of which at least half of the members are usable, dense ones too, whatever was chosen."""
    return [
        entry["strength"]
        for entry in selection["candidates"]
        if entry["usable"] and 2 * entry["usable"] >= entry["members"]
    ]


def _select(
    errors: Errors,
    members: pd.DataFrame,
    selected: np.ndarray,
    plan: Plan,
    label: Mapping[str, Any],
    least_feature_sparsity: float,
) -> dict[str, Any]:
    """Choose the strength on the validation observations of the fit phase; `label` is added to the choice."""
    groups = plan.groups[~plan.groups["horizon"].str.startswith(LEAD)]
    columns = groups[(groups["split"] == "validation") & (groups["phase"] == "fit")]
    if columns.empty and members["strength"].nunique() > 1:
        asked = {WINDOW: "windows", ROLLING: "rolling forecasts"}.get(plan.protocol, "observations")
        shorter = {
            WINDOW: " or shorten `windows.length` of the model",
            ROLLING: " or shorten `evaluation.rolling.past` or `horizon` (which trains nothing anew)",
        }
        raise UserError(
            f"data set {label['dataset']} has no validation {asked} (split validation, phase fit) to choose the "
            f"strength of {label['model']}/{label['method']} on: enlarge `validation.share` of the data set"
            + shorter.get(plan.protocol, "")
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
        **choose_strength(
            table,
            members,
            least_feature_sparsity=least_feature_sparsity,
            selected=selected,
            sparsifies=get_method(label["regularizer"]).sparsifies,
        ),
        "protocol": plan.protocol,
        "split": "validation",
        "phase": "fit",
    }


def _tell_method(ensemble: Ensemble, truth: Truth) -> dict[str, Any]:
    """The regularizer of an ensemble, and the prior network that it was given, if any."""
    settings = ensemble.settings["method_settings"]
    prior = origin_of_prior(truth.made_priors, settings["options"].get("prior"))
    return {"regularizer": settings["regularizer"], "prior": prior}


def origin_of_prior(made: Mapping[str, Mapping[str, Any]], name: str | None) -> dict[str, Any] | None:
    """What the prior network of a name is made `of`, and the share of it that is wrong; of none, None.

    `made` are the dataset's own `priors`; any other is one of the source, made of nothing else.
    """
    if name is None:
        return None
    entry = made.get(name, {"of": name})
    return {"name": name, "of": entry["of"], "corruption": entry.get("corruption", 0.0)}


def _group_influences(
    ensemble: Ensemble, data: Observations, order: int, everywhere: np.ndarray
) -> dict[str, np.ndarray]:
    """Influences (member, source, target) in each group that has training observations.

    The mean signed Jacobian over the group's training observations, times how far the source moves in the group: a
    regulator that a lineage never switches on drives nothing there. A single group is all the data, whose Jacobian
    `everywhere` is known.
    """
    training = data.training
    groups = list(dict.fromkeys(data.group[training].tolist()))
    influences = {}
    for group in groups:
        indices = np.flatnonzero(training & (data.group == group))
        moves = np.ptp(fit_polynomial(data.time[indices], data.values[indices], 3)(data.time[indices]), axis=0)
        jacobian = everywhere
        if len(groups) > 1:
            jacobian = np.asarray(ensemble.mean_jacobian(*_jacobian_states(data, order, group)))
        influences[str(group)] = jacobian * moves[:, None].astype(jacobian.dtype)
    return influences


def _jacobian_states(data: Observations, order: int, group: str | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Training observations, evenly spread over them, fewer for wide data where each Jacobian is large.

    Those of one group, or of all. At second order with their velocities, from a local fit through the neighbors in
    time.
    """
    from sparsenode.data.windows import local_fit

    wanted_group = True if group is None else data.group == group
    training = np.flatnonzero(data.training & wanted_group)
    state_count = next(
        (count for features, count in JACOBIAN_STATES.items() if len(data.features) <= features),
        MANY_FEATURES_JACOBIAN_STATES,
    )
    positions = spread(len(training), state_count)
    states = data.values[training[positions]]
    if order == 1:
        return states, None
    velocities = np.empty_like(states)
    for number, position in enumerate(positions):
        near = training[max(0, position - 3) : position + 4]
        near = near[data.trajectory[near] == data.trajectory[training[position]]]
        velocities[number] = local_fit(data.time[near], data.values[near], data.time[training[position]])[1]
    return states, velocities


__all__ = ["Evaluation", "EvaluationSettings", "evaluate_ensembles", "evaluate_models"]
