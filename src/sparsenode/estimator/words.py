"""A fit in words, on one screen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparsenode.automatic.record import BY_HAND, describe_choices
from sparsenode.data.missing import describe_share, missing_share
from sparsenode.data.observations import read_observations
from sparsenode.ensemble.choice import SEARCHES, describe_searches
from sparsenode.ensemble.states import list_names
from sparsenode.evaluation.baselines import BASELINE_NAMES
from sparsenode.evaluation.plans import TRAJECTORY
from sparsenode.evaluation.remarks import least_trivial_error
from sparsenode.evaluation.results import pick
from sparsenode.evaluation.tables import ALL
from sparsenode.remarks import NOTHING, describe_remarks

if TYPE_CHECKING:
    from sparsenode.estimator.model import SparseNODE

_SPLITS = ("train", "validation", "test")
_EDGES = 5  # listed
_COMPARED = 20  # edges that are looked for among those of other methods


def describe_fit(model: SparseNODE) -> str:
    """Data, choices, errors beside those of trivial forecasts, strongest edges, and what to doubt."""
    data = read_observations(model.adata_, networks=False)
    settings, method = model.settings_["model_settings"], model.settings_["method_settings"]
    counts = ", ".join(
        f"{int((data.split == split).sum())} {split}" for split in _SPLITS if (data.split == split).any()
    )
    members = model.ensemble_.members
    finished = sum(member.status == "finished" for member in members)
    seeds = len({member.seed for member in members})
    strengths = [f"{strength:g}" for strength in sorted({member.strength for member in members})]
    windows = settings["windows"]
    lines = [
        f"SparseNODE fitted to {len(data.trajectory_names)} trajectories of {len(data.features)} variables "
        f"({list_names(data.features)}): {len(data.values)} observations ({counts})"
        + (f", {describe_share(share)}" if (share := missing_share(data.values)) else ""),
        f"  network: {settings['network']}, hidden units {list(settings['hidden'])}, "
        f"time scale {settings['time_scale']:g} {data.time_unit}, solver step {settings['solver']['step']:g}, "
        + ("whole trajectories" if windows is None else f"windows of {windows['length']} steps"),
        f"  method: {method['regularizer']}, {len(strengths)} strengths ({list_names(strengths)}), "
        f"{seeds} seeds, {settings['iterations']} iterations: {finished} of {len(members)} members finished",
    ]
    if searches := model.ensemble_.metadata.get(SEARCHES):
        lines.append(f"  strengths by themselves: {describe_searches(searches)}")
    if choices := model.settings_.get("automatic"):
        chosen = [choice for choice in choices["choices"] if choice[-1] != BY_HAND]
        lines += ["  chosen from the data:", *(f"    {line}" for line in describe_choices(chosen))]
        lines += [f"    {warning}" for warning in choices["warnings"]]
    selection = model.evaluation_.selections[model._key]
    if model.strength_ is None:
        lines.append("  no strength was chosen")
    else:
        edges = model.network()
        pairs = len(data.features) * (len(data.features) - 1)
        often = int((edges["selection_frequency"] >= 0.5).sum())
        lines.append(
            f"  chosen strength: {model.strength_:g}; at least half of its members have {often} of {pairs} edges"
        )
        top = edges.head(_EDGES)
        strongest = [
            f"{source} {'-|' if effect < 0 else '->'} {target} ({effect:+.2f})"
            for source, target, effect in zip(top["source"], top["target"], top["effect"], strict=True)
        ]
        lines.append(f"  strongest edges: {', '.join(strongest) or 'none'}")
        lines.append(f"  ranked by {model.importances_.ranking.value}: {model.importances_.ranking.reason}")
        if hasattr(model, "edge_test_"):
            lines.append(f"  test of edges: {model.edge_test_.summary().splitlines()[0]}")
        lines += _errors(model, selection["protocol"])
        lines += _worth(model, selection["protocol"])
        lines += _agreement(model)
    # There is one method here, and no configuration.
    doubts = describe_remarks(model.remarks_, 3).replace("methods.NAME.strengths", "strengths")
    lines += ["What to doubt:", doubts] if doubts else [NOTHING]
    return "\n".join(lines)


def _agreement(model: SparseNODE) -> list[str]:
    """How many of the strongest edges are among the strongest of the dense model and of peers, in one line."""
    rankings = model.rankings()
    pairs = list(zip(rankings["source"], rankings["target"], strict=True))
    by_method = {
        str(method): [pairs[row] for row in rows]
        for method, rows in rankings.groupby("method", sort=False, observed=True).indices.items()
    }
    mine = by_method.pop(model._key[1], [])[:_COMPARED]
    lines = []
    if mine and by_method:
        shared = [f"{name} {len(set(mine) & set(edges[: len(mine)]))}" for name, edges in by_method.items()]
        chance = len(mine) ** 2 / (len(model.feature_names_in_) * (len(model.feature_names_in_) - 1))
        lines.append(
            f"  of its {len(mine)} strongest edges among the {len(mine)} strongest by others: {', '.join(shared)} "
            f"({chance:.2g} by chance)"
        )
    return [*lines, *(f"  no network by {name}: {reason}" for name, reason in model.peers_.reasons.items())]


def _worth(model: SparseNODE, protocol: str) -> list[str]:
    """What forecasts of the validation data are worth beside the best trivial one and the dense model, in words."""
    lines = []
    has_chosen = model._key[1] == "masked" and hasattr(model, "edge_test_")
    which = "of validation data, by which its edges were chosen," if has_chosen else "that were held out"
    for horizon in dict.fromkeys((protocol, TRAJECTORY)):
        errors = _error_of_split(model, horizon, "validation")
        if errors is None or not errors.name:
            continue
        what = "whole trajectories" if horizon == TRAJECTORY else "windows"
        trivial = f"the best trivial one ({BASELINE_NAMES[errors.name]})"
        beside = _compare(errors.error, errors.trivial, trivial)
        if not math.isnan(errors.dense):
            beside += f", {_compare(errors.error, errors.dense, 'the dense model')}"
        line = f"  forecasts of {what} {which} have an error {beside}"
        if errors.error > errors.trivial:
            line += f": this model is no use to forecast {what}"
            if horizon == TRAJECTORY != protocol:
                line += "; trust it for rates and short forecasts only"
        lines.append(line)
    return lines


def _compare(error: float, other: float, name: str) -> str:
    """How much an error is below or above another."""
    if other <= 0 or math.isclose(error, other, rel_tol=0.005):
        return f"as large as that of {name}"
    change = 100 * (error / other - 1)
    return f"{abs(change):.0f} % {'above' if change > 0 else 'below'} that of {name}"


class _Errors(NamedTuple):
    """Median mean squared errors over members: of the fit, the best trivial forecast and its name, the dense model."""

    error: float
    name: str
    trivial: float
    dense: float


def _error_of_split(model: SparseNODE, horizon: str, split: str) -> _Errors | None:
    """Errors of all trajectories of a split; None where there are none."""
    metrics = model.evaluation_.metrics
    where = {"horizon": horizon, "split": split, "phase": "fit", "trajectory": ALL, "status": "finished"}
    rows = pick(metrics, metric="mse", method=model._key[1], strength=model.strength_, **where)
    if rows.empty:
        return None
    name, trivial = least_trivial_error(metrics, model=model._key[0], protocol=horizon, split=split, phase="fit")
    dense = math.nan
    if model.dense_evaluation_ is not None:
        of_dense = pick(model.dense_evaluation_.metrics, metric="mse", method="none", **where)
        dense = math.nan if of_dense.empty else float(np.median(of_dense["value"]))
    return _Errors(float(np.median(rows["value"])), name, trivial, dense)


def _errors(model: SparseNODE, protocol: str) -> list[str]:
    """Error of each split beside the best trivial forecast."""
    lines = []
    for horizon in dict.fromkeys((protocol, TRAJECTORY)):
        for split in _SPLITS:
            errors = _error_of_split(model, horizon, split)
            if errors is None:
                continue
            beside = (
                f"; best trivial forecast ({BASELINE_NAMES[errors.name]}) {errors.trivial:.3g}" if errors.name else ""
            )
            beside += "" if math.isnan(errors.dense) else f"; dense model {errors.dense:.3g}"
            lines.append(f"  error, {split}, forecasts by {horizon}: {errors.error:.3g}{beside}")
    return lines
