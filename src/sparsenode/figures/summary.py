"""What a run has found, in a few lines for each dataset, for its end, for reading and for programs."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsenode.evaluation.baselines import BASELINE_NAMES
from sparsenode.evaluation.peers import favored_metrics
from sparsenode.evaluation.remarks import least_trivial_error
from sparsenode.evaluation.results import Results, error_split, pick, results_of_datasets, select_errors
from sparsenode.evaluation.tables import ALL, NO_SEED, PEER
from sparsenode.figures import style
from sparsenode.figures.panels import validation_ratio
from sparsenode.files import write_atomically
from sparsenode.labels import BASELINE, TESTED
from sparsenode.remarks import HEADINGS, Remark, read_remarks

_WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """What was found on a dataset; NaN, or empty text, is what could not be measured.

    Attributes:
        dataset: its name.
        model: the model of the best method.
        method: the method whose error on validation data is the smallest beside the best trivial forecast's.
        strength: its strength.
        seeds: members of that strength that finished.
        split: the data that errors are of, such as `test`.
        error: median over seeds of the mean squared error, in squared modeling units.
        trivial: the best trivial forecast of the same data, in words.
        trivial_error: its error.
        empty_pairs: share of the pairs without a path.
        auprc: average precision of its ranking of pairs beside the true network, median over seeds.
        chance: that of equal scores.
        peer: the peer with the best average precision.
        peer_auprc: its average precision.
        needed_edges: edges that the test of edges has selected, NaN where none was made.
        untold_edges: edges that it cannot tell.
        false_discovery_rate: share of the selected edges that are none in the true network.
        recall: share of the true edges that are selected.
        remarks: what is doubtful about the dataset.
    """

    dataset: str
    model: str = ""
    method: str = ""
    strength: float = math.nan
    seeds: int = 0
    split: str = ""
    error: float = math.nan
    trivial: str = ""
    trivial_error: float = math.nan
    empty_pairs: float = math.nan
    auprc: float = math.nan
    chance: float = math.nan
    peer: str = ""
    peer_auprc: float = math.nan
    needed_edges: float = math.nan
    untold_edges: float = math.nan
    false_discovery_rate: float = math.nan
    recall: float = math.nan
    remarks: tuple[Remark, ...] = ()


def write_summary(
    datasets: Sequence[str],
    metrics: Sequence[Path],
    selections: Sequence[Path],
    remarks: Sequence[Path],
    output: Path,
    markdown: Path,
) -> None:
    """Write the summaries of several datasets as JSON, and the same for reading as Markdown.

    Args:
        datasets: names of the datasets.
        metrics: tables of metrics, in the same order.
        selections: folders of chosen strengths, in the same order.
        remarks: tables of remarks, of any of the datasets.
        output: JSON file to write.
        markdown: Markdown file to write.

    Raises:
        UserError: a file is missing or damaged, or not one of each for a dataset.
    """
    doubts = [remark for path in remarks for remark in read_remarks(path)]
    summaries = [summarize(results, doubts) for results in results_of_datasets(datasets, metrics, selections)]
    content = [{key: _plain(value) for key, value in asdict(summary).items()} for summary in summaries]
    with write_atomically(output) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    with write_atomically(markdown) as temporary:
        temporary.write_text(describe_summaries(summaries) + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    """NaN has no form in JSON."""
    return None if isinstance(value, float) and math.isnan(value) else value


def summarize(results: Results, remarks: Sequence[Remark] = ()) -> DatasetSummary:
    """What was found on a dataset. The best method is chosen on validation data."""
    of_dataset = tuple(remark for remark in remarks if remark.dataset == results.dataset)
    best = _best_choice(results)
    forecasts = _forecasts(results, best) if best else {}
    found = {**forecasts, **_network(results, best), **_tested(results)}
    return DatasetSummary(dataset=results.dataset, remarks=of_dataset, **found)


def _errors(results: Results, key: tuple[str, str], split: str, phase: str) -> tuple[np.ndarray, str, float]:
    """Errors (seed,) of a model and method at its chosen strength, and the best trivial forecast and its error."""
    (model, method), choice = key, results.choices[key]
    where = {"model": model, "protocol": choice.protocol, "split": split, "phase": phase}
    rows = select_errors(results.metrics, method=method, **where)
    name, error = least_trivial_error(results.metrics, **where)
    return rows.loc[rows["strength"] == choice.strength, "value"].to_numpy(np.float64), name, error


def _best_choice(results: Results) -> tuple[str, str] | None:
    """The model and method that forecast validation data best, beside the trivial forecasts of the same protocol."""
    ratios = {
        key: validation_ratio(results.metrics, key, choice)
        for key, choice in results.choices.items()
        if choice.strength is not None
    }
    return min(ratios, key=lambda key: ratios[key]) if ratios else None


def _forecasts(results: Results, best: tuple[str, str]) -> dict[str, Any]:
    (model, method), choice = best, results.choices[best]
    split, phase = error_split(results.metrics, model, choice.protocol)
    errors, name, trivial = _errors(results, best, split, phase)
    return {
        "model": model,
        "method": method,
        "strength": choice.strength,
        "seeds": len(errors),
        "split": split if phase == "fit" else f"{split}, {phase}",
        "error": float(np.median(errors)) if len(errors) else math.nan,
        "trivial": BASELINE_NAMES.get(name, ""),
        "trivial_error": trivial,
    }


def _network(results: Results, best: tuple[str, str] | None) -> dict[str, Any]:
    """How empty the network of the best method is, and how well it ranks pairs, beside chance and the best peer."""
    metrics = pick(results.metrics, trajectory=ALL, reference="", status="finished")
    values: dict[str, Any] = {}
    if best:
        at_choice = {"model": best[0], "method": best[1], "strength": results.choices[best].strength}
        for name, metric in (("empty_pairs", "feature_sparsity"), ("auprc", "auprc")):
            rows = pick(metrics, metric=metric, estimator="paths", **at_choice)
            values[name] = float(rows.loc[rows["seed"] >= 0, "value"].median())
    areas = pick(metrics, metric="auprc")
    values["chance"] = float(pick(areas, method=f"{BASELINE}random")["value"].median())
    peers = pick(favored_metrics(areas), seed=NO_SEED)
    peers = peers[peers["method"].astype(str).str.startswith(PEER)].sort_values("value", kind="stable")
    if len(peers):
        values |= {"peer": style.method_label(peers["method"].iloc[-1]), "peer_auprc": float(peers["value"].iloc[-1])}
    return values


def _tested(results: Results) -> dict[str, float]:
    """What the test of edges has selected, and how much of it is true."""
    rows = pick(results.metrics, method=TESTED, trajectory=ALL, reference="", status="finished")
    values = dict(zip(rows["metric"], rows["value"].tolist(), strict=True))
    names = {"needed_edges": "selected_edges", "untold_edges": "untold_edges"}
    names |= {name: name for name in ("false_discovery_rate", "recall")}
    return {name: values[metric] for name, metric in names.items() if metric in values}


def describe_summaries(summaries: Sequence[DatasetSummary]) -> str:
    """The summaries for reading, which is Markdown too."""
    return "\n\n".join(["# Summary", *(describe_summary(summary) for summary in summaries)])


def describe_summary(summary: DatasetSummary) -> str:
    """One dataset in a few lines: forecasts, network, tested edges, doubts."""
    sentences = [_tell_forecasts(summary), _tell_network(summary), _tell_edges(summary), _tell_doubts(summary)]
    lines = [f"**{summary.dataset}**", *(f"- {sentence}" for sentence in sentences if sentence)]
    return "\n".join(_fill(line) for line in lines)


def _tell_forecasts(summary: DatasetSummary) -> str:
    if not summary.method:
        return "No strength was chosen, since too few members finished their training."
    name = f"{summary.method} (model {summary.model}) at strength {summary.strength:g}"
    if not (np.isfinite(summary.error) and summary.trivial):
        return f"Best on validation data: {name}. Nothing else is there that its error could be compared on."
    change = 1 - summary.error / summary.trivial_error
    worth = (
        f"{100 * change:.3g} % below" if change > 0 else f"{summary.error / summary.trivial_error:.3g} times"
    )  # fmt: skip
    return (
        f"Best on validation data: {name}. Its error on {summary.split} data is {summary.error:.3g}, {worth} that of "
        f"the best trivial forecast ({summary.trivial}, {summary.trivial_error:.3g})."
    )


def _tell_network(summary: DatasetSummary) -> str:
    if not np.isfinite(summary.empty_pairs):
        return ""
    text = f"{100 * (1 - summary.empty_pairs):.3g} % of all pairs of variables have a path in its network"
    if not np.isfinite(summary.auprc):
        return f"{text}. The true network is not known."
    text += f"; its ranking has an average precision of {summary.auprc:.2f} (chance {summary.chance:.2f}"
    return text + (f"; best peer, {summary.peer}, {summary.peer_auprc:.2f})." if summary.peer else ").")


def _tell_edges(summary: DatasetSummary) -> str:
    if not np.isfinite(summary.needed_edges):
        return ""
    text = f"The test of edges finds {summary.needed_edges:.0f} needed, given the other measured variables"
    if np.isfinite(summary.recall):
        text += (
            f", of which {100 * summary.false_discovery_rate:.3g} % are none in the true network, with "
            f"{100 * summary.recall:.3g} % of its edges"
        )
    return f"{text}; {summary.untold_edges:.0f} cannot be told." if summary.untold_edges else f"{text}."


def _tell_doubts(summary: DatasetSummary) -> str:
    best = summary.model, summary.method
    about = {best, (best[0], ""), ("", ""), ("", TESTED)}
    of_best = [remark for remark in summary.remarks if (remark.model, remark.method) in about]
    rest = len(summary.remarks) - len(of_best)
    doubts = list(dict.fromkeys(HEADINGS[remark.kind] for remark in of_best))
    doubts += [f"and {rest} more on other methods (`remarks.md`)"] * bool(rest)
    return f"Doubtful: {'; '.join(doubts)}." if doubts else ""


def _fill(line: str) -> str:
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
