"""The table of a benchmark: every method at its chosen strength, beside peers and published values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsenode.evaluation.peers import favored_metrics
from sparsenode.evaluation.results import Choice, models_of, pick, results_of_datasets
from sparsenode.figures import style
from sparsenode.figures.published import Published, benchmark_note, read_published, scoring_of
from sparsenode.files import write_atomically
from sparsenode.labels import SCORING
from sparsenode.remarks import Remark, describe_remarks, read_remarks

_BY_PROTOCOL = ("auroc", "auprc")
"""Published scores that count pairs by a scoring protocol, where it is known."""
_TEST = {"metric": "mse", "split": "test", "phase": "fit"}
_RANKING = {
    **{
        name: {"metric": name, "reference": ""}
        for name in ("balanced_accuracy_at_95", "auroc", "auprc", "early_precision")
    },
    # Only of the scoring protocol of the benchmark, see `_scored_as_published`.
    **{f"scoring_{name}": {"metric": f"scoring_{name}"} for name in _BY_PROTOCOL},
}
# Where each column is in the metrics of members. Of several estimators the first of `_ESTIMATORS` counts.
_MEASURED: dict[str, dict[str, str]] = {
    "sparsity": {"metric": "feature_sparsity", "estimator": "paths"},
    "exact_sparsity": {"metric": "exact_sparsity"},
    "exact_weight_sparsity": {"metric": "exact_weight_sparsity", "estimator": "weights"},
    "balanced_accuracy": {"metric": "balanced_accuracy", "estimator": "paths"},
    "wrong_share": {"metric": "wrong_share", "estimator": "paths"},
    **_RANKING,
    "mse": {**_TEST, "horizon": "trajectory"},
    "mse_one_step": {**_TEST, "horizon": "one_step"},
    "out_degree": {"metric": "out_degree"},
    "mean_out_degree": {"metric": "mean_out_degree"},
}
# The same of scores pooled over members.
_POOLED = {"auprc_degree_z": {"metric": "auprc_degree_z"}}
_ESTIMATORS = ("paths", "weights", "peer", "peer_shares", "")
COLUMNS = (
    "dataset", "benchmark", "published", "study", "method", "model", "strength", "seeds",
    *(f"{column}{end}" for column in _MEASURED for end in ("", "_min", "_max")), *_POOLED,
    "remark",
)  # fmt: skip
# Columns of the readable table: title, column, and what its numbers are multiplied by.
_READABLE = (
    ("pairs without a path (%)", "sparsity", 100), ("weights exactly zero (%)", "exact_weight_sparsity", 100),
    ("balanced accuracy (%)", "balanced_accuracy", 100),
    ("the same of the best 5 % of pairs (%)", "balanced_accuracy_at_95", 100), ("pairs wrong (%)", "wrong_share", 100),
    ("AUROC", "auroc", 1), ("AUPRC", "auprc", 1),
    ("AUROC, pairs as published", "scoring_auroc", 1), ("AUPRC, pairs as published", "scoring_auprc", 1),
    ("AUPRC beside equal degrees (z)", "auprc_degree_z", 1), ("test mse, whole course", "mse", 1),
    ("test mse, one step", "mse_one_step", 1),
)  # fmt: skip
_EXPLANATION = """\
Models at the strength chosen on validation, over the seeds that finished: the median, and in brackets the range. \
*Published* values are those of other studies, quoted and not measured here; each study chooses and counts in its own \
way. What they call sparsity is the share of weights that are exactly zero, and is there; of pairs none is \
published. Which methods are given a prior network, and what it is made of, is said below the table. `benchmark.csv` \
has more columns.

- **pairs without a path**: share of the pairs of features, each with itself too, whose path is below 1e-5.
- **weights exactly zero**: share of all weights; those onto the rates of a biological network times the genes' \
multipliers, as published.
- **balanced accuracy**: of the pairs that have a path, among those whose truth is known; 50 % is chance. **The same \
of the best 5 % of pairs**: these are taken as edges (95 % sparsity), which is far too few where more are true. \
Peers rank all pairs, by the better of their two scores, and have no network of their own.
- **pairs wrong**: share of the pairs of two different features, among those whose truth is known, that have a path \
and are no edge, or the reverse.
- **AUROC**, **AUPRC**: of the ranking of the same pairs by single members; chance is .5, and the share of edges. \
**Pairs as published**: over the pairs that the benchmark's scoring protocol counts (`evaluation.scoring` of the \
dataset).
- **AUPRC beside equal degrees**: how many standard deviations that of the scores pooled over the seeds, one number, \
lies above that of random networks with the degrees of the true one; within 2 of 0, knowing the degrees would do as \
well.
- **test mse**: of test data, in modeling units, from the initial state on (whole course, that state included where it \
is a single observation), and from one observation to the next of the same split (one step).
"""


def tabulate_benchmark(
    datasets: Sequence[str],
    benchmarks: Mapping[str, str | None],
    metrics: Sequence[Path],
    selections: Sequence[Path],
    output: Path,
    markdown: Path,
    remarks: Sequence[Path] = (),
) -> None:
    """Write the table of several datasets as CSV, and the same for reading as Markdown.

    Shares are 0 to 1 in the CSV, and percent in the Markdown.

    Args:
        datasets: names of the datasets, in the order of the table.
        benchmarks: published benchmark that each dataset repeats, by its name; None or absent for none.
        metrics: parquet files of metrics of `datasets`, in their order.
        selections: folders of chosen strengths of `datasets`, in their order.
        output: CSV file to write.
        markdown: Markdown file to write.
        remarks: tables of what is doubtful about the models, which the Markdown tells.

    Raises:
        UserError: not as many tables as datasets, or no values are known for a benchmark.
    """
    tables = [
        dataset_rows(entry.dataset, benchmarks.get(entry.dataset), entry.metrics, entry.choices)
        for entry in results_of_datasets(datasets, metrics, selections)
    ]
    table = pd.concat(tables, ignore_index=True)
    with write_atomically(output) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    with write_atomically(markdown) as temporary:
        doubts = [remark for path in remarks for remark in read_remarks(path)]
        temporary.write_text(write_markdown(table, doubts), encoding="utf-8")


def dataset_rows(
    dataset: str,
    benchmark: str | None,
    metrics: pd.DataFrame,
    choices: Mapping[tuple[str, str], Choice],
) -> pd.DataFrame:
    """Rows of one dataset, `COLUMNS`: method by method, published values below their counterparts, then peers.

    What was not measured is NaN.
    """
    published = read_published(benchmark)
    metrics = _scored_as_published(metrics, published)
    trained = pick(metrics, metric="seconds")
    rows: list[dict[str, Any]] = []
    methods = style.method_order(trained["method"])
    regularizers = {method: choice.regularizer for (_, method), choice in choices.items()}
    # What is published of a regularizer is below its last method.
    last_methods = {regularizers.get(method) or method: method for method in methods}
    for method in methods:
        rows += [
            _model_row(metrics, model, method, choices.get((model, method), Choice(None, "")))
            for model in models_of(pick(trained, method=method))
        ]
        rows += [_published_row(entry) for entry in published if last_methods.get(entry.counterpart) == method]
    rows += [_published_row(entry) for entry in published if entry.counterpart not in last_methods]
    favored = favored_metrics(metrics)
    rows += [_peer_row(favored, peer) for peer in style.peer_order(metrics["method"])]
    table = pd.DataFrame([{"dataset": dataset, "benchmark": benchmark or "", **row} for row in rows])
    return table.reindex(columns=list(COLUMNS))


def write_markdown(table: pd.DataFrame, remarks: Sequence[Remark] = ()) -> str:
    """The table for reading: a section for each dataset, without the columns that it has no values of.

    Above it is what all published values of its benchmark are of, below it what is doubtful about its models.
    """
    sections = ["# Benchmark\n", _EXPLANATION]
    for dataset, rows in table.groupby("dataset", sort=False):
        benchmark = rows["benchmark"].iloc[0]
        sections.append(f"## {dataset}{f' (published benchmark: {benchmark})' if benchmark else ''}\n")
        note = benchmark_note(benchmark) if benchmark and (rows["published"] == "yes").any() else ""
        notes = [f"Published values are of {note}."] * bool(note)
        sections.append(" ".join([_tell_seeds(rows), *notes]) + "\n")
        columns = [entry for entry in _READABLE if rows[entry[1]].notna().any()]
        header = ["method (model)", "strength", *(title for title, _, _ in columns)]
        cells = [_cells(row, columns) for _, row in rows.iterrows()]
        rule = ["---", *["---:"] * (len(header) - 1)]
        sections.append("\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *cells)) + "\n")
        for (study, remark), named in rows[rows["remark"] != ""].groupby(["study", "remark"], sort=False):
            origin = f"published by {study}: " if study else ""
            sections.append(f"- {origin}{', '.join(_names(named))}: {remark}.")
        doubts = describe_remarks([remark for remark in remarks if remark.dataset == dataset])
        sections += [f"\nWhat is doubtful:\n\n{doubts}"] * bool(doubts)
        sections.append("")
    return "\n".join(sections)


def _model_row(metrics: pd.DataFrame, model: str, method: str, choice: Choice) -> dict[str, Any]:
    """A method of a model at its chosen strength; without one, nothing but its name and why."""
    row: dict[str, Any] = {"published": "no", "study": "", "method": method, "model": model, "seeds": 0, "remark": ""}
    if choice.strength is None:
        return {**row, "remark": "no strength chosen, since too few members finished"}
    measurements = pick(metrics, model=model, method=method, strength=choice.strength, status="finished")
    members = measurements[measurements["seed"] >= 0]
    seeds = members.loc[members["metric"] == "seconds", "seed"].nunique()
    measured = {**_measure(members, _MEASURED), **_measure(measurements[measurements["seed"] < 0], _POOLED)}
    return {**row, "strength": choice.strength, "seeds": seeds, **measured, "remark": choice.told}


def _peer_row(metrics: pd.DataFrame, peer: str) -> dict[str, Any]:
    measurements = pick(metrics, method=peer, status="finished")
    members = measurements[measurements["seed"] >= 0]
    name = f"{style.method_label(peer)} (peer)"
    unfinished = pick(metrics, method=peer, status="unfinished")["reason"].tolist()
    named = {"published": "no", "study": "", "method": name, "model": "", "remark": "; ".join(unfinished)}
    measured = {**_measure(members, _RANKING), **_measure(measurements[measurements["seed"] < 0], _POOLED)}
    return {**named, "seeds": members["seed"].nunique(), **measured}


def _published_row(entry: Published) -> dict[str, Any]:
    remarks = [remark for remark in (entry.condition, entry.source, *entry.remarks) if remark]
    named = {"published": "yes", "study": entry.study, "method": entry.method, "model": ""}
    scored = _BY_PROTOCOL if entry.scoring else ()
    values = {f"scoring_{name}" if name in scored else name: value for name, value in entry.values.items()}
    return {**named, **values, "remark": "; ".join(remarks)}


def _scored_as_published(metrics: pd.DataFrame, published: Sequence[Published]) -> pd.DataFrame:
    """The metrics, and of scores by a scoring protocol only those of the one that the published values count by.

    Where they count by several protocols or by none that is known, no such scores are left.
    """
    reference = metrics["reference"].astype(str)
    return metrics[~reference.str.startswith(SCORING) | (reference == f"{SCORING}{scoring_of(published)}")]


def _measure(metrics: pd.DataFrame, columns: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Median over seeds of each column, of members with the range; what was not measured is left out."""
    statistics = {}
    for column, where in columns.items():
        rows = pick(metrics, trajectory="all", **where)
        estimator = next((name for name in _ESTIMATORS if (rows["estimator"] == name).any()), None)
        values = rows.loc[rows["estimator"] == estimator, "value"].to_numpy(np.float64)
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        statistics[column] = float(np.median(values))
        if column in _MEASURED:
            statistics |= {f"{column}_min": float(values.min()), f"{column}_max": float(values.max())}
    return statistics


def _names(rows: pd.DataFrame) -> list[str]:
    """Methods, with their models where they have one."""
    return [row["method"] + f" ({row['model']})" * bool(row["model"]) for _, row in rows.iterrows()]


def _tell_seeds(rows: pd.DataFrame) -> str:
    """How many seeds the rows are of: the most frequent number, and what has another one."""
    measured = rows[rows["published"] == "no"]
    usual = int(measured["seeds"].mode().max())
    exceptions = measured[measured["seeds"] != usual].groupby("seeds", sort=False)
    phrases = [f"{seeds:g} of {', '.join(_names(members))}" for seeds, members in exceptions]
    return f"Seeds: {'; '.join([str(usual), *phrases])}."


def _cells(row: pd.Series[Any], columns: Sequence[tuple[str, str, int]]) -> list[str]:
    [name] = _names(row.to_frame().T)
    cells = [f"*{name}, published by {row['study']}*" if row["published"] == "yes" else name, _number(row["strength"])]
    for _, column, factor in columns:
        text = _number(factor * row[column])
        least, largest = (_number(factor * row.get(f"{column}_{end}", float("nan"))) for end in ("min", "max"))
        if least != largest:
            text += f" ({least} to {largest})"
        cells.append(text)
    return cells


def _number(value: float) -> str:
    """Three digits, near 100 % four; empty where there is no value."""
    if not np.isfinite(value):
        return ""
    return f"{value:.4g}" if 99 <= value < 1000 else f"{value:.3g}"
