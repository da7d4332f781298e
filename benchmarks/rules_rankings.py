"""Rankings of edges by several importances of a fit, on systems made for choosing among them; see `rules.py`."""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from ranking import REPOSITORY, append_row, commit, read_rows

from sparsenode.automatic.options import automatic_options
from sparsenode.data.contract import true_network
from sparsenode.data.missing import deviation_observed
from sparsenode.data.observations import Observations, read_observations
from sparsenode.data.preprocess import assemble, load_dataset
from sparsenode.data.readers.arrays import read_arrays
from sparsenode.ensemble.members import Ensemble
from sparsenode.errors import UserError
from sparsenode.estimator.importance import (
    NO_PENALTY,
    PATH,
    PATH_SEEDS,
    cost_importance,
    derivative_shares,
    match_members,
    mean_ranks,
)
from sparsenode.estimator.model import MODEL, SparseNODE
from sparsenode.estimator.settings import FitSettings, complete_settings
from sparsenode.evaluation.measure import jacobian_states
from sparsenode.evaluation.networks import mean_shares
from sparsenode.evaluation.structure import rank_pairs
from sparsenode.inference import test_edges

FIRST_SEED = 7000
SYSTEMS: Mapping[str, Mapping[str, Any]] = {
    "linear": {"nodes": 10},
    "hill": {"nodes": 12},
    "lotka_volterra": {"species": 4},
    "kuramoto": {"oscillators": 4},
    "circuit": {},
    "small_circuit": {"variables": 3, "triads": 1},
}
FORMS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "many": {
        "linear": {"trajectories": 22, "observations": 20},
        "hill": {"trajectories": 22, "observations": 20},
        "lotka_volterra": {"trajectories": 22, "observations": 20, "horizon": 4.0},
        "kuramoto": {"trajectories": 22, "observations": 20, "horizon": 2.0},
        "circuit": {"trajectories": 20, "observations": 25, "step": 0.05},
        "small_circuit": {"trajectories": 20, "observations": 25, "step": 0.05},
    },
    "few": {
        "linear": {"trajectories": 4, "observations": 150, "horizon": 8.0},
        "hill": {"trajectories": 4, "observations": 150, "horizon": 8.0},
        "lotka_volterra": {"trajectories": 3, "observations": 400, "horizon": 40.0},
        "kuramoto": {"trajectories": 3, "observations": 400, "horizon": 20.0},
        "circuit": {"trajectories": 1, "observations": 900, "step": 0.05},
        "small_circuit": {"trajectories": 1, "observations": 900, "step": 0.05},
    },
}
NOISES = (0.0, 0.05)
Ranking = Callable[[AnnData], Mapping[str, np.ndarray]]


def circuit(
    seed: int,
    *,
    trajectories: int,
    observations: int,
    step: float,
    noise: float,
    variables: int = 5,
    triads: int = 3,
) -> AnnData:
    """Triads of products that keep the energy, rotations, and damping and driving of some of the variables.

    Only damped variables have an effect on themselves. Drawn again until the course stays bounded and goes on moving.
    """
    from scipy.integrate import solve_ivp

    generator = np.random.default_rng([seed, 1])
    count, has_pairs = variables, variables < 5
    while True:
        quadratic, linear = np.zeros((count, count, count)), np.zeros((count, count))
        for _ in range(triads):
            first, second, third = generator.permutation(count)[:3]
            weights = generator.normal(size=3)
            if has_pairs and generator.random() < 0.7:  # only two of the three: there are absent edges
                weights = np.array([1.0, -1.0, 0.0]) * weights[0]
            for target, (a, b), weight in zip(
                (first, second, third),
                ((second, third), (first, third), (first, second)),
                weights - weights.mean(),
                strict=True,
            ):
                quadratic[target, a, b] += weight
        for _ in range(2 if count > 3 else 1):
            first, second = generator.permutation(count)[:2]
            weight = generator.uniform(0.5, 2)
            linear[first, second] += weight
            linear[second, first] -= weight
        damped = generator.permutation(count)[: 2 if count > 3 else 1 + seed % 2]
        linear[damped, damped] -= generator.uniform(0.3, 1.0, len(damped))
        drive = np.zeros(count)
        drive[generator.integers(count)] = generator.uniform(1, 3)

        def rate(_time: float, x: np.ndarray, q: Any = quadratic, a: Any = linear, f: Any = drive) -> np.ndarray:
            return np.asarray(np.einsum("tab,a,b->t", q, x, x) + a @ x + f)

        times = 20.0 + step * np.arange(observations * trajectories)
        solved = solve_ivp(rate, (0, times[-1]), generator.normal(size=count), t_eval=times, rtol=1e-7, atol=1e-8)
        if solved.success and np.abs(solved.y).max() < 50 and solved.y[:, len(times) // 2 :].std(1).min() > 0.1:
            break
    values = ((solved.y.T - solved.y.mean(1)) / solved.y.std(1)).reshape(trajectories, observations, count)
    values = values + noise * np.random.default_rng([seed, 2]).standard_normal(values.shape)
    raw = read_arrays(values if trajectories > 1 else values[0], step * np.arange(observations))
    validation = {"by": "trajectory", "share": 0.2} if trajectories >= 10 else {"by": "inner_blocks", "share": 0.15}
    settings = {"validation": validation, "initial_state": {}, "feature_weight": "movement"}
    adata = assemble("circuit", raw, settings, {})
    edges = (linear != 0) | (quadratic != 0).any(2) | (quadratic != 0).any(1)
    adata.uns["edges"] = edges.T
    return adata


def load(system: str, seed: int, form: str, noise: float) -> tuple[AnnData, np.ndarray, np.ndarray]:
    """The data, their true edges (source, target), and where these are known."""
    options = {**SYSTEMS[system], **FORMS[form][system]}
    if system.endswith("circuit"):
        adata = circuit(seed, noise=noise, **options)
        edges = np.asarray(adata.uns.pop("edges"))
        return adata, edges, np.ones_like(edges)
    by = {"by": "trajectory", "share": 0.1} if form == "many" else {"by": "inner_blocks", "share": 0.15}
    adata = load_dataset(system, validation=by, seed=seed, noise=noise, test_trajectories=1, **options)
    truth = true_network(adata)
    assert truth is not None
    return adata, truth.truth != 0, np.asarray(truth.known, bool)


def frozen_settings(adata: AnnData) -> dict[str, Any]:
    model, method, choices = complete_settings(FitSettings(), adata)
    return {
        "dataset": adata.uns["sparsenode"]["name"], "model": MODEL, "method": method["regularizer"],
        "model_settings": model, "method_settings": method, "automatic": choices,
    }  # fmt: skip


def derivative_sizes(members: Ensemble, data: Observations, *, common: bool) -> np.ndarray:
    """Mean over states of the sizes of derivatives, in deviations of source and target's rate, (source, target).

    Of each member, whose mean it is, or `common`, of the members' mean at each state.
    """
    states, velocities = jacobian_states(data, members.model_settings.order)
    unit = members.model_settings.time_scale**members.model_settings.order
    size = np.sqrt(np.square(np.asarray(members.rates(states, velocities), np.float64) * unit).mean(axis=1))
    spread = states.std(axis=0)[:, None]
    if common:
        return np.asarray(members.common_jacobian(states, velocities)) * spread / size.mean(axis=0)
    each = np.asarray(members.mean_absolute_jacobian(states, velocities)) * spread / size[:, None, :]
    return np.asarray(each.mean(axis=0))


def by_derivatives(adata: AnnData) -> dict[str, np.ndarray]:
    """Derivatives of matched members without a penalty: of each, of their mean, and as shares of each target's."""
    frozen, data = frozen_settings(adata), read_observations(adata)
    result = {}
    for iterations in (150, 400):
        members = match_members(adata, frozen, range(8), iterations=iterations, method=NO_PENALTY)
        for count in (4, 8):
            some = members.select(list(range(count)))
            result[f"derivatives_{count}_{iterations}"] = derivative_sizes(some, data, common=False)
            result[f"common_{count}_{iterations}"] = derivative_sizes(some, data, common=True)
            result[f"common_shares_{count}_{iterations}"] = derivative_shares(some, data)
        result[f"shares_8_{iterations}"] = _shares(members, data)
    return result


def _shares(members: Ensemble, data: Observations) -> np.ndarray:
    states, velocities = jacobian_states(data, members.model_settings.order)
    jacobian = np.asarray(members.mean_absolute_jacobian(states, velocities))
    return mean_shares(jacobian, states.std(0), self_effects=True)


def by_vanishing(adata: AnnData) -> dict[str, np.ndarray]:
    """Along a path of matched members: how long edges stay, and the derivatives that are left, averaged."""
    frozen, data = frozen_settings(adata), read_observations(adata)
    frozen["model_settings"] = {**frozen["model_settings"], "network": "per_target"}
    method = {"regularizer": "grouplasso", "strengths": list(PATH), "options": automatic_options("grouplasso")}
    members = match_members(adata, frozen, range(PATH_SEEDS), method=method)
    present = (np.asarray(members.path_matrix()) >= 1e-5).mean(0)
    derivatives = derivative_sizes(members, data, common=False)
    return {
        "vanishing": present + 1e-6 * derivatives,
        "path_derivatives": derivatives,
        "path_shares": derivative_shares(members, data),
    }


def by_costs(adata: AnnData) -> dict[str, np.ndarray]:
    """What leaving an input out costs, and that over its standard error."""
    test = test_edges(adata)
    names = list(map(str, adata.var_names))
    effects = cost_importance(test, names)
    half = pd.concat([test.table, test.self_effects])
    half["effect"] = half["effect"] / (half["upper"] - half["lower"]).clip(lower=1e-12)
    numbers = {name: number for number, name in enumerate(names)}
    ratio = np.full_like(effects, np.nan)
    ratio[half["source"].map(numbers), half["target"].map(numbers)] = half["effect"]
    if not np.isfinite(effects).any():
        raise UserError(test.reason)
    return {"costs": effects, "cost_ratios": ratio}


def by_fit(adata: AnnData) -> dict[str, np.ndarray]:
    """Of an automatic fit: shares of paths, derivatives at the chosen strength, and those of the dense model."""
    model = SparseNODE(verbose=0, seeds=3).fit(adata)
    data = read_observations(adata)
    chosen = model._chosen
    training = (adata.obs["split"] == "train").to_numpy()
    deviations = deviation_observed(np.asarray(adata.X, np.float64)[training])
    result = {
        "paths": mean_shares(chosen.path_matrix(), deviations, self_effects=True),
        "chosen_shares": derivative_shares(chosen, data),
    }
    if model.dense_ is not None:
        rows = [row for row, member in enumerate(model.dense_.members) if member.status == "finished"]
        result["dense_shares"] = derivative_shares(model.dense_.select(rows), data)
    return result


GROUPS: Mapping[str, Ranking] = {
    "derivatives": by_derivatives,
    "vanishing": by_vanishing,
    "costs": by_costs,
    "fit": by_fit,
}
MEANS: Mapping[str, tuple[str, ...]] = {
    "common shares + costs": ("common_shares_8_400", "costs"),
    "common shares + vanishing": ("common_shares_8_400", "vanishing"),
    "common shares + path shares": ("common_shares_8_400", "path_shares"),
    "common shares + vanishing + costs": ("common_shares_8_400", "vanishing", "costs"),
    "common shares + path shares + costs": ("common_shares_8_400", "path_shares", "costs"),
    "common shares + paths": ("common_shares_8_400", "paths"),
}
"""Mean ranks of several importances."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--groups", nargs="+", choices=list(GROUPS), default=["derivatives", "vanishing", "costs"])
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS))
    parser.add_argument("--noises", nargs="+", type=float, choices=NOISES, default=list(NOISES))
    parser.add_argument("--seeds", type=int, default=1, help="systems of each kind")
    parser.add_argument("--minutes", type=float, default=60.0, help="no ranking is begun after so many")
    parser.add_argument("--csv", type=Path, default=REPOSITORY / "benchmarks" / "rules_rankings.csv")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "sparsenode-rankings")


def run(arguments: argparse.Namespace) -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    ends = time.monotonic() + 60 * arguments.minutes
    finished = {_key(row) for row in read_rows(arguments.csv)}
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds):
        for group in arguments.groups:
            for system in arguments.systems:
                for form in arguments.forms:
                    for noise in arguments.noises:
                        key = (group, system, str(seed), form, f"{noise:g}")
                        if key in finished:
                            continue
                        if time.monotonic() > ends:
                            return print_table(arguments.csv)
                        measure(arguments, group, system, seed, form, noise)
    return print_table(arguments.csv)


def _key(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in ("group", "system", "seed", "form", "noise"))


def measure(arguments: argparse.Namespace, group: str, system: str, seed: int, form: str, noise: float) -> None:
    """One row for each ranking of a group on one system, and of each mean that this group completes."""
    adata, edges, known = load(system, seed, form, noise)
    began, failure = time.process_time(), ""
    scores: Mapping[str, np.ndarray] = {group: np.full(edges.shape, np.nan)}
    try:
        scores = GROUPS[group](adata)
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"[:120]
    seconds = time.process_time() - began
    arguments.folder.mkdir(parents=True, exist_ok=True)
    stored = arguments.folder / f"{system}-{seed}-{form}-{noise:g}.npz"
    before = dict(np.load(stored)) if stored.is_file() else {}
    np.savez(stored, **{**before, **scores})
    everything = {**before, **scores}
    means = {
        name: mean_ranks([everything[part] for part in parts])
        for name, parts in MEANS.items()
        if all(part in everything for part in parts) and any(part in scores for part in parts)
    }
    for name, matrix in {**scores, **means}.items():
        ranked = score(matrix, edges, known)
        row = {"group": group, "system": system, "seed": seed, "form": form, "noise": f"{noise:g}", "ranking": name}
        append_row(arguments.csv, {**row, **ranked, "seconds": seconds, "failure": failure, "commit": commit()})
        print(row, {key: round(value, 3) for key, value in ranked.items()}, f"{seconds:.0f} s", failure, flush=True)


def score(matrix: np.ndarray, edges: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """AUPRC and AUROC of all pairs of two variables, and AUROC with effects on themselves."""
    values = np.nan_to_num(np.asarray(matrix, float), nan=-1e300)
    pairs = known & ~np.eye(len(edges), dtype=bool)
    without, everything = rank_pairs(values[pairs], edges[pairs]), rank_pairs(values[known], edges[known])
    return {"auprc": without["auprc"], "auroc": without["auroc"], "auroc_self": everything["auroc"]}


def print_table(path: Path) -> None:
    """Means over the systems that every ranking has, by form and noise."""
    rows = pd.DataFrame(read_rows(path))
    numbers = ["auprc", "auroc", "auroc_self", "seconds"]
    rows = rows.astype(dict.fromkeys(numbers, float))
    rows["kind"] = rows["form"] + " " + rows["noise"]
    table = rows.pivot_table(index="ranking", columns="kind", values="auprc", aggfunc="mean", sort=False)
    table["all"] = rows.groupby("ranking")["auprc"].mean()
    table["AUROC"] = rows.groupby("ranking")["auroc"].mean()
    table["with self"] = rows.groupby("ranking")["auroc_self"].mean()
    table["systems"] = rows.groupby("ranking")["auprc"].count()
    table["seconds"] = rows.groupby("ranking")["seconds"].mean()
    print(table.to_string(float_format="{:.3f}".format))
    by_system = rows.pivot_table(index="ranking", columns="system", values="auprc", aggfunc="mean", sort=False)
    print(by_system.to_string(float_format="{:.3f}".format))


__all__ = ["add_arguments", "run"]
