"""Which strength is chosen: within one standard error of the best on validation data, the most stable.

Training asks whether a choice is at an end of what it has trained, evaluation what the choice is: by one rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SEARCHES = "searches"
"""Key of the metadata that says how jobs chose strengths: of each its `seeds`, `batches`, and `reasons` in words."""
BLOCKS = 8
"""Blocks of time that a single trajectory is cut into at most."""
_BLOCK_TIMES = 2  # of a block at least
STABILITY_TOLERANCE = 0.02
"""Stabilities no further apart count as equal: of ten variables and ten seeds, one seed left out moves one by more."""
RULE = (
    "one standard error, then stability: of the strengths whose log validation mse exceeds the best strength's, paired "
    "by seed and trajectory (or block of time of a single trajectory), by at most one standard error of that excess "
    "(the largest of the plain one and those clustered by trajectory or block and by seed), the one whose selected "
    f"edges are the most stable over its members (Nogueira et al. 2018); of those within {STABILITY_TOLERANCE:g} of "
    "the greatest stability the largest; at least half of the seeds must finish with a strength"
)
BY_ERROR = (
    "least error: the strength whose mean log validation mse is the least, since a larger strength of this method is "
    "no sparser; at least half of the seeds must finish with a strength"
)
SPARSE = "; of those with a median feature sparsity of at least {:g}, or the sparsest where there is none"


def describe_searches(searches: Sequence[Mapping[str, Any]]) -> str:
    """Say which batches of strengths jobs have trained and why, jobs that did alike once.

    Args:
        searches: of each job its `seeds`, `batches` and `reasons`, one a batch and one why none followed, which a
            training lacks that was interrupted.
    """
    by_text: dict[str, list[int]] = {}
    for search in searches:
        batches = [
            f"{min(batch):g} to {max(batch):g} ({reason})"
            for batch, reason in zip(search["batches"], search["reasons"], strict=False)
        ]
        ended = search["reasons"][len(batches) :]
        text = "; ".join([*batches, *(f"no further ones, since {reason}" for reason in ended)])
        by_text.setdefault(text, []).extend(search["seeds"])
    if len(by_text) == 1:
        return next(iter(by_text))
    return "; ".join(f"seeds {min(seeds)} to {max(seeds)}: {text}" for text, seeds in by_text.items())


def time_blocks(times: np.ndarray) -> np.ndarray:
    """Number of the block of each of some times (time,), `BLOCKS` at most, of nearly as many distinct times each.

    Neighbors in time err alike, so that a block of them says little more than one of them does.
    """
    distinct, position = np.unique(times, return_inverse=True)
    count = max(1, min(BLOCKS, len(distinct) // _BLOCK_TIMES))
    return np.asarray(position * count // max(len(distinct), 1))


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

    A member is usable if it finished and all its errors are finite; a strength is a candidate if it has usable members
    of at least half of all seeds: jobs that chose strengths by themselves may have trained different ones. The
    candidate of least mean log error is the best; the excess of another is the mean over the seeds and clusters that
    both have of the log of how many times its error is theirs, and its standard error is that of this mean
    (`excess_standard_error`). A cluster is a trajectory, or a block of time of a single one. In logs, since
    errors of single trajectories differ by orders of magnitude, and only the largest would decide. With
    `least_feature_sparsity` a candidate has that median sparsity over its usable members at least; where none has, only
    the sparsest is one.

    Args:
        errors: one row per member and cluster of validation observations with columns strength, seed, cluster, value.
        members: one row per member with columns strength, seed, status, and feature_sparsity where
            `least_feature_sparsity` is positive.
        least_feature_sparsity: the least median sparsity of a candidate.
        selected: which edges each member selected, (row of `members`, pair), boolean; without it no strength has a
            stability.
        sparsifies: whether a larger strength of the method is sparser.

    Returns:
        `{chosen, at_edge, best, rule, candidates}`; `chosen` is None where no strength is a candidate. `at_edge` is
        "smallest" or "largest" where the chosen one is that of several that were offered: strengths beyond may be
        better, unless nothing is left to select at the largest one.
    """
    import pandas as pd

    table = _pivot(errors, members)
    logs = table.clip(lower=np.finfo(np.float64).tiny).map(math.log)
    is_usable = pd.MultiIndex.from_frame(members[["strength", "seed"]]).isin(table.index)
    candidates = []
    seeds = int(members["seed"].nunique())
    for strength in sorted(float(value) for value in members["strength"].unique()):
        mask = (members["strength"] == strength).to_numpy()
        usable = int((mask & is_usable).sum())
        mean = float(np.nanmean(table.loc[[strength]].to_numpy())) if usable else math.nan
        entry: dict[str, Any] = {"strength": strength, "members": int(mask.sum()), "usable": usable, "mean": mean}
        entry["mean_log"] = float(logs.loc[[strength]].to_numpy().mean()) if usable else math.nan
        entry["candidate"] = bool(usable and 2 * usable >= seeds)
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
    at_edge = _edge([entry["strength"] for entry in candidates], chosen)
    if at_edge == "largest" and sparsifies and selected is not None:
        rows = (members["strength"] == chosen).to_numpy() & is_usable
        at_edge = at_edge if selected[rows].any() else None
    return {
        "chosen": chosen,
        "at_edge": at_edge,
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
    """Standard error of the mean of an excess (seed, cluster), whose entries are not independent.

    Seeds on one trajectory (or block of time) share its noise, and trajectories of one seed its network. The largest of
    three: the plain one, the one clustered by trajectory (that of the mean of each one's mean over seeds), and the one
    clustered by seed; a single cluster has none, and a single pair has 0. Two-way clustering (Cameron, Gelbach & Miller
    2011, Journal of Business & Economic Statistics 29:238) adds the variances of both and takes off the plain one,
    which with few clusters may leave a negative one; the maximum cannot.
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
    """Errors (strength and seed, cluster) of the usable members; all other members are left out."""
    finished = members.loc[members["status"] == "finished", ["strength", "seed"]]
    errors = errors.merge(finished, on=["strength", "seed"])
    table = errors.set_index(["strength", "seed", "cluster"])["value"].unstack("cluster")
    table = table.where(np.isfinite(table))
    return table.dropna().sort_index()


def _paired_excess(table: pd.DataFrame, strength: float, best: float) -> np.ndarray:
    """Excess (seed, cluster) over the seeds that both strengths have."""
    ours, theirs = table.loc[strength], table.loc[best]
    seeds = ours.index.intersection(theirs.index)
    return (ours.loc[seeds] - theirs.loc[seeds]).to_numpy()
