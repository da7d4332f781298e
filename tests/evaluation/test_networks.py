"""Influences in each group: what is in the table, and what the evaluation puts there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sparsenode.errors import UserError
from sparsenode.evaluation import networks
from sparsenode.evaluation.evaluate import evaluate_ensembles
from sparsenode.evaluation.networks import group_table, read_groups, read_networks, write_groups, write_network

FEATURES = ["a", "b", "c"]


def test_the_table_holds_the_median_influence_of_regulators_on_others():
    members = np.zeros((3, 3, 3))
    members[:, 0, 1] = [1.0, 2.0, 9.0]
    members[:, 1, 0] = [-5.0, -5.0, -5.0]
    members[:, 0, 0] = 100.0  # the decay is no influence
    members[:, 2, 1] = 50.0  # nor is what cannot regulate one
    table = group_table({"x": members, "y": np.zeros((3, 3, 3))}, FEATURES, np.array([True, True, False]))
    assert table.drop(columns="group").to_numpy().tolist() == [["b", "a", -5.0], ["a", "b", 2.0]]
    assert list(table["group"].cat.categories) == ["x", "y"]


def test_the_strongest_pairs_of_each_group_are_kept(monkeypatch):
    monkeypatch.setattr(networks, "STRONGEST_PAIRS", 2)
    matrix = np.array([[0.0, 3.0, -4.0], [1.0, 0.0, 2.0], [0.5, 0.1, 0.0]])[None]
    table = group_table({"x": matrix, "y": 2 * matrix}, FEATURES)
    assert table.groupby("group", observed=True).size().tolist() == [2, 2]
    assert table["value"].tolist() == [-4.0, 3.0, -8.0, 6.0]


def test_tables_lie_beside_the_networks_and_leave_them_alone(tmp_path):
    table = group_table({"x": np.ones((1, 3, 3))}, FEATURES)
    write_groups(table, tmp_path, "model", "l1")
    edges = pd.DataFrame({"source": ["a"], "target": ["b"], "weight": [1.0], "sign": [1], "selection_frequency": [1.0]})
    write_network(edges, tmp_path / "model" / "l1.csv")
    pd.testing.assert_frame_equal(read_groups(tmp_path, "model", "l1"), table)
    assert read_networks(tmp_path, [("model", "l1")], FEATURES)["model", "l1"][0, 1] == 1.0
    with pytest.raises(UserError, match=r"cnode\.groups\.parquet is missing"):
        read_groups(tmp_path, "model", "cnode")


def test_influences_are_jacobians_times_how_far_the_source_moves_in_the_group(linear_data, new_ensemble):
    ensemble = new_ensemble(strengths=[0.0], seeds=1)
    time = linear_data.obs["time"].to_numpy()
    odd = (linear_data.obs["group"] == "odd").to_numpy()
    linear_data.X[odd] = np.stack((2 * time, 3 * time, 0 * time), axis=1)[odd]
    [table] = evaluate_ensembles(linear_data, [ensemble]).groups.values()
    found = table[table["group"] == "odd"].set_index(["source", "target"])["value"]
    fitted = odd & (linear_data.obs["split"] == "train").to_numpy() & (linear_data.obs["phase"] == "fit").to_numpy()
    span = np.ptp(time[fitted])
    [matrix] = ensemble.matrices
    for number, (name, slope) in enumerate((("a", 2), ("b", 3))):
        others = [target for target in range(3) if target != number]
        for target in others:
            assert found[name, "abc"[target]] == pytest.approx(slope * span * matrix[number, target], rel=1e-4)
    assert "c" not in found.index.get_level_values("source")  # it regulates nothing, and does not move
