"""Long tables of the study with effects that are known."""

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from sparsenode.data.distances import LEVELS
from sparsenode.evaluation.study.tables import COLUMNS, NO_DISTANCE, PLAIN, TRUTH, VALIDATION, join_long

KINDS = ("hill", "kuramoto", "linear")
CONDITIONS = ((0.0, 1.0, 8), (0.1, 0.5, 8), (0.3, 0.5, 8), (0.1, 0.25, 24))
STRUCTURE = ("auprc", "auroc", "spurious", "sign_errors")


def make_long(
    errors: Mapping[str, float],
    structure: Mapping[str, float] | None = None,
    *,
    spread: float = 0.1,
    kinds: tuple[str, ...] = KINDS,
    networks: int = 3,
    seeds: int = 2,
    conditions: int = len(CONDITIONS),
    seed: int = 0,
) -> pd.DataFrame:
    """A long table of systems of several kinds.

    Args:
        errors: logarithm of each method's error beside that of the unregularized members.
        structure: difference of each method's AUPRC, and minus that of the other quantities of structure, likewise.
        spread: deviation of these over networks.
        kinds: kinds of systems.
        networks: networks of each.
        seeds: seeds.
        conditions: how many of `CONDITIONS` there are.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    methods = {PLAIN: 0.0, **errors}
    rows = []
    for kind, network in itertools.product(kinds, range(networks)):
        shifts = {method: generator.normal(0.0, spread) for method in errors}
        for noise, share_kept, trajectories in CONDITIONS[:conditions]:
            dataset = f"{kind}_{network}_{noise}_{share_kept}_{trajectories}"
            base = [kind, f"seed={network}", noise, share_kept, trajectories, dataset, "joint"]
            for number, choice in itertools.product(range(seeds), (VALIDATION, TRUTH)):
                for (_, phase), distance in LEVELS.items():
                    plain = np.exp(generator.normal(distance, 1.0))
                    for method, effect in methods.items():
                        value = plain * np.exp(effect + shifts.get(method, 0.0))
                        key = [*base, method, number, choice, distance, phase]
                        rows += [[*key, "mse_cut", value], [*key, "share_ran_away", 0.1]]
                for metric in STRUCTURE:
                    plain = generator.uniform(0.4, 0.5)
                    for method in methods:
                        gain = (structure or {}).get(method, 0.0) - 0.2 * shifts.get(method, 0.0)
                        value = plain + gain if metric.startswith("au") else plain - gain
                        rows.append([*base, method, number, choice, NO_DISTANCE, "", metric, value])
            for distance in (0, 1, 2, 3, 4):
                phase = next(phase for (_, phase), level in LEVELS.items() if level == distance)
                key = [*base[:-1], "", "baseline:zeros", -1, "", distance, phase, "mse_cut", np.exp(distance + 2.0)]
                rows.append(key)
            rows.append([*base[:-1], "", "oracle:unchanged_system", -1, "", 4, "changed_2", "mse_cut", 1.0])
    return join_long([pd.DataFrame(rows, columns=list(COLUMNS))])
