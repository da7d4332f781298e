"""What all simulated sources share, and the stochastic scheme."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pytest

from sparsenode.data.simulated.source import EquationSource
from sparsenode.data.simulated.stochastic import solve_stochastic
from sparsenode.data.sources import make_source
from sparsenode.data.trajectories import Floats, RawTrajectories
from sparsenode.errors import UserError
from sparsenode.typed import read_settings


@dataclass(frozen=True)
class Decay:
    """x' = -x, y' = coupling x - 2 y, z' = -z."""

    coupling: float = 1.0
    variables: tuple[str, ...] = ("x", "y", "z")
    signed: bool = True

    def rates(self, states: Floats) -> Floats:
        x, y, z = np.moveaxis(states, -1, 0)
        return np.stack([-x, self.coupling * x - 2 * y, -z], axis=-1)

    def truth(self) -> Floats:
        signs = -np.eye(3)
        signs[0, 1] = 1
        return signs

    def draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        return generator.uniform(1, 2, size=(count, 3))

    def with_parameter(self, name: str, factor: float) -> "Decay":
        return replace(self, **{name: getattr(self, name) * factor})


class DecaySource(EquationSource):
    """Decay."""

    def make_system(self, _: np.random.Generator) -> Decay:
        return Decay()


def load(name: str, **options: object) -> RawTrajectories:
    small = {"trajectories": 5, "test_trajectories": 2, "observations": 20, **options}
    source = read_settings(DecaySource, small, "options") if name == "decay" else make_source(name, small)
    return source.load({})


def fingerprint(raw: RawTrajectories) -> str:
    digest = hashlib.sha256()
    for part in raw.trajectories:
        for array in (part.times, part.values, part.noise_free, part.scale):
            digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
        digest.update(",".join([*part.splits, *part.phases, part.name]).encode())
    return digest.update(raw.truth.tobytes()) or digest.hexdigest()


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("hill", {}, "45e99feefdb904229ed42fd858baea32d7993194dc359098cdd0a01d4a00ce76"),
        (
            "hill",
            {"seed": 3, "noise": 0.1, "trajectories": 6, "test_trajectories": 2},
            "4299eb13c7c23a987af41d18539f9c364b92d6f4f84f2a25e33f4ab1819d961e",
        ),
        ("second_order", {}, "0f7f538d56ea5f8cd1db381bf4dac46fa1246aad0c3b1e3d2f1284573a2fe7ef"),
        (
            "second_order",
            {"irregular": True, "noise": 0.05},
            "1bd41a4bf63e65722c6993fe38f9322bec744ad3ccc99a48dadfb743c2fc9d58",
        ),
    ],
)
def test_numbers_are_those_of_the_first_version(name: str, options: dict, expected: str) -> None:
    assert fingerprint(make_source(name, options).load({})) == expected


SOURCES = pytest.mark.parametrize("name", ["decay", "hill", "second_order"])


@SOURCES
def test_a_share_of_the_observations_is_the_same_ones_with_the_same_noise(name: str) -> None:
    whole, half = load(name, noise=0.1), load(name, noise=0.1, share_kept=0.5)
    for all_of, part in zip(whole.trajectories, half.trajectories, strict=True):
        rows = np.searchsorted(all_of.times, part.times)
        assert rows[0] == 0
        assert (part.phases == "fit").sum() == 11
        assert len(rows) == 16
        np.testing.assert_array_equal(all_of.times[rows], part.times)
        np.testing.assert_array_equal(all_of.values[rows], part.values)
    assert not np.array_equal(half.trajectories[0].times, half.trajectories[1].times)


@SOURCES
def test_missing_values_are_their_share_and_the_rest_is_unchanged(name: str) -> None:
    whole, gaps = load(name), load(name, missing=0.25)
    for all_of, part in zip(whole.trajectories, gaps.trajectories, strict=True):
        lost = np.isnan(part.values)
        assert not lost[0].any()
        assert lost.sum() == round(0.25 * lost[1:].size)
        np.testing.assert_array_equal(all_of.values[~lost], part.values[~lost])
        np.testing.assert_array_equal(all_of.noise_free, part.noise_free)


@SOURCES
def test_hidden_variables_are_in_neither_values_nor_truth(name: str) -> None:
    whole = load(name, noise=0.1)
    by_name, by_count = load(name, noise=0.1, hidden=[whole.features[1]]), load(name, noise=0.1, hidden=1)
    assert by_name.features == (whole.features[0], *whole.features[2:])
    for raw in (by_name, by_count):
        columns = [whole.features.index(feature) for feature in raw.features]
        assert len(columns) == len(whole.features) - 1
        np.testing.assert_array_equal(raw.truth, whole.truth[np.ix_(columns, columns)])
        np.testing.assert_array_equal(raw.truth_known, whole.truth_known[np.ix_(columns, columns)])
        np.testing.assert_array_equal(raw.trajectories[2].values, whole.trajectories[2].values[:, columns])
        np.testing.assert_array_equal(raw.trajectories[2].scale, whole.trajectories[2].scale[columns])


@SOURCES
def test_test_trajectories_start_farther_out(name: str) -> None:
    near, far = load(name), load(name, test_spread=2.0)
    start = [np.stack([part.noise_free[0] for part in raw.trajectories]) for raw in (near, far)]
    np.testing.assert_allclose(start[0][:3], start[1][:3], rtol=1e-9)
    center = start[0][:3].mean(axis=0)
    np.testing.assert_allclose(start[1][3:] - center, 2 * (start[0][3:] - center), atol=1e-9)


def test_after_a_burn_in_the_exact_solution_goes_on() -> None:
    early, late = load("decay"), load("decay", burn_in=1.0)
    first, other = early.trajectories[0], late.trajectories[0]
    assert other.times[0] == 0
    start, later = first.noise_free[0] * first.scale, other.noise_free[0] * other.scale
    np.testing.assert_allclose(later[[0, 2]], start[[0, 2]] * np.exp(-1), rtol=1e-8)


@pytest.mark.parametrize("name", ["decay", "hill"])
def test_process_noise_leaves_starts_and_is_no_observation_noise(name: str) -> None:
    still, driven = load(name), load(name, process_noise=0.3)
    part, path = still.trajectories[0], driven.trajectories[0]
    np.testing.assert_allclose(path.noise_free[0] * path.scale, part.noise_free[0] * part.scale)
    np.testing.assert_array_equal(path.noise_free, path.values)
    assert np.abs(path.values - part.values)[5:].max() > 0.05


def test_the_system_is_simulated_again_also_held_and_changed() -> None:
    raw = load("decay")
    part = raw.trajectories[0]
    source = DecaySource()
    system = source.system_from_provenance({"scale": part.scale[None]})
    start, times = part.noise_free[:1], part.times[None]
    np.testing.assert_allclose(source.solve(system, start, times)[0], part.noise_free, atol=1e-8)
    held = source.solve(system, start, times, {0: 0.0})[0] * part.scale
    np.testing.assert_allclose(held[:, 1], held[0, 1] * np.exp(-2 * part.times), atol=1e-8)
    without = source.solve(system.with_parameter("coupling", 0.0), start, times)[0] * part.scale
    np.testing.assert_allclose(without[:, 1], held[:, 1], atol=1e-8)
    assert without[-1, 0] > 0
    np.testing.assert_array_equal(raw.truth_known, np.ones((3, 3), dtype=bool))
    assert raw.truth.diagonal().tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("decay", {"test_trajectories": 5}, "test_trajectories: no trajectory is left for training"),
        ("decay", {"share_kept": 0.01}, "share_kept: 0.01 of 20 observations are fewer than 2"),
        ("decay", {"hidden": 2}, "hidden: found 2; allowed: 0 to 1"),
        ("hill", {"hidden": ["w"]}, "hidden: found w; allowed: gene_01"),
        ("second_order", {"burn_in": 1.0}, "burn_in: found 1; allowed: 0"),
    ],
)
def test_options_that_contradict_each_other(name: str, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(name, **changes)


def test_a_system_with_hidden_variables_is_not_simulated_again() -> None:
    for source in (DecaySource(hidden=1), make_source("hill", {"hidden": 1})):
        with pytest.raises(UserError, match="variables are hidden; set hidden to 0"):
            source.system_from_provenance({})


def ornstein_uhlenbeck(steps: int, diffusion: float, count: int = 1) -> Floats:
    return solve_stochastic(
        lambda states: -2.0 * states,
        lambda states: np.full_like(states, diffusion),
        np.full((count, 1), 3.0),
        np.tile([0.0, 0.5, 1.0], (count, 1)),
        np.random.default_rng(0),
        names=["x"],
        steps=steps,
    )[:, :, 0]


def test_the_mean_of_the_scheme_has_order_two() -> None:
    errors = [abs(ornstein_uhlenbeck(steps, 0.0)[0, -1] - 3 * np.exp(-2)) for steps in (10, 20, 40)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.1)


def test_moments_of_an_ornstein_uhlenbeck_process() -> None:
    count, diffusion = 20_000, 0.8
    ends = ornstein_uhlenbeck(50, diffusion, count)[:, -1]
    variance = diffusion**2 * (1 - np.exp(-4)) / 4
    assert ends.mean() == pytest.approx(3 * np.exp(-2), abs=5 * np.sqrt(variance / count))
    assert ends.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / count))


def test_a_system_that_leaves_every_bound_is_named() -> None:
    with pytest.raises(UserError, match=r"with noise up to time 9: x is not finite; take less process_noise"):
        solve_stochastic(
            lambda states: states**3,
            np.ones_like,
            np.ones((1, 1)),
            np.array([[0.0, 9.0]]),
            np.random.default_rng(0),
            names=["x"],
        )
