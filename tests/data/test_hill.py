import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from sparsenode import read_trajectories
from sparsenode.cli import main
from sparsenode.data.sources import make_source
from sparsenode.data.sources.hill import HillSource, System
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError
from sparsenode.pipeline import configuration, plan
from sparsenode.typed import read_settings


def load(options: dict, files: dict[str, Path]) -> RawTrajectories:
    return make_source("hill", options).load(files)


def source(**changes: object) -> HillSource:
    return read_settings(HillSource, changes, "options")


def options(**changes: object) -> dict:
    return source(**changes).options


@pytest.fixture(scope="module")
def raw() -> RawTrajectories:
    return load(options(), {})


def pair(sign: int, hill_coefficient: float = 2.0) -> System:
    """Node 0 without regulators, node 1 regulated by it."""
    return System(
        basal=np.array([0.6, 0.1]),
        decay=np.array([0.5, 1.2]),
        source=np.array([0]),
        target=np.array([1]),
        sign=np.array([sign]),
        strength=np.array([0.9]),
        half_saturation=np.array([0.4]),
        hill_coefficient=np.array([hill_coefficient]),
    )


def test_a_gene_without_regulators_relaxes_exponentially() -> None:
    times = np.linspace(0.0, 9.0, 40)
    found = pair(1).solve(np.array([[2.0, 0.3], [0.0, 0.0]]), times)[:, :, 0]
    expected = 1.2 + (np.array([[2.0], [0.0]]) - 1.2) * np.exp(-0.5 * times)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("sign", "share"), [(1, 0.8), (-1, 0.2)])
def test_rates_follow_the_hill_function(sign: int, share: float) -> None:
    # At twice the half-saturation and a coefficient of 2, h = 4 / 5.
    found = pair(sign).rates(np.array([[0.8, 0.5]]))
    np.testing.assert_allclose(found, [[0.6 - 0.4, 0.1 + 0.9 * share - 0.6]], rtol=1e-14)
    # Nothing and less than nothing regulate alike, and a very high level saturates.
    none, negative, high = pair(sign).rates(np.array([[0.0, 0.0], [-3.0, 0.0], [1e200, 0.0]]))[:, 1]
    assert none == negative == pytest.approx(0.1 + (0.0 if sign == 1 else 0.9))
    assert high == pytest.approx(0.1 + (0.9 if sign == 1 else 0.0))


def test_a_gene_under_a_clamped_regulator_relaxes_to_what_the_hill_function_says() -> None:
    times = np.linspace(0.0, 6.0, 20)
    found = pair(-1).solve(np.array([[0.1, 0.7]]), times, clamp={0: 0.8})[0]
    np.testing.assert_array_equal(found[:, 0], 0.8)
    level = (0.1 + 0.9 * 0.2) / 1.2
    np.testing.assert_allclose(found[:, 1], level + (0.7 - level) * np.exp(-1.2 * times), rtol=1e-9)


def test_a_clamp_reaches_descendants_alone(raw: RawTrajectories) -> None:
    system, part = make_source("hill", {}).system_from_provenance(raw.provenance), raw.trajectories[0]
    node = int(np.count_nonzero(raw.truth, axis=1).argmax())
    start = part.noise_free[:1]
    free = system.solve(start, part.times)[0]
    held = system.solve(start, part.times, clamp={node: float(start[0, node]) + 2.0})[0]
    reached = np.linalg.matrix_power(np.eye(50) + np.abs(raw.truth), 50)[node] > 0
    moved = np.abs(held - free).max(axis=0)
    assert (moved[~reached] < 1e-8).all()
    assert (moved[raw.truth[node] != 0] > 1e-3).all()


def test_trajectories_solve_the_equations_that_are_given_with_them() -> None:
    raw = load(options(nodes=10, trajectories=3, test_trajectories=1, seed=3), {})
    given = raw.provenance
    for part in raw.trajectories:

        def rate(_: float, state: np.ndarray) -> np.ndarray:
            change = given["basal"] - given["decay"] * state
            for edge, (source, target) in enumerate(zip(given["source"], given["target"], strict=True)):
                ratio = (state[source] / given["half_saturation"][edge]) ** given["hill_coefficient"][edge]
                active = ratio / (1 + ratio) if given["sign"][edge] > 0 else 1 / (1 + ratio)
                change[target] += given["strength"][edge] * active
            return change

        solution = solve_ivp(rate, (0, 7.5), part.noise_free[0], "LSODA", part.times, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(part.noise_free, solution.y.T, rtol=1e-8)


def test_the_jacobian_has_the_signs_and_the_zeros_of_the_truth(raw: RawTrajectories) -> None:
    system = make_source("hill", {}).system_from_provenance(raw.provenance)
    signs = []
    for state in np.vstack([part.noise_free for part in raw.trajectories])[::200]:
        step = 1e-4 * state
        ahead, behind = system.rates(state + np.diag(step)), system.rates(state - np.diag(step))
        jacobian = (ahead - behind) / (2 * step[:, None])  # (source, target)
        np.testing.assert_allclose(jacobian.diagonal(), -system.decay, rtol=1e-6)
        np.fill_diagonal(jacobian, 0.0)
        assert not jacobian[raw.truth == 0].any()
        assert (jacobian * raw.truth >= 0).all()
        signs.append(np.sign(jacobian))
    np.testing.assert_array_equal(np.sign(np.sum(signs, axis=0)), raw.truth)
    np.testing.assert_array_equal(raw.truth_known, ~np.eye(50, dtype=bool))
    assert not raw.truth.diagonal().any()
    assert raw.is_regulator.all()


@pytest.mark.slow(reason="draws many examples")
@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    nodes=st.integers(10, 40),
    repressors=st.floats(0, 1),
    hubs=st.floats(0, 1.5),
    feedback=st.booleans(),
)
def test_levels_stay_between_zero_and_one(
    seed: int, nodes: int, repressors: float, hubs: float, feedback: bool
) -> None:
    given = source(seed=seed, nodes=nodes, repressors=repressors, hubs=hubs, feedback=feedback)
    system = given.draw_system()
    highest = system.basal + np.bincount(system.target, system.strength, nodes)
    np.testing.assert_allclose(highest, system.decay, rtol=1e-12)
    corners = np.random.default_rng(seed).integers(0, 2, (4, nodes)).astype(float)
    levels = system.solve(corners, np.linspace(0.0, 20.0, 30))
    assert levels.min() >= 0.0
    assert levels.max() <= 1.0 + 1e-9
    assert np.count_nonzero(system.sign < 0) == round(repressors * len(system.sign))
    for name in ("hill_coefficient", "half_saturation", "decay"):
        values = getattr(system, name)
        assert getattr(given, name)[0] <= values.min()
        assert values.max() <= getattr(given, name)[1]


@pytest.mark.parametrize("feedback", [True, False])
def test_regulators_are_as_many_as_asked_and_loops_only_where_allowed(feedback: bool) -> None:
    system = source(nodes=60, regulators_per_target=[2, 4], feedback=feedback).draw_system()
    edges = system.truth() != 0
    regulators = edges.sum(axis=0)
    assert len(system.source) == edges.sum()  # no pair twice
    assert set(regulators[regulators >= 2]) == {2, 3, 4}
    loops = bool(np.linalg.matrix_power(edges.astype(float), 60).any())
    assert loops is feedback
    # Without loops the first gene of the order has no regulator and the second at most one.
    assert np.count_nonzero(regulators < 2) == (0 if feedback else 2)


def test_hubs_regulate_many() -> None:
    def largest(hubs: float) -> float:
        drawn = [source(nodes=100, hubs=hubs, seed=seed).draw_system().truth() for seed in range(10)]
        return float(np.mean([np.count_nonzero(truth, axis=1).max() for truth in drawn]))

    even, skewed = largest(0.0), largest(0.75)
    assert even < 8  # the largest of a hundred Poisson numbers of mean 2
    assert skewed > 2 * even


def test_every_gene_has_unit_variance_in_training(raw: RawTrajectories) -> None:
    training = [part for part in raw.trajectories if part.splits[0] == "train"]
    fitted = np.vstack([part.noise_free[part.phases == "fit"] for part in training])
    np.testing.assert_allclose(fitted.std(axis=0), 1.0, atol=1e-12)
    for part in raw.trajectories:
        assert (part.noise_free >= 0).all()
        assert (part.noise_free * part.scale <= 1 + 1e-9).all()


def test_the_default_times_and_splits(raw: RawTrajectories) -> None:
    assert len(raw.features) == 50
    assert [part.splits[0] for part in raw.trajectories] == ["train"] * 16 + ["test"] * 4
    for part in raw.trajectories:
        np.testing.assert_allclose(part.times, np.arange(76) / 10, atol=1e-12)
        assert (part.phases == np.repeat(["fit", "extrapolation"], [51, 25])).all()
        np.testing.assert_array_equal(part.values, part.noise_free)


def test_noise_is_a_share_of_each_genes_deviation_and_changes_nothing_else(raw: RawTrajectories) -> None:
    noisy = load(options(noise=0.05), {})
    difference = np.stack([part.values - part.noise_free for part in noisy.trajectories])
    training = np.vstack([part.noise_free[part.phases == "fit"] for part in noisy.trajectories[:16]])
    shares = difference.std(axis=(0, 1)) / training.std(axis=0)
    np.testing.assert_allclose(shares, 0.05, rtol=0.1)
    assert abs(difference.mean()) < 0.001
    for noisy_part, part in zip(noisy.trajectories, raw.trajectories, strict=True):
        np.testing.assert_array_equal(noisy_part.noise_free, part.noise_free)


def test_same_seed_same_data_other_seed_other_network(raw: RawTrajectories) -> None:
    again, other = load(options(), {}), load(options(seed=1), {})
    np.testing.assert_array_equal(again.trajectories[7].values, raw.trajectories[7].values)
    assert not np.array_equal(other.truth, raw.truth)
    assert not np.allclose(other.trajectories[7].values[0], raw.trajectories[7].values[0])


def test_kinetics_can_be_changed_and_the_network_stays(raw: RawTrajectories) -> None:
    slower = load(options(decay=[0.1, 0.2], hill_coefficient=[2.0, 2.0], observations=10), {})
    np.testing.assert_array_equal(slower.truth, raw.truth)
    assert (slower.provenance["hill_coefficient"] == 2.0).all()


def test_times_may_differ_between_trajectories() -> None:
    system = source(nodes=10).draw_system()
    start = np.random.default_rng(0).random((2, 10))
    times = np.array([[0.0, 1.0, 4.0], [0.5, 2.0, 3.0]])
    together = system.solve(start, times)
    for row in range(2):
        np.testing.assert_allclose(together[row], system.solve(start[row : row + 1], times[row])[0], rtol=1e-9)
    np.testing.assert_array_equal(together[0, 0], start[0])
    np.testing.assert_array_equal(system.solve(start, np.zeros(2)), np.repeat(start[:, None], 2, axis=1))


def test_the_system_is_found_again_in_the_preprocessed_file_whose_size_was_planned(tmp_path) -> None:
    chosen = options(nodes=12, trajectories=6, test_trajectories=2, observations=20)
    config = {"results_dir": tmp_path, "datasets": {"cells": {"source": "hill", "options": chosen}}}
    planned = plan.data_size(config, "cells")
    output = tmp_path / "data" / "cells.h5ad"
    dataset = configuration.canonical_json(config["datasets"]["cells"])
    common = ["--name", "cells", "--settings", dataset, "--downloads", str(tmp_path), "--output", str(output)]
    assert main(["preprocess-dataset", *common]) == 0
    size = plan.data_size(config, "cells")
    assert (planned.features, planned.trajectories, planned.duration) == (12, 4, 5.0)
    assert (size.features, size.trajectories, size.duration, size.exact) == (12, 4, 5.0, True)

    adata = read_trajectories(output)
    system = make_source("hill", {}).system_from_provenance(adata.uns["sparsenode"]["provenance"])
    expected = make_source("hill", {}).system_from_provenance(load(chosen, {}).provenance)
    for field in dataclasses.fields(System):
        np.testing.assert_array_equal(getattr(system, field.name), getattr(expected, field.name))
    part = adata[adata.obs["trajectory"] == "trajectory_3"]
    states = system.solve(part.X[:1], part.obs["time"].to_numpy())[0]
    np.testing.assert_allclose(states, part.layers["noise_free"], rtol=1e-6)  # of single precision


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decay": [2.0, 1.0]}, r"decay \[2.0, 1.0\]: the first must not be above the second"),
        ({"regulators_per_target": [1, 50]}, "more regulators than there are other genes"),
        ({"regulators_per_target": [0, 0]}, "without regulators there is no network"),
        ({"nodes": 2, "regulators_per_target": [0, 1], "seed": 2}, "no gene was given a regulator"),
        ({"test_trajectories": 20}, "so that one is left for training"),
        ({"repressors": 1.5}, "options.repressors: found the number 1.5; allowed: a number at least 0 and at most 1"),
        (
            {"hill_coefficient": [0.5, 2.0]},
            r"hill_coefficient\[0\]: found the number 0.5; allowed: a number at least 1",
        ),
        ({"genes": 5}, "options: unknown key: found \"genes\" \\(did you mean 'nodes'\\?\\); allowed: .*nodes"),
    ],
)
def test_options_that_allow_no_network(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(options(**changes), {})


def test_what_cannot_be_solved_is_refused(raw: RawTrajectories) -> None:
    system = make_source("hill", {}).system_from_provenance(raw.provenance)
    with pytest.raises(UserError, match="cannot hold node 50: the system has the nodes 0 to 49"):
        system.solve(np.ones((1, 50)), np.array([0.0, 1.0]), clamp={50: 1.0})
    with pytest.raises(UserError, match="not finite"):
        system.solve(np.ones((1, 50)), np.array([0.0, 1.0]), clamp={3: np.nan})
    with pytest.raises(UserError, match=r"has no basal, decay, source, .* not that of the data source hill"):
        make_source("hill", {}).system_from_provenance({"stiffness": np.ones(3)})


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_changed_strength_scales_what_edges_add_and_nothing_else(raw: RawTrajectories, factor: float) -> None:
    changed = load(options(parameter_factors={"strength": factor}), {})
    np.testing.assert_array_equal(changed.truth, raw.truth)
    source = make_source("hill", {})
    system, again = (source.system_from_provenance(data.provenance) for data in (raw, changed))
    scales = [data.trajectories[0].scale for data in (raw, changed)]
    starts = [
        np.stack([part.noise_free[0] * scale for part in data.trajectories])
        for data, scale in zip((raw, changed), scales, strict=True)
    ]
    np.testing.assert_allclose(starts[0], starts[1], rtol=1e-12)
    # In the same units: basal production and decay are as they were, the rest is scaled.
    rates, new_rates = (
        each.rates(starts[0] / scale) * scale for each, scale in zip((system, again), scales, strict=True)
    )
    rest = system.basal * scales[0] - system.decay * starts[0]
    np.testing.assert_allclose(new_rates - rest, factor * (rates - rest), rtol=1e-9, atol=1e-12)
    # The trained dataset's own system can be changed too, in its units.
    in_units = system.with_parameter("strength", factor)
    np.testing.assert_allclose(in_units.rates(starts[0] / scales[0]) * scales[0], new_rates, rtol=1e-9, atol=1e-12)
    part = changed.trajectories[0]
    np.testing.assert_allclose(again.solve(part.noise_free[:1], part.times)[0], part.noise_free, atol=1e-7)


def test_an_unknown_parameter_is_told_with_the_nearest() -> None:
    expected = "data source hill: parameter_factors: found 'strenght'; allowed: .* nearest are strength"
    with pytest.raises(UserError, match=expected):
        load(options(parameter_factors={"strenght": 0.5}), {})
    for factor in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match=r"parameter_factors\.strength"):
            options(parameter_factors={"strength": factor})
