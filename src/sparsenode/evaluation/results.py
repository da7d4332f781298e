"""Results of one dataset, read from the files of a run: its metrics, and the strengths that were chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.plans import LEAD
from sparsenode.evaluation.tables import ALL, COLUMNS
from sparsenode.files import read_json, read_table, reading
from sparsenode.labels import TRUTH
from sparsenode.methods import get_method, method_names

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Choice:
    """The strength chosen for a method of a model, and the protocol ("trajectory" or "window") it was chosen by.

    `regularizer` is the module of the method, empty where it is not known; `prior` says what the prior network that it
    is given is made `of` ("truth", or the name of one of the source), and its `corruption`, the share that is wrong.
    `edges` are numbers of edges of the network at that strength, `found`, `listed` and `typical` (see
    `evaluation.networks.EdgeCounts`); None where the network is listed whole and can be counted.
    """

    strength: float | None
    protocol: str
    regularizer: str = ""
    prior: Mapping[str, Any] | None = None
    edges: Mapping[str, int] | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the list of the network's edges was cut, so that of a pair that it lacks nothing is known."""
        return self.edges is not None and self.edges["listed"] < self.edges["found"]

    @property
    def starts_plain(self) -> bool:
        """Whether the method at strength 0 is plain training."""
        return not self.regularizer or get_method(self.regularizer).sparsifies

    @property
    def told(self) -> str:
        """What the method is told of the network, in words; empty for nothing."""
        if self.prior is None:
            return ""
        origin = ", made of the true network" if self.knows_truth else ""
        wrong = f", {100 * self.prior['corruption']:.3g} % of its edges moved" if self.prior["corruption"] else ""
        return f"given the prior {self.prior['name']}{origin}{wrong}"

    @property
    def knows_truth(self) -> bool:
        """Whether the method is given a prior that is made of the true network."""
        return self.prior is not None and self.prior["of"] == TRUTH


@dataclass(frozen=True)
class Results:
    """The files of one dataset, each read when it is first asked for.

    `files` are by name: `metrics`, `selection`, `forecasts`, `networks`, `data`, `interventions`, `edges`, those that
    there are. `benchmark` is the published benchmark that the dataset repeats; None for none.
    """

    dataset: str
    files: Mapping[str, Path]
    benchmark: str | None = None

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """What concerns all trajectories (see `read_metrics`)."""
        return read_metrics(self.files["metrics"])

    @cached_property
    def choices(self) -> dict[tuple[str, str], Choice]:
        """Chosen strengths by (model, method)."""
        return read_selection(self.files["selection"])

    @cached_property
    def adata(self) -> AnnData:
        """The trajectories."""
        from sparsenode.data.contract import read_trajectories

        return read_trajectories(self.files["data"])


def results_of_datasets(datasets: Sequence[str], metrics: Sequence[Path], selections: Sequence[Path]) -> list[Results]:
    """Results of several datasets, of their metrics and selections in the same order.

    Raises:
        UserError: there are not as many of one as of the others.
    """
    if not len(datasets) == len(metrics) == len(selections):
        counts = f"{len(datasets)} datasets, {len(metrics)} metrics and {len(selections)} selections"
        raise UserError(f"{counts} were given; allowed: one of each for a dataset")
    columns = zip(datasets, metrics, selections, strict=True)
    return [Results(dataset, {"metrics": table, "selection": folder}) for dataset, table, folder in columns]


def read_metrics(path: Path) -> pd.DataFrame:
    """Read what concerns all trajectories of one dataset from its tidy metrics.

    Raises:
        UserError: the file holds no trained model.
    """
    metrics = read_table(path, filters=[("trajectory", "in", ["", ALL])], needed=COLUMNS)
    if not any(name and ":" not in name for name in metrics["method"].unique()):
        raise UserError(f"{path} holds no trained model: evaluate at least one before drawing figures")
    return metrics


def read_lead_errors(path: Path) -> pd.DataFrame:
    """Root mean squared errors of rolling forecasts at each lead time, as a tidy table with a column `lead`.

    In the units of measurement (the column `unit`) where the metrics hold them, else in modeling units. `lead` in
    units of time.

    Raises:
        UserError: there are none.
    """
    table = read_table(path, filters=[("metric", "in", ["mse", "mse_restored"])], needed=COLUMNS)
    table = table[table["horizon"].astype(str).str.startswith(LEAD) & table["status"].eq("finished")]
    if table.empty:
        raise UserError(
            f"{path} holds no errors of rolling forecasts at single lead times: the figure of errors over lead time "
            "takes a dataset that is evaluated with the protocol `rolling`"
        )
    restored = table["metric"].eq("mse_restored")
    table = table[restored] if restored.any() else table
    lead = table["horizon"].astype(str).str.removeprefix(LEAD).astype(float)
    return table.assign(lead=lead, value=np.sqrt(table["value"])).sort_values("lead", kind="stable")


def read_selection(folder: Path) -> dict[tuple[str, str], Choice]:
    """Choices by (model, method) from a folder of `{model}/{method}.json`.

    Raises:
        UserError: a file is damaged, or holds what is no choice.
    """
    choices = {}
    for path in sorted(Path(folder).glob("*/*.json")):
        content = read_json(path, keys=("chosen", "protocol"))
        with reading(path):
            choices[path.parent.name, path.stem] = _read_choice(content)
    return choices


def _read_choice(content: Mapping[str, Any]) -> Choice:
    """A choice of a JSON object; of a damaged one, some ValueError, LookupError or TypeError."""
    strength, protocol, regularizer = content["chosen"], content["protocol"], content.get("regularizer", "")
    prior, edges = content.get("prior"), content.get("edges")
    for name, value, kinds in (
        ("chosen", strength, (int, float, type(None))),
        ("protocol", protocol, str),
        ("regularizer", regularizer, str),
        ("prior", prior, (dict, type(None))),
        ("edges", edges, (dict, type(None))),
    ):
        _check_kind(name, value, kinds)
    if regularizer and regularizer not in method_names():
        raise ValueError(f"the regularizer {regularizer!r} is not known")
    if prior is not None:
        for name in ("name", "of"):
            _check_kind(name, prior[name], str)
        _check_kind("corruption", prior["corruption"], (int, float))
    if edges is not None:
        for name in ("found", "listed", "typical"):
            _check_kind(name, edges[name], int)
    return Choice(strength, protocol, regularizer, prior, edges)


def _check_kind(name: str, value: object, kinds: type | tuple[type, ...]) -> None:
    if not isinstance(value, kinds):
        raise TypeError(f"{name!r} is {value!r}")


def pick(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """Rows whose columns have the wanted values; a tuple or list of values allows any of them."""
    keep = np.ones(len(table), bool)
    for name, value in wanted.items():
        column = table[name]
        keep &= (column.isin(list(value)) if isinstance(value, (list, tuple)) else column == value).to_numpy()
    return table[keep]


def models_of(metrics: pd.DataFrame) -> list[str]:
    """Trained models, in the order of the table."""
    return list(dict.fromkeys(name for name in pick(metrics, metric="seconds")["model"]))


def count_members(metrics: pd.DataFrame, model: str, method: str) -> tuple[int, int]:
    """Members that diverged, and all members."""
    members = pick(metrics, metric="seconds", model=model, method=method)
    return int((members["status"] == "diverged").sum()), len(members)


def error_split(metrics: pd.DataFrame, model: str, protocol: str) -> tuple[str, str]:
    """Split and phase of the headline error: test in the fit phase where there is one, else the nearest to it."""
    errors = pick(metrics, metric="mse", horizon=protocol, model=["", model], trajectory="all")
    present = set(zip(errors["split"], errors["phase"], strict=True))
    for candidate in (("test", "fit"), ("test", "extrapolation"), ("validation", "fit"), ("train", "fit")):
        if candidate in present:
            return candidate
    return ("train", "fit")


def select_errors(
    metrics: pd.DataFrame, *, model: str, method: str | list[str], protocol: str, split: str, phase: str
) -> pd.DataFrame:
    """Mean squared errors over all trajectories, one row per finished member; baselines of the same protocol."""
    trivial = isinstance(method, str) and ":" in method
    return pick(
        metrics,
        metric="mse",
        model=["", model] if trivial else model,
        method=method,
        horizon=protocol,
        split=split,
        phase=phase,
        trajectory="all",
        status="finished",
    )
