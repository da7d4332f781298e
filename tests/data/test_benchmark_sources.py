"""Data sources of benchmark systems: what they share, and that each makes a dataset."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from sparsenode import read_trajectories
from sparsenode.cli import main
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.data.simulated.benchmark import BenchmarkSource
from sparsenode.data.sources import get_source, make_source, source_names
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError

TINY = {
    "dysts": {"periods": 0.5, "points_per_period": 24, "extrapolation_share": 0.2},
    "fitzhugh_nagumo": {"neurons": 3, "horizon": 5.0, "observations": 12},
    "glycolysis": {"horizon": 0.3, "observations": 12},
    "kuramoto": {"oscillators": 3, "horizon": 1.0, "observations": 12},
    "linear": {"nodes": 4, "horizon": 1.0, "observations": 12},
    "lorenz96": {"nodes": 5, "horizon": 0.5, "observations": 12, "burn_in": 0.5},
    "lotka_volterra": {"species": 2, "horizon": 0.5, "observations": 12},
    "rossler": {"nodes": 5, "horizon": 0.5, "observations": 12},
}
SIZES = {
    "dysts": 3,
    "fitzhugh_nagumo": 6,
    "glycolysis": 7,
    "kuramoto": 6,
    "linear": 4,
    "lorenz96": 5,
    "lotka_volterra": 4,
    "rossler": 5,
}


def source(name: str, **options: object) -> BenchmarkSource:
    made = make_source(name, {"trajectories": 3, "test_trajectories": 1, **TINY[name], **options})
    assert isinstance(made, BenchmarkSource)
    return made


def load(name: str, **options: object) -> RawTrajectories:
    return source(name, **options).load({})


def original(raw: RawTrajectories) -> np.ndarray:
    """Observations (trajectory, time, feature) in the system's unit, where all have the same times."""
    return np.stack([trajectory.values * trajectory.scale for trajectory in raw.trajectories])


def test_every_benchmark_source_is_tried_here() -> None:
    assert {name for name in source_names() if issubclass(get_source(name), BenchmarkSource)} == set(TINY)


@pytest.mark.slow(reason="simulates whole datasets")
@pytest.mark.parametrize("name", TINY)
def test_a_dataset_is_made_and_its_options_described(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"trajectories": 3, "test_trajectories": 1, **TINY[name], "noise": 0.05}
    settings = {"source": name, "options": options, "validation": {"by": "time_blocks", "share": 0.2}}
    preprocess_dataset(name, settings, tmp_path, tmp_path / "data.h5ad")
    adata = read_trajectories(tmp_path / "data.h5ad")
    assert adata.n_vars == SIZES[name]
    assert len(adata.obs["trajectory"].cat.categories) == 3
    assert adata.obs["split"].value_counts().min() > 0
    truth = adata.varp["truth"].toarray()
    np.testing.assert_array_equal(truth != 0, source(name).build_system().edges())
    assert adata.varp["truth_known"].all()
    system = source(name).build_system()
    assert list(adata.var_names) == list(system.features)
    priors = {key for key in adata.varp if key.startswith("prior_")}
    assert priors == {f"prior_{key}" for key in system.published_truths()}
    # Features have a deviation of one where they move at all.
    fitted = (adata.obs["split"] != "test") & (adata.obs["phase"] == "fit")
    deviation = adata.layers["noise_free"][fitted.to_numpy()].std(axis=0)
    np.testing.assert_allclose(deviation[deviation > 0], 1.0, rtol=1e-4)

    assert main(["options", name]) == 0
    described = capsys.readouterr().out
    assert all(key in described for key in options)
    assert get_source(name).summary.rstrip(".") in described


@pytest.mark.slow(reason="reads, simulates or preprocesses whole datasets")
@pytest.mark.parametrize("name", TINY)
def test_the_system_comes_back_from_the_provenance(name: str) -> None:
    made = source(name)
    raw = made.load({})
    if name == "lotka_volterra":
        # Without noise in the dynamics a solve repeats the trajectories.
        made = source(name, step_noise=0.0)
        raw = made.load({})
    scale = np.stack([trajectory.scale for trajectory in raw.trajectories])
    provenance = json.loads(json.dumps({**raw.provenance, "options": made.options, "scale": scale.tolist()}))
    system = made.system_from_provenance(provenance)
    noise_free = np.stack([trajectory.noise_free for trajectory in raw.trajectories])
    times = raw.trajectories[0].times
    found = system.solve(noise_free[:, 0], times)
    np.testing.assert_allclose(found, noise_free, atol=1e-6)
    assert system.solve(noise_free[:, 0], np.stack([times, times, times])).shape == noise_free.shape
    if name == "kuramoto":
        with pytest.raises(UserError, match="the features of Kuramoto are not its variables, so none can be held"):
            system.solve(noise_free[:, 0], times, {0: 0.5})
    else:
        held = system.solve(noise_free[:, 0], times, {0: 0.5})
        np.testing.assert_allclose(held[:, :, 0], 0.5, rtol=1e-12)
        with pytest.raises(UserError, match="cannot hold"):
            system.solve(noise_free[:, 0], times, {99: 0.5})


def test_linear_trajectories_are_exact() -> None:
    made = source("linear", burn_in=0.7)
    raw, system = made.load({}), made.build_system()
    starts = system.draw_starts(made.generator_of_starts(), 3)
    times = raw.trajectories[0].times
    assert times[0] == 0.0
    assert times[12] == 1.0
    np.testing.assert_allclose(original(raw), system.solve(starts, 0.7 + times), rtol=1e-9, atol=1e-12)
    assert [trajectory.splits[0] for trajectory in raw.trajectories] == ["train", "train", "test"]
    assert raw.truth_signed
    np.testing.assert_array_equal(raw.truth, np.sign(system.matrix.T))


@pytest.mark.parametrize("unit", ["deviation", "system"])
def test_noise_has_its_unit(unit: str) -> None:
    options = {"horizon": 4.0, "observations": 900}
    plain, noisy = (load("linear", noise=noise, noise_unit=unit, **options) for noise in (0.0, 0.3))
    differences = original(noisy) - original(plain)
    scale = plain.trajectories[0].scale if unit == "deviation" else np.ones(4)
    np.testing.assert_allclose(differences.std(axis=(0, 1)), 0.3 * scale, rtol=0.05)
    for first, second in zip(plain.trajectories, noisy.trajectories, strict=True):
        np.testing.assert_array_equal(first.noise_free, second.noise_free)


def test_noise_in_the_dynamics_is_part_of_the_noise_free_states() -> None:
    plain, noisy, other = (load("lorenz96", process_noise=noise) for noise in (0.0, 0.2, 0.1))
    for trajectory in noisy.trajectories:
        np.testing.assert_array_equal(trajectory.values, trajectory.noise_free)
    shifts = [np.abs(original(raw) - original(plain)) for raw in (noisy, other)]
    assert shifts[0][:, -1].mean() > shifts[1][:, -1].mean() > 0.0
    # Those of GVAR are 1 per square root of time, whatever the deviation.
    still = load("lotka_volterra", alpha=1e-9, beta=1e-9, delta=1e-9, rho=1e-9, observations=400, eta=0.0, horizon=4.0)
    steps = np.diff(original(still), axis=1)
    assert steps.std() == pytest.approx(0.1, rel=0.03)
    assert np.all(original(still) >= 0.0)


def test_observations_are_left_out_of_training_only() -> None:
    whole, thinned = load("linear"), load("linear", share_kept=0.5)
    for trajectory, complete in zip(thinned.trajectories, whole.trajectories, strict=True):
        assert trajectory.times[0] == 0.0
        assert np.isin(trajectory.times, complete.times).all()
        rows = np.searchsorted(complete.times, trajectory.times)
        for name in ("values", "noise_free", "phases", "splits"):
            np.testing.assert_array_equal(getattr(trajectory, name), getattr(complete, name)[rows])
        is_training = complete.splits[0] == "train"
        fitted = int((trajectory.phases == "fit").sum())
        assert fitted == (7 if is_training else 13)
        assert int((trajectory.phases == "extrapolation").sum()) == 6
    first, second = thinned.trajectories[:2]
    assert not np.array_equal(first.times, second.times)


def test_single_entries_are_missing_at_random_in_training_only() -> None:
    raw = load("linear", missing=0.3, observations=500)
    for trajectory in raw.trajectories:
        absent = np.isnan(trajectory.values)
        fitted = (trajectory.splits == "train") & (trajectory.phases == "fit")
        assert not absent[~fitted].any()
        assert not absent[0].any()
        if fitted.any():
            assert absent[fitted].mean(axis=0) == pytest.approx([0.3] * 4, abs=0.07)
        assert np.isfinite(trajectory.noise_free).all()


def test_hidden_features_leave_all_others_as_they_are() -> None:
    whole, shown = load("lorenz96"), load("lorenz96", hidden=["x2", "x5"])
    assert shown.features == ("x1", "x3", "x4")
    columns = np.array([0, 2, 3])
    np.testing.assert_array_equal(original(shown), original(whole)[..., columns])
    np.testing.assert_array_equal(shown.truth, whole.truth[np.ix_(columns, columns)])
    assert shown.truth_known.shape == (3, 3)
    assert load("rossler", hidden=["x1"]).priors["ngm"].shape == (4, 4)
    made = source("lorenz96", hidden=["x2"])
    with pytest.raises(UserError, match="since variables are hidden"):
        made.system_from_provenance({"system": "lorenz96", "options": made.options, "scale": np.ones((1, 4))})


def test_without_self_effects_the_signs_of_prey_and_predators_are_told() -> None:
    raw = load("lotka_volterra")
    assert not raw.truth_signed
    assert raw.truth_known.all()
    raw = load("lotka_volterra", self_effects=False)
    assert raw.truth_signed
    np.testing.assert_array_equal(raw.truth_known, ~np.eye(4, dtype=bool))
    # Two pairs of partners each: all prey feed all predators.
    np.testing.assert_array_equal(raw.truth, [[0, 0, 1, 1], [0, 0, 1, 1], [-1, -1, 0, 0], [-1, -1, 0, 0]])


def test_a_parameter_can_be_changed() -> None:
    made = source("lorenz96", parameter_factors={"forcing": 0.5})
    assert made.build_system().forcing == 5.0
    np.testing.assert_array_equal(original(made.load({})), original(load("lorenz96", forcing=5.0)))
    again = made.system_from_provenance({"system": "lorenz96", "options": made.options, "scale": np.ones((1, 5))})
    assert again.system.forcing == 5.0
    assert again.with_parameter("forcing", 2.0).system.forcing == 10.0


@pytest.mark.parametrize("name", TINY)
def test_an_unknown_parameter_is_named_before_a_system_is_drawn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = source(name, parameter_factors={"couplin": 0.5})
    known = source(name)
    for parameter in known.parameter_names():
        assert source(name, parameter_factors={parameter: 1.0}).build_system().features == known.variables()
    monkeypatch.setattr(type(made), "make_system", lambda *_: pytest.fail("a system was made"))
    (problem,) = made.check()
    assert problem.startswith("parameter_factors: found 'couplin'; allowed: a parameter of the system, of which")


@pytest.mark.parametrize("name", ["kuramoto", "fitzhugh_nagumo", "linear"])
def test_names_of_a_drawn_system_take_no_draw(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = source(name, hidden=1)
    features = made.build_system().features
    monkeypatch.setattr(type(made), "make_system", lambda *_: pytest.fail("a system was drawn"))
    assert made.variables() == features
    outline = made.outline()
    assert outline is not None
    assert outline.features is not None
    assert len(outline.features) == len(features) - 1
    assert set(outline.features) < set(features)


def test_each_seed_is_another_dataset_and_noise_changes_no_start() -> None:
    first, again, other = (load("kuramoto", seed=seed, noise=0.1) for seed in (0, 0, 1))
    np.testing.assert_array_equal(original(first), original(again))
    assert not np.array_equal(original(first), original(other))
    louder = load("kuramoto", noise=0.3)
    np.testing.assert_array_equal(louder.trajectories[0].noise_free, first.trajectories[0].noise_free)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("linear", {"test_trajectories": 3}, "test_trajectories: found 3; allowed: fewer than trajectories, 3"),
        ("linear", {"strength": [2.0, 1.0]}, r"strength: found \[2\.0, 1\.0\]; allowed: the first not above"),
        ("kuramoto", {"frequency": [2.0, 1.0]}, r"frequency: found \[2\.0, 1\.0\]; allowed: the first not above"),
        ("lotka_volterra", {"species": 3}, "species: found 3; allowed: a multiple of partners, 2"),
        ("lotka_volterra", {"lowest_start": 200.0}, "lowest_start: found 200; allowed: at most 100"),
        ("dysts", {"points_per_period": 1.0}, "points_per_period: found 1, which makes 0 observations"),
        ("dysts", {"test_spread": 2.0}, "test_spread: found 2; allowed: 1, since starts are on the attractor"),
        ("dysts", {"system": "Lorens"}, "dysts has no system 'Lorens'; the nearest: Lorenz"),
        ("dysts", {"system": "Duffing"}, "Duffing is not a data source: its rates depend on the time"),
        ("lorenz96", {"hidden": ["y1"]}, "hidden: found 'y1'; allowed: a variable, of which the nearest are x1"),
        ("linear", {"hidden": ["x1", "x2", "x3", "x4"]}, "hidden: found all variables; allowed: all but one"),
    ],
)
def test_options_that_cannot_be_are_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(name, **options)


def test_dysts_is_sampled_by_its_period_or_its_lyapunov_time() -> None:
    made = source("dysts", system="Rucklidge", periods=4.0, points_per_period=30.0)
    system = made.build_system()
    assert made.interval() == (pytest.approx(4.0 * system.period), 120)
    longer = source("dysts", system="Rucklidge", lyapunov_times=2.0, points_per_period=30.0)
    horizon, observations = longer.interval()
    assert horizon == pytest.approx(2.0 * system.lyapunov_time)
    assert observations == round(30.0 * horizon / system.period)


@pytest.mark.slow(reason="simulates whole datasets")
def test_dysts_counts_the_starts_that_it_draws_again() -> None:
    assert load("dysts").provenance["redraws"] == 0
    assert load("dysts", system="SprottJerk", periods=1.0, trajectories=2).provenance["redraws"] > 0


def test_dysts_starts_are_the_same_with_noise_in_the_dynamics() -> None:
    plain, noisy = (original(load("dysts", drive_noise=noise)) for noise in (0.0, 0.05))
    np.testing.assert_allclose(plain[:, 0], noisy[:, 0], rtol=1e-12)
    assert (plain[:, 1:] != noisy[:, 1:]).all()


def test_the_documents_tell_of_every_source(repository: Path) -> None:
    lines = (repository / "docs" / "sources.md").read_text(encoding="utf-8").splitlines()
    named = [name for line in lines if line.startswith("| `") for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert sorted(named) == source_names()


def test_the_published_protocols_of_lorenz96_have_their_steps(repository: Path) -> None:
    file = yaml.safe_load((repository / "experiments" / "lorenz96.yaml").read_text(encoding="utf-8"))
    steps = {}
    for name, dataset in file["datasets"].items():
        made = make_source(dataset["source"], dataset["options"])
        horizon, observations = made.interval()
        assert observations == 1000
        assert made.burn_in == pytest.approx(1000 * horizon / observations)
        steps[name] = horizon / observations
    assert steps == pytest.approx({"lorenz96": 0.1, "lorenz96_missing": 0.1, "lorenz96_irregular": 0.05})
