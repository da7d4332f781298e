"""The registry of metrics: what each entry of the column `metric` means, in what unit, and why it can be undefined.

A new metric is one function in a file of this package, decorated with `metric`; its kind says which rows it is measured
for, and its parameters name what it takes:

- `ERRORS`, the error of each forecast value, (entry,): `squares` and `forecast`, both (entry, feature), the `data` and
  the numbers of the observations, `observation` (entry,). Where entries are missing, `squares` hold 0 for them and else
  count times their `shares` (entry, feature), so that their mean is over what is observed; else `shares` are 1.
- `PATHS`, a number for each member, (member,): `paths` (member, source, target).
- `PAIRS`, a number for a network beside the true one, all (pair,): `scores`, `edges`, `predicted`, `signs`,
  `true_signs` and the numbers of the `sources`. It is measured where all that it takes is known.
- `SELECTIONS`, a number for the edges that a test has selected: `selected` and `untold` (pair,), and beside the true
  network `edges` (pair,). It is measured where all that it takes is known.
- `COMPARISONS`, what an error is worth beside another forecast's, both of any equal shape: `mse`, and either `trivial`,
  the error of each trivial forecast in turn, or those of oracles by their names (`mean`, `cubic`), the last of which
  is named as the reference.

Metrics that are measured together with others, or made from them, are described by `describe`.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sparsenode.data.observations import Observations

ERRORS, PATHS, PAIRS, SELECTIONS, COMPARISONS = "errors", "paths", "pairs", "selections", "comparisons"
TABLE_BEGIN, TABLE_END = "<!-- metrics: `sparsenode metrics` -->", "<!-- end of metrics -->"
"""Marks in a document around the table of metrics."""
_OTHER_MODULES = (
    "sparsenode.evaluation.scoring",
    "sparsenode.evaluation.sparsity",
    "sparsenode.evaluation.structure",
)
"""Modules outside of this package that define metrics."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Metric:
    """An entry of the column `metric`.

    Attributes:
        name: the entry.
        description: what it is.
        unit: its unit, empty for a pure number.
        undefined: why a sound model or network may have no value, empty where it always has one.
        kind: `ERRORS`, `PATHS`, `PAIRS`, `SELECTIONS` or `COMPARISONS`; empty for a metric that is measured
            together with others.
        function: measures it; None for the same.
        parameters: names of what it takes.
        unit_of: unit on a dataset, None where the metric is not measured on it; only of `ERRORS`.
    """

    name: str
    description: str
    unit: str = ""
    undefined: str = ""
    kind: str = ""
    function: Callable[..., Any] | None = None
    parameters: tuple[str, ...] = ()
    unit_of: Callable[[Observations], str | None] | None = None

    def measure(self, **values: Any) -> Any:
        """The value of the metric, from the values by name that its function takes; None where one of them is None."""
        assert self.function is not None, self.name  # noqa: S101 only metrics of a kind are measured by themselves
        taken = {name: values[name] for name in self.parameters}
        return None if any(value is None for value in taken.values()) else self.function(**taken)


_METRICS: dict[str, Metric] = {}


def metric(
    kind: str,
    *,
    name: str | None = None,
    description: str,
    unit: str = "",
    undefined: str = "",
    unit_of: Callable[[Observations], str | None] | None = None,
) -> Callable[[Function], Function]:
    """Register a function as a metric; it stays as it is.

    Args:
        kind: `ERRORS`, `PATHS`, `PAIRS`, `SELECTIONS` or `COMPARISONS`; empty where it is measured together with
            others.
        name: name of the metric; that of the function where it is None.
        description: what it is.
        unit: its unit.
        undefined: why it can be undefined.
        unit_of: unit on a dataset; see `Metric`.
    """

    def register(function: Function) -> Function:
        _add(
            Metric(
                name=name or function.__name__,
                description=description,
                unit=unit,
                undefined=undefined,
                kind=kind,
                function=function,
                parameters=tuple(inspect.signature(function).parameters),
                unit_of=unit_of,
            )
        )
        return function

    return register


def describe(*names: str, description: str, unit: str = "", undefined: str = "") -> None:
    """Register metrics that are measured together with others, or made from them, by one description."""
    for name in names:
        _add(Metric(name=name, description=description, unit=unit, undefined=undefined))


def _add(entry: Metric) -> None:
    if entry.name in _METRICS:
        raise ValueError(f"the metric {entry.name!r} is defined twice")
    _METRICS[entry.name] = entry


@cache
def _import_all() -> None:
    for name in (*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)), *_OTHER_MODULES):
        import_module(name)


def registered_metrics(kind: str | None = None) -> dict[str, Metric]:
    """All metrics by name, or those of a kind."""
    _import_all()
    return {name: entry for name, entry in _METRICS.items() if kind is None or entry.kind == kind}


def metrics_table() -> str:
    """The table of metrics of the documents, as Markdown, by name; metrics of one description share a row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for name, entry in sorted(registered_metrics().items()):
        rows.setdefault((entry.unit, entry.description, entry.undefined), []).append(f"`{name}`")
    lines = ["| metric | unit | definition | undefined where |", "|---|---|---|---|"]
    lines += [f"| {', '.join(names)} | {' | '.join(cells)} |" for cells, names in rows.items()]
    return "\n".join(lines)
