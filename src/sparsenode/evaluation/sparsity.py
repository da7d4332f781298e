"""How sparse a network is, in its weights and in its input-output paths."""

from __future__ import annotations

import numpy as np

from sparsenode.evaluation.metrics import PATHS, describe, metric
from sparsenode.settings import PRUNING_THRESHOLD

THRESHOLD = PRUNING_THRESHOLD
"""Below it a weight or a path counts as absent."""
EXACT_ZERO = float(np.finfo(np.float32).smallest_subnormal)
"""Below it no single-precision number but zero is."""
RELATIVE_THRESHOLD = 1e-3
"""The same as a share of the largest entry, for penalties that shrink smoothly and make nothing exactly zero."""

_NO_PAIR = "one variable makes no pair"

describe(
    "weight_sparsity",
    "feature_sparsity",
    description="share of weights, and of entries of the path matrix, below 1e-5, deterministic gates",
)
describe(
    "exact_weight_sparsity",
    description="share of weights that are exactly zero; the weights onto the rates of a biological network times the "
    "genes' multipliers, so that it is what DASH publishes as sparsity (of gated methods its code counts a random draw "
    "of the gates, we the deterministic ones)",
)
describe(
    "spurious_feature_sparsity",
    description="`feature_sparsity` of the paths from sources that cannot regulate (reference `not_regulators`), or, "
    "with a truth, among known pairs that are no edge (reference `truth`)",
)


def feature_sparsity(paths: np.ndarray, *, sources: np.ndarray | None = None, relative: bool = False) -> np.ndarray:
    """Share of empty entries of each member's path matrix.

    Args:
        paths: path strengths (member, source, target), not negative.
        sources: which sources to look at, (source,); all where it is None.
        relative: whether an entry is empty below 1e-3 of the member's largest, rather than below 1e-5.

    Returns:
        The shares (member,), NaN where no source is left.
    """
    empty = paths < path_threshold(paths, relative=relative)[:, None, None]
    if sources is not None:
        empty = empty[:, np.asarray(sources, bool)]
    return _share(empty.reshape(len(empty), empty.shape[1] * empty.shape[2]))


def pair_sparsity(paths: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Share of empty entries among chosen pairs (source, target) of each member's path matrix: (member,)."""
    return _share(paths[:, np.asarray(pairs, bool)] < THRESHOLD)


@metric(
    PATHS,
    description="share of the pairs off the diagonal without a path, exactly zero",
    undefined=_NO_PAIR,
)
def exact_sparsity(paths: np.ndarray) -> np.ndarray:
    """Share of the pairs off the diagonal whose path is exactly zero, (member,), NaN where there is no pair.

    `paths` (member, source, target). Penalties that only shrink make no exact zeros, so that this is 0 for them.
    """
    features = paths.shape[-1]
    zeros = [np.count_nonzero(matrix == 0) - np.count_nonzero(np.diagonal(matrix) == 0) for matrix in paths]
    pairs = features * (features - 1)
    return np.array(zeros, np.float64) / pairs if pairs else np.full(len(paths), np.nan)


@metric(
    PATHS,
    description="mean number of targets of the sources that have any, self-loops aside",
    undefined="no source has a target",
)
def out_degree(paths: np.ndarray) -> np.ndarray:
    """Mean number of targets of the sources that have any, without self-loops, (member,), NaN where none has.

    `paths` (member, source, target). How many genes a regulator acts on.
    """
    degrees = [np.count_nonzero(matrix >= THRESHOLD, axis=1) - (np.diagonal(matrix) >= THRESHOLD) for matrix in paths]
    return np.array(
        [member_degrees[member_degrees > 0].mean() if member_degrees.any() else np.nan for member_degrees in degrees],
        np.float64,
    )


@metric(
    PATHS,
    description="mean number of paths that are not exactly zero over all sources, self-loops aside: (variables − 1) "
    "(1 − `exact_sparsity`), beside which published degrees can be set",
    undefined=_NO_PAIR,
)
def mean_out_degree(paths: np.ndarray) -> np.ndarray:
    """Mean number of targets over all sources, without self-loops, (member,); a target has a path that is not zero.

    `paths` (member, source, target). As the published code of DASH counts, but for the self-loops, which here hold the
    decay as well. It says no more than `exact_sparsity`, but what is published can be set beside it.
    """
    return (paths.shape[-1] - 1) * (1.0 - exact_sparsity(paths))


def path_threshold(paths: np.ndarray, *, relative: bool) -> np.ndarray:
    """What an entry must reach to count as present, (member,); a network without any path stays empty."""
    if not relative:
        return np.full(len(paths), THRESHOLD)
    largest = paths.max(axis=(1, 2), initial=0.0).astype(np.float64)
    return np.maximum(RELATIVE_THRESHOLD * largest, np.finfo(np.float64).tiny)


def _share(empty: np.ndarray) -> np.ndarray:
    if empty.shape[1] == 0:
        return np.full(len(empty), np.nan)
    return empty.mean(axis=1)
