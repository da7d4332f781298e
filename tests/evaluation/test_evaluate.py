"""The whole evaluation, on ensembles whose dynamics are exactly known."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import expm
from scipy.stats import spearmanr

from sparsenode.data.magnitudes import measure_magnitudes
from sparsenode.data.observations import read_observations
from sparsenode.errors import UserError
from sparsenode.evaluation import blocks, protocols
from sparsenode.evaluation import evaluate as evaluate_module
from sparsenode.evaluation.degrees import CALIBRATED, RIGID
from sparsenode.evaluation.evaluate import evaluate_ensembles
from sparsenode.evaluation.networks import join_rankings, network_table, read_network, write_network
from sparsenode.evaluation.peers import PeerScores
from sparsenode.evaluation.plans import plan_trajectories
from sparsenode.evaluation.remarks import remarks_of_dataset
from sparsenode.evaluation.settings import EvaluationSettings, RollingSettings
from sparsenode.evaluation.structure import auprc, select_pairs
from sparsenode.evaluation.tables import COLUMNS, join_tables
from sparsenode.evaluation.tabulate import structure_rows
from sparsenode.evaluation.truth import Truth
from sparsenode.labels import reserved_name
from sparsenode.remarks import LARGEST, SMALLEST
from sparsenode.typed import read_settings


def pick(table, **wanted):
    """Rows whose columns have the wanted values."""
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


@pytest.fixture(scope="module")
def evaluation(linear_source, new_ensemble):
    """What is measured of two methods; tests leave it as it is."""
    return evaluate_ensembles(
        read_observations(linear_source), [new_ensemble(), new_ensemble(method="none", strengths=[0.0])]
    )


def test_metrics_are_tidy(evaluation):
    metrics = evaluation.metrics
    assert tuple(metrics.columns) == COLUMNS
    keys = [name for name in COLUMNS if name not in {"value", "status", "reason", "unit"}]
    finished = metrics[metrics["status"] != "untrained"]
    assert not finished.duplicated(keys).any()
    assert set(metrics["dataset"]) == {"linear"}
    assert {"mse", "mse_weighted", "mse_noise_free", "skill", "explained", "auprc", "seconds"} <= set(metrics["metric"])


@pytest.mark.slow(reason="trains or evaluates several models")
def test_skill_and_explained_follow_from_the_errors(evaluation):
    here = {"trajectory": "four", "split": "test", "phase": "extrapolation", "horizon": "trajectory"}
    member = {"method": "shrunk", "strength": 0.1, "seed": 1, **here}

    def error(method, **more):
        return pick(evaluation.metrics, metric="mse", method=method, **{**here, **more})["value"].item()

    mine = error("shrunk", strength=0.1, seed=1)
    for name in ("initial_state", "training_mean", "zeros", "linear"):
        skill = pick(evaluation.metrics, metric="skill", reference=f"baseline:{name}", **member)["value"].item()
        assert skill == pytest.approx(1 - mine / error(f"baseline:{name}"))
    explained = pick(evaluation.metrics, metric="explained", **member)["value"].item()
    mean, cubic = error("oracle:mean"), error("oracle:cubic")
    assert explained == pytest.approx((mean - mine) / (mean - cubic))


def test_skill_of_the_mean_row_is_that_of_the_mean_errors(evaluation):
    here = {"trajectory": "all", "split": "train", "phase": "fit", "horizon": "trajectory"}
    mine = pick(evaluation.metrics, metric="mse", method="none", seed=0, **here)["value"].item()
    trivial = pick(evaluation.metrics, metric="mse", method="baseline:zeros", **here)["value"].item()
    skill = pick(evaluation.metrics, metric="skill", method="none", seed=0, reference="baseline:zeros", **here)
    assert skill["value"].item() == pytest.approx(1 - mine / trivial)


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_sums_of_a_subject(shared_data, new_ensemble):
    metrics = evaluate_ensembles(read_observations(shared_data), [new_ensemble()]).metrics
    here = {"method": "shrunk", "strength": 0.0, "seed": 0, "split": "train", "phase": "fit"}
    parts = pick(metrics, metric="mse", **here)
    parts = parts[parts["trajectory"].isin(["one", "two"])]
    assert pick(metrics, metric="mse_sum", trajectory="pair", **here)["value"].item() == pytest.approx(
        parts["value"].sum()
    )
    assert set(pick(metrics, metric="mse_sum")["trajectory"]) == {"pair"}
    assert "baseline:linear" in set(pick(metrics, metric="mse_sum")["method"])


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_what_is_no_name_of_the_data_cannot_become_one(shared_data, new_ensemble):
    """Every label of the tables that does not name a trajectory, a subject or a method is reserved."""
    shared_data.varp["prior_motif"] = shared_data.varp["truth"].copy()
    evaluation = evaluate_ensembles(read_observations(shared_data), [new_ensemble()])
    metrics = evaluation.metrics
    own = {"", *shared_data.obs["trajectory"].astype(str), *shared_data.obs["subject"].astype(str)}
    summaries = set(metrics["trajectory"].astype(str)) - own
    assert summaries == {"all"}
    labels = {str(label) for column in ("method", "reference") for label in metrics[column] if ":" in str(label)}
    assert {label.partition(":")[0] for label in labels} == {"baseline", "oracle", "prior"}
    for kind, names in (
        ("trajectory", summaries | labels),
        *((kind, labels) for kind in ("subject", "group", "feature")),
    ):
        assert [name for name in names if reserved_name(kind, name) is None] == []


def test_structure_leaves_out_self_loops(evaluation, new_ensemble, system):
    ensemble = new_ensemble()
    off = ~np.eye(3, dtype=bool)
    wanted = auprc(select_pairs(np.abs(ensemble.matrices[4]), off), select_pairs(system != 0, off))
    found = pick(evaluation.metrics, metric="auprc", method="shrunk", strength=0.1, seed=1)
    assert set(found["estimator"]) == {"paths", "jacobian"}
    assert found["value"].tolist() == pytest.approx([wanted, wanted])
    frequency = pick(evaluation.metrics, estimator="frequency", method="shrunk", metric="shd")
    assert list(frequency["seed"]) == [-1, -1, -1]
    assert pick(frequency, strength=0.1)["value"].item() <= 1


OFF = ~np.eye(3, dtype=bool)


def test_signs_of_predicted_true_edges_are_scored(evaluation, new_ensemble, system):
    ensemble = new_ensemble()
    for estimator in ("paths", "jacobian"):
        found = pick(evaluation.metrics, metric="sign_accuracy", method="shrunk", estimator=estimator)
        for row, member in enumerate(ensemble.members):
            told = pick(found, strength=member.strength, seed=member.seed)
            edges = OFF & (system != 0) & (ensemble.matrices[row] != 0)
            if edges.any():
                right = np.sign(ensemble.matrices[row][edges]) == np.sign(system[edges])
                assert told["value"].item() == right.mean()
            else:
                assert told[["status", "reason"]].to_numpy().tolist() == [
                    ["undefined", "no true edge of known sign is predicted"]
                ]
    assert (pick(found, strength=1.0)["status"] == "undefined").all()


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_a_wrong_sign_is_counted_as_such(linear_data, new_ensemble):
    linear_data.varp["truth"][0, 1] *= -1
    metrics = evaluate_ensembles(read_observations(linear_data), [new_ensemble(strengths=[0.1])]).metrics
    found = pick(metrics, metric="sign_accuracy", method="shrunk")
    assert set(zip(found["estimator"], found["seed"], strict=True)) == {
        *((name, seed) for name in ("paths", "jacobian") for seed in (-1, 0, 1, 2)), ("frequency", -1),
    }  # fmt: skip
    assert (found["value"] == 0.5).all()


def test_pooled_estimators_score_what_the_members_have_in_common(evaluation, new_ensemble, system):
    ensemble = new_ensemble()
    edges = select_pairs(system != 0, OFF)
    for place, strength in enumerate((0.0, 0.1, 1.0)):
        pooled = np.zeros((3, 3))
        for matrix in np.abs(ensemble.matrices[3 * place : 3 * place + 3]):
            if matrix[OFF].any():
                pooled += matrix / matrix[OFF].mean() / 3
        for estimator in ("paths", "jacobian"):
            found = pick(evaluation.metrics, method="shrunk", estimator=estimator, strength=strength, seed=-1)
            value = found.set_index("metric")["value"]
            assert value["auprc"] == pytest.approx(auprc(select_pairs(pooled, OFF), edges))
            majority = select_pairs((ensemble.matrices[3 * place : 3 * place + 3] != 0).mean(axis=0) >= 0.5, OFF)
            assert value["shd"] == np.sum(majority != edges)


def test_single_members_are_ranked_as_pooled_ones_are():
    # By raw scores the fast target's false edges come first, by shares the true ones, which are the larger of each.
    scores = np.array([[[0.0, 0.2, 10.0], [0.3, 0.0, 90.0], [0.1, 0.8, 0.0]]])
    edges = np.array([[0, 0, 0], [1, 0, 1], [0, 1, 0]], bool)
    truth = Truth(edges, OFF, np.ones(3, bool), {}, None)
    keys = pd.DataFrame({"strength": [0.1], "seed": [0]})
    table = join_tables(structure_rows({"paths": scores}, scores, keys, truth, {"dataset": "toy"}))
    found = pick(table, metric="auprc", estimator="paths")
    assert dict(zip(found["seed"], found["value"], strict=True)) == {0: 1.0, -1: 1.0}
    assert auprc(select_pairs(scores[0], OFF), select_pairs(edges, OFF)) < 1.0


@pytest.mark.slow(reason="trains or evaluates several models")
def test_the_stability_path_is_ranked_by_its_area(evaluation, new_ensemble, system):
    ensemble = new_ensemble()
    found = pick(evaluation.metrics, estimator="frequency_path")
    assert set(found["method"]) == {"shrunk"}  # one strength has no path
    assert found["strength"].isna().all()
    assert set(found["seed"]) == {-1}
    assert sorted(found["metric"]) == ["auprc", "auprc_ratio", "auroc", "balanced_accuracy_at_95", "early_precision"]
    area = (ensemble.matrices != 0).mean(axis=0)
    wanted = auprc(select_pairs(area, OFF), select_pairs(system != 0, OFF))
    assert pick(found, metric="auprc")["value"].item() == pytest.approx(wanted)


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_strengths_at_which_most_members_diverged_are_no_part_of_the_path(linear_data, new_ensemble):
    lost = [(0.1, 0), (0.1, 1), (1.0, 0), (1.0, 1)]
    metrics = evaluate_ensembles(read_observations(linear_data), [new_ensemble(diverged=lost)]).metrics
    assert pick(metrics, estimator="frequency_path").empty
    assert set(pick(metrics, estimator="frequency", metric="auprc")["strength"]) == {0.0, 0.1, 1.0}


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_intervals_at_the_chosen_strength_hold_the_pooled_value(evaluation, linear_data, new_ensemble):
    chosen = evaluation.selections["exact", "shrunk"]["chosen"]
    mine = pick(evaluation.metrics, method="shrunk")
    ends = mine[mine["metric"].str.endswith(("_lower", "_upper"))]
    assert set(ends["strength"]) == {chosen}
    assert set(ends["seed"]) == {-1}
    assert len(ends) == 3 * 4
    for metric in ("auprc", "auprc_ratio"):
        for estimator in ("paths", "jacobian", "frequency"):
            lower, value, upper = (
                pick(mine, metric=name, estimator=estimator, strength=chosen, seed=-1)["value"].item()
                for name in (f"{metric}_lower", metric, f"{metric}_upper")
            )
            assert lower <= value <= upper
    again = evaluate_ensembles(read_observations(linear_data), [new_ensemble()]).metrics
    assert again.equals(evaluate_ensembles(read_observations(linear_data), [new_ensemble()]).metrics)
    alone = evaluate_ensembles(read_observations(linear_data), [new_ensemble(seeds=1)]).metrics
    assert not alone["metric"].str.endswith("_lower").any()


CALIBRATION = "_degree_(?:mean|z|ratio)$"


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_pooled_networks_are_compared_with_random_ones_of_the_same_degrees(linear_data, new_ensemble):
    # Of the edges a -> b, b -> c and c -> a each could go the other way around, in one network.
    linear_data.varp["truth"] = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    evaluation = evaluate_ensembles(read_observations(linear_data), [new_ensemble()])
    found = pick(evaluation.metrics, method="shrunk", estimator="paths", seed=-1)
    chosen = evaluation.selections["exact", "shrunk"]["chosen"]
    assert set(found.loc[found["metric"].str.contains(CALIBRATION), "strength"]) == {chosen}
    found = pick(found, strength=chosen).set_index("metric")
    assert {f"{name}_degree_{kind}" for name in CALIBRATED for kind in ("mean", "z", "ratio")} <= set(found.index)
    for name in CALIBRATED:
        mean, z, ratio = (found.loc[f"{name}_degree_{kind}", "value"] for kind in ("mean", "z", "ratio"))
        value = found.loc[name, "value"]
        assert ratio == pytest.approx(value / mean)
        assert np.sign(z) == np.sign(value - mean)
    told = pick(evaluation.metrics, metric="auprc_degree_mean", method="shrunk")
    assert set(told["estimator"]) == {"paths", "jacobian", "frequency"}


def test_a_truth_without_another_network_of_its_degrees_says_so(evaluation):
    found = evaluation.metrics[evaluation.metrics["metric"].str.contains(CALIBRATION)]
    assert len(found) == 2 * 3 * 9  # methods, estimators, metrics
    assert set(found["status"]) == {"undefined"}
    assert set(found["reason"]) == {RIGID}


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_jacobians_are_computed_once_and_only_where_they_are_needed(linear_data, new_ensemble, monkeypatch):
    asked = []

    def counted(name):
        original = getattr(LinearEnsemble, name)

        def count(self, states, velocities=None):
            asked.append((name, len(self.members), len(states)))
            return original(self, states, velocities)

        monkeypatch.setattr(LinearEnsemble, name, count)

    LinearEnsemble = type(new_ensemble())  # noqa: N806 a class
    counted("mean_jacobian")
    counted("mean_absolute_jacobian")
    linear_data.obs["group"] = linear_data.obs["group"].astype(str).replace("even", "odd").astype("category")
    training = int(((linear_data.obs["split"] == "train") & (linear_data.obs["phase"] == "fit")).sum())
    evaluate_ensembles(read_observations(linear_data), [new_ensemble(diverged=[(1.0, 0)])])
    assert sorted(asked) == [("mean_absolute_jacobian", 8, training), ("mean_jacobian", 8, training)]
    asked.clear()
    del linear_data.varp["truth"]
    evaluate_ensembles(read_observations(linear_data), [new_ensemble()])
    assert asked == [("mean_jacobian", 3, training)]


def test_networks_are_ranked_and_followed_over_strengths(evaluation, new_ensemble, system):
    ensemble = new_ensemble()
    table = join_rankings(evaluation.rankings)
    assert set(map(tuple, table[["model", "method", "estimator"]].drop_duplicates().to_numpy())) == {
        ("exact", method, name) for method in ("shrunk", "none") for name in ("paths", "jacobian", "frequency")
    }
    chosen = evaluation.selections["exact", "shrunk"]["chosen"]
    for estimator in ("paths", "jacobian", "frequency"):
        own = pick(table, method="shrunk", estimator=estimator)
        wanted = pick(
            evaluation.metrics, metric="auprc", method="shrunk", estimator=estimator, strength=chosen, seed=-1
        )
        assert auprc(own["score"].to_numpy(), own["edge"].to_numpy()) == pytest.approx(wanted["value"].item())
    signs = pick(own, source="b", target="c")
    assert (signs["sign"].item(), signs["edge"].item()) == (-1, True)
    path = evaluation.stability["exact", "shrunk"]
    assert sorted(path["strength"].unique()) == [0.0, 0.1]
    first = pick(path, strength=0.1, source="a", target="b")
    assert first["frequency"].item() == 1.0
    assert first["weight"].item() == pytest.approx(np.median(np.abs(ensemble.matrices[3:6, 0, 1])))
    assert set(evaluation.networks["exact", "shrunk"]["known"]) <= {"true", "false", "unknown"}


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_of_equally_good_strengths_that_of_the_stable_network_is_chosen(linear_data, new_ensemble):
    ensemble = new_ensemble(strengths=(0.0, 0.1))
    same = np.tile(ensemble.matrices[3], (6, 1, 1))
    # At the second strength each seed has a weak edge of its own, too weak to be seen in a forecast.
    for seed, (source, target) in enumerate(((1, 0), (2, 0), (2, 1))):
        same[:, source, target] = 0.0
        same[3 + seed, source, target] = 2e-5
    evaluation = evaluate_ensembles(read_observations(linear_data), [replace(ensemble, matrices=same)])
    choice = evaluation.selections["exact", "shrunk"]
    assert choice["chosen"] == 0.0
    assert [entry["stability"] for entry in choice["candidates"]] == pytest.approx([1.0, 1 / 3])


def test_unknown_truth_gives_no_structure_rows(linear_data, new_ensemble):
    linear_data.varp["truth_known"] = np.zeros((3, 3), bool)
    evaluation = evaluate_ensembles(read_observations(linear_data), [new_ensemble()])
    metrics = evaluation.metrics
    assert len(evaluation.rankings) == 0
    assert "known" not in evaluation.networks["exact", "shrunk"]
    assert not set(metrics["metric"]) & {"auprc", "shd", "auroc", "sign_accuracy", "auprc_lower"}
    assert set(pick(metrics, metric="spurious_feature_sparsity")["reference"]) == {"not_regulators"}


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
@pytest.mark.parametrize("full", [False, True])
def test_a_truth_of_no_edges_or_of_all_leaves_metrics_undefined_for_a_reason(linear_data, new_ensemble, full):
    linear_data.varp["truth"] = np.full((3, 3), float(full))
    peer = PeerScores("mine", (0,), np.ones((1, 3, 3)), np.ones((1, 3, 3)))
    metrics = evaluate_ensembles(
        read_observations(linear_data), [new_ensemble(strengths=[0.0, 0.1])], peers=[peer]
    ).metrics
    lost = metrics[metrics["value"].isna()]
    assert set(lost["status"]) == {"undefined"}
    assert lost["reason"].all()
    both = {"auroc", "balanced_accuracy", "balanced_accuracy_at_95"}
    of_edges = {"auprc", "auprc_ratio", "early_precision", "auprc_lower", "auprc_ratio_upper"}
    assert both <= set(lost["metric"])
    assert of_edges <= set((metrics[metrics["value"].notna()] if full else lost)["metric"])
    found = pick(lost, metric="auroc")
    assert {"", "paths", "jacobian", "frequency", "frequency_path", "peer"} <= set(found["estimator"])
    assert set(found["reason"]) == {"all pairs of known truth are edges, or none is"}
    assert set(pick(metrics, metric="shd", status="finished")["estimator"]) > {"paths", "peer"}


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_where_all_can_regulate_only_the_truth_tells_what_is_spurious(linear_data, new_ensemble):
    linear_data.var["is_regulator"] = True
    evaluation = evaluate_ensembles(read_observations(linear_data), [new_ensemble(strengths=[0.0])])
    assert set(pick(evaluation.metrics, metric="spurious_feature_sparsity")["reference"]) == {"truth"}
    [table] = evaluation.groups.values()
    assert "c" in set(table["source"])  # which has no true target
    del linear_data.varp["truth"]
    unknown = evaluate_ensembles(read_observations(linear_data), [new_ensemble(strengths=[0.0])])
    assert pick(unknown.metrics, metric="spurious_feature_sparsity").empty
    assert next(iter(unknown.groups.values())).equals(table)


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_a_truth_without_signs_gives_no_accuracy_of_signs(linear_data, new_ensemble):
    signed = set(evaluate_ensembles(read_observations(linear_data), [new_ensemble()]).metrics["metric"])
    linear_data.uns["sparsenode"]["truth_signed"] = False
    unsigned = set(evaluate_ensembles(read_observations(linear_data), [new_ensemble()]).metrics["metric"])
    assert signed - unsigned == {"sign_accuracy"}


@pytest.mark.slow(reason="trains or evaluates several models")
def test_sparsity_of_trained_and_untrained(evaluation, new_ensemble):
    ensemble = new_ensemble()
    found = pick(evaluation.metrics, metric="feature_sparsity", estimator="paths", method="shrunk")
    trained = found[found["status"] == "finished"].sort_values(["strength", "seed"])["value"]
    np.testing.assert_allclose(trained, (ensemble.matrices == 0).mean(axis=(1, 2)))
    untrained = pick(found, status="untrained")
    assert sorted(untrained["seed"]) == [0, 1, 2]
    assert (untrained["value"] == 0).all()
    spurious = pick(evaluation.metrics, metric="spurious_feature_sparsity", reference="not_regulators", strength=0.1)
    np.testing.assert_allclose(spurious.sort_values("seed")["value"], (ensemble.matrices[3:6, 2] == 0).mean(axis=1))


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_exact_zeros_are_counted_off_the_diagonal_and_among_all_weights(linear_data, new_ensemble):
    ensemble = new_ensemble()
    matrices = np.where(np.abs(ensemble.matrices) < 0.1, 1e-9, ensemble.matrices)
    matrices[:4, 2, 1] = 0.0
    matrices[2, 0, 0] = 0.0
    metrics = evaluate_ensembles(read_observations(linear_data), [replace(ensemble, matrices=matrices)]).metrics
    order = ["strength", "seed"]
    for metric, wanted in (
        ("exact_sparsity", (matrices[:, OFF] == 0).mean(axis=1)),
        ("exact_weight_sparsity", (matrices == 0).mean(axis=(1, 2))),
    ):
        found = pick(metrics, metric=metric, status="finished").sort_values(order)
        np.testing.assert_allclose(found["value"], wanted)
        assert (pick(metrics, metric=metric, status="untrained")["value"] == 0).all()
    assert set(pick(metrics, metric="exact_sparsity")["estimator"]) == {"paths"}


@pytest.mark.slow(reason="trains or evaluates several models")
def test_out_degrees_are_told_of_members_and_compared_with_the_truth(evaluation, new_ensemble, system):
    ensemble = new_ensemble()
    degrees = ((ensemble.matrices != 0) & OFF).sum(axis=2)
    found = pick(evaluation.metrics, metric="out_degree", method="shrunk", status="finished")
    wanted = [own[own > 0].mean() for own in degrees if own.any()]
    np.testing.assert_allclose(found.sort_values(["strength", "seed"])["value"], wanted)
    lost = pick(evaluation.metrics, metric="out_degree", status="undefined")
    assert len(lost) == len(degrees) - len(wanted)
    assert set(lost["strength"]) == {1.0}  # nothing but self-loops
    assert set(lost["reason"]) == {"no source has a target"}
    found = pick(evaluation.metrics, metric="mean_out_degree", method="shrunk", status="finished")
    np.testing.assert_allclose(found.sort_values(["strength", "seed"])["value"], degrees.mean(axis=1))
    found = pick(evaluation.metrics, metric="out_degree_correlation", method="shrunk", estimator="paths")
    true = ((system != 0) & OFF).sum(axis=1)
    for row, member in enumerate(ensemble.members):
        told = pick(found, strength=member.strength, seed=member.seed)
        if len(set(degrees[row])) == 1:
            assert told["status"].item() == "undefined"
        else:
            assert told["value"].item() == pytest.approx(spearmanr(degrees[row], true).statistic)
    assert set(pick(found, seed=-1)["strength"]) == {0.0, 0.1, 1.0}


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_open_probability_gives_an_expected_sparsity(linear_data, new_ensemble):
    ensemble = replace(new_ensemble(), opened=np.full((9, 3, 3), 0.25))
    metrics = evaluate_ensembles(read_observations(linear_data), [ensemble]).metrics
    found = pick(metrics, metric="feature_sparsity", estimator="open_probability", status="finished")
    assert len(found) == 9
    np.testing.assert_allclose(found["value"], 0.75)


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_diverged_members_are_rows_and_nothing_else(linear_data, new_ensemble):
    evaluation = evaluate_ensembles(read_observations(linear_data), [new_ensemble(diverged=[(1.0, 0), (1.0, 1)])])
    lost = pick(evaluation.metrics, status="diverged", metric="mse")
    assert lost[["strength", "seed"]].to_numpy().tolist() == [[1.0, 0], [1.0, 1]]
    assert lost["value"].isna().all()
    assert set(lost["reason"]) == {"loss is not finite"}
    finished = pick(evaluation.metrics, metric="mse", status="finished", strength=1.0)
    assert set(finished["seed"]) == {2}
    candidates = evaluation.selections["exact", "shrunk"]["candidates"]
    assert [entry["candidate"] for entry in candidates] == [True, True, False]


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_all_members_diverged(linear_data, new_ensemble):
    evaluation = evaluate_ensembles(
        read_observations(linear_data), [new_ensemble(strengths=[0.0], seeds=1, diverged=[(0.0, 0)])]
    )
    assert evaluation.selections["exact", "shrunk"]["chosen"] is None
    assert evaluation.networks["exact", "shrunk"].empty
    assert pick(evaluation.metrics, metric="chosen_strength")["status"].item() == "undefined"
    assert set(evaluation.forecasts["method"].astype(str)) == {
        "baseline:initial_state",
        "baseline:training_mean",
        "baseline:zeros",
        "baseline:linear",
    }


def test_selection_uses_the_validation_split(evaluation):
    choice = evaluation.selections["exact", "shrunk"]
    errors = pick(evaluation.metrics, metric="mse", method="shrunk", trajectory="three", phase="fit")
    means = errors.groupby("strength")["value"].mean()
    assert choice["best"] == means.idxmin()
    assert choice["protocol"] == "trajectory"
    assert evaluation.selections["exact", "none"]["chosen"] == 0.0
    row = pick(evaluation.metrics, metric="chosen_strength", method="shrunk")
    assert row["value"].item() == choice["chosen"]


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
@pytest.mark.parametrize(("batches", "remarks"), [(0, [SMALLEST]), (1, []), (3, []), (4, [SMALLEST])])
def test_a_choice_at_an_end_is_doubtful_after_all_batches_only(linear_data, new_ensemble, batches, remarks):
    """Or where the strengths were a list; before, training has looked beyond."""
    ensemble = new_ensemble(strengths=[0.1, 10.0])
    search = {"seeds": [0, 1, 2], "batches": [[0.1, 10.0]] * batches, "reasons": ["because"] * batches}
    ensemble = replace(ensemble, metadata={"searches": [search] if batches else []})
    evaluation = evaluate_ensembles(read_observations(linear_data), [ensemble])
    choice = evaluation.selections["exact", "shrunk"]
    assert choice["chosen"] == 0.1
    assert choice["searches"] == ([search] if batches else [])
    magnitudes = measure_magnitudes(linear_data)
    doubts = remarks_of_dataset([ensemble], evaluation.metrics, evaluation.selections, magnitudes)
    assert [doubt.kind for doubt in doubts if doubt.kind in {SMALLEST, LARGEST}] == remarks
    rows = pick(evaluation.metrics, metric="strength_batches")
    assert rows["value"].tolist() == ([batches] if batches else [])


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_jobs_that_chose_other_strengths_are_evaluated_together(linear_data, new_ensemble):
    """Strengths that most seeds have can be chosen; figures and tables take those of all."""
    first, second = new_ensemble(strengths=[0.0, 0.1, 1.0]), new_ensemble(strengths=[0.1, 1.0])
    later = tuple(replace(member, seed=member.seed + 3) for member in second.members)
    joined = replace(
        first,
        members=first.members + later,
        matrices=np.concatenate((first.matrices, second.matrices)),
        metadata={"searches": [{"seeds": [0], "batches": [[0.1]], "reasons": ["because"]}]},
    )
    evaluation = evaluate_ensembles(read_observations(linear_data), [joined])
    candidates = evaluation.selections["exact", "shrunk"]["candidates"]
    assert [(entry["strength"], entry["members"], entry["candidate"]) for entry in candidates] == [
        (0.0, 3, True), (0.1, 6, True), (1.0, 6, True)
    ]  # fmt: skip
    stability = evaluation.stability["exact", "shrunk"]
    assert set(stability["strength"]) <= {0.0, 0.1, 1.0}


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_the_choice_says_what_the_method_is_told(linear_data, new_ensemble):
    made = {"wrong": {"of": "truth", "corruption": 0.4, "seed": 0}}
    linear_data.uns["sparsenode"]["settings"] = json.dumps({"priors": made})
    for name in ("wrong", "motif"):
        linear_data.varp[f"prior_{name}"] = np.ones((3, 3))
    ensembles = [
        new_ensemble(method=name, regularizer="dash", options={"prior": name}, strengths=[0.1, 0.2])
        for name in ("wrong", "motif")
    ]
    selections = evaluate_ensembles(read_observations(linear_data), [*ensembles, new_ensemble()]).selections
    wrong, motif, plain = (selections["exact", name] for name in ("wrong", "motif", "shrunk"))
    assert wrong["prior"] == {"name": "wrong", "of": "truth", "corruption": 0.4}
    assert motif["prior"] == {"name": "motif", "of": "motif", "corruption": 0.0}
    assert (wrong["regularizer"], plain["regularizer"], plain["prior"]) == ("dash", "l1", None)
    assert wrong["chosen"] == wrong["best"]
    assert wrong["rule"].startswith("least error")
    assert plain["rule"].startswith("one standard error")


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_no_validation_is_an_error_where_there_is_a_choice(linear_data, new_ensemble):
    linear_data = linear_data[(linear_data.obs["split"] != "validation").to_numpy()].copy()
    with pytest.raises(UserError, match="no validation observations"):
        evaluate_ensembles(read_observations(linear_data), [new_ensemble()])
    assert evaluate_ensembles(read_observations(linear_data), [new_ensemble(strengths=[0.0])]).selections


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_models_of_windows_are_scored_and_chosen_by_windows(linear_data, new_ensemble, monkeypatch):
    cuts = [np.arange(start, start + 4) for start in (0, 3, 16, 19, 32, 35, 48, 51)]
    monkeypatch.setattr(evaluate_module, "cut_windows", lambda data, length, stride: cuts)
    evaluation = evaluate_ensembles(
        read_observations(linear_data), [new_ensemble(windows={"length": 3, "stride": 3}), new_ensemble()]
    )
    mse = pick(evaluation.metrics, metric="mse", horizon="window")
    assert set(mse["model"]) == {"windowed"}
    assert set(mse["method"]) >= {"shrunk", "baseline:initial_state", "oracle:cubic"}
    assert evaluation.selections["windowed", "shrunk"]["protocol"] == "window"
    assert evaluation.selections["exact", "shrunk"]["protocol"] == "trajectory"
    kept = evaluation.forecasts[evaluation.forecasts["protocol"] == "window"]
    assert set(kept.loc[kept["trajectory"] == "one", "start"].round(6)) == {1.0, 1.6}


def test_forecasts_hold_members_at_the_chosen_strength_and_baselines(evaluation):
    forecasts = evaluation.forecasts
    chosen = evaluation.selections["exact", "shrunk"]["chosen"]
    mine = forecasts[forecasts["method"] == "shrunk"]
    assert set(mine["strength"]) == {chosen}
    assert set(mine["seed"]) == {0, 1, 2}
    assert len(mine) == 3 * 64 * 3
    squares = (mine["observed"] - mine["predicted"]) ** 2
    of_one = squares[(mine["seed"] == 0) & (mine["trajectory"] == "four") & (mine["phase"] == "fit")]
    wanted = pick(
        evaluation.metrics, metric="mse", method="shrunk", strength=chosen, seed=0, trajectory="four", phase="fit"
    )
    assert of_one.mean() == pytest.approx(wanted["value"].item(), rel=1e-4)


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_kept_values_are_bounded(linear_data, new_ensemble, monkeypatch):
    monkeypatch.setattr(protocols, "ALL_FEATURES", 2)
    monkeypatch.setattr(protocols, "KEPT_FEATURES", 2)
    monkeypatch.setattr(protocols, "KEPT_TIMES", 5)
    forecasts = evaluate_ensembles(read_observations(linear_data), [new_ensemble()]).forecasts
    assert forecasts["feature"].nunique() == 2
    assert forecasts.groupby(["method", "trajectory"], observed=True)["time"].nunique().max() == 5


def test_each_group_keeps_the_features_that_move_most_in_it(linear_data, monkeypatch):
    monkeypatch.setattr(protocols, "KEPT_FEATURES", 2)
    monkeypatch.setattr(protocols, "ALL_FEATURES", 2)
    odd, time = (linear_data.obs["group"] == "odd").to_numpy(), linear_data.obs["time"].to_numpy()
    linear_data.X[odd] = np.stack((9 * time, 8 * time, 0 * time), axis=1)[odd]
    linear_data.X[~odd] = np.stack((2 * time, 0 * time, 3 * time), axis=1)[~odd]
    data = read_observations(linear_data)
    kept = protocols.choose_kept(data, plan_trajectories(data))
    assert [data.features[place] for place in kept.features] == ["a", "c"]


def test_network_takes_median_frequency_and_sign(tmp_path):
    paths = np.zeros((3, 2, 2))
    paths[:, 0, 1] = [1, 2, 3]
    paths[0, 1, 0] = 5
    jacobian = -paths
    table = network_table(paths, jacobian, ["NA", "b"])
    assert table.to_dict("list") == {
        "source": ["NA", "b"],
        "target": ["b", "NA"],
        "weight": [2.0, 0.0],
        "share": [1.0, pytest.approx(1 / 3)],
        "sign": [-1, 0],
        "selection_frequency": [1.0, pytest.approx(1 / 3)],
    }
    write_network(table, tmp_path / "model" / "method.csv")
    weights, frequency, unsigned = read_network(tmp_path / "model" / "method.csv", ["NA", "b"])
    assert not unsigned.any()  # what has no weight needs no sign
    np.testing.assert_allclose(weights, [[0, -2], [0, 0]])
    np.testing.assert_allclose(frequency, [[0, 1], [1 / 3, 0]], rtol=1e-5)


def test_settings_that_differ_are_named(tmp_path):
    frozen = {"model_settings": {"hidden": [3], "step": 0.1}}
    with pytest.raises(UserError, match=r"m\.safetensors was not trained .* model_settings\.step: 0\.2 .* 0\.1"):
        blocks.check_settings({"model_settings": {"hidden": [3], "step": 0.2}}, frozen, "m.safetensors", "m.json")
    blocks.check_settings(json.loads(json.dumps(frozen)), frozen, "m.safetensors", "m.json")


ROLLING = EvaluationSettings(rolling=RollingSettings(past=0.4, horizon=0.6))


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_rolling_forecasts_are_scored_by_lead_time_and_choose_the_strength(linear_data, new_ensemble):
    evaluation = evaluate_ensembles(
        read_observations(linear_data), [new_ensemble(windows={"length": 3, "stride": 3})], ROLLING
    )
    assert evaluation.selections["windowed", "shrunk"]["protocol"] == "rolling"
    metrics = evaluation.metrics
    assert "window" not in set(metrics["horizon"])
    mse = pick(metrics, metric="mse", method="shrunk", trajectory="all", split="train", phase="fit", seed=0, strength=0)
    by_lead = mse[mse["horizon"].str.startswith("rolling@")]
    assert sorted(by_lead["horizon"]) == ["rolling@0.2", "rolling@0.4", "rolling@0.6"]
    whole = mse.loc[mse["horizon"] == "rolling", "value"].item()
    assert by_lead["value"].mean() == pytest.approx(whole)
    skill = pick(metrics, metric="skill", reference="baseline:constant_velocity", method="shrunk")
    assert set(skill["horizon"]) >= {"rolling", "rolling@0.2"}
    kept = evaluation.forecasts[evaluation.forecasts["protocol"] == "rolling"]
    assert (kept["time"] > kept["start"]).all()
    assert {"shrunk", "baseline:constant_velocity"} <= set(kept["method"])


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_single_steps_are_scored_beside_baselines_and_choose_nothing(linear_data, new_ensemble, monkeypatch):
    monkeypatch.setattr(evaluate_module, "cut_windows", lambda data, length, stride: [np.arange(32, 36)])
    ensembles = [new_ensemble(), new_ensemble(windows={"length": 3, "stride": 3})]
    plain = evaluate_ensembles(read_observations(linear_data), ensembles)
    evaluation = evaluate_ensembles(read_observations(linear_data), ensembles, EvaluationSettings(one_step=True))
    assert evaluation.selections == plain.selections
    assert [choice["protocol"] for choice in evaluation.selections.values()] == ["trajectory", "window"]
    rolling = evaluate_ensembles(read_observations(linear_data), ensembles[:1], ROLLING.changed(one_step=True))
    assert rolling.selections["exact", "shrunk"]["protocol"] == "rolling"
    assert evaluation.forecasts.equals(plain.forecasts)
    metrics = evaluation.metrics
    rest = metrics[(metrics["horizon"] != "one_step") & (metrics["metric"] != "seconds")].reset_index(drop=True)
    assert rest.equals(plain.metrics[plain.metrics["metric"] != "seconds"].reset_index(drop=True))
    one = pick(metrics, horizon="one_step")
    assert set(one["method"]) >= {"shrunk", "baseline:initial_state", "baseline:linear"}
    assert {"mse", "mse_noise_free", "skill"} <= set(one["metric"])
    # The fit phase of the test trajectory: 11 observations, 10 steps.
    values = np.asarray(linear_data.X[48:59], float)
    time = linear_data.obs["time"].to_numpy()[48:59]
    truth = np.asarray(linear_data.layers["noise_free"][49:59], float)
    matrix = ensembles[0].matrices[4]
    steps = np.stack([values[row] @ expm(matrix * (time[row + 1] - time[row])) for row in range(10)])
    where = {"trajectory": "four", "split": "test", "phase": "fit"}
    mine = pick(one, method="shrunk", model="exact", strength=0.1, seed=1, **where)
    for metric, target in (("mse", values[1:]), ("mse_noise_free", truth)):
        assert pick(mine, metric=metric)["value"].item() == pytest.approx(np.square(steps - target).mean())
    held = pick(one, method="baseline:initial_state", metric="mse", **where)
    assert held["value"].item() == pytest.approx(np.square(np.diff(values, axis=0)).mean())


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_skill_of_rolling_forecasts_follows_from_the_errors(linear_data, new_ensemble):
    metrics = evaluate_ensembles(read_observations(linear_data), [new_ensemble()], ROLLING).metrics
    wanted = {"trajectory": "all", "split": "test", "phase": "fit", "horizon": "rolling@0.4"}
    ours = pick(metrics, metric="mse", method="shrunk", strength=0.1, seed=1, **wanted)["value"].item()
    held = pick(metrics, metric="mse", method="baseline:initial_state", **wanted)["value"].item()
    skill = pick(
        metrics, metric="skill", method="shrunk", strength=0.1, seed=1, reference="baseline:initial_state", **wanted
    )
    assert skill["value"].item() == pytest.approx(1 - ours / held)


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_errors_in_the_units_of_the_source(linear_data, new_ensemble):
    facts = linear_data.uns["sparsenode"]
    facts["source_unit"], facts["scale"] = "degree", np.tile([2.0, 3.0, 5.0], (4, 1))
    facts["scale"][3] *= 10
    evaluation = evaluate_ensembles(read_observations(linear_data), [new_ensemble(strengths=(0.0,), seeds=1)])
    forecasts = evaluation.forecasts[evaluation.forecasts["method"] == "shrunk"]
    scale = dict(zip(linear_data.var_names, (2.0, 3.0, 5.0), strict=True))
    for name, factor in (("one", 1), ("four", 10)):
        own = forecasts[(forecasts["trajectory"] == name) & (forecasts["phase"] == "fit")]
        error = (own["observed"] - own["predicted"]) * own["feature"].map(scale).astype(float) * factor
        found = pick(evaluation.metrics, metric="mse_restored", method="shrunk", trajectory=name, phase="fit")
        assert found["value"].item() == pytest.approx((error**2).mean(), rel=1e-4)
        assert found["unit"].item() == "degree^2"


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_the_strength_can_be_asked_to_be_sparse(linear_data, new_ensemble):
    dense, sparse = (
        evaluate_ensembles(
            read_observations(linear_data), [new_ensemble()], EvaluationSettings(least_feature_sparsity=least)
        )
        for least in (0.0, 0.9)
    )
    one, other = (found.selections["exact", "shrunk"]["chosen"] for found in (dense, sparse))
    assert one < other == 1.0


def test_unknown_settings_of_the_evaluation():
    assert read_settings(EvaluationSettings, {"rolling": None}, "evaluation") == EvaluationSettings()
    with pytest.raises(UserError, match=r"evaluation\.?.*roling"):
        read_settings(EvaluationSettings, {"roling": {}}, "evaluation")
