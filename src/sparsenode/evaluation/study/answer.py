"""The answer: one table of all claims, each with its number, interval and verdict, and one page for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsenode.data.distances import LEVEL_NAMES
from sparsenode.evaluation.study.claims import (
    AT_BEST,
    CLAIMS,
    FAILS,
    HOLDS,
    NO_DIFFERENCE,
    NOT_MEASURED,
    OPPOSITE,
    UNDECIDED,
    Claim,
    get_claim,
)
from sparsenode.evaluation.study.tables import NO_DISTANCE, TRUTH, VALIDATION, each_row, write_rows
from sparsenode.evaluation.study.verdicts import ALL_SYSTEMS
from sparsenode.files import reading, write_atomically

if TYPE_CHECKING:
    import pandas as pd

_SCOPES = {"condition": "holds where", "kind": "hints (few networks, no test)"}
_CHOICES = {VALIDATION: "strength chosen on validation", TRUTH: "strength of the best value by the truth"}


def answer_study(claims: Sequence[Path], output: Path, markdown: Path) -> None:
    """Write the rows of all claims as one CSV file, and the answers as Markdown.

    Raises:
        UserError: a table of a claim cannot be read, or is that of an unknown one.
    """
    import pandas as pd

    tables = []
    for path in claims:
        with reading(path):
            tables.append(pd.read_csv(path, dtype={"method": str, "scope": str}, keep_default_na=True))
    rows = pd.concat(tables, ignore_index=True)
    rows["method"] = rows["method"].fillna("")
    write_rows(rows, output)
    with write_atomically(markdown) as temporary:
        temporary.write_text(describe_answers(rows), encoding="utf-8")


def describe_answers(rows: pd.DataFrame) -> str:
    """The page: for each claim the answer in a sentence, then its numbers."""
    pages = ["# The answer", "", _BEST, "", _summary(rows)]
    for name in (name for name in CLAIMS if name in set(rows["claim"])):
        pages += ["", _describe_claim(get_claim(name), rows[rows["claim"] == name])]
    return "\n".join(pages) + "\n"


def _summary(rows: pd.DataFrame) -> str:
    lines = ["| claim | of | answer | by the strength that the truth would choose |", "|---|---|---|---|"]
    for name, claim in CLAIMS.items():
        mine = rows[rows["claim"] == name]
        if len(mine):
            answers = [answer_of(mine[mine["choice"] == choice]) for choice in (VALIDATION, TRUTH)]
            lines.append(f"| {claim.text} | {_origin(claim)} | {' | '.join(answers)} |")
    return "\n".join(lines)


def answer_of(rows: pd.DataFrame) -> str:
    """The answer to a claim at one choice of the strength: holds, does not hold, or holds where."""
    if rows.empty or (rows["verdict"] == NOT_MEASURED).all():
        return NOT_MEASURED
    whole = rows[rows["scope"] == ALL_SYSTEMS]
    holding = whole[whole["verdict"] == HOLDS]
    if len(holding) == len(whole):
        return HOLDS
    if len(holding):
        return f"holds where: {'; '.join(_name_row(row) for row in each_row(holding))}"
    if (whole["verdict"] == AT_BEST).any():
        return f"{AT_BEST}: see its numbers, which no test can be made of"
    words = ", ".join(f"{count} × {verdict}" for verdict, count in whole["verdict"].value_counts().items())
    is_open = (whole["verdict"] == UNDECIDED).any()
    answers = [f"{UNDECIDED if is_open else FAILS} over all systems ({words})"]
    for scopes, title in _SCOPES.items():
        mine = rows[(rows["scopes"] == scopes) & (rows["verdict"] == HOLDS)]
        if len(mine):
            answers.append(f"{title}: {'; '.join(f'{_name_row(row)} in {row.scope}' for row in each_row(mine))}")
    return "; ".join(answers)


def _name_row(row: Any) -> str:
    return row.method if row.distance == NO_DISTANCE else f"{row.method}, {LEVEL_NAMES[int(row.distance)]}"


def _origin(claim: Claim) -> str:
    return "the paper" if claim.origin == "paper" else "our own"


def _describe_claim(claim: Claim, rows: pd.DataFrame) -> str:
    unit = "rank correlation over systems" if claim.is_association else _UNITS[claim.scale]
    lines = [
        f"## {claim.text}",
        "",
        f"A claim of {_origin(claim)}. Number: {unit} ({claim.metric}), {claim.under}; margin "
        f"{_format(claim, claim.margin)}.",
    ]
    for choice, words in _CHOICES.items():
        mine = rows[rows["choice"] == choice]
        if mine.empty or (mine["verdict"] == NOT_MEASURED).all():
            continue
        lines += ["", f"{words[0].upper()}{words[1:]}: {answer_of(mine)}.", ""]
        kinds = list(dict.fromkeys(mine.loc[mine["scopes"] == "kind", "scope"]))
        header = ["method", "level", "number", "95 % interval", "p", "systems", "pairs", "verdict", *kinds]
        lines.append(f"| {' | '.join(header)} |")
        lines.append("|---" * len(header) + "|")
        for row in each_row(mine[mine["scope"] == ALL_SYSTEMS]):
            level = "" if row.distance == NO_DISTANCE else LEVEL_NAMES[int(row.distance)]
            interval = f"{_format(claim, row.lower)} to {_format(claim, row.upper)}"
            p = "" if math.isnan(row.p_corrected) else f"{row.p_corrected:.2g}"
            cells = [row.method, level, _format(claim, row.estimate), interval, p]
            cells += [str(row.systems), str(row.pairs), row.verdict]
            for kind in kinds:
                same = (mine["scope"] == kind) & (mine["method"] == row.method) & (mine["distance"] == row.distance)
                cells += [
                    f"{_format(claim, each.estimate)} {_SIGNS[each.verdict]}" for each in each_row(mine[same])
                ] or [""]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


_BEST = (
    "The strength that the truth would choose is the best of several by the very values that are shown, while members "
    "without a regularizer have no choice. So these numbers are *at best*: they favor the method, and no test is made "
    "of them. Only that a method has no effect may hold there."
)
_UNITS = {"ratio": "ratio to the unregularized members", "difference": "difference from the unregularized members"}
_SIGNS = {
    HOLDS: "(hint)",
    OPPOSITE: "(hint of the opposite)",
    NO_DIFFERENCE: "(none)",
    UNDECIDED: "",
    FAILS: "(no)",
    AT_BEST: "",
}


def _format(claim: Claim, value: float) -> str:
    if math.isnan(value):
        return "not measured"
    if claim.scale == "ratio" and not claim.is_association:
        return f"{math.exp(value):.3g}"
    return f"{value:+.2f}"
