"""Everything that is measured on one dataset: the metrics, forecasts, networks and choices of all its ensembles."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsenode.data.contract import read_metadata
from sparsenode.data.magnitudes import measure_magnitudes
from sparsenode.data.observations import Observations, read_observations
from sparsenode.evaluation import tabulate
from sparsenode.evaluation.blocks import load_blocks
from sparsenode.evaluation.choose import choose, write_selection
from sparsenode.evaluation.edges import edge_rows, read_test, remarks_of_edges
from sparsenode.evaluation.measure import measure, measure_networks
from sparsenode.evaluation.networks import (
    network_keys,
    write_annotated,
    write_graph,
    write_groups,
    write_network,
    write_rankings,
    write_stability,
)
from sparsenode.evaluation.paired import reference_errors
from sparsenode.evaluation.peers import (
    PeerScores,
    peer_degree_rows,
    peer_rankings,
    peer_rows,
    peer_scoring,
    read_peer,
    unfinished_peers,
    unfinished_rows,
)
from sparsenode.evaluation.plans import (
    plan_one_step,
    plan_rolling,
    plan_trajectories,
    plan_windows,
)
from sparsenode.evaluation.protocols import Protocol, cut_windows, make_protocol
from sparsenode.evaluation.remarks import check_finished, remarks_of_dataset, remarks_of_peers
from sparsenode.evaluation.scoring import random_scoring
from sparsenode.evaluation.settings import EvaluationSettings
from sparsenode.evaluation.structure import NO_PAIR
from sparsenode.evaluation.tables import join_tables
from sparsenode.evaluation.truth import describe_truth
from sparsenode.files import file_sha256, write_atomically
from sparsenode.remarks import write_remarks

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.ensemble.members import Ensemble
    from sparsenode.inference import EdgeTest

logger = logging.getLogger(__name__)


@dataclass
class Evaluation:
    """What was measured: tidy `metrics`, long `forecasts`, and by (model, method) its networks and its selection.

    `networks` hold the edges over all the data, the strongest of the `edges_found`, `groups` the influences of
    regulators in each group (lineage, branch), `stability` how often each pair is selected at each strength. `rankings`
    are the pooled scores beside the truth, if there is one.
    """

    metrics: pd.DataFrame
    forecasts: pd.DataFrame
    networks: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    selections: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    edges_found: dict[tuple[str, str], int] = field(default_factory=dict)
    groups: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    stability: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    rankings: list[pd.DataFrame] | None = None


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
    edges: Path | None = None,
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
        edges: folder of a test of edges; None where there was none.

    Raises:
        UserError: no member has finished its training; a model file differs from its settings, or was trained on other
            features; settings without a model file or the reverse; no validation observations to choose a strength on;
            names of models and methods that cannot be keys of `network.h5ad`.
    """
    from sparsenode.data.contract import read_trajectories

    adata = read_trajectories(data)
    observations = read_observations(adata)
    name, features = observations.name, observations.features
    ensembles = load_blocks(models, settings, name, file_sha256(data), seeds)
    # Before the work, not after it: two names that give one key are known now.
    network_keys([(ensemble.settings["model"], ensemble.settings["method"]) for ensemble in ensembles])
    magnitudes = measure_magnitudes(adata)
    check_finished(ensembles, magnitudes)
    unfinished = unfinished_peers(peers)
    scored = [read_peer(path, features) for path in peers if path.stem not in unfinished]
    test = None if edges is None else read_test(edges)
    evaluation = evaluate_ensembles(observations, ensembles, settings_of_evaluation, scored, test=test)
    evaluation.metrics = join_tables([evaluation.metrics, *unfinished_rows(unfinished, name)])
    write_evaluation(evaluation, adata, metrics=metrics, forecasts=forecasts, networks=networks, selection=selection)
    if remarks is not None:
        doubts = remarks_of_dataset(ensembles, evaluation.metrics, evaluation.selections, magnitudes)
        of_edges = [] if test is None else remarks_of_edges(test, name)
        write_remarks([*remarks_of_peers(unfinished, name), *of_edges, *doubts], remarks)


def write_evaluation(
    evaluation: Evaluation, adata: AnnData, *, metrics: Path, forecasts: Path, networks: Path, selection: Path
) -> None:
    """Write what was measured on a dataset to the files from which figures are drawn.

    Args:
        evaluation: what was measured.
        adata: the trajectories.
        metrics: see `evaluate_models`, as all that follow.
        forecasts: file of the forecasts.
        networks: folder of the networks.
        selection: folder of the choices.
    """
    name, features = read_metadata(adata).name, list(adata.var_names)
    for (model, method), table in evaluation.networks.items():
        write_network(table, networks / model / f"{method}.csv")
        write_groups(evaluation.groups[model, method], networks, model, method)
        write_stability(evaluation.stability[model, method], networks, model, method)
        chosen = evaluation.selections[model, method]["chosen"]
        attributes = {"dataset": name, "model": model, "method": method} | (
            {} if chosen is None else {"strength": chosen}
        )
        attributes["edges_found"] = evaluation.edges_found[model, method]
        write_graph(table, features, networks / model / f"{method}.graphml", **attributes)
    write_annotated(adata, _chosen_networks(evaluation), networks)
    write_rankings(evaluation.rankings or [], networks)
    for (model, method), choice in evaluation.selections.items():
        write_selection(choice, selection / model / f"{method}.json")
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
    data: Observations,
    ensembles: Sequence[Ensemble],
    settings: EvaluationSettings | None = None,
    peers: Sequence[PeerScores] = (),
    *,
    test: EdgeTest | None = None,
) -> Evaluation:
    """Measure ensembles, one for each (model, method), the networks of peers and tested edges on a dataset.

    Args:
        data: the observations.
        ensembles: one for each (model, method).
        settings: how models are scored and chosen; the default where it is None.
        peers: scores of peers.
        test: a test of edges; None where there was none.

    Raises:
        UserError: see `evaluate_models`.
    """
    settings = settings or EvaluationSettings()
    truth = describe_truth(data, settings.scoring)
    evaluation = Evaluation(metrics=pd.DataFrame(), forecasts=pd.DataFrame())
    shared = [make_protocol(data, plan_trajectories(data))]
    if settings.one_step:
        shared.append(make_protocol(data, plan_one_step(data)))
    if settings.rolling is not None:
        shared.append(make_protocol(data, plan_rolling(data, settings.rolling)))
    metrics: list[pd.DataFrame] = []
    forecasts: list[pd.DataFrame] = []
    rankings: list[pd.DataFrame] = []
    for protocol in shared:
        metrics += tabulate.baseline_rows(data, protocol, dataset=data.name, model="")
        forecasts += tabulate.baseline_forecasts(data, protocol, dataset=data.name, model="")
    references = reference_errors(data, shared[0].plan) if settings.interval_repeats else {}
    if truth.edges is not None:
        metrics.append(tabulate.random_structure(truth, data.name))
        for rows_of_peers in (peer_rows, peer_degree_rows, peer_scoring):
            metrics += rows_of_peers(peers, truth, data.name)
    metrics += (
        edge_rows(test, truth, data.features, data.name)
        + tabulate.random_priors(truth, data.name)
        + random_scoring(truth.scoring, data.name)
    )
    windows: dict[tuple[int, int], Protocol] = {}
    models_done = set()
    for ensemble in ensembles:
        started = time.perf_counter()
        model, method = key = ensemble.settings["model"], ensemble.settings["method"]
        protocols = list(shared)
        if settings.rolling is None and (window := _window_of(ensemble)) is not None:
            if window not in windows:
                windows[window] = make_protocol(data, plan_windows(data, cut_windows(data, *window)))
            protocols.append(windows[window])
            if model not in models_done:
                metrics += tabulate.baseline_rows(data, windows[window], dataset=data.name, model=model)
                forecasts += tabulate.baseline_forecasts(data, windows[window], dataset=data.name, model=model)
            models_done.add(model)
        measurement = measure(
            ensemble, data, truth, protocols, {"dataset": data.name, "model": model, "method": method}
        )
        choice = choose(measurement, least_feature_sparsity=settings.least_feature_sparsity)
        repeats = settings.interval_repeats
        networks = measure_networks(ensemble, measurement, choice["chosen"], data, truth, by_entry=bool(repeats))
        tables = tabulate.tabulate(measurement, choice, networks, data, truth, references=references, repeats=repeats)
        metrics += tables.metrics
        forecasts += tables.forecasts
        rankings += tables.rankings
        evaluation.networks[key], evaluation.edges_found[key] = tables.network, tables.edges.found
        evaluation.groups[key], evaluation.stability[key] = tables.groups, tables.stability
        evaluation.selections[key] = {**choice, "edges": tables.edges._asdict()}
        logger.info(
            "evaluated %s/%s: %d members in %.1f s", model, method, len(ensemble.members), time.perf_counter() - started
        )
    if data.truth is not None:
        if truth.edges is None:
            logger.warning("%s: %s, so that no network can be set beside it", data.name, NO_PAIR)
        evaluation.rankings = [*rankings, *peer_rankings(peers, truth, data.features)]
    evaluation.metrics = join_tables(metrics)
    evaluation.forecasts = tabulate.join_forecasts(forecasts)
    return evaluation


def _window_of(ensemble: Ensemble) -> tuple[int, int] | None:
    """Length and stride of the windows that a model can forecast from."""
    settings = ensemble.model_settings
    if settings.windows is None or not settings.forecasts_from_windows:
        return None
    return settings.windows.length, settings.windows.stride


__all__ = ["Evaluation", "EvaluationSettings", "evaluate_ensembles", "evaluate_models"]
