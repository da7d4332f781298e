"""A fit in words, on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsenode.automatic.record import BY_HAND, describe_choices
from sparsenode.data.missing import describe_share, missing_share
from sparsenode.data.observations import read_observations
from sparsenode.ensemble.choice import SEARCHES, describe_searches
from sparsenode.ensemble.states import list_names
from sparsenode.evaluation.baselines import BASELINE_NAMES
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
        if hasattr(model, "edge_test_"):
            lines.append(f"  test of edges: {model.edge_test_.summary().splitlines()[0]}")
        lines += _errors(model, selection["protocol"])
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


def _errors(model: SparseNODE, protocol: str) -> list[str]:
    """Error of each split beside the best trivial forecast."""
    metrics = model.evaluation_.metrics
    lines = []
    for horizon in dict.fromkeys((protocol, "trajectory")):
        for split in _SPLITS:
            where = {"horizon": horizon, "split": split, "phase": "fit", "trajectory": ALL, "status": "finished"}
            rows = pick(metrics, metric="mse", method=model._key[1], strength=model.strength_, **where)
            if rows.empty:
                continue
            name, trivial = least_trivial_error(
                metrics, model=model._key[0], protocol=horizon, split=split, phase="fit"
            )
            error = float(np.median(rows["value"]))
            beside = f"; best trivial forecast ({BASELINE_NAMES[name]}) {trivial:.3g}" if name else ""
            if model.dense_evaluation_ is not None:
                dense = pick(model.dense_evaluation_.metrics, metric="mse", method="none", **where)
                beside += f"; dense model {float(np.median(dense['value'])):.3g}" * (not dense.empty)
            lines.append(f"  error, {split}, forecasts by {horizon}: {error:.3g}{beside}")
    return lines
