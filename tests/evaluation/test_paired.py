"""Paired comparisons with trivial forecasts: what is compared, and how sure that is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sparsenode.data.observations import read_observations
from sparsenode.evaluation.evaluate import evaluate_ensembles
from sparsenode.evaluation.networks import target_shares
from sparsenode.evaluation.paired import bootstrap_means, entry_errors, paired_rows, reference_errors
from sparsenode.evaluation.plans import plan_trajectories
from sparsenode.evaluation.settings import EvaluationSettings
from sparsenode.evaluation.structure import rank_pairs, select_pairs
from sparsenode.evaluation.tables import join_tables
from sparsenode.evaluation.tabulate import prior_rows
from sparsenode.evaluation.truth import Truth

REPEATS = 400


@pytest.fixture
def compared(shared_data, new_ensemble):
    ensemble = new_ensemble(strengths=[0.0], seeds=3)
    data = read_observations(shared_data)
    plan = plan_trajectories(data)
    return data, plan, entry_errors(ensemble, data, plan), reference_errors(data, plan)


def table_of(compared, **changes):
    _, plan, (own, together), references = compared
    settings = {"repeats": REPEATS, **changes}
    label = {"dataset": "linear", "model": "exact", "method": "none"}
    tables = paired_rows(own, together, references, plan, label, **settings)
    return join_tables(tables)


def values_of(table, **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table.set_index("estimator")["value"]


def test_the_mean_is_the_difference_of_the_errors_that_the_tables_give(shared_data, new_ensemble):
    settings = EvaluationSettings(interval_repeats=REPEATS)
    metrics = evaluate_ensembles(read_observations(shared_data), [new_ensemble(strengths=[0.0])], settings).metrics
    whole = metrics[metrics["horizon"] == "trajectory"]
    mse = whole[(whole["metric"] == "mse") & (whole["phase"] == "fit")]
    paired = whole[(whole["metric"] == "mse_reduction") & (whole["phase"] == "fit")]
    assert set(paired["reference"]) == {
        "baseline:initial_state", "baseline:training_mean", "baseline:zeros", "baseline:linear", "oracle:cubic",
    }  # fmt: skip
    for split, name in (("test", "all"), ("train", "one"), ("validation", "three")):
        of = mse[(mse["split"] == split) & (mse["trajectory"] == name)]
        own = of.loc[of["method"] == "shrunk", "value"].mean()
        for reference in ("baseline:linear", "oracle:cubic"):
            trivial = of.loc[of["method"] == reference, "value"].item()
            found = values_of(paired, split=split, trajectory=name, reference=reference)
            assert found["mean"] == pytest.approx(trivial - own, abs=1e-9)
            assert found["lower"] <= found["mean"] <= found["upper"]


def test_sums_are_those_of_the_subject(compared):
    table = table_of(compared)
    wanted = {"reference": "baseline:zeros", "phase": "fit", "split": "train"}
    pair = values_of(table, metric="mse_sum_reduction", trajectory="pair", **wanted)
    single = [values_of(table, metric="mse_reduction", trajectory=name, **wanted) for name in ("one", "two")]
    assert pair["mean"] == pytest.approx(single[0]["mean"] + single[1]["mean"])
    assert pair["mean_forecast"] == pytest.approx(single[0]["mean_forecast"] + single[1]["mean_forecast"])
    narrower = pair["upper"] - pair["lower"]
    assert narrower < sum(one["upper"] - one["lower"] for one in single)


def test_the_mean_forecast_errs_no_more_than_its_members_on_average(compared):
    _, _, (own, together), _ = compared
    assert (together <= own.mean(axis=0) + 1e-12).all()


def test_a_model_that_is_the_reference_itself_gains_exactly_nothing(compared):
    _, plan, (own, _), _ = compared
    same = np.repeat(own[:1], 3, axis=0)
    [mean, total] = paired_rows(same, own[0], {"baseline:self": own[0]}, plan, {}, repeats=100)
    assert (mean["value"] == 0).all()
    assert (total["value"] == 0).all()


def test_equal_seeds_give_equal_intervals_and_others_do_not(compared):
    first, again, other = (table_of(compared, seed=seed)["value"].to_numpy() for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_interval_is_that_of_theory_for_independent_observations():
    generator = np.random.default_rng(0)
    differences = generator.normal(1.0, 2.0, size=(1, 400))
    drawn = bootstrap_means(differences, np.ones((4000, 1)), generator)
    assert drawn.mean() == pytest.approx(differences.mean(), abs=0.01)
    assert drawn.std() == pytest.approx(differences.std() / 20, rel=0.05)


def test_the_interval_knows_that_seeds_differ():
    generator = np.random.default_rng(0)
    differences = np.repeat([[0.0], [1.0], [2.0], [3.0]], 50, axis=1)
    shares = generator.multinomial(4, np.full(4, 0.25), size=4000) / 4
    drawn = bootstrap_means(differences, shares, generator)
    assert drawn.std() == pytest.approx(np.std([0, 1, 2, 3]) / 2, rel=0.05)


def test_no_interval_is_made_where_none_is_asked_for(shared_data, new_ensemble):
    metrics = evaluate_ensembles(read_observations(shared_data), [new_ensemble(strengths=[0.0])]).metrics
    assert not metrics["metric"].str.endswith("_reduction").any()


def test_priors_are_ranked_beside_chance(linear_data, new_ensemble, system):
    edges = (system != 0) & ~np.eye(3, dtype=bool)
    linear_data.varp["prior_right"] = edges.astype(float)
    linear_data.varp["prior_wrong"] = (edges.T & ~edges).astype(float)
    linear_data.varp["prior_partial"] = edges.astype(float)
    linear_data.varp["known_partial"] = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 0]], float)
    linear_data.varp["prior_empty"] = np.zeros((3, 3))
    metrics = evaluate_ensembles(read_observations(linear_data), [new_ensemble(strengths=[0.0, 0.1])]).metrics
    priors = metrics[metrics["metric"] == "prior_auprc"]
    assert set(priors["reference"]) == {"prior:right", "prior:wrong", "prior:partial"}
    chance = priors[priors["method"] == "baseline:random"].set_index("reference")["value"]
    assert chance["prior:right"] == pytest.approx(2 / 6)
    assert chance["prior:partial"] == pytest.approx(1 / 2)
    own = priors[(priors["method"] == "shrunk") & (priors["estimator"] == "jacobian")]
    assert own["strength"].nunique() == 1
    right, wrong = (own.loc[own["reference"] == f"prior:{name}", "value"].to_numpy() for name in ("right", "wrong"))
    # One target has no regulators: what noise it gets is shared among the others too.
    assert right.max() == pytest.approx(1)
    assert right.min() > 0.6
    assert (wrong < right).all()


def test_priors_are_ranked_by_shares_of_each_target_as_a_truth_is():
    """A target with large rates does not outrank all others, nor a source of small units."""
    edges = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    known = ~np.eye(3, dtype=bool)
    scores = np.where(edges, 0.6, 0.4)[None]
    keys = pd.DataFrame({"strength": [0.0], "seed": [0]})

    def auprc(scores, deviations):
        truth = Truth(None, known, np.ones(3, bool), {"some": (edges, known)}, deviations=np.asarray(deviations))
        [table] = prior_rows({"paths": scores}, keys, truth, {"method": "mine"})
        return table.loc[table["metric"] == "prior_auprc", "value"].item()

    plain = auprc(scores, [1.0, 1.0, 1.0])
    assert auprc(scores * np.array([1.0, 1.0, 1000.0]), [1.0, 1.0, 1.0]) == pytest.approx(plain)
    units = np.array([1.0, 50.0, 0.02])
    assert auprc(scores * units[:, None], 1 / units) == pytest.approx(plain)
    wanted = rank_pairs(select_pairs(target_shares(scores[0]), known), select_pairs(edges, known))
    assert plain == pytest.approx(wanted["auprc"])
