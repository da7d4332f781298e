"""Effects and verdicts of the claims, by the rules of `claims`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.evaluation.study.claims import (
    AT_BEST,
    FAILS,
    HOLDS,
    NO_DIFFERENCE,
    NOT_MEASURED,
    OPPOSITE,
    UNDECIDED,
    Claim,
    get_claim,
)
from sparsenode.evaluation.study.effects import (
    FEWEST_SYSTEMS,
    REPEATS,
    Effect,
    correct,
    mean_by_system,
    measure_association,
    measure_effect,
    paired_values,
)
from sparsenode.evaluation.study.tables import (
    CONDITIONS,
    NO_DISTANCE,
    TRUTH,
    VALIDATION,
    describe_condition,
    each_row,
    read_long,
    write_rows,
)

if TYPE_CHECKING:
    import pandas as pd

ALL_SYSTEMS = "all"
"""Scope of an effect over all systems and conditions of a claim."""
SIGNIFICANT = 0.05
FEWEST_OF_KIND = 3
"""Networks of a single kind of systems that its verdict takes."""


def answer_claim(name: str, long: Path, output: Path, *, repeats: int = REPEATS) -> None:
    """Write the rows of one claim as CSV.

    Args:
        name: name of the claim.
        long: the long table.
        output: where the rows are written.
        repeats: samples of the bootstrap.

    Raises:
        UserError: there is no such claim, or the table cannot be read.
    """
    rows = evaluate_claim(get_claim(name), read_long(long), repeats=repeats).assign(claim=name)
    write_rows(rows[["claim", *(column for column in rows.columns if column != "claim")]], output)


def evaluate_claim(claim: Claim, long: pd.DataFrame, *, repeats: int = REPEATS) -> pd.DataFrame:
    """Effects and verdicts of a claim: over all systems, by kind of system, and by condition.

    Args:
        claim: what is claimed.
        long: a long table.
        repeats: samples of the bootstrap.

    Returns:
        A row for each method, level, choice of the strength and scope; `scope` is `all`, a kind or a condition. Where
        the table has none of what the claim is about, one row says so.
    """
    import pandas as pd

    rows = long if claim.condition is None else long[claim.condition(long)]
    paired = paired_values(rows[rows["distance"].isin(claim.distances)], claim.metric, claim.scale)
    paired = paired[paired["method"].isin(claim.methods)]
    structure = paired_values(rows, "auprc", "difference") if claim.is_association else None
    records: list[dict[str, Any]] = []
    for (method, distance, choice), of_method in paired.groupby(["method", "distance", "choice"], sort=True):
        for kind_of_scope, scope, table in _scopes(of_method, is_whole=claim.is_association):
            if structure is None:
                effect = measure_effect(table, repeats=repeats, has_model=scope == ALL_SYSTEMS)
            else:
                # The gain is the fall of the error. Structure has a best strength of its own; it is compared at the
                # validated choice, whose network a person would use.
                network = structure[(structure["method"] == method) & (structure["choice"] == VALIDATION)]
                gains, areas = -mean_by_system(table), mean_by_system(network)
                common = gains.index.intersection(areas.index)
                effect = measure_association(gains.loc[common], areas.loc[common], pairs=len(table), repeats=repeats)
            key = {"method": method, "distance": distance, "choice": choice, "scopes": kind_of_scope, "scope": scope}
            is_best = choice == TRUTH and not claim.is_association
            untested = {"p": float("nan")} if is_best else {}
            records.append({**key, **effect._asdict(), **untested})
    if not records:
        empty = dict.fromkeys(Effect._fields, float("nan")) | {"systems": 0, "pairs": 0}
        key = {"method": "", "distance": NO_DISTANCE, "choice": VALIDATION, "scopes": ALL_SYSTEMS, "scope": ALL_SYSTEMS}
        return pd.DataFrame([{**key, **empty, "p_corrected": float("nan"), "verdict": NOT_MEASURED}])
    table = pd.DataFrame(records)
    # A family of tests is what one claim says at one choice: over all systems, over kinds, or over conditions.
    table["p_corrected"] = table.groupby(["choice", "scopes"])["p"].transform(lambda values: correct(values.to_list()))
    table["verdict"] = [
        judge(claim, row, is_kind=row.scopes == "kind", is_best=row.choice == TRUTH and not claim.is_association)
        for row in each_row(table)
    ]
    return table


def _scopes(paired: pd.DataFrame, *, is_whole: bool) -> list[tuple[str, str, pd.DataFrame]]:
    """Kind of scope, scope and rows: all, then each kind, then each condition where there are several."""
    scopes = [(ALL_SYSTEMS, ALL_SYSTEMS, paired)]
    if is_whole:
        return scopes
    scopes += [("kind", str(kind), rows) for kind, rows in paired.groupby("kind", sort=True)]
    conditions = list(paired.groupby(list(CONDITIONS), sort=True))
    if len(conditions) > 1:
        scopes += [("condition", describe_condition(next(each_row(rows))), rows) for _, rows in conditions]
    return scopes


def judge(claim: Claim, effect: Any, *, is_kind: bool = False, is_best: bool = False) -> str:
    """The verdict on an effect, by the rules of `claims`.

    Args:
        claim: what is claimed.
        effect: `lower` and `upper` end of the interval, number of `systems`, and `p_corrected`, NaN where there is no
            test.
        is_kind: whether it is of a single kind of systems, which fewer networks and the interval decide.
        is_best: whether it is at the strength of the best value by the truth, which favors the method.
    """
    fewest = FEWEST_OF_KIND if is_kind else FEWEST_SYSTEMS
    if effect.systems < fewest or not (np.isfinite(effect.lower) and np.isfinite(effect.upper)):
        return UNDECIDED
    # Turned so that the effect that is named, claimed or denied, is positive.
    low, high = effect.lower, effect.upper
    if claim.direction.endswith("less"):
        low, high = -high, -low
    if claim.direction.startswith("not"):
        if high < claim.margin:
            return HOLDS
        return AT_BEST if is_best else FAILS if low > claim.margin else UNDECIDED
    if is_best:
        return AT_BEST
    is_sure = is_kind or effect.p_corrected < SIGNIFICANT
    if low > 0 and is_sure:
        return HOLDS
    if high < 0 and is_sure:
        return OPPOSITE
    return NO_DIFFERENCE if max(abs(low), abs(high)) < claim.margin else UNDECIDED
