"""The strength of a method is chosen on validation data: within one standard error of the best, the most stable."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.plans import LEAD, ROLLING, WINDOW
from sparsenode.evaluation.sparsity import THRESHOLD
from sparsenode.evaluation.structure import select_pairs
from sparsenode.files import write_atomically
from sparsenode.methods import get_method

if TYPE_CHECKING:
    from sparsenode.evaluation.measure import Measurement

STABILITY_TOLERANCE = 0.02
"""Stabilities no further apart count as equal: of ten variables and ten seeds, one seed left out moves one by more."""
RULE = (
    "one standard error, then stability: of the strengths whose log validation mse exceeds the best strength's, paired "
    "by seed and trajectory, by at most one standard error of that excess (the largest of the plain one and those "
    "clustered by trajectory and by seed), the one whose selected edges are the most stable over its members (Nogueira "
    f"et al. 2018); of those within {STABILITY_TOLERANCE:g} of the greatest stability the largest; at least half of a "
    "strength's members must finish"
)
BY_ERROR = (
    "least error: the strength whose mean log validation mse is the least, since a larger strength of this method is "
    "no sparser; at least half of a strength's members must finish"
)
SPARSE = "; of those with a median feature sparsity of at least {:g}, or the sparsest where there is none"


def choose(measurement: Measurement, *, least_feature_sparsity: float = 0.0) -> dict[str, Any]:
    """Choose the strength of an ensemble on the validation observations of the fit phase.

    Args:
        measurement: what was measured of the ensemble.
        least_feature_sparsity: see `choose_strength`.

    Raises:
        UserError: there are several strengths, and no validation forecasts to choose among them by.
    """
    plan, members = measurement.protocols[measurement.deciding].plan, measurement.members
    errors = measurement.errors[measurement.deciding]
    label = {**measurement.label, **measurement.method}
    groups = plan.groups[~plan.groups["horizon"].str.startswith(LEAD)]
    columns = groups[(groups["split"] == "validation") & (groups["phase"] == "fit")]
    if columns.empty and members["strength"].nunique() > 1:
        asked = {WINDOW: "windows", ROLLING: "rolling forecasts"}.get(plan.protocol, "observations")
        shorter = {
            WINDOW: " or shorten `windows.length` of the model",
            ROLLING: " or shorten `evaluation.rolling.past` or `horizon` (which trains nothing again)",
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
            selected=select_pairs(measurement.paths >= THRESHOLD, np.ones(measurement.paths.shape[1:], bool)),
            sparsifies=get_method(label["regularizer"]).sparsifies,
        ),
        "protocol": plan.protocol,
        "split": "validation",
        "phase": "fit",
    }


def choose_strength(
    errors: pd.DataFrame,
    members: pd.DataFrame,
    *,
    least_feature_sparsity: float = 0.0,
    selected: np.ndarray | None = None,
    sparsifies: bool = True,
) -> dict[str, Any]:
    """Choose a strength by validation error, and among those that are as good by the stability of what they select.

    Without `sparsifies`, where a larger strength is no sparser, the best one by error is chosen.

    A member is usable if it finished and all its errors
    are finite; a strength is a candidate if at least half of its members are. The candidate of least mean log error is
    the best; the excess of another is the mean over the seeds and trajectories that both have of the log of how many
    times its error is theirs, and its standard error is that of this mean (`excess_standard_error`). In logs, since
    errors of single trajectories differ by orders of magnitude, and only the largest would decide. With
    `least_feature_sparsity` a candidate has that median sparsity over its usable members at least; where none has, only
    the sparsest is one.

    Args:
        errors: one row per member and validation trajectory with columns strength, seed, trajectory, value.
        members: one row per member with columns strength, seed, status, and feature_sparsity where
            `least_feature_sparsity` is positive.
        least_feature_sparsity: the least median sparsity of a candidate.
        selected: which edges each member selected, (row of `members`, pair), boolean; without it no strength has a
            stability.
        sparsifies: whether a larger strength of the method is sparser.

    Returns:
        `{chosen, at_edge, best, rule, candidates}`; `chosen` is None where no strength is a candidate. `at_edge` is
        "smallest" or "largest" where the chosen one is that of several that were offered: strengths beyond may be
        better.
    """
    table = _pivot(errors, members)
    logs = table.clip(lower=np.finfo(np.float64).tiny).map(math.log)
    is_usable = pd.MultiIndex.from_frame(members[["strength", "seed"]]).isin(table.index)
    candidates = []
    for strength in sorted(float(value) for value in members["strength"].unique()):
        mask = (members["strength"] == strength).to_numpy()
        usable = int((mask & is_usable).sum())
        mean = float(np.nanmean(table.loc[[strength]].to_numpy())) if usable else math.nan
        entry: dict[str, Any] = {"strength": strength, "members": int(mask.sum()), "usable": usable, "mean": mean}
        entry["mean_log"] = float(logs.loc[[strength]].to_numpy().mean()) if usable else math.nan
        entry["candidate"] = bool(usable and 2 * usable >= entry["members"])
        candidates.append(entry)
    if least_feature_sparsity > 0 and len(candidates) > 1:
        _keep_sparse(candidates, members, table, least_feature_sparsity)
    eligible = [entry for entry in candidates if entry["candidate"]]
    best = min(eligible, key=lambda entry: (entry["mean_log"], -entry["strength"]), default=None)
    for entry in candidates:
        entry["excess"], entry["standard_error"] = math.nan, math.nan
        rows = (members["strength"] == entry["strength"]).to_numpy() & is_usable
        entry["stability"] = 0.0 if selected is None else selection_stability(selected[rows])
        if best is None or not entry["candidate"]:
            continue
        excess = _paired_excess(logs, entry["strength"], best["strength"])
        if excess.size:
            entry["excess"] = float(excess.mean())
            entry["standard_error"] = excess_standard_error(excess)
    best_strength = None if best is None else best["strength"]
    within = [entry for entry in candidates if entry["excess"] <= entry["standard_error"]]
    chosen = _most_stable(within) if sparsifies else best_strength
    rule = RULE if sparsifies else BY_ERROR
    return {
        "chosen": chosen,
        "at_edge": _edge([entry["strength"] for entry in candidates], chosen),
        "best": best_strength,
        "rule": rule + (SPARSE.format(least_feature_sparsity) if least_feature_sparsity > 0 else ""),
        "candidates": candidates,
    }


def _edge(offered: list[float], chosen: float | None) -> str | None:
    """Which end of several sorted strengths the chosen one is; of no penalty at all there is no smaller one."""
    if len(offered) < 2 or chosen not in (offered[0], offered[-1]) or chosen == 0:
        return None
    return "smallest" if chosen == offered[0] else "largest"


def _most_stable(within: list[dict[str, Any]]) -> float | None:
    """Largest strength of those that are as stable as the most stable one."""
    least = max((entry["stability"] for entry in within), default=0.0) - STABILITY_TOLERANCE
    return max((entry["strength"] for entry in within if entry["stability"] >= least), default=None)


def excess_standard_error(excess: np.ndarray) -> float:
    """Standard error of the mean of an excess (seed, trajectory), whose entries are not independent.

    Seeds on one trajectory share its noise, and trajectories of one seed its network. The largest of three: the plain
    one, the one clustered by trajectory (that of the mean of each trajectory's mean over seeds), and the one clustered
    by seed; a single cluster has none, and a single pair has 0. Two-way clustering (Cameron, Gelbach & Miller 2011,
    Journal of Business & Economic Statistics 29:238) adds the variances of both and takes off the plain one, which
    with few clusters may leave a negative one; the maximum cannot.
    """
    means = (excess.ravel(), excess.mean(axis=0), excess.mean(axis=1))
    return max((float(sample.std(ddof=1) / math.sqrt(len(sample))) for sample in means if len(sample) > 1), default=0.0)


def selection_stability(selected: np.ndarray) -> float:
    """Stability of the selections of several members, corrected for chance (Nogueira, Sechidis & Brown 2018).

    `selected` (member, pair), boolean. One less the mean over pairs of the unbiased variance of being selected, over
    that of as many pairs drawn at random: 1 for equal selections, 0 on average for random ones of any size (Journal
    of Machine Learning Research 18(174), definition 4). Not defined, and here 0, where nothing or everything is
    selected by all, or for a single member.
    """
    count = len(selected)
    share = float(selected.mean()) if selected.size else 0.0
    if count < 2 or share in {0.0, 1.0}:
        return 0.0
    frequency = selected.mean(axis=0)
    variance = frequency * (1.0 - frequency) * count / (count - 1)
    return float(1.0 - variance.mean() / (share * (1.0 - share)))


def _keep_sparse(candidates: list[dict[str, Any]], members: pd.DataFrame, table: pd.DataFrame, least: float) -> None:
    """Strike out the candidates that are too dense, or all but the sparsest; `table` has the usable members' errors."""
    member_sparsity = members.set_index(["strength", "seed"])["feature_sparsity"]
    sparsity = member_sparsity[member_sparsity.index.isin(table.index)].groupby("strength").median()
    usable = [entry for entry in candidates if entry["candidate"]]
    for entry in usable:
        entry["feature_sparsity"] = float(sparsity[entry["strength"]])
    bound = min(least, max((entry["feature_sparsity"] for entry in usable), default=least))
    for entry in usable:
        entry["candidate"] = entry["feature_sparsity"] >= bound


def _pivot(errors: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """Errors (strength and seed, trajectory) of the usable members; all other members are left out."""
    finished = members.loc[members["status"] == "finished", ["strength", "seed"]]
    errors = errors.merge(finished, on=["strength", "seed"])
    table = errors.set_index(["strength", "seed", "trajectory"])["value"].unstack("trajectory")
    table = table.where(np.isfinite(table))
    return table.dropna().sort_index()


def _paired_excess(table: pd.DataFrame, strength: float, best: float) -> np.ndarray:
    """Excess (seed, trajectory) over the seeds that both strengths have."""
    ours, theirs = table.loc[strength], table.loc[best]
    seeds = ours.index.intersection(theirs.index)
    return (ours.loc[seeds] - theirs.loc[seeds]).to_numpy()


def write_selection(selection: dict[str, Any], path: Path) -> None:
    """Write a selection as JSON, with null for what is not a number."""
    text = json.dumps(_without_nan(selection), indent=2) + "\n"
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
