"""Edges that are tested, as files of a dataset, and beside the true network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.metrics import SELECTIONS, registered_metrics
from sparsenode.evaluation.networks import feature_numbers, write_graph
from sparsenode.evaluation.structure import score_pairs, select_pairs, source_numbers
from sparsenode.evaluation.tables import ALL, make_table
from sparsenode.evaluation.tabulate import mark_undefined
from sparsenode.files import read_json, reading, write_atomically
from sparsenode.inference.results import UNTOLD, EdgeTest, mask_unscreened, order_effects
from sparsenode.inference.settings import EdgeSettings, EdgeTestSettings
from sparsenode.labels import TESTED
from sparsenode.remarks import UNTOLD_EDGES, Remark
from sparsenode.typed import read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from sparsenode.evaluation.truth import Truth

ESTIMATOR = "effect"
NETWORK, SELF_EFFECTS, TARGETS, GROUPS = "network.csv", "self_effects.csv", "targets.csv", "groups.csv"
GRAPH, TEST = "network.graphml", "test.json"
_TEXT = ("source", "target", "sources", "group", "verdict")
_KINDS = {"sign": np.int64, "selected": bool}
_COLUMNS = {
    NETWORK: ("source", "target", "effect", "lower", "upper", "sign", "sign_share", "p", "q", "q_dependent", "screened",
              "group", "selected", "verdict"),
    SELF_EFFECTS: ("source", "target", "effect", "lower", "upper", "sign", "sign_share", "p", "q", "q_dependent",
                   "selected", "verdict"),
    TARGETS: ("target", "unexplained", "misfit", "deviations", "margin", "verdict"),
    GROUPS: ("sources", "target", "effect", "lower", "upper", "p", "q"),
}  # fmt: skip


def infer_edges(data: Path, output: Path, settings: EdgeSettings, *, threads: int = 1) -> str:
    """Test which edges of a dataset are needed, and write what came out.

    Args:
        data: file of the trajectories, of which the training and validation observations are taken.
        output: folder into which `network.csv`, `self_effects.csv`, `targets.csv`, `groups.csv`, `network.graphml` (the
            selected edges) and `test.json` (the settings, and what was chosen) are written.
        settings: of the test.
        threads: folds that are computed at a time.

    Returns:
        What came out, in words.

    Raises:
        UserError: data or settings cannot be used.
    """
    from sparsenode.data.contract import read_trajectories

    adata = read_trajectories(data)
    test = run_test(adata, settings, threads=threads)
    write_test(test, list(adata.var_names), output)
    return test.summary()


def run_test(adata: AnnData, settings: EdgeSettings, *, threads: int = 1) -> EdgeTest:
    """Test the edges of trajectories with the settings of a dataset.

    Raises:
        UserError: data or settings cannot be used.
    """
    from sparsenode.inference.edges import test_edges

    own = {name: getattr(settings, name) for name in EdgeTestSettings.model_fields}
    return test_edges(adata, forbidden=settings.forbidden, required=settings.required, threads=threads, **own)


def write_test(test: EdgeTest, features: Sequence[str], folder: Path) -> None:
    """Write a test of edges into a folder, which `read_test` reads.

    Args:
        test: what came out.
        features: names of all variables, in order.
        folder: where the files are written.
    """
    # It is written last: a folder that is only half written over is not read as a whole.
    (folder / TEST).unlink(missing_ok=True)
    tables = {NETWORK: test.table, SELF_EFFECTS: test.self_effects, TARGETS: test.targets, GROUPS: test.groups}
    for name, table in tables.items():
        write_edges(table[list(_COLUMNS[name])], folder / name)
    graph_edges(test, features, folder / GRAPH)
    content = {
        "settings": test.settings.model_dump(mode="json"),
        "blocks": test.blocks,
        "reason": test.reason,
        "doubts": test.doubts(),
        "summary": test.summary(),
    }
    with write_atomically(folder / TEST) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_edges(table: pd.DataFrame, path: Path) -> None:
    """Write a table of tested edges as CSV: every number as it is, nothing where there is none."""
    with write_atomically(path) as temporary:
        table.to_csv(temporary, index=False)


def graph_edges(test: EdgeTest, features: Sequence[str], path: Path, fdr: float | None = None) -> None:
    """Write the edges at a false discovery rate as GraphML, that of the settings where it is None."""
    edges = test.edges(fdr).drop(columns=["screened", "selected"])
    rate = test.settings.fdr if fdr is None else fdr
    write_graph(edges, features, path, false_discovery_rate=rate)


def read_test(folder: Path) -> EdgeTest:
    """A test of edges from its folder.

    Raises:
        UserError: a file is missing or damaged, or of another version.
    """
    described = read_json(folder / TEST, keys=("settings", "blocks", "reason"))
    tables = {name: _read_table(folder / name) for name in _COLUMNS}
    with reading(folder / TEST):
        try:
            settings = read_settings(EdgeTestSettings, described["settings"], "settings")
        except UserError as error:
            raise ValueError(str(error)) from error
        test = EdgeTest(
            table=tables[NETWORK],
            self_effects=tables[SELF_EFFECTS],
            groups=tables[GROUPS],
            targets=tables[TARGETS],
            blocks=int(described["blocks"]),
            reason=str(described["reason"]),
            settings=settings,
        )
        count = len(test.targets)
        if len(test.table) != count * (count - 1) or len(test.self_effects) != count:
            raise ValueError(f"the tables beside it are not of the same {count} variables")
    return test


def _read_table(path: Path) -> pd.DataFrame:
    """One table of a test of edges."""
    with reading(path):
        if not path.read_bytes().endswith(b"\n"):
            raise ValueError("its last line is cut")
        columns = _COLUMNS[path.name]
        header = pd.read_csv(path, nrows=0).columns
        for name in columns:
            if name not in header:
                raise KeyError(name)
        # A gene may be called "NA": names are never read as missing values, numbers are where there is nothing.
        kinds = {name: str if name in _TEXT else _KINDS.get(name, np.float64) for name in columns}
        numbers = {name: [""] for name in columns if kinds[name] is np.float64}
        table = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=numbers)
        if not isinstance(table.index, pd.RangeIndex):
            raise ValueError("its lines have more fields than its header")
        return table[list(columns)]


def edge_rows(test: EdgeTest | None, truth: Truth, features: Sequence[str], dataset: str) -> list[pd.DataFrame]:
    """Metrics of tested edges, in the rows of the method `tested edges`: what was selected, beside the truth.

    The ranking is that by effect, where pairs that were candidates in no fold come last; pairs that cannot be told are
    not predicted.

    Args:
        test: the test; None where there was none, which gives no rows.
        truth: what is known of the network.
        features: names of the variables, in the order of the truth.
        dataset: name of the dataset.

    Raises:
        UserError: the test names a variable that is none of the features.
    """
    if test is None:
        return []
    matrices = edge_matrices(test, features)
    off_diagonal = ~np.eye(len(features), dtype=bool)
    counted = {name: matrices[name][off_diagonal] for name in ("selected", "untold")}
    measured = _measure(edges=None, **counted)
    if truth.edges is not None:
        edges = select_pairs(truth.edges, truth.known)
        pairs = {name: select_pairs(matrix, truth.known) for name, matrix in matrices.items()}
        # Numbers of edges are of all pairs, shares of those of known truth.
        measured = _measure(edges=edges, selected=pairs["selected"], untold=pairs["untold"]) | measured
        if not np.isnan(pairs["effect"]).all():
            measured |= score_pairs(
                order_effects(pairs["effect"]),
                edges,
                threshold=0.5,
                presence=pairs["selected"].astype(np.float64),
                signs=np.nan_to_num(pairs["sign"]),
                true_signs=None if truth.signs is None else select_pairs(truth.signs, truth.known),
                sources=source_numbers(truth.known),
            )
    table = make_table(
        dataset=dataset,
        method=TESTED,
        trajectory=ALL,
        estimator=ESTIMATOR,
        metric=list(measured),
        value=list(measured.values()),
        unit=[registered_metrics()[name].unit for name in measured],
    )
    return [mark_undefined(table)]


def _measure(**values: Any) -> dict[str, float]:
    """The metrics of a selection for which all that they take is known."""
    measured = {name: entry.measure(**values) for name, entry in registered_metrics(SELECTIONS).items()}
    return {name: value for name, value in measured.items() if value is not None}


def edge_matrices(test: EdgeTest, features: Sequence[str]) -> dict[str, np.ndarray]:
    """What a test says of each pair, (source, target), what variables do to themselves on the diagonal.

    Args:
        test: the test.
        features: names of the variables, in the order of the matrices.

    Returns:
        `effect` and `sign`, NaN where the source was a candidate in no fold, `q`, NaN where there was no hypothesis,
        and boolean `selected` and `untold`.

    Raises:
        UserError: the test names a variable that is none of the features.
    """
    shape = (len(features), len(features))
    matrices = {name: np.full(shape, np.nan) for name in ("effect", "q", "sign")}
    matrices |= {name: np.zeros(shape, bool) for name in ("selected", "untold")}
    for table in (mask_unscreened(test.table), test.self_effects):
        source, target = (feature_numbers(table[name], features, "the test of edges") for name in ("source", "target"))
        columns = table.assign(untold=table["verdict"] == UNTOLD)
        for name, matrix in matrices.items():
            matrix[source, target] = columns[name].to_numpy()
    return matrices


def remarks_of_edges(test: EdgeTest, dataset: str) -> list[Remark]:
    """Remarks on what a test of edges cannot tell, each a sentence."""
    return [Remark(dataset, "", TESTED, UNTOLD_EDGES, doubt) for doubt in test.doubts()]
