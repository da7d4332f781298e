"""Tested edges as files, beside the truth, and in remarks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import networkx
import numpy as np
import pandas as pd
import pytest

from edge_tests import edge_test
from sparsenode.errors import UserError
from sparsenode.evaluation.edges import (
    edge_matrices,
    edge_rows,
    infer_edges,
    read_test,
    remarks_of_edges,
    write_test,
)
from sparsenode.inference.settings import EdgeSettings
from sparsenode.remarks import describe_remarks, read_remarks, write_remarks
from sparsenode.typed import read_settings

NAMES = ["a", "NA", "c,d", "nan"]
EDGES = [("a", "NA"), ("NA", "c,d"), ("nan", "a")]
FEW = "a test takes 10 independent blocks, and the data have 3: give more"


def test_files_hold_all_of_a_test(tmp_path: Path) -> None:
    test = edge_test(NAMES, EDGES)
    write_test(test, NAMES, tmp_path)
    again = read_test(tmp_path)
    for name in ("table", "self_effects", "groups", "targets"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(test, name), check_like=True)
    assert (again.settings, again.blocks, again.reason) == (test.settings, test.blocks, "")
    assert set(zip(again.edges()["source"], again.edges()["target"], strict=True)) == set(EDGES)
    graph = networkx.read_graphml(tmp_path / "network.graphml")
    assert set(graph.nodes) == set(NAMES)
    assert set(graph.edges) == set(EDGES)
    assert graph.edges["a", "NA"]["sign"] == 1
    assert graph.edges["a", "NA"]["q"] <= 0.1
    assert graph.graph["false_discovery_rate"] == 0.1
    described = json.loads((tmp_path / "test.json").read_text())
    assert "conditional on the pseudotime" in described["summary"]


def test_a_test_of_which_nothing_can_be_told_is_read_as_it_was(tmp_path: Path) -> None:
    test = edge_test(NAMES, EDGES, reason=FEW)
    write_test(test, NAMES, tmp_path)
    again = read_test(tmp_path)
    assert again.reason == FEW
    assert again.table["p"].isna().all()
    assert (again.table["verdict"] == "cannot be told").all()
    assert again.edges().empty


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("network.csv", lambda path: path.unlink(), "network.csv is missing; run again"),
        ("network.csv", lambda path: path.write_bytes(path.read_bytes()[:-9]), "network.csv is damaged .*last line"),
        (
            "targets.csv",
            lambda path: path.write_text(path.read_text().replace("margin", "margins")),
            "targets.csv is damaged .*lacks .*margin",
        ),
        ("self_effects.csv", lambda path: path.write_text(path.read_text() + "b,b,1\n"), "self_effects.csv is damaged"),
        ("test.json", lambda path: path.write_text('{"settings": {}}'), "test.json is damaged .*blocks"),
        ("test.json", lambda path: path.write_text("{"), "test.json is damaged"),
        (
            "network.csv",
            lambda path: path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1])),
            "test.json is damaged .*same 4 variables",
        ),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name, damage, message: str) -> None:
    write_test(edge_test(NAMES, EDGES), NAMES, tmp_path)
    damage(tmp_path / name)
    with pytest.raises(UserError, match=message):
        read_test(tmp_path)


def test_a_folder_that_is_half_written_over_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_test(edge_test(NAMES, EDGES), NAMES, tmp_path)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sparsenode.evaluation.edges.graph_edges", stop)
    with pytest.raises(KeyboardInterrupt):
        write_test(edge_test(NAMES, []), NAMES, tmp_path)
    with pytest.raises(UserError, match=r"test\.json is missing; run again"):
        read_test(tmp_path)


def make_truth(edges: list[tuple[str, str]], unknown: tuple[tuple[str, str], ...] = ()) -> SimpleNamespace:
    matrix = np.zeros((4, 4))
    known = ~np.eye(4, dtype=bool)
    for source, target in edges:
        matrix[NAMES.index(source), NAMES.index(target)] = 1
    for source, target in unknown:
        known[NAMES.index(source), NAMES.index(target)] = False
    return SimpleNamespace(edges=matrix != 0, known=known, signs=matrix)


def values_of(tables: list[pd.DataFrame]) -> dict[str, float]:
    (table,) = tables
    return dict(zip(table["metric"], table["value"], strict=True))


def test_false_discovery_rate_and_recall_are_those_of_known_pairs() -> None:
    test = edge_test(NAMES, EDGES)
    values = values_of(edge_rows(test, make_truth([("a", "NA"), ("NA", "a")]), NAMES, "toy"))
    assert values["selected_edges"] == 3
    assert values["untold_edges"] == 0
    assert values["false_discovery_rate"] == pytest.approx(2 / 3)
    assert values["recall"] == 0.5
    assert values["shd"] == 3
    partly = values_of(edge_rows(test, make_truth([("a", "NA")], (("nan", "a"), ("NA", "c,d"))), NAMES, "toy"))
    assert (partly["false_discovery_rate"], partly["recall"]) == (0.0, 1.0)
    assert partly["selected_edges"] == 3
    assert partly["auprc"] == 1.0


def test_without_a_truth_edges_are_only_counted() -> None:
    tables = edge_rows(edge_test(NAMES, EDGES), SimpleNamespace(edges=None), NAMES, "toy")
    assert values_of(tables) == {"selected_edges": 3.0, "untold_edges": 0.0}
    assert set(tables[0]["method"]) == {"tested edges"}
    assert edge_rows(None, make_truth(EDGES), NAMES, "toy") == []


def test_edges_that_cannot_be_told_are_missed() -> None:
    table = edge_rows(edge_test(NAMES, EDGES, reason=FEW), make_truth(EDGES), NAMES, "toy")
    values = values_of(table)
    assert (values["untold_edges"], values["recall"], values["false_discovery_rate"]) == (12.0, 0.0, 0.0)
    none = edge_rows(edge_test(NAMES, []), make_truth([]), NAMES, "toy")[0].set_index("metric")
    assert none.loc["recall", "status"] == "undefined"


def test_a_test_of_other_variables_is_refused() -> None:
    with pytest.raises(UserError, match="names the feature"):
        edge_rows(edge_test(NAMES, EDGES), make_truth(EDGES), ["a", "b", "c", "d"], "toy")


def test_matrices_hold_the_pairs_and_self_effects_on_the_diagonal() -> None:
    test = edge_test(NAMES, EDGES)
    matrices = edge_matrices(test, NAMES[::-1])
    rows = test.table.set_index(["source", "target"])
    for source, target in EDGES:
        place = NAMES[::-1].index(source), NAMES[::-1].index(target)
        assert matrices["selected"][place]
        for name in ("effect", "q", "sign"):
            assert matrices[name][place] == rows.loc[(source, target), name]
    itself = test.self_effects.set_index("target")["effect"]
    assert np.diagonal(matrices["effect"]).tolist() == itself[NAMES[::-1]].tolist()


def test_pairs_that_no_screen_let_in_are_not_measured_and_come_last() -> None:
    """The only edge costs less than nothing, and is above every pair that was never left out."""
    test = edge_test(NAMES, [])
    is_edge = (test.table["source"] == "a") & (test.table["target"] == "NA")
    cut = test.table.assign(effect=np.where(is_edge, -0.5, 0.0), screened=np.where(is_edge, 0.2, 0.0), sign=1)
    test = replace(test, table=cut)
    matrices = edge_matrices(test, NAMES)
    off_diagonal = ~np.eye(4, dtype=bool)
    for name in ("effect", "sign"):
        assert np.argwhere(~np.isnan(matrices[name]) & off_diagonal).tolist() == [[NAMES.index("a"), NAMES.index("NA")]]
        assert not np.isnan(np.diagonal(matrices[name])).any()
    values = values_of(edge_rows(test, make_truth([("a", "NA")]), NAMES, "toy"))
    assert values["auprc"] == 1.0
    assert values["auroc"] == 1.0


def test_what_cannot_be_told_is_a_remark_in_words(tmp_path: Path) -> None:
    remarks = remarks_of_edges(edge_test(NAMES, EDGES, reason=FEW), "toy")
    write_remarks(remarks, tmp_path / "remarks.csv")
    text = describe_remarks(read_remarks(tmp_path / "remarks.csv"))
    assert "The test of edges cannot tell all of them:" in text
    assert f"toy: tested edges: nothing can be told: {FEW}" in text
    assert remarks_of_edges(edge_test(NAMES, EDGES), "toy") == []


def test_from_a_file_to_a_folder_as_the_rule_does(tmp_path: Path) -> None:
    """One short trajectory: nothing is fitted, and the files say why nothing can be told."""
    from sparsenode.data.contract import write_trajectories
    from sparsenode.data.preprocess import assemble
    from sparsenode.data.readers.arrays import read_arrays

    generator = np.random.default_rng(0)
    adata = assemble("short", read_arrays(generator.normal(size=(9, 3)).cumsum(0), None, None), {}, {})
    write_trajectories(adata, tmp_path / "short.h5ad")
    settings = read_settings(EdgeSettings, {"required": [["x1", "x2"]], "fdr": 0.05}, "edges")
    text = infer_edges(tmp_path / "short.h5ad", tmp_path / "edges", settings)
    assert "nothing can be told: a test takes 10 independent blocks, and the data have 1" in text
    test = read_test(tmp_path / "edges")
    assert test.settings.fdr == 0.05
    assert test.table.set_index(["source", "target"]).loc[("x1", "x2"), "verdict"] == "required, without evidence"
