"""Paired differences from the unregularized members, with intervals over systems, networks and seeds, and tests."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsenode.evaluation.study.tables import CONDITIONS, PLAIN, SYSTEM, Scale
from sparsenode.labels import BASELINE, ORACLE, PEER

if TYPE_CHECKING:
    import pandas as pd

REPEATS = 2000
"""Samples of the bootstrap."""
LEVEL = 0.95
LEAST = 1e-12
"""Errors below this count as it, so that ratios stay finite."""
FEWEST_SYSTEMS = 6
"""A rank test needs as many systems to be able to fall below .05."""
_PAIR = ["kind", "network", *CONDITIONS, "dataset", "model", "seed", "choice", "distance", "phase"]


class Effect(NamedTuple):
    """An effect over systems.

    Attributes:
        estimate: mean over kinds, in each over networks, in each over seeds.
        lower: end of the interval of the hierarchical bootstrap.
        upper: the other end.
        model_estimate: that of the mixed model with random kinds and networks; NaN where it could not be fitted.
        model_lower: end of its interval.
        model_upper: the other end.
        p: of Wilcoxon's signed-rank test over systems; NaN with fewer than six.
        systems: number of systems, that is of networks over all kinds.
        pairs: number of pairs of members.
    """

    estimate: float
    lower: float
    upper: float
    model_estimate: float
    model_lower: float
    model_upper: float
    p: float
    systems: int
    pairs: int


def paired_values(long: pd.DataFrame, metric: str, scale: Scale) -> pd.DataFrame:
    """Each member beside the unregularized one of the same data, architecture, seed and choice.

    Args:
        long: a long table.
        metric: what is compared.
        scale: `ratio` for the natural logarithm of the ratio to the unregularized member's, `difference` for the
            difference.

    Returns:
        The rows of the other methods with the column `effect`.
    """
    rows = long[(long["metric"] == metric) & (long["choice"] != "")]
    rows = rows[~rows["method"].str.startswith((BASELINE, ORACLE, PEER))]
    plain = rows.loc[rows["method"] == PLAIN, [*_PAIR, "value"]]
    paired = rows[rows["method"] != PLAIN].merge(plain, on=_PAIR, suffixes=("", "_plain"), validate="many_to_one")
    first, second = paired["value"].to_numpy(), paired["value_plain"].to_numpy()
    if scale == "ratio":
        return paired.assign(effect=np.log(np.maximum(first, LEAST)) - np.log(np.maximum(second, LEAST)))
    return paired.assign(effect=first - second)


def measure_effect(paired: pd.DataFrame, *, repeats: int = REPEATS, has_model: bool = True) -> Effect:
    """The mean of the column `effect` over kinds, networks and seeds, with interval and test.

    Conditions and phases are averaged first, so that what varies is systems, networks and seeds.

    Args:
        paired: rows of one method (see `paired_values`), one or more.
        repeats: samples of the bootstrap.
        has_model: whether the mixed model is fitted too, which takes most of the time.
    """
    seeds = paired.groupby([*SYSTEM, "seed"])["effect"].mean()
    systems = mean_by_system(paired)
    lower, upper = bootstrap_interval(seeds, repeats=repeats)
    return Effect(
        float(systems.groupby("kind").mean().mean()),
        lower,
        upper,
        *(fit_mixed_model(seeds) if has_model else (float("nan"),) * 3),
        rank_test(systems.to_numpy()),
        len(systems),
        len(paired),
    )


def mean_by_system(paired: pd.DataFrame) -> pd.Series:
    """The effect of each system, by kind and network: the mean over seeds of the mean over conditions and phases."""
    return paired.groupby([*SYSTEM, "seed"])["effect"].mean().groupby(list(SYSTEM)).mean()


def measure_association(first: pd.Series, second: pd.Series, *, pairs: int, repeats: int = REPEATS) -> Effect:
    """Rank correlation within kinds, over their systems, of two quantities, with interval and test.

    Ranks are those among the systems of a kind, less their mean, so that kinds that differ in both quantities make no
    correlation; all kinds together have one. The interval is of a bootstrap that draws kinds, and in each its networks.
    The test permutes networks within kinds.

    Args:
        first: one value a system, indexed by kind and network.
        second: the other, of the same systems.
        pairs: how many pairs of members the quantities are of.
        repeats: samples of the bootstrap over systems, and permutations.
    """
    x, y = first.to_numpy(), second.loc[first.index].to_numpy()
    kinds = first.index.get_level_values("kind").to_numpy()
    groups = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    count, lost = len(x), float("nan")
    estimate = _correlation_within([(x[rows], y[rows]) for rows in groups])
    if count < FEWEST_SYSTEMS or np.isnan(estimate):
        return Effect(lost, lost, lost, lost, lost, lost, lost, count, pairs)
    generator = np.random.default_rng(0)
    samples, permuted = [], []
    for _ in range(repeats):
        drawn = [groups[number] for number in generator.integers(len(groups), size=len(groups))]
        drawn = [generator.choice(rows, len(rows)) for rows in drawn]
        samples.append(_correlation_within([(x[rows], y[rows]) for rows in drawn]))
        permuted.append(_correlation_within([(x[rows], y[generator.permutation(rows)]) for rows in groups]))
    tail = 50 * (1 - LEVEL)
    # A sample of one system over and over has no correlation.
    lower, upper = np.nanpercentile(samples, [tail, 100 - tail])
    as_large = np.abs(permuted) >= abs(estimate) - LEAST
    p = float((1 + as_large.sum()) / (1 + repeats))
    return Effect(estimate, float(lower), float(upper), lost, lost, lost, p, count, pairs)


def _correlation_within(groups: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    """Correlation of ranks within groups, less the mean of each; NaN where one of the two does not vary in any."""
    from scipy.stats import rankdata

    first, second = (
        np.concatenate([rankdata(each) - (len(each) + 1) / 2 for each in side]) for side in zip(*groups, strict=True)
    )
    size = np.sqrt(np.square(first).sum() * np.square(second).sum())
    return float(first @ second / size) if size > 0.0 else float("nan")


def bootstrap_interval(seeds: pd.Series, *, repeats: int = REPEATS) -> tuple[float, float]:
    """Interval of the mean over kinds of that over networks of that over seeds.

    Kinds are drawn with replacement, in each its networks, in each its seeds. With one system only seeds vary, so that
    there is no interval over systems: NaN.

    Args:
        seeds: values, indexed by kind, network and seed.
        repeats: samples.
    """
    kinds = [
        [values.to_numpy() for _, values in networks.groupby("network", sort=True)]
        for _, networks in seeds.groupby("kind", sort=True)
    ]
    if sum(map(len, kinds)) < 2:
        return float("nan"), float("nan")
    networks_of = np.array([len(networks) for networks in kinds])
    seeds_of = np.ones((len(kinds), networks_of.max()), dtype=np.int64)
    values = np.zeros((*seeds_of.shape, max(len(network) for networks in kinds for network in networks)))
    for kind, networks in enumerate(kinds):
        for number, network in enumerate(networks):
            seeds_of[kind, number] = len(network)
            values[kind, number, : len(network)] = network
    generator = np.random.default_rng(0)
    shape = (repeats, len(kinds), networks_of.max(), values.shape[2])
    drawn_kind = generator.integers(len(kinds), size=shape[:2])[:, :, None]
    drawn_network = np.floor(generator.random(shape[:3]) * networks_of[drawn_kind]).astype(np.int64)
    count = seeds_of[drawn_kind, drawn_network]
    drawn_seed = np.floor(generator.random(shape) * count[..., None]).astype(np.int64)
    drawn = values[drawn_kind[..., None], drawn_network[..., None], drawn_seed]
    # Of the slots only as many count as the drawn kind has networks, and the drawn network seeds.
    of_networks = (drawn * (np.arange(shape[3]) < count[..., None])).sum(axis=3) / count
    has_network = np.arange(shape[2]) < networks_of[drawn_kind]
    of_kinds = (of_networks * has_network).sum(axis=2) / networks_of[drawn_kind[..., 0]]
    tail = 50 * (1 - LEVEL)
    lower, upper = np.percentile(of_kinds.mean(axis=1), [tail, 100 - tail])
    return float(lower), float(upper)


def fit_mixed_model(seeds: pd.Series) -> tuple[float, float, float]:
    """Estimate and interval of a mixed model: a fixed mean, random kinds, and random networks within them.

    Returns:
        NaN where there are fewer than three kinds, or the fit does not converge.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM

    table = seeds.rename("effect").reset_index()
    lost = (float("nan"),) * 3
    if table["kind"].nunique() < 3 or np.ptp(table["effect"]) == 0:
        return lost
    with warnings.catch_warnings():
        # It also tells of variances at their bound of zero, which are common with few kinds, and sound.
        warnings.simplefilter("ignore")
        try:
            model = MixedLM.from_formula(
                "effect ~ 1", table, groups="kind", re_formula="1", vc_formula={"network": "0 + C(network)"}
            )
            fit = model.fit(reml=True, method="lbfgs")
            lower, upper = fit.conf_int(alpha=1 - LEVEL).loc["Intercept"]
        except (np.linalg.LinAlgError, ValueError):
            return lost
    if not (fit.converged and np.isfinite([lower, upper]).all()):
        return lost
    return float(fit.fe_params["Intercept"]), float(lower), float(upper)


def rank_test(systems: NDArray[np.float64]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that effects (system,) are symmetric about 0."""
    from scipy.stats import wilcoxon

    if len(systems) < FEWEST_SYSTEMS:
        return float("nan")
    if not systems.any():
        return 1.0
    return float(wilcoxon(systems).pvalue)


def correct(p: Sequence[float]) -> NDArray[np.float64]:
    """P-values corrected by Holm's method over those that are there; NaN stays."""
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p, dtype=np.float64)
    tested = np.isfinite(values)
    if tested.any():
        values = values.copy()
        values[tested] = multipletests(values[tested], method="holm")[1]
    return values
