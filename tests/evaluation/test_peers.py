import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from rankings import split_rankings
from sparsenode.errors import UserError
from sparsenode.evaluation.degrees import calibrate, sample_networks
from sparsenode.evaluation.networks import join_rankings
from sparsenode.evaluation.peers import (
    PeerScores,
    favored_estimators,
    favored_metrics,
    peer_degree_rows,
    peer_rankings,
    peer_rows,
    read_peer,
    unfinished_peers,
    unfinished_rows,
)
from sparsenode.evaluation.remarks import remarks_of_peers
from sparsenode.evaluation.structure import auprc, score_pairs, select_pairs
from sparsenode.evaluation.tables import join_tables
from sparsenode.evaluation.truth import Truth
from sparsenode.remarks import UNFINISHED, Remark

FEATURES = ("a", "b", "c")
SIGNS = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
KNOWN = ~np.eye(3, dtype=bool)
KNOWN[2, 0] = False
TRUTH = Truth(SIGNS != 0, KNOWN, np.ones(3, bool), {}, SIGNS)


def matrices(*seeds):
    """Scores (seed, source, target), zero on the diagonal."""
    scores = np.stack([np.random.default_rng(seed).uniform(0.1, 1.0, size=(3, 3)) for seed in seeds])
    scores[:, np.arange(3), np.arange(3)] = 0.0
    return scores


def as_table(scores, signs):
    rows = [
        (seed, FEATURES[source], FEATURES[target], scores[seed, source, target], int(signs[seed, source, target]))
        for seed in range(len(scores))
        for target in range(3)
        for source in range(3)
        if source != target
    ]
    return pd.DataFrame(rows, columns=["seed", "source", "target", "score", "sign"])


def test_scores_are_read_in_any_order(tmp_path):
    scores = matrices(0, 1)
    signs = np.sign(scores) * [[[1.0]], [[-1.0]]]
    table = as_table(scores, signs).sample(frac=1.0, random_state=0)
    table.to_parquet(tmp_path / "sindy.parquet", index=False)
    peer = read_peer(tmp_path / "sindy.parquet", FEATURES)
    assert (peer.name, peer.seeds) == ("sindy", (0, 1))
    np.testing.assert_array_equal(peer.scores, scores)
    np.testing.assert_array_equal(peer.signs, signs)


def test_self_effects_are_read_where_the_file_has_them(tmp_path):
    scores = matrices(0, 1)
    table = as_table(scores, np.sign(scores))
    own = pd.DataFrame(
        [(seed, name, name, 0.5 + seed, -1) for seed in (0, 1) for name in FEATURES], columns=table.columns
    )
    table.to_parquet(tmp_path / "others.parquet", index=False)
    pd.concat([table, own]).to_parquet(tmp_path / "all.parquet", index=False)
    pd.concat([table, own.iloc[:-1]]).to_parquet(tmp_path / "lacking.parquet", index=False)
    others, peer = (read_peer(tmp_path / f"{name}.parquet", FEATURES) for name in ("others", "all"))
    assert (others.has_self_effects, peer.has_self_effects) == (False, True)
    np.testing.assert_array_equal(others.scores, scores)
    np.testing.assert_array_equal(peer.scores, scores + np.eye(3) * [[[0.5]], [[1.5]]])
    np.testing.assert_array_equal(peer.signs, np.broadcast_to(1 - 2 * np.eye(3), peer.signs.shape))
    with pytest.raises(UserError, match="does not score every pair"):
        read_peer(tmp_path / "lacking.parquet", FEATURES)
    # The metrics of pairs are of pairs off the diagonal.
    one, other = (pd.concat(peer_rows([entry], TRUTH, "toy"))["value"] for entry in (others, peer))
    np.testing.assert_array_equal(one, other)


def test_a_single_variable_has_its_self_effect_or_nothing(tmp_path):
    table = pd.DataFrame([(0, "a", "a", 0.5, 1)], columns=["seed", "source", "target", "score", "sign"])
    table.to_parquet(tmp_path / "own.parquet", index=False)
    table.iloc[:0].to_parquet(tmp_path / "none.parquet", index=False)
    assert read_peer(tmp_path / "own.parquet", ["a"]).scores.tolist() == [[[0.5]]]
    assert read_peer(tmp_path / "none.parquet", ["a"]).scores.tolist() == [[[0.0]]]


def test_a_peer_that_was_ended_is_in_the_table_in_words(tmp_path):
    table = as_table(matrices(0), np.zeros((1, 3, 3)))
    table.to_parquet(tmp_path / "lasso.parquet", index=False)
    ended = table.iloc[:0]
    ended.attrs["unfinished"] = "not finished within 600 s"
    ended.to_parquet(tmp_path / "pcmci.parquet", index=False)
    paths = [tmp_path / "lasso.parquet", tmp_path / "pcmci.parquet"]
    unfinished = unfinished_peers(paths)
    assert unfinished == {"pcmci": "not finished within 600 s"}
    with pytest.raises(UserError, match=r"pcmci.parquet has no scores, since the peer was not finished within 600 s;"):
        read_peer(tmp_path / "pcmci.parquet", FEATURES)
    (row,) = pd.concat(unfinished_rows(unfinished, "toy")).to_dict("records")
    assert (row["method"], row["metric"], row["status"]) == ("peer:pcmci", "auprc", "unfinished")
    assert row["reason"] == "not finished within 600 s"
    assert np.isnan(row["value"])
    kept = favored_metrics(
        join_tables([*peer_rows([read_peer(paths[0], FEATURES)], TRUTH, "toy"), pd.DataFrame([row])])
    )
    assert set(kept["method"]) == {"peer:lasso", "peer:pcmci"}
    assert remarks_of_peers(unfinished, "toy") == [
        Remark("toy", "", "peer:pcmci", UNFINISHED, "not finished within 600 s")
    ]
    with pytest.raises(UserError, match="is missing"):
        unfinished_peers([tmp_path / "none.parquet"])


def test_files_of_something_else_are_refused(tmp_path):
    table = as_table(matrices(0), np.zeros((1, 3, 3)))
    table.iloc[1:].to_parquet(tmp_path / "few.parquet", index=False)
    table.iloc[:0].to_parquet(tmp_path / "empty.parquet", index=False)
    table.drop(columns="sign").to_parquet(tmp_path / "columns.parquet", index=False)
    table.replace("b", "beta").to_parquet(tmp_path / "other.parquet", index=False)
    (tmp_path / "text.parquet").write_text("no parquet")
    for name, message in (
        ("few", "does not score every pair of the 3 features"),
        ("empty", "does not score every pair"),
        ("columns", "columns.parquet is damaged .*sign.*; delete it and run again"),
        ("other", "scores 'beta', which is no feature"),
        ("text", "text.parquet is damaged .*; delete it and run again"),
        ("none", "none.parquet is missing; run again"),
    ):
        with pytest.raises(UserError, match=message):
            read_peer(tmp_path / f"{name}.parquet", FEATURES)


def test_rows_are_the_metrics_of_known_pairs():
    scores = matrices(0, 1)
    peers = [PeerScores("mine", (0, 1), scores, np.broadcast_to(-SIGNS, scores.shape))]
    table = pd.concat(peer_rows(peers, TRUTH, "toy"))
    assert set(table["method"]) == {"peer:mine"}
    assert set(table["model"]) == {""}
    assert set(table["estimator"]) == {"peer", "peer_shares"}
    for estimator, ranked in (("peer", scores), ("peer_shares", scores / scores.sum(axis=1, keepdims=True))):
        for seed in (0, 1):
            expected = score_pairs(ranked[seed][KNOWN], (SIGNS != 0)[KNOWN], threshold=1e-5) | {"sign_accuracy": 0.0}
            # All known pairs are predicted: 2, 2 and 1 of the sources, whose true targets are 1, 1 and 0.
            expected["out_degree_correlation"] = 1.0
            own = table[(table["seed"] == seed) & (table["estimator"] == estimator)]
            assert own.set_index("metric")["value"].to_dict() == pytest.approx(expected)


def test_seeds_are_pooled_as_members_are():
    scores = matrices(0, 1, 2)
    scores[:2, 0, 2] = 0.0
    scores[0, 1, 0] = 0.0
    signs = np.stack([SIGNS, SIGNS, -SIGNS])
    table = pd.concat(peer_rows([PeerScores("mine", (0, 1, 2), scores, signs)], TRUTH, "toy"))
    presence = np.array([[0, 1, 0], [1, 0, 1], [1, 1, 0]])  # of (0, 2) a minority, of (1, 0) a majority
    correlation = spearmanr((presence * KNOWN).sum(axis=1), [1, 1, 0]).statistic
    shares = scores / scores.sum(axis=1, keepdims=True)
    for estimator, whole in (("peer", scores.mean(axis=0)), ("peer_shares", shares.mean(axis=0))):
        own = table[(table["seed"] == -1) & (table["estimator"] == estimator)]
        expected = score_pairs(whole[KNOWN], (SIGNS != 0)[KNOWN], threshold=0.5, presence=presence[KNOWN])
        expected |= {"sign_accuracy": 1.0, "out_degree_correlation": correlation}
        assert own.set_index("metric")["value"].to_dict() == pytest.approx(expected)
    assert sorted(set(table["seed"])) == [-1, 0, 1, 2]


def test_without_signs_there_is_no_accuracy_of_signs_and_without_a_truth_nothing():
    peers = [PeerScores("trees", (0,), matrices(0), np.zeros((1, 3, 3)))]
    table = pd.concat(peer_rows(peers, TRUTH, "toy"))
    assert {"auprc", "shd"} <= set(table["metric"])
    assert "sign_accuracy" not in set(table["metric"])
    nothing = Truth(None, np.zeros((3, 3), bool), np.ones(3, bool))
    assert peer_rows(peers, nothing, "toy") == peer_degree_rows(peers, nothing, "toy") == []
    assert peer_rankings(peers, nothing, FEATURES) == []


def test_what_is_not_defined_says_why():
    nothing = PeerScores("none", (0,), np.zeros((1, 3, 3)), np.ones((1, 3, 3)))
    table = pd.concat(peer_rows([nothing], TRUTH, "toy")).set_index("metric")
    reasons = {"out_degree_correlation": "all sources have equally many targets"}
    reasons["sign_accuracy"] = "no true edge of known sign is predicted"
    for metric, reason in reasons.items():
        assert set(table.loc[metric, "status"]) == {"undefined"}
        assert set(table.loc[metric, "reason"]) == {reason}


def test_pooled_scores_are_compared_with_networks_of_the_same_degrees():
    rng = np.random.default_rng(0)
    known, edges = np.ones((6, 6), bool), rng.random((6, 6)) < 0.4
    truth = Truth(edges, known, np.ones(6, bool), same_degrees=sample_networks(edges, known))
    scores = rng.random((3, 6, 6)) * (rng.random((3, 6, 6)) < 0.5) * ~np.eye(6, dtype=bool)
    peer = PeerScores("mine", (0, 1, 2), scores, np.ones((3, 6, 6)))
    table = pd.concat(peer_degree_rows([peer], truth, "toy"))
    assert set(zip(table["method"], table["seed"], strict=True)) == {("peer:mine", -1)}
    shares = scores / scores.sum(axis=1, keepdims=True)
    for estimator, pooled in (("peer", scores.mean(axis=0)), ("peer_shares", shares.mean(axis=0))):
        pairs = [select_pairs(one, known) for one in (pooled, (scores > 0).mean(axis=0) >= 0.5, edges)]
        expected = {name: value for name, (value, _) in calibrate(*pairs, truth.same_degrees).items()}
        own = table[table["estimator"] == estimator]
        assert own.set_index("metric")["value"].to_dict() == pytest.approx(expected)
    assert set(table["status"]) == {"finished"}


def test_rankings_pool_seeds():
    scores = matrices(0, 1)
    signs = np.stack([SIGNS, np.zeros((3, 3))])
    peers = [PeerScores("one", (0, 1), scores, signs), PeerScores("two", (0,), scores[:1], -signs[:1])]
    table = join_rankings(peer_rankings(peers, TRUTH, FEATURES))
    assert table["method"].value_counts().to_dict() == {"peer:one": 10, "peer:two": 10}
    one = table[(table["method"] == "peer:one") & (table["estimator"] == "peer_shares")]
    shares = scores / scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(one["score"], shares.mean(axis=0)[KNOWN])
    one = table[(table["method"] == "peer:one") & (table["estimator"] == "peer")]
    np.testing.assert_allclose(one["score"], scores.mean(axis=0)[KNOWN])
    np.testing.assert_array_equal(one["sign"], SIGNS[KNOWN])
    np.testing.assert_array_equal(one["edge"], (SIGNS != 0)[KNOWN])
    assert set(table["model"]) == {""}
    assert [(a, b) for a, b in zip(one["source"], one["target"], strict=True)] == [
        (FEATURES[source], FEATURES[target]) for source, target in np.argwhere(KNOWN)
    ]


def test_of_each_peer_the_better_scores_are_kept():
    truth = Truth(SIGNS != 0, KNOWN, np.ones(3, bool), {}, SIGNS)
    # The first peer ranks true edges first by its own scores, the second one by shares of what each target gets.
    own = np.array([[[0.0, 5.0, 0.4], [1.0, 0.0, 2.0], [0.0, 1.5, 0.0]]])
    scaled = np.array([[[0.0, 0.5, 2.0], [0.0, 0.0, 6.0], [0.0, 0.1, 0.0]]])
    peers = [PeerScores(name, (0,), scores, np.zeros((1, 3, 3))) for name, scores in (("raw", own), ("share", scaled))]
    rankings = split_rankings(join_rankings(peer_rankings(peers, truth, FEATURES)))
    areas = {(peer, estimator): auprc(*ranking) for (_, peer, estimator), ranking in rankings.items()}
    assert favored_estimators(areas) == {"peer:raw": "peer", "peer:share": "peer_shares"}
    assert favored_estimators(dict.fromkeys(areas, 0.5)) == {"peer:raw": "peer", "peer:share": "peer"}
    metrics = favored_metrics(pd.concat(peer_rows(peers, truth, "toy")))
    assert set(zip(metrics["method"], metrics["estimator"], strict=True)) == {
        ("peer:raw", "peer"),
        ("peer:share", "peer_shares"),
    }
