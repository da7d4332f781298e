"""What other studies have published for a benchmark, as listed in `published.csv`.

This module is light on purpose: the configuration, which every job of the workflow reads, asks for the names of the
benchmarks.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from sparsenode.errors import UserError

SCALES = {"": 1.0, "%": 0.01, "1e-3 (presumed)": 1e-3, "Lyapunov times": 1.0}
"""What a published number is multiplied by, by its unit: shares become 0 to 1, errors squared units of the values."""
METRICS = {
    "exact_weight_sparsity": "share of weights that are exactly zero",
    "balanced_accuracy": "balanced accuracy",
    "mse_one_step": "squared error one step ahead",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "false_discovery_rate": "share of wrong edges among the inferred ones",
    "wrong_share": "share of wrong pairs",
    "valid_time": "valid prediction time",
    "dimension_error": "error of the Kaplan-Yorke dimension",
    "distribution_distance": "distance of the distributions of states",
}
"""What is published, by the names of the benchmark's columns where it has them, and what tables call it."""
TUNED = ("yes", "not stated")
"""Whether settings were chosen knowing the true network."""
TABLE_BEGIN, TABLE_END = "<!-- published: `sparsenode published` -->", "<!-- end of published -->"
"""Marks in a document around the table of published values."""


@dataclass(frozen=True)
class Published:
    """One method of one study on one benchmark.

    `counterpart` is the regularizer of this package that it corresponds to, empty where there is none. `values` by
    metric (`METRICS`), as the published code takes them: sparsity is the share of exact zeros among all weights, those
    onto the rates times the genes' multipliers; errors are those one step ahead. `remarks` are what is to be known of
    them. `scoring` is the scoring protocol by which networks are to be scored to compare with them, empty where none
    is known to be theirs.
    """

    study: str
    method: str
    counterpart: str
    condition: str
    source: str
    values: Mapping[str, float]
    remarks: tuple[str, ...]
    scoring: str = ""


def benchmark_names() -> list[str]:
    """The benchmarks that have published values."""
    return list(dict.fromkeys(row["dataset"] for row in _rows()))


def benchmark_note(benchmark: str) -> str:
    """What data all published values of a benchmark are of, for the reader to compare; empty if nothing is to be said.

    It is in the rows without a method.
    """
    return "; ".join(row["condition"] for row in _rows() if row["dataset"] == benchmark and not row["method"])


def read_published(benchmark: str | None) -> list[Published]:
    """The published methods of a benchmark in the order of the file; none where it is None.

    Raises:
        UserError: no values are known for the benchmark.
    """
    if benchmark is None:
        return []
    rows = [row for row in _rows() if row["dataset"] == benchmark and row["method"]]
    if not rows:
        raise UserError(
            f"no published values of the benchmark {benchmark!r}; there are: {', '.join(benchmark_names())}"
        )
    methods = []
    for study, method in dict.fromkeys((row["study"], row["method"]) for row in rows):
        method_rows = [row for row in rows if (row["study"], row["method"]) == (study, method)]
        description = {name: method_rows[0][name] for name in ("counterpart", "condition", "source", "scoring")}
        values = {row["metric"]: float(row["value"]) * SCALES[row["unit"]] for row in method_rows}
        remarks = tuple(
            f"error by the published code one step ahead, between values without noise; unit {row['unit']}"
            for row in method_rows
            if "presumed" in row["unit"]
        )
        methods.append(Published(study, method, **description, values=values, remarks=remarks))
    return methods


def scoring_of(published: Sequence[Published]) -> str:
    """The scoring protocol by which published scores count pairs; empty where none is known, or where they differ."""
    protocols = {entry.scoring for entry in published if entry.scoring}
    return protocols.pop() if len(protocols) == 1 else ""


def published_table(benchmark: str | None = None) -> str:
    """All published values, or those of a benchmark, as the Markdown table of the documents: one row a value.

    Raises:
        UserError: no values are known for the benchmark.
    """
    read_published(benchmark)
    titles = ("benchmark", "method", "metric", "value", "what counts", "tuned with the truth", "data", "source")
    lines = [titles, ("---",) * len(titles)]
    for row in _rows():
        if not row["method"] or benchmark not in {None, row["dataset"]}:
            continue
        unit = row["unit"] if row["unit"] == "%" else row["unit"] and f" {row['unit']}"
        scoring = row["scoring"] and f" (`{row['scoring']}`)"
        lines.append(
            (
                f"`{row['dataset']}`",
                row["method"],
                METRICS[row["metric"]],
                f"{row['value']}{unit}",
                row["protocol"] + scoring,
                row["tuned"],
                row["condition"],
                row["source"],
            )
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _rows() -> list[dict[str, str]]:
    text = resources.files("sparsenode.figures").joinpath("published.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
