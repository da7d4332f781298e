"""table: trajectories of your own, from a CSV, TSV or parquet file with a column for each variable.

Each line is an observation: its time, its trajectory, and its values, of which empty ones were not observed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from sparsenode.data.outline import Outline
from sparsenode.data.own_data import ONLY, OwnSource, label_problem, trajectory_problems
from sparsenode.data.readers.long_tables import Order, check_order, provenance, read_long_table, read_table
from sparsenode.data.sources.anndata import AnnDataSource, read_trajectories_of
from sparsenode.typed import EachOnce, PathText

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sparsenode.data.readers.long_tables import LongTable
    from sparsenode.data.trajectories import RawTrajectories

_LABELS = ("trajectory", "group", "subject", "split", "phase")
_OF_TABLES = ("variables", "leave_out", "order")


class TableSource(OwnSource):
    """The source and its options."""

    path: PathText = Field(
        description="The file: CSV or TSV (separated by commas, semicolons or tabs; it may be gzipped) or parquet."
    )
    variables: Annotated[tuple[str, ...], Field(min_length=1), EachOnce] | None = Field(
        None, description="Columns to model, in this order; null: all that no other option names."
    )
    leave_out: Annotated[tuple[str, ...], EachOnce] = Field(
        (), description="Columns that are neither variables nor anything else, such as comments."
    )
    order: Order = Field(
        "increasing",
        description="`increasing`: times of a trajectory that do not increase are refused, since then mostly "
        "trajectories were not told apart; `any`: lines are sorted, and times may repeat, as of cells in pseudotime.",
    )

    def check(self) -> list[str]:
        """What the options name and the file does not have, each as `option: found; allowed`.

        Raises:
            UserError: the file is not there, is no table, or lacks a column.
        """
        from sparsenode.data.contract import name_problem

        if self.split is not None and self.test_trajectories:
            return ["split: found with test_trajectories; allowed: one of them"]
        table = self._read_labels()
        problems = list(self._label_problems(table))
        names = {
            "trajectory": self._present(table, self.trajectory),
            "group": self._present(table, self.group),
            "subject": self._present(table, self.subject or self.trajectory),
            "feature": table.variables,
        }
        options = {"feature": "variables"}
        for kind, labels in names.items():
            if (problem := name_problem({kind: labels})) is not None:
                problems.append(f"{options.get(kind, kind)}: {problem}")
        if not problems and not self._is_training(table).any():
            option = "split" if self.split is not None else "test_trajectories"
            problems.append(f"{option}: no observation of {self.path} is left to train on")
        return problems

    def outline(self) -> Outline:
        """Names and size of the dataset, once `check` has nothing to say.

        Raises:
            UserError: the file is not there, is no table, or lacks a column.
        """
        table = self._read_labels()
        rows = self._is_training(table)
        names, codes, counts = np.unique(
            self._column(table, "trajectory")[rows], return_inverse=True, return_counts=True
        )
        spans = [np.ptp(table.times[rows][codes == code]) for code in range(len(names))]
        return Outline(
            features=table.variables,
            groups=tuple(dict.fromkeys(self._column(table, "group")[rows].tolist())),
            priors=(),
            trajectories=len(names),
            observations=int(counts.max(initial=0)),
            duration=1.0 if self.time_scaling == "unit" else float(max(spans, default=1.0)),
        )

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:  # noqa: ARG002  the same for every source
        """Trajectories of the file.

        Raises:
            UserError: the file, or something that an option names in it, is not there or cannot be used.
        """
        path = Path(self.path)
        adata = read_table(
            path,
            time=self.time,
            trajectory=self.trajectory,
            labels=self._labels(),
            variables=self.variables,
            leave_out=self.leave_out,
            order=self.order,
        )
        values = {name: value for name, value in dict(self).items() if name not in _OF_TABLES}
        return read_trajectories_of(adata, AnnDataSource(**values), path, provenance(path))

    def _labels(self) -> list[str]:
        """Columns of labels that options name, each once."""
        return list(dict.fromkeys(name for option in _LABELS if (name := getattr(self, option)) is not None))

    def _read_labels(self) -> LongTable:
        """The table without its values."""
        path = Path(self.path)
        changed = path.stat().st_mtime_ns if path.exists() else 0
        return _read_labels(
            path, changed, self.time, tuple(self._labels()), self.trajectory, self.variables, self.leave_out, self.order
        )

    def _label_problems(self, table: LongTable) -> Iterator[str]:
        """Labels of splits and phases that are not allowed, and test trajectories that are not there."""
        for option in ("split", "phase"):
            if (name := getattr(self, option)) is not None and (
                problem := label_problem(option, self._present(table, name), f"the column {name!r} of {table.path}")
            ):
                yield problem
        where = f"{self.path} (column {self.trajectory!r})"
        labels = sorted(self._present(table, self.trajectory))
        if self.trajectory is None:
            where = f"{self.path}, whose observations are all one, since `trajectory` names no column"
            labels = [ONLY]
        yield from trajectory_problems(self.test_trajectories, labels, where)

    def _column(self, table: LongTable, option: str) -> NDArray[np.str_]:
        """Labels (observation,) of the column that an option names, or one label for all."""
        name = getattr(self, option)
        alike = ONLY if option == "trajectory" else "all"
        return np.full(len(table.times), alike) if name is None else table.labels[name]

    def _present(self, table: LongTable, name: str | None) -> Sequence[str]:
        """Labels of a column; none without a column."""
        return () if name is None else tuple(dict.fromkeys(table.labels[name].tolist()))

    def _is_training(self, table: LongTable) -> NDArray[np.bool_]:
        """Which observations are training data, before validation data are set aside, (observation,)."""
        rows = ~np.isin(self._column(table, "trajectory"), self.test_trajectories)
        if self.split is not None:
            rows &= table.labels[self.split] == "train"
        if self.phase is not None:
            rows &= table.labels[self.phase] == "fit"
        return rows


@lru_cache(maxsize=8)
def _read_labels(
    path: Path,
    changed: int,  # noqa: ARG001  the time of the file's last change: another one is read again
    time: str,
    labels: tuple[str, ...],
    trajectory: str | None,
    variables: tuple[str, ...] | None,
    leave_out: tuple[str, ...],
    order: Order,
) -> LongTable:
    """Times and labels of a table, of which the values are not read; a run asks for them several times."""
    table = read_long_table(path, time, labels, variables=variables, leave_out=leave_out, with_values=False)
    check_order(table, trajectory, order)
    return table
