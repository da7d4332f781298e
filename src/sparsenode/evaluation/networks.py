"""The network that an ensemble learned at one strength, as a table of edges: of all the data, and in each group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.sparsity import THRESHOLD
from sparsenode.files import write_atomically

NETWORK_COLUMNS = ("source", "target", "weight", "sign", "selection_frequency")
GROUP_COLUMNS = ("group", "source", "target", "value")
STRONGEST_PAIRS = 2000
"""Pairs of each group (lineage, branch) that are written out at most."""
_ENDING = ".groups.parquet"


def selection_frequency(paths: np.ndarray) -> np.ndarray:
    """Share of the members in which a path is present (source, target); `paths` (member, source, target)."""
    return (paths >= THRESHOLD).mean(axis=0)


def network_table(paths: np.ndarray, jacobian: np.ndarray, features: Sequence[str]) -> pd.DataFrame:
    """Edges that at least one member selected, strongest first; self-loops included.

    `paths` and `jacobian` (member, source, target): path strengths and mean signed Jacobians of the members at one
    strength. `weight` is the median path strength over members (0 if most members have no path), `sign` that of the
    median mean Jacobian (+1 activation, -1 repression, 0 neither), `selection_frequency` the share of members with
    the path. A pair that is not listed was selected by none.
    """
    if len(paths) == 0:
        return pd.DataFrame({name: [] for name in NETWORK_COLUMNS})
    frequency = selection_frequency(paths)
    source, target = np.nonzero(frequency)
    names = np.asarray(features, dtype=object)
    table = pd.DataFrame(
        {
            "source": names[source],
            "target": names[target],
            "weight": np.median(paths, axis=0)[source, target],
            "sign": np.sign(np.median(jacobian, axis=0)[source, target]).astype(int),
            "selection_frequency": frequency[source, target],
        }
    )
    return table.sort_values(["weight", "selection_frequency"], ascending=False, kind="stable", ignore_index=True)


def write_network(table: pd.DataFrame, path: Path) -> None:
    """Write a table of edges as CSV, numbers to the precision of float32."""
    import pyarrow as pa
    from pyarrow import csv

    kinds = {"source": str, "target": str, "weight": np.float32, "sign": np.int64, "selection_frequency": np.float32}
    # pandas takes ten times as long, which is felt with hundreds of thousands of edges.
    rows = pa.Table.from_pandas(table.astype(kinds), preserve_index=False)
    with write_atomically(path) as temporary:
        csv.write_csv(rows, temporary, csv.WriteOptions(quoting_style="needed"))


def read_network(path: Path, features: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Signed weights and selection frequencies (source, target) of a CSV of edges; pairs not listed are 0."""
    # A gene may be called "NA" or "nan": names are never read as missing values.
    table = pd.read_csv(path, dtype={"source": str, "target": str}, keep_default_na=False)
    number = {name: index for index, name in enumerate(features)}
    source = table["source"].map(number).to_numpy(np.int64)
    target = table["target"].map(number).to_numpy(np.int64)
    weights, frequency = np.zeros((2, len(features), len(features)))
    sign = np.where(table["sign"].to_numpy(np.float64) < 0, -1.0, 1.0)
    weights[source, target] = table["weight"].to_numpy(np.float64) * sign
    frequency[source, target] = table["selection_frequency"].to_numpy(np.float64)
    return weights, frequency


def read_networks(
    folder: Path, keys: Iterable[tuple[str, str]], features: Sequence[str]
) -> dict[tuple[str, str], np.ndarray]:
    """Signed path strengths (source, target) of each (model, method) of a dataset's folder of networks."""
    return {
        (model, method): read_network(Path(folder) / model / f"{method}.csv", features)[0] for model, method in keys
    }


def group_table(
    influences: Mapping[str, np.ndarray], features: Sequence[str], is_regulator: np.ndarray | None = None
) -> pd.DataFrame:
    """Influences of the regulators in each group (lineage, branch), strongest first, `STRONGEST_PAIRS` each at most.

    `influences` (member, source, target) by group: mean signed Jacobians of the members at one strength over the
    group's states, times how far the source moves along the group. `value` is their median over members: how much
    faster the target rises, in modeling units, once the source has gone through its course. Self-loops, which hold the
    decay, are left out, and so are sources that are no regulators (feature,). A pair that is not listed is weaker
    than all those of its group, or nothing.
    """
    names = np.asarray(features, dtype=object)
    allowed = np.ones(len(names), bool) if is_regulator is None else np.asarray(is_regulator, bool)
    candidates = allowed[:, None] & ~np.eye(len(names), dtype=bool)
    tables = []
    for group, members in influences.items():
        value = np.median(members, axis=0) if len(members) else np.zeros(candidates.shape)
        source, target = np.nonzero(candidates & (value != 0))
        found = value[source, target]
        strongest = np.argsort(-np.abs(found), kind="stable")[:STRONGEST_PAIRS]
        tables.append(
            pd.DataFrame(
                {
                    "group": group,
                    "source": names[source[strongest]],
                    "target": names[target[strongest]],
                    "value": found[strongest].astype(np.float32),
                }
            )
        )
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({name: [] for name in GROUP_COLUMNS})
    kinds = {"group": pd.CategoricalDtype([str(group) for group in influences])}
    kinds |= {column: pd.CategoricalDtype(sorted(set(table[column]))) for column in ("source", "target")}
    return table.astype({**kinds, "value": np.float32})


def write_groups(table: pd.DataFrame, folder: Path, model: str, method: str) -> None:
    """Write a table of influences by group into a dataset's folder of networks, beside the network of all the data."""
    with write_atomically(folder / model / f"{method}{_ENDING}") as temporary:
        table.to_parquet(temporary, index=False)


def read_groups(folder: Path, model: str, method: str) -> pd.DataFrame:
    """Influences by group of one (model, method) of a dataset's folder of networks, as `group_table` gives them.

    Raises:
        UserError: the folder has no such table.
    """
    path = Path(folder) / model / f"{method}{_ENDING}"
    if not path.is_file():
        raise UserError(
            f"{path} is missing: the influences in each group were not written; evaluate the models of this dataset "
            "anew (sparsenode evaluate-models)"
        )
    return pd.read_parquet(path)
