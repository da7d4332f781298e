"""Test sets of simulated sources at levels of distance from the training data."""

import numpy as np
import pytest
import yaml

from sparsenode.data.contract import check_trajectories
from sparsenode.data.distances import CHANGED, INTERPOLATION, OUTSIDE
from sparsenode.data.preprocess import assemble
from sparsenode.data.simulated.systems.dysts import Dysts
from sparsenode.data.sources import make_source
from sparsenode.data.trajectories import RawTrajectories, Trajectory
from sparsenode.errors import UserError
from sparsenode.pipeline.configuration import read_configuration

PARAMETERS = {
    "linear": "coupling",
    "hill": "strength",
    "second_order": "coupling",
    "kuramoto": "coupling",
    "fitzhugh_nagumo": "coupling",
    "lotka_volterra": "beta",
    "lorenz96": "forcing",
    "rossler": "b",
    "glycolysis": "k1",
}
OPTIONS = {
    "linear": {"strength": [0.2, 0.6], "slowest_decay": 0.5},
    "lotka_volterra": {"step_noise": 0, "horizon": 0.5, "lowest_start": 5, "highest_start": 10},
    "lorenz96": {"horizon": 0.5, "burn_in": 0.5},
    "rossler": {"horizon": 2},
    "fitzhugh_nagumo": {"neurons": 2, "horizon": 0.5},
    "kuramoto": {"oscillators": 3},
    "glycolysis": {"horizon": 0.05},
    "hill": {"nodes": 6, "horizon": 2},
    "second_order": {"horizon": 2},
}
BASE = {"trajectories": 5, "test_trajectories": 2, "observations": 8}


def load(name: str, *, has_levels: bool = True, **options: object) -> RawTrajectories:
    asked = {"distances": {"parameter": PARAMETERS[name]}} if has_levels else {}
    return make_source(name, {**BASE, **OPTIONS.get(name, {}), **asked, **options}).load({})


def of_phase(raw: RawTrajectories, phase: str) -> list[Trajectory]:
    return [entry for entry in raw.trajectories if set(entry.phases) == {phase}]


def usual_tests(raw: RawTrajectories) -> list[Trajectory]:
    return [entry for entry in raw.trajectories if entry.splits[0] == "test" and entry.phases[0] == "fit"]


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_every_source_adds_the_sets_and_leaves_the_rest_as_it_is(name):
    plain, raw = load(name, has_levels=False, noise=0.1), load(name, noise=0.1)
    for before, after in zip(plain.trajectories, raw.trajectories, strict=False):
        for array in ("times", "values", "noise_free", "splits", "phases", "scale"):
            np.testing.assert_array_equal(getattr(before, array), getattr(after, array))
    added = raw.trajectories[len(plain.trajectories) :]
    assert [entry.phases[0] for entry in added] == [INTERPOLATION] * 3 + [
        phase for phase in (*OUTSIDE, *CHANGED) for _ in range(2)
    ]
    assert all((entry.splits == "test").all() for entry in added)
    assert len({entry.name for entry in raw.trajectories}) == len(raw.trajectories)
    within = plain.trajectories[0].times[plain.trajectories[0].phases == "fit"]
    assert all(entry.times[0] == 0 and (np.diff(entry.times) > 0).all() for entry in added)
    assert max(entry.times[-1] for entry in added) <= within[-1]


@pytest.mark.parametrize("name", ["linear", "hill", "second_order"])
def test_exact_values_are_those_of_the_solved_system(name):
    raw = load(name, noise=0.1)
    source = make_source(name, {**BASE, **OPTIONS.get(name, {}), "distances": {"parameter": PARAMETERS[name]}})
    scale = np.array([entry.scale for entry in raw.trajectories])
    system = source.system_from_provenance({"options": source.options, "scale": scale, **raw.provenance})
    training = raw.trajectories[:3]
    tests = usual_tests(raw)
    center = np.mean([entry.noise_free[0] for entry in training], axis=0)
    for entry, start in zip(of_phase(raw, INTERPOLATION), training, strict=True):
        np.testing.assert_array_equal(entry.values[0], start.values[0])
        solved = system.solve(start.noise_free[:1], entry.times)[0]
        np.testing.assert_allclose(entry.noise_free, solved, atol=1e-7)
        assert not set(entry.times[1:]) & set(start.times)
    for phase, distance in OUTSIDE.items():
        for entry, test in zip(of_phase(raw, phase), tests, strict=True):
            farther = center + distance * (test.noise_free[0] - center)
            expected = np.maximum(farther, 0) if name == "hill" else farther
            np.testing.assert_allclose(entry.noise_free[0], expected, atol=1e-9)
            np.testing.assert_allclose(entry.noise_free, system.solve(expected[None], entry.times)[0], atol=1e-7)
    for phase, factor in CHANGED.items():
        changed = system.with_parameter(PARAMETERS[name], factor)
        for entry, test in zip(of_phase(raw, phase), tests, strict=True):
            np.testing.assert_array_equal(entry.values[0], test.values[0])
            np.testing.assert_array_equal(entry.times, test.times[test.phases == "fit"])
            solved = changed.solve(test.noise_free[:1], entry.times)[0]
            np.testing.assert_allclose(entry.noise_free, solved, atol=1e-7)
            assert np.abs(entry.noise_free - test.noise_free[test.phases == "fit"]).max() > 1e-3


@pytest.mark.parametrize("edition", ["study", "study_small"])
def test_no_species_of_the_study_is_extinct_farther_out(repository, edition):
    config = read_configuration(repository, [repository / "experiments" / f"{edition}.yaml"])
    options = [entry["options"] for entry in config["datasets"].values() if entry["source"] == "lotka_volterra"]
    # The starts are of the seed, the species and the number of trajectories only.
    starts = {(each["seed"], each["partners"], each["trajectories"]): each for each in options}
    assert len({each["seed"] for each in starts.values()}) == len({each["partners"] for each in starts.values()}) > 2
    for each in starts.values():
        raw = make_source("lotka_volterra", {**each, "horizon": 0.01, "share_kept": 1}).load({})
        for phase in OUTSIDE:
            assert min(entry.noise_free[0].min() for entry in of_phase(raw, phase)) > 0


def test_a_linear_system_that_would_grow_is_refused():
    with pytest.raises(
        UserError, match=r"couplings 2 times as strong make the linear system grow, e-fold in 1\.8\d* u"
    ):
        load("linear", strength=[0.5, 1.5], slowest_decay=0.2, nodes=8)


def test_the_changed_parameter_of_chaotic_systems_of_the_study_matters(repository):
    file = yaml.safe_load((repository / "experiments" / "study.yaml").read_text(encoding="utf-8"))
    parameter = file["datasets"]["chaos"]["options"]["distances"]["parameter"]
    for name in file["datasets"]["chaos"]["sweep"]["system"]:
        system = Dysts(name)
        start, times = system.draw_starts(np.random.default_rng(0), 1), np.linspace(0, 2 * system.lyapunov_time, 20)
        exact = system.solve(start, times)
        for factor in CHANGED.values():
            error = np.square(system.with_parameter(parameter, factor).solve(start, times) - exact).mean()
            assert error > 1e-3 * exact.var(axis=1).mean(), (name, factor)


def test_starts_are_those_of_the_first_observation_after_a_burn_in():
    raw = load("lorenz96", burn_in=0.7)
    test = usual_tests(raw)[0]
    np.testing.assert_array_equal(of_phase(raw, "changed_2")[0].noise_free[0], test.noise_free[0])


def test_hidden_variables_are_left_out_of_all_sets():
    raw = load("hill", hidden=3)
    assert {entry.values.shape[1] for entry in raw.trajectories} == {len(raw.features)} == {3}


def test_noise_is_drawn_for_each_set_and_of_the_size_asked_for():
    raw = load("linear", noise=0.5, nodes=30, observations=40, slowest_decay=1.5)
    residuals = [entry.values[1:] - entry.noise_free[1:] for entry in raw.trajectories[5:]]
    assert np.std(np.concatenate(residuals)) == pytest.approx(0.5, rel=0.05)
    firsts = {residual[0, 0] for residual in residuals}
    assert len(firsts) == len(residuals)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "hill",
            {"distances": {"parameter": "strenght"}},
            "distances.parameter: found 'strenght'; allowed: .*strength",
        ),
        ("hill", {"test_trajectories": 0}, "test_trajectories: found 0; allowed: 1 or more"),
        ("hill", {"test_spread": 2.0}, "test_spread: found 2; allowed: 1"),
        ("hill", {"process_noise": 0.1}, "process_noise: found 0.1; allowed: 0"),
        ("lotka_volterra", {"step_noise": 0.1}, "step_noise: found 0.1; allowed: 0"),
    ],
)
def test_what_has_no_exact_course_is_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        load(name, **options)


def test_the_file_of_trajectories_names_only_phases_that_it_has():
    asked = {"source": "linear", "validation": {"by": "trajectory", "share": 0.34}}
    plain, raw = (assemble("data", load("linear", has_levels=has), asked, {}) for has in (False, True))
    assert list(plain.obs["phase"].cat.categories) == ["fit", "extrapolation"]
    assert list(raw.obs["phase"].cat.categories)[2:] == [INTERPOLATION, *OUTSIDE, *CHANGED]
    is_distant = raw.obs["phase"].isin([INTERPOLATION, *OUTSIDE, *CHANGED])
    assert set(raw.obs.loc[is_distant, "split"]) == {"test"}
    raw.obs.loc[is_distant, "split"] = "train"
    with pytest.raises(UserError, match=r"the phases interpolation, .* of `obs` are of the split test only"):
        check_trajectories(raw)
