"""Files of networks: what is in them, and that they are read as they were written."""

from __future__ import annotations

import re

import networkx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from scipy import sparse

from rankings import split_rankings
from sparsenode.data.contract import read_trajectories, true_network
from sparsenode.data.observations import read_observations
from sparsenode.errors import UserError
from sparsenode.evaluation import networks
from sparsenode.evaluation.evaluate import evaluate_ensembles
from sparsenode.evaluation.networks import (
    count_all_edges,
    group_table,
    join_rankings,
    mean_shares,
    median_members,
    network_keys,
    network_matrices,
    network_table,
    open_rankings,
    pick_members,
    pool_paths,
    ranking_table,
    read_edges,
    read_groups,
    read_network,
    read_networks,
    read_shares,
    read_stability,
    read_stability_summary,
    stability_table,
    strongest,
    target_shares,
    write_annotated,
    write_graph,
    write_groups,
    write_network,
    write_rankings,
    write_stability,
)

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
    write_network(edges.assign(share=1.0), tmp_path / "model" / "l1.csv")
    pd.testing.assert_frame_equal(read_groups(tmp_path, "model", "l1"), table)
    assert read_networks(tmp_path, [("model", "l1")], FEATURES)["model", "l1"].weights[0, 1] == 1.0
    with pytest.raises(UserError, match=r"cnode\.groups\.parquet is missing"):
        read_groups(tmp_path, "model", "cnode")


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_influences_are_jacobians_times_how_far_the_source_moves_in_the_group(linear_data, new_ensemble):
    ensemble = new_ensemble(strengths=[0.0], seeds=1)
    time = linear_data.obs["time"].to_numpy()
    odd = (linear_data.obs["group"] == "odd").to_numpy()
    linear_data.X[odd] = np.stack((2 * time, 3 * time, 0 * time), axis=1)[odd]
    [table] = evaluate_ensembles(read_observations(linear_data), [ensemble]).groups.values()
    found = table[table["group"] == "odd"].set_index(["source", "target"])["value"]
    fitted = odd & (linear_data.obs["split"] == "train").to_numpy() & (linear_data.obs["phase"] == "fit").to_numpy()
    span = np.ptp(time[fitted])
    [matrix] = ensemble.matrices
    for number, (name, slope) in enumerate((("a", 2), ("b", 3))):
        others = [target for target in range(3) if target != number]
        for target in others:
            assert found[name, "abc"[target]] == pytest.approx(slope * span * matrix[number, target], rel=1e-4)
    assert "c" not in found.index.get_level_values("source")  # it regulates nothing, and does not move


PATHS = np.array(
    [
        [[5.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]],
        [[5.0, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 4.0, 0.0]],
        [[5.0, 4.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]],
    ]
)
NAMES = ["NA", "b<&>", "true"]
EDGES = np.array([[0, 1, 1], [0, 0, 0], [1, 1, 0]], bool)
KNOWN_PAIRS = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 0]], bool)


def test_known_edges_are_marked_and_read_as_text(tmp_path):
    table = network_table(PATHS, -PATHS, NAMES, (EDGES, KNOWN_PAIRS))
    told = {(row.source, row.target): row.known for row in table.itertuples()}
    assert told == {
        ("NA", "NA"): "unknown",
        ("NA", "b<&>"): "true",
        ("b<&>", "true"): "unknown",
        ("true", "b<&>"): "true",
    }
    write_network(table, tmp_path / "network.csv")
    pd.testing.assert_frame_equal(read_edges(tmp_path / "network.csv"), table, check_dtype=False)
    one = network_table(PATHS, PATHS, NAMES, (~EDGES, np.ones((3, 3), bool)))
    assert set(one["known"]) == {"true", "false"}
    write_network(one, tmp_path / "one.csv")
    assert read_edges(tmp_path / "one.csv")["known"].tolist() == one["known"].tolist()
    assert "known" not in network_table(PATHS, PATHS, NAMES)
    assert "known" in network_table(PATHS[:0], PATHS[:0], NAMES, (EDGES, KNOWN_PAIRS))
    with pytest.raises(UserError, match=r"missing\.csv is missing"):
        read_edges(tmp_path / "missing.csv")


def test_edges_are_ranked_by_their_share_in_what_the_target_gets(tmp_path):
    table = network_table(PATHS, PATHS, NAMES)
    shares = {(row.source, row.target): row.share for row in table.itertuples()}
    assert shares["NA", "b<&>"] == pytest.approx((1 + 3 / 7 + 1) / 3)
    assert shares["true", "b<&>"] == pytest.approx((4 / 7) / 3)
    assert shares["b<&>", "true"] == pytest.approx(2 / 3)
    assert table["share"].is_monotonic_decreasing
    scaled = network_table(PATHS, PATHS, NAMES, deviations=np.array([1.0, 1.0, 0.75]))
    assert scaled.set_index(["source", "target"]).loc[("true", "b<&>"), "share"] == pytest.approx(0.5 / 3)
    write_network(network_table(PATHS, -PATHS, NAMES), tmp_path / "network.csv")
    signed, frequency, unsigned = read_shares(tmp_path / "network.csv", NAMES)
    np.testing.assert_allclose(signed[[0, 2, 1], [1, 1, 2]], [-17 / 21, 4 / 21, -2 / 3], rtol=1e-6)
    assert np.argwhere(unsigned).tolist() == [[2, 1]]  # where most members have no edge there is no sign
    np.testing.assert_allclose(frequency, (PATHS > 0).mean(axis=0), rtol=1e-6)


def test_rows_come_by_share_and_what_a_variable_does_to_itself_last(tmp_path):
    paths = np.array([[[9.0, 1.0, 2.0], [3.0, 9.0, 0.0], [1.0, 3.0, 9.0]]])
    table = network_table(paths, paths, ["a", "b", "c"])
    edges = list(zip(table["source"], table["target"], table["share"].tolist(), strict=True))
    assert edges == [
        ("a", "c", 1.0), ("b", "a", 0.75), ("c", "b", 0.75), ("a", "b", 0.25), ("c", "a", 0.25),
        ("c", "c", 4.5), ("a", "a", 2.25), ("b", "b", 2.25),
    ]  # fmt: skip
    write_network(table, tmp_path / "network.csv")
    np.testing.assert_array_equal(read_network(tmp_path / "network.csv", ["a", "b", "c"]).weights, paths[0])


def test_graphs_are_read_by_networkx_with_all_features_and_the_table_as_edges(tmp_path):
    table = network_table(PATHS, -PATHS, [*NAMES[:2], "c"], (EDGES, KNOWN_PAIRS))
    features = [*NAMES[:2], "c", "alone"]
    write_graph(table, features, tmp_path / "a.graphml", dataset="linear", strength=0.1)
    graph = networkx.read_graphml(tmp_path / "a.graphml")
    assert graph.is_directed()
    assert list(graph.nodes) == features
    assert graph.graph["strength"] == 0.1
    assert graph.graph["edges_found"] == graph.graph["edges_written"] == 4
    found = [{"source": source, "target": target, **told} for source, target, told in graph.edges(data=True)]
    order = ["source", "target"]
    pd.testing.assert_frame_equal(
        pd.DataFrame(found).sort_values(order, ignore_index=True)[list(table.columns)],
        table.sort_values(order, ignore_index=True),
    )
    write_graph(table, features, tmp_path / "b.graphml", dataset="linear", strength=0.1)
    assert (tmp_path / "a.graphml").read_bytes() == (tmp_path / "b.graphml").read_bytes()


def test_graphs_hold_the_strongest_edges_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "STRONGEST_EDGES", 2)
    write_graph(network_table(PATHS, PATHS, NAMES), NAMES, tmp_path / "n.graphml")
    graph = networkx.read_graphml(tmp_path / "n.graphml")
    assert set(graph.edges) == {("NA", "b<&>"), ("b<&>", "true")}
    assert (graph.graph["edges_found"], graph.graph["edges_written"]) == (4, 2)
    write_graph(network_table(PATHS[:0], PATHS[:0], NAMES), NAMES, tmp_path / "empty.graphml")
    assert networkx.read_graphml(tmp_path / "empty.graphml").number_of_edges() == 0


@pytest.mark.slow(reason="draws many examples")
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30), st.integers(0, 30))
def test_the_strongest_are_those_of_a_full_sort(entries, most):
    first, second = np.array(entries, float).T
    most = min(most, len(entries))
    wanted = sorted(range(len(entries)), key=lambda number: (-first[number], -second[number], number))[:most]
    assert strongest(first, second, most).tolist() == wanted


def random_members(features, seed=0):
    """Paths (member, source, target) of few distinct values, so that shares tie."""
    rng = np.random.default_rng(seed)
    paths = rng.integers(0, 3, (4, features, features)).astype(float)
    return paths, rng.normal(size=paths.shape), [f"g{number}" for number in range(features)]


def test_a_long_list_of_edges_holds_those_of_the_largest_share(monkeypatch, caplog, tmp_path):
    paths, jacobian, names = random_members(7)
    truth = paths[0] > 1, paths[1] > 0
    whole = network_table(paths, jacobian, names, truth)
    assert not caplog.records
    for most in (0, 1, 13, len(whole) - 1):
        monkeypatch.setattr(networks, "LISTED_EDGES", most)
        caplog.clear()
        with caplog.at_level("INFO"):
            table = network_table(paths, jacobian, names, truth)
        place = whole["source"].str[1:] + whole["target"].str[1:]
        largest = whole.assign(place=place).sort_values(["share", "weight", "place"], ascending=[False, False, True])
        expected = whole[whole.index.isin(largest.index[:most])]
        pd.testing.assert_frame_equal(table, expected.reset_index(drop=True), check_dtype=most > 0)
        assert f"of {len(whole)} edges the {most} of the largest share are listed" in caplog.text
    found = count_all_edges(pool_paths(paths)).found
    assert found == len(whole)
    write_graph(table, names, tmp_path / "n.graphml", edges_found=found)
    graph = networkx.read_graphml(tmp_path / "n.graphml")
    assert (graph.graph["edges_found"], graph.graph["edges_written"]) == (len(whole), len(whole) - 1)


def test_edges_are_counted_before_the_list_is_cut(monkeypatch):
    paths, jacobian, names = random_members(7)
    whole = network_table(paths, jacobian, names)
    typical = int(((whole["weight"] > 0) & (whole["source"] != whole["target"])).sum())
    assert count_all_edges(pool_paths(paths)) == (len(whole), len(whole), typical)
    monkeypatch.setattr(networks, "LISTED_EDGES", 5)
    assert count_all_edges(pool_paths(paths)) == (len(whole), 5, typical)
    assert count_all_edges(pool_paths(paths[:0])) == (0, 0, 0)


@pytest.mark.parametrize("floor", [0.0, 1e-6])
def test_pairs_are_counted_as_the_whole_list_shows_them(floor, tmp_path):
    """A method that only shrinks leaves something of every path, which no member selects."""
    paths, jacobian, names = random_members(7)
    paths += floor
    pooled = pool_paths(paths)
    table = network_table(paths, jacobian, names, pooled=pooled)
    pd.testing.assert_frame_equal(table, network_table(paths, jacobian, names))
    write_network(table, tmp_path / "network.csv")
    weights = read_network(tmp_path / "network.csv", names).weights
    shown = int(((weights != 0) & ~np.eye(7, dtype=bool)).sum())
    assert 0 < shown < 7 * 6
    assert count_all_edges(pooled).typical == shown


DAMAGE = {
    "it lacks 'share'": lambda text: text.replace("share", "shore"),
    "it lacks 'source'": lambda text: text.replace("source", "", 1),
    "it lacks 'target'": lambda text: text.replace("target", "source", 1),
    "it lacks 'selection_frequency'": lambda text: text.replace(',"selection_frequency"', ""),
    "its lines have more fields than its header": lambda text: re.sub(r"\n(?=.)", "\nNA,", text),
    "could not convert": lambda text: text + "NA\n",
    "": lambda text: text.partition("\n")[2],
}


@pytest.mark.parametrize("read", [read_network, read_shares])
@pytest.mark.parametrize(("reason", "damage"), DAMAGE.items())
def test_a_damaged_list_of_edges_is_named_on_one_line(read, reason, damage, tmp_path):
    path = tmp_path / "network.csv"
    write_network(network_table(PATHS, -PATHS, NAMES), path)
    path.write_text(damage(path.read_text()))
    message = rf"network\.csv is damaged \(.*{reason}.*\); delete it and run again$"
    with pytest.raises(UserError, match=message) as caught:
        read(path, NAMES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [read_network, read_shares])
def test_a_list_of_edges_of_other_variables_is_refused(read, tmp_path):
    path = tmp_path / "network.csv"
    write_network(network_table(PATHS, -PATHS, NAMES), path)
    message = r"network\.csv names the feature 'b<&>', which the data do not have; delete it and run again"
    with pytest.raises(UserError, match=message):
        read(path, ["NA", "true"])
    with pytest.raises(UserError, match="names the feature 'NA'"):
        network_matrices(read_edges(path), ["b<&>", "true"])


def test_groups_without_categories_and_a_summary_without_numbers_are_damage(tmp_path):
    (tmp_path / "m").mkdir()
    groups = tmp_path / "m" / "l1.groups.parquet"
    pd.DataFrame({"group": ["a"], "source": ["b"], "target": ["c"], "value": [1.0]}).to_parquet(groups)
    with pytest.raises(UserError, match=r"l1\.groups\.parquet is damaged \(its column 'group' holds no categories\)"):
        read_groups(tmp_path, "m", "l1")
    pd.DataFrame({"group": ["a"], "source": ["b"], "value": [1.0]}).to_parquet(groups)
    with pytest.raises(UserError, match=r"l1\.groups\.parquet is damaged \(it lacks 'target'\); delete it"):
        read_groups(tmp_path, "m", "l1")
    table = stability_table(PATHS, np.array([0.1, 0.1]), NAMES)
    del table.attrs[networks.SUMMARY][0]["lower"]
    write_stability(table, tmp_path, "m", "l1")
    with pytest.raises(UserError, match=r"l1\.stability\.parquet is damaged \(it lacks 'lower'\); delete it"):
        read_stability_summary(tmp_path, "m", "l1")
    write_stability(table.drop(columns="weight"), tmp_path, "m", "l1")
    with pytest.raises(UserError, match=r"l1\.stability\.parquet is damaged \(it lacks 'weight'\); delete it"):
        read_stability(tmp_path, "m", "l1")


def test_damaged_scores_of_a_ranking_are_named_by_their_file(tmp_path):
    scores = {"paths": (PATHS[0], PATHS[0])}
    write_rankings([ranking_table(scores, NAMES, (EDGES, KNOWN_PAIRS), model="m", method="l1")], tmp_path)
    path = tmp_path / networks.RANKINGS
    rankings = open_rankings(tmp_path)
    [key] = rankings
    column = parquet.ParquetFile(path).metadata.row_group(0).column(networks.RANKING_COLUMNS.index("score"))
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"rankings\.parquet is damaged \(.*\); delete it and run again"):
        rankings[key]
    with pytest.raises(KeyError):
        rankings["m", "none", "paths"]


def test_a_long_stability_path_lists_the_most_frequent_pairs_of_each_strength(monkeypatch, caplog):
    paths, _, names = random_members(6)
    paths[2:] *= paths[2:] > 1  # fewer at the second strength
    strengths = np.array([0.1, 0.1, 1.0, 1.0])
    whole = stability_table(paths, strengths, names)
    counts = whole.groupby("strength").size()
    most = int(counts.min())
    monkeypatch.setattr(networks, "LISTED_PAIRS", most)
    with caplog.at_level("INFO"):
        table = stability_table(paths, strengths, names)
    assert caplog.text.count("most frequent are listed") == 1
    assert f"at the strength 0.1, of {counts.loc[0.1]} pairs the {most} most frequent are listed" in caplog.text
    wanted = [
        own.sort_values(["frequency", "weight"], ascending=False, kind="stable").head(most).sort_index()
        for _, own in whole.groupby("strength")
    ]
    pd.testing.assert_frame_equal(table, pd.concat(wanted, ignore_index=True))


def test_means_and_medians_over_members_need_no_copy_of_all():
    paths, jacobian, _ = random_members(5)
    deviations = np.arange(1.0, 6.0)
    np.testing.assert_allclose(mean_shares(jacobian, deviations), target_shares(jacobian, deviations).mean(axis=0))
    np.testing.assert_array_equal(median_members(paths), np.median(paths, axis=0))
    assert pick_members(paths, np.arange(4)) is paths
    np.testing.assert_array_equal(pick_members(paths, np.array([1, 0, 2, 3])), paths[[1, 0, 2, 3]])


def test_the_stability_path_agrees_with_brute_force(tmp_path):
    rng = np.random.default_rng(0)
    paths = np.where(rng.random((7, 3, 3)) < 0.5, rng.random((7, 3, 3)), 1e-6)
    strengths = np.array([0.1, 1.0, 0.1, 1.0, 1.0, 0.1, 9.0])
    paths[6] = np.eye(3)  # at the last strength nothing but self-loops, so no row
    write_stability(stability_table(paths, strengths, NAMES), tmp_path, "model", "l1")
    table = read_stability(tmp_path, "model", "l1")
    assert dict(table.dtypes.astype(str)) == {
        "strength": "float64", "source": "category", "target": "category", "frequency": "float32", "weight": "float32",
    }  # fmt: skip
    assert list(table["source"].cat.categories) == list(table["target"].cat.categories) == NAMES
    wanted = []
    for strength in (0.1, 1.0):
        own = [matrix for matrix, at in zip(paths, strengths, strict=True) if at == strength]
        for source in range(3):
            for target in range(3):
                values = sorted(matrix[source, target] for matrix in own)
                count = sum(value >= 1e-5 for value in values)
                if source != target and count:
                    wanted.append((strength, NAMES[source], NAMES[target], count / len(own), np.median(values)))
    assert len(table) == len(wanted)
    for row, expected in zip(table.itertuples(index=False, name=None), wanted, strict=True):
        assert row[:3] == expected[:3]
        assert row[3:] == pytest.approx(expected[3:], rel=1e-6)
    with pytest.raises(UserError, match=r"l0\.stability\.parquet is missing"):
        read_stability(tmp_path, "model", "l0")


def test_nothing_that_finished_leaves_an_empty_stability_path(tmp_path):
    write_stability(stability_table(PATHS[:0], np.empty(0), NAMES), tmp_path, "model", "l1")
    table = read_stability(tmp_path, "model", "l1")
    assert list(table.columns) == list(networks.STABILITY_COLUMNS)
    assert table.empty


def test_rankings_hold_every_known_pair_of_all_methods_and_peers(tmp_path):
    scores = {"paths": (PATHS[0], -PATHS[0]), "frequency": ((PATHS > 0).mean(axis=0), 0 * PATHS[0])}
    ours = ranking_table(scores, NAMES, (EDGES, KNOWN_PAIRS), model="small", method="l1")
    peer = ranking_table(
        {"score": (PATHS[1], PATHS[1])}, NAMES, (EDGES, KNOWN_PAIRS), model="", method="peer:correlation"
    )
    tables = [ours, peer.astype({"source": str, "method": str})]
    write_rankings(tables, tmp_path)
    table = pd.read_parquet(tmp_path / "rankings.parquet")
    pd.testing.assert_frame_equal(table, join_rankings(tables))
    single = open_rankings(tmp_path)
    assert list(single) == [("small", "l1", "paths"), ("small", "l1", "frequency"), ("", "peer:correlation", "score")]
    for key, (found_scores, found_edges) in split_rankings(table).items():
        np.testing.assert_array_equal(single[key][0], found_scores)
        np.testing.assert_array_equal(single[key][1], found_edges)
    assert tuple(table.columns) == networks.RANKING_COLUMNS
    assert len(table) == 3 * KNOWN_PAIRS.sum()
    assert table.groupby(["model", "method", "estimator"], observed=True).size().index.tolist() == [
        ("small", "l1", "paths"), ("small", "l1", "frequency"), ("", "peer:correlation", "score"),
    ]  # fmt: skip
    mine = table[(table["method"] == "l1") & (table["estimator"] == "paths")].set_index(["source", "target"])
    assert mine.loc[("NA", "b<&>"), ["score", "sign", "edge"]].tolist() == [2.0, -1, True]
    assert mine.loc[("b<&>", "NA"), ["score", "sign", "edge"]].tolist() == [0.0, 0, False]
    assert ("b<&>", "true") not in mine.index
    assert (table["score"].dtype, table["sign"].dtype, table["edge"].dtype) == (np.float64, np.int64, bool)
    assert all(table[name].dtype == "category" for name in ("model", "method", "estimator", "source", "target"))
    join_rankings(tables).to_parquet(tmp_path / networks.RANKINGS, index=False)
    with pytest.raises(UserError, match=r"rankings\.parquet was written by an earlier version; delete it"):
        open_rankings(tmp_path)
    write_rankings([], tmp_path)
    assert list(pd.read_parquet(tmp_path / "rankings.parquet").columns) == list(networks.RANKING_COLUMNS)
    assert len(open_rankings(tmp_path)) == 0
    with pytest.raises(UserError, match=r"rankings\.parquet is missing"):
        open_rankings(tmp_path / "elsewhere")


@pytest.fixture
def contract_data(linear_data):
    """The data set as it would be read from a file."""
    linear_data.uns["sparsenode"] |= {"contract_version": 1, "kind": "test", "initial_state_count": 1}
    names = list(dict.fromkeys(linear_data.obs["trajectory"]))
    linear_data.obs["trajectory"] = linear_data.obs["trajectory"].cat.reorder_categories(names)
    return linear_data


def test_the_annotated_dataset_keeps_the_contract_and_adds_the_networks(contract_data, tmp_path):
    tables = {
        ("small", "l1"): network_table(PATHS, -PATHS, FEATURES),
        ("small", "l0"): network_table(PATHS[:0], PATHS[:0], FEATURES),
    }
    write_annotated(contract_data, tables, tmp_path)
    read = read_trajectories(tmp_path / "network.h5ad")
    np.testing.assert_array_equal(read.X, contract_data.X)
    np.testing.assert_array_equal(true_network(read).truth, contract_data.varp["truth"])
    learned = read.varp["network_small_l1"]
    assert sparse.issparse(learned)
    np.testing.assert_allclose(learned.toarray(), [[-5, -3, 0], [0, 0, -1], [0, 0, 0]])
    np.testing.assert_allclose(
        read.varp["frequency_small_l1"].toarray(), [[1, 1, 0], [0, 0, 2 / 3], [0, 1 / 3, 0]], rtol=1e-6
    )
    assert read.varp["network_small_l0"].nnz == 0
    assert "network_small_l1" not in contract_data.varp


def test_the_networks_of_csv_and_annotated_dataset_are_the_same(contract_data, tmp_path):
    table = network_table(PATHS / 3, -PATHS, FEATURES)
    write_network(table, tmp_path / "l1.csv")
    write_annotated(contract_data, {("m", "l1"): table}, tmp_path)
    weights, frequency, unsigned = read_network(tmp_path / "l1.csv", FEATURES)
    assert not unsigned.any()
    read = read_trajectories(tmp_path / "network.h5ad")
    np.testing.assert_allclose(read.varp["network_m_l1"].toarray(), weights, rtol=1e-6)
    np.testing.assert_allclose(read.varp["frequency_m_l1"].toarray(), frequency, rtol=1e-6)


def test_an_edge_of_which_members_disagree_is_no_activation(contract_data, tmp_path):
    paths = np.zeros((4, 3, 3))
    paths[:, 0, 1], paths[:3, 1, 2] = 2.0, 1.0
    jacobian = paths.copy()
    jacobian[:2, 0, 1], jacobian[:2, 1, 2] = -2.0, -1.0  # two against two, and two of three
    table = network_table(paths, jacobian, FEATURES)
    assert table.set_index(["source", "target"])["sign"].to_dict() == {("a", "b"): 0, ("b", "c"): -1}
    write_network(table, tmp_path / "l1.csv")
    weights, frequency, unsigned = read_network(tmp_path / "l1.csv", FEATURES)
    assert (weights[0, 1], weights[1, 2]) == (2.0, -1.0)
    assert np.argwhere(unsigned).tolist() == [[0, 1]]
    write_annotated(contract_data, {("m", "l1"): table}, tmp_path)
    read = read_trajectories(tmp_path / "network.h5ad")
    assert read.varp["network_m_l1"].toarray().tolist() == [[0, 0, 0], [0, 0, -1], [0, 0, 0]]
    np.testing.assert_allclose(read.varp["frequency_m_l1"].toarray(), frequency, rtol=1e-6)


def test_names_that_cannot_be_keys_are_refused():
    assert network_keys([("a", "b")]) == {("a", "b"): ("network_a_b", "frequency_a_b")}
    with pytest.raises(UserError, match="the method 'l1/x' cannot name a network"):
        network_keys([("small", "l1/x")])
    with pytest.raises(UserError, match="networks of a_b/c and of a/b_c would both be network_a_b_c"):
        network_keys([("a_b", "c"), ("a", "b_c")])
