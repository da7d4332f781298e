"""Tables of rankings, taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsenode.evaluation.networks import RANKING_KEYS

if TYPE_CHECKING:
    import pandas as pd

    from sparsenode.evaluation.networks import RankingKey


def split_rankings(table: pd.DataFrame) -> dict[RankingKey, tuple[np.ndarray, np.ndarray]]:
    """The rankings of a table, one after another."""
    groups = table.groupby(list(RANKING_KEYS), observed=True, sort=False)
    return {
        (str(model), str(method), str(estimator)): (rows["score"].to_numpy(np.float64), rows["edge"].to_numpy(bool))
        for (model, method, estimator), rows in groups
    }
