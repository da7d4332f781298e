"""All effects of the study in one table, those that no claim asks for too; none of them is a test of a claim."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsenode.evaluation.study.effects import REPEATS, measure_effect, paired_values
from sparsenode.evaluation.study.tables import (
    CONDITIONS,
    ERROR,
    RAN_AWAY,
    TRUTH,
    Scale,
    describe_condition,
    each_row,
    read_long,
    write_rows,
)

if TYPE_CHECKING:
    import pandas as pd

METRICS: Mapping[str, Scale] = {
    ERROR: "ratio",
    RAN_AWAY: "difference",
    "auroc": "difference",
    "auprc": "difference",
    "spurious": "difference",
    "sign_errors": "difference",
}
"""Quantities with how each is compared: by the natural logarithm of a ratio, or by a difference."""
EVERY_CONDITION = "all"
_COLUMNS = ("estimate", "lower", "upper", "p", "systems", "pairs")


def summarize_effects(long: Path, output: Path, *, repeats: int = REPEATS) -> None:
    """Write the effects of a long table as CSV (see `all_effects`).

    Args:
        long: the long table.
        output: where they are written.
        repeats: samples of the bootstrap.

    Raises:
        UserError: the table cannot be read.
    """
    write_rows(all_effects(read_long(long), repeats=repeats), output)


def all_effects(long: pd.DataFrame, *, repeats: int = REPEATS) -> pd.DataFrame:
    """Effects over systems, a row for each quantity, method, level, choice of the strength, and condition.

    P-values are not corrected, and there are none at the strength of the best value by the truth, which favors the
    method.

    Args:
        long: a long table.
        repeats: samples of the bootstrap.
    """
    import pandas as pd

    keys = ["method", "distance", "choice"]
    records: list[dict[str, Any]] = []
    for metric, scale in METRICS.items():
        for key, rows in paired_values(long, metric, scale).groupby(keys, sort=True):
            conditions = rows.groupby(list(CONDITIONS), sort=True)
            groups = [(describe_condition(next(each_row(group))), group) for _, group in conditions]
            for condition, group in [(EVERY_CONDITION, rows), *(groups if len(groups) > 1 else [])]:
                effect = measure_effect(group, repeats=repeats, has_model=False)._asdict()
                if key[-1] == TRUTH:
                    effect["p"] = float("nan")
                described = {"metric": metric, "scale": scale, **dict(zip(keys, key, strict=True))}
                records.append({**described, "condition": condition, **{name: effect[name] for name in _COLUMNS}})
    return pd.DataFrame(records, columns=["metric", "scale", *keys, "condition", *_COLUMNS])
