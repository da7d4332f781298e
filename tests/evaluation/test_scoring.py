"""Published scores, beside brute force over the pairs that count."""

from dataclasses import replace
from itertools import product
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from sparsenode.data.contract import Network
from sparsenode.data.observations import read_observations
from sparsenode.evaluation.evaluate import evaluate_ensembles
from sparsenode.evaluation.networks import target_shares
from sparsenode.evaluation.peers import PeerScores, peer_scoring
from sparsenode.evaluation.scoring import (
    NO_SELF_EFFECTS,
    PROTOCOLS,
    SCORING_METRICS,
    model_scoring,
    pairs_of_protocol,
    score,
)
from sparsenode.evaluation.settings import EvaluationSettings, ScoringName
from sparsenode.evaluation.truth import Truth, describe_truth

COUNT = 5
EDGES = np.random.default_rng(0).random((COUNT, COUNT)) < 0.4
EDGES[[0, 1, 2], [1, 2, 0]] = True
EDGES[3] = False
EDGES[3, 3] = True  # a source of nothing but itself
EDGES[4] = False
ALL = np.ones((COUNT, COUNT), bool)


def brute_auroc(scores: np.ndarray, pairs: list[tuple[int, int]]) -> float:
    """Share of the pairs of an edge and a pair without one that are in the right order, ties as one half."""
    present, absent = ([scores[pair] for pair in pairs if EDGES[pair] == edge] for edge in (True, False))
    return float(np.mean([(high > low) + (high == low) / 2 for high, low in product(present, absent)]))


def counted(name: str) -> list[tuple[int, int]]:
    """The pairs of a protocol, written out."""
    every = list(product(range(COUNT), repeat=2))
    return {
        "pairs": [pair for pair in every if pair[0] != pair[1]],
        "pairs_and_self": every,
        "each_series": every,
        "regulators": [pair for pair in every if pair[0] != pair[1] and pair[0] != 4],
    }[name]


def test_the_configuration_names_every_protocol():
    assert set(get_args(ScoringName)) == set(PROTOCOLS)
    assert all(name == protocol.name and protocol.description for name, protocol in PROTOCOLS.items())


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_scores_are_those_of_the_pairs_that_count(name):
    scores = np.random.default_rng(1).integers(0, 6, (COUNT, COUNT)).astype(float)
    scored = score(scores, pairs_of_protocol(PROTOCOLS[name], EDGES, ALL))
    pairs = counted(name)
    share = np.mean([EDGES[pair] for pair in pairs])
    assert scored["auroc"] == (pytest.approx(brute_auroc(scores, pairs)), "")
    assert scored["auprc_ratio"][0] == pytest.approx(scored["auprc"][0] / share)
    # Only pairs that count matter.
    changed = scores.copy()
    for pair in set(product(range(COUNT), repeat=2)) - set(pairs):
        changed[pair] = 100.0
    assert score(changed, pairs_of_protocol(PROTOCOLS[name], EDGES, ALL)) == scored


def test_pairs_of_unknown_truth_never_count():
    known = np.random.default_rng(2).random((COUNT, COUNT)) < 0.7
    for protocol in PROTOCOLS.values():
        assert not (pairs_of_protocol(protocol, EDGES, known).counted & ~known).any()


@pytest.mark.parametrize(
    ("name", "edges", "known", "series", "reason"),
    [
        ("pairs_and_self", EDGES, ~np.eye(COUNT, dtype=bool), 1, "the truth tells nothing of self-effects"),
        ("each_series", EDGES, ALL, 3, "from each series, and 3 are for training: make a dataset of each"),
        ("regulators", np.zeros_like(EDGES), ALL, 1, "no pair that this scoring protocol counts has a known truth"),
        ("pairs", np.zeros_like(EDGES), ALL, 1, "no pair that this scoring protocol counts is an edge"),
        ("pairs", ALL, ALL, 1, "all pairs that this scoring protocol counts are edges"),
    ],
)
def test_what_is_undefined_says_why(name, edges, known, series, reason):
    scored = score(np.zeros(EDGES.shape), pairs_of_protocol(PROTOCOLS[name], edges, known, series))
    value, why = scored["auroc"]
    assert np.isnan(value)
    assert reason in why
    # Where all pairs are edges precision is defined.
    assert np.isnan(scored["auprc"][0]) != (edges.all() and name == "pairs")


def test_peers_without_self_effects_have_no_value_where_these_count():
    truth = Truth(
        EDGES,
        ~np.eye(COUNT, dtype=bool),
        np.ones(COUNT, bool),
        scoring=tuple(pairs_of_protocol(PROTOCOLS[name], EDGES, ALL) for name in ("pairs", "pairs_and_self")),
    )
    scores = np.random.default_rng(3).random((2, COUNT, COUNT))
    signs = np.zeros_like(scores)
    with_self, without = (PeerScores("peer", (0, 1), scores, signs, own) for own in (True, False))
    tables = [pd.concat(peer_scoring([peer], truth, "toy")) for peer in (with_self, without)]
    for table in tables:
        pooled = table[(table["seed"] == -1) & (table["estimator"] == "peer") & (table["metric"] == "scoring_auroc")]
        expected = brute_auroc(scores.mean(axis=0), counted("pairs"))
        assert pooled.loc[pooled["reference"] == "scoring:pairs", "value"].item() == pytest.approx(expected)
    own = tables[1]["reference"] == "scoring:pairs_and_self"
    assert set(tables[1].loc[own, "status"]) == {"undefined"}
    assert set(tables[1].loc[own, "reason"]) == {NO_SELF_EFFECTS}
    first = tables[0][(tables[0]["seed"] == 1) & (tables[0]["metric"] == "scoring_auroc")]
    first = first[first["reference"] == "scoring:pairs_and_self"].set_index("estimator")["value"]
    assert first["peer"] == pytest.approx(brute_auroc(scores[1], counted("pairs_and_self")))
    shares = scores[1] / scores[1].sum(axis=0)
    assert first["peer_shares"] == pytest.approx(brute_auroc(shares, counted("pairs_and_self")))


def test_shares_with_self_effects_add_up_to_one():
    matrix = np.random.default_rng(4).random((3, COUNT, COUNT))
    np.testing.assert_allclose(target_shares(matrix, self_effects=True).sum(axis=1), 1.0)
    lonely = np.zeros((1, COUNT, COUNT))
    lonely[0, 2, 2] = 3.0
    assert target_shares(lonely, self_effects=True)[0, 2, 2] == 1.0
    np.testing.assert_allclose(target_shares(matrix, np.ones(COUNT)), target_shares(matrix))


def test_members_and_strengths_are_scored_by_their_shares():
    generator = np.random.default_rng(5)
    paths = generator.random((4, COUNT, COUNT)) * (generator.random((4, COUNT, COUNT)) < 0.6)
    keys = pd.DataFrame({"strength": [0.1, 0.1, 1.0, 1.0], "seed": [0, 1, 0, 1]})
    pairs = [pairs_of_protocol(PROTOCOLS["pairs_and_self"], EDGES, ALL)]
    deviations = generator.uniform(0.5, 2.0, COUNT)
    table = pd.concat(model_scoring({"paths": paths}, keys, pairs, deviations, {"dataset": "toy"}))
    table = table[table["metric"] == "scoring_auroc"].set_index(["strength", "seed", "estimator"])["value"]
    shares = paths * deviations[:, None]
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
    every = counted("pairs_and_self")
    assert len(table) == 4 + 2 * 2
    assert table[1.0, 1, "paths"] == pytest.approx(brute_auroc(shares[3], every))
    assert table[0.1, -1, "paths"] == pytest.approx(brute_auroc(shares[:2].sum(axis=0).round(12), every))
    assert table[0.1, -1, "frequency"] == pytest.approx(brute_auroc((paths[:2] > 1e-5).mean(axis=0), every))


@pytest.mark.slow(reason="trains or evaluates several models")
def test_the_tables_of_a_dataset_hold_what_it_names_and_nothing_else_changes(linear_data, new_ensemble):
    data = read_observations(linear_data)
    assert data.truth is not None
    data = replace(data, truth=Network(data.truth.truth, np.ones_like(data.truth.known), data.truth.signed))
    peer = PeerScores("peer", (0,), np.ones((1, *data.truth.truth.shape)), np.zeros((1, *data.truth.truth.shape)), True)
    plain = evaluate_ensembles(data, [new_ensemble()], peers=[peer]).metrics
    settings = EvaluationSettings(scoring=("pairs", "pairs_and_self"))
    metrics = evaluate_ensembles(data, [new_ensemble()], settings, peers=[peer]).metrics
    is_scoring = metrics["reference"].astype(str).str.startswith("scoring:")
    pd.testing.assert_frame_equal(metrics[~is_scoring].reset_index(drop=True), plain)
    scored = metrics[is_scoring]
    assert set(scored["method"]) == {"shrunk", "peer:peer", "baseline:random"}
    assert set(scored["metric"]) == {f"scoring_{name}" for name in SCORING_METRICS}
    # Beside all pairs of two variables the scores are the project's own.
    own = plain[(plain["metric"] == "auroc") & plain["estimator"].isin(["paths", "jacobian", "frequency", "peer"])]
    same = scored[(scored["metric"] == "scoring_auroc") & (scored["reference"] == "scoring:pairs")]
    keys = ["method", "strength", "seed", "estimator"]
    joined = own.merge(same, on=keys, suffixes=("", "_scoring"))
    assert len(joined) == len(own) > 10
    np.testing.assert_allclose(joined["value_scoring"], joined["value"])
    assert describe_truth(data).scoring == ()
