from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from sparsenode.data.sources import make_source
from sparsenode.data.sources.second_order import SecondOrderSource, System
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError
from sparsenode.typed import read_settings


def load(options: dict, files: dict[str, Path]) -> RawTrajectories:
    return make_source("second_order", options).load(files)


def source(**changes: object) -> SecondOrderSource:
    return read_settings(SecondOrderSource, changes, "options")


def options(**changes: object) -> dict:
    return source(**changes).options


@pytest.fixture(scope="module")
def raw() -> RawTrajectories:
    return load(options(), {})


def system_of(raw: RawTrajectories) -> System:
    scale = np.stack([part.scale for part in raw.trajectories])
    return make_source("second_order", {}).system_from_provenance(
        {"options": options(), "scale": scale, **raw.provenance}
    )


def test_one_damped_oscillator_has_its_textbook_solution() -> None:
    stiffness, damping, times = 2.0, 0.3, np.linspace(0.0, 20.0, 50)
    system = System(np.array([stiffness]), np.array([damping]), np.zeros((1, 1)), -0.5 / np.tanh(1.5), np.ones(1))
    found = system.solve(np.array([[1.5]]), times[None])[0, :, 0]
    rate, frequency = damping / 2, np.sqrt(stiffness - damping**2 / 4)
    amplitude = (-0.5 + rate * 1.5) / frequency
    expected = np.exp(-rate * times) * (1.5 * np.cos(frequency * times) + amplitude * np.sin(frequency * times))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.slow(reason="solves to a reference's precision")
@pytest.mark.parametrize("irregular", [False, True])
def test_trajectories_solve_the_equations_that_are_given_with_them(irregular: bool) -> None:
    raw = load(options(trajectories=3, test_trajectories=1, irregular=irregular, seed=3), {})
    system = system_of(raw)
    for part in raw.trajectories:
        start = part.noise_free[0]
        # The initial velocity is a function of the initial position in its own unit.
        velocity = 0.5 * np.tanh(start * part.scale) / part.scale

        def rate(_: float, state: np.ndarray) -> np.ndarray:
            position, speed = np.split(state, 2)
            return np.concatenate(
                [speed, -system.stiffness * position - system.damping * speed + system.coupling @ position]
            )

        solution = solve_ivp(
            rate, (0, 15), np.concatenate([start, velocity]), "DOP853", part.times, rtol=1e-10, atol=1e-12
        )
        np.testing.assert_allclose(part.noise_free, solution.y[:5].T, atol=1e-7)


def test_the_truth_is_read_from_source_to_target(raw: RawTrajectories) -> None:
    system = system_of(raw)
    for source in range(5):
        push = np.zeros(5)
        push[source] = 1.0
        np.testing.assert_array_equal(np.sign(system.coupling @ push), raw.truth[source])
    assert not raw.truth.diagonal().any()
    assert 5 <= np.count_nonzero(raw.truth) <= 10  # one or two incoming couplings each
    assert set(np.count_nonzero(raw.truth, axis=0)) <= {1, 2}


def test_positions_have_unit_variance_in_training_and_are_still_visible_at_the_end(raw: RawTrajectories) -> None:
    training = [part for part in raw.trajectories if part.splits[0] == "train"]
    fitted = np.vstack([part.noise_free[part.phases == "fit"] for part in training])
    np.testing.assert_allclose(fitted.std(axis=0), 1.0, atol=1e-12)
    late = np.vstack([part.noise_free[part.times > 14] for part in training])
    assert (late.std(axis=0) > 0.2).all()


def test_the_default_times_and_splits(raw: RawTrajectories) -> None:
    assert len(raw.trajectories) == 30
    assert [part.splits[0] for part in raw.trajectories] == ["train"] * 24 + ["test"] * 6
    for part in raw.trajectories:
        np.testing.assert_allclose(part.times, np.arange(151) / 10, atol=1e-12)
        assert (part.phases == np.repeat(["fit", "extrapolation"], [101, 50])).all()
        np.testing.assert_array_equal(part.values, part.noise_free)


def test_irregular_times_differ_between_trajectories_and_fill_both_phases() -> None:
    raw = load(options(irregular=True), {})
    assert not np.array_equal(raw.trajectories[0].times, raw.trajectories[1].times)
    for part in raw.trajectories:
        assert part.times[0] == 0
        assert (np.diff(part.times) > 0).all()
        assert (part.phases == np.where(part.times <= 10, "fit", "extrapolation")).all()
        assert (part.phases == "fit").sum() == 101
        assert part.times[-1] <= 15


def test_noise_changes_the_observations_and_nothing_else(raw: RawTrajectories) -> None:
    noisy = load(options(noise=0.1), {})
    difference = np.stack([a.values - b.values for a, b in zip(noisy.trajectories, raw.trajectories, strict=True)])
    assert difference.std() == pytest.approx(0.1, rel=0.05)
    assert abs(difference.mean()) < 0.005
    for noisy_part, part in zip(noisy.trajectories, raw.trajectories, strict=True):
        np.testing.assert_array_equal(noisy_part.noise_free, part.noise_free)


def test_same_seed_same_data_other_seed_other_system(raw: RawTrajectories) -> None:
    again, other = load(options(), {}), load(options(seed=1), {})
    np.testing.assert_array_equal(again.trajectories[7].values, raw.trajectories[7].values)
    assert not np.array_equal(other.provenance["coupling"], raw.provenance["coupling"])


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), oscillators=st.integers(3, 8))
def test_every_system_drawn_is_stable_and_within_its_ranges(seed: int, oscillators: int) -> None:
    system = source(oscillators=oscillators, seed=seed).draw_system()
    assert np.linalg.eigvals(system.first_order()).real.max() < 0
    strengths = np.abs(system.coupling[system.coupling != 0])
    assert ((strengths >= 0.3) & (strengths <= 0.6)).all()
    assert ((system.stiffness >= 0.64) & (system.stiffness <= 4)).all()
    assert ((system.damping >= 0.05) & (system.damping <= 0.15)).all()


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coupling": [50.0, 60.0], "couplings_per_oscillator": [4, 4]}, "none of 1000 systems drawn is stable"),
        ({"frequency": [2.0, 1.0]}, r"frequency \[2.0, 1.0\]: the first must not be above the second"),
        ({"couplings_per_oscillator": [1, 5]}, "more couplings than there are other oscillators"),
        ({"test_trajectories": 30}, "so that one is left for training"),
    ],
)
def test_options_that_allow_no_system(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(options(**changes), {})


def integrate(system: System, start: np.ndarray, times: np.ndarray, clamp: dict[int, float]) -> np.ndarray:
    """One trajectory (time, oscillator) by a general solver, from the equations of the free oscillators alone."""
    free = [index for index in range(len(start)) if index not in clamp]
    whole = start.copy()
    whole[list(clamp)] = list(clamp.values())

    def rate(_: float, state: np.ndarray) -> np.ndarray:
        whole[free], speed = np.split(state, 2)
        force = system.coupling[free] @ whole - system.stiffness[free] * whole[free]
        return np.concatenate([speed, force - system.damping[free] * speed])

    speed = (system.velocity * np.tanh(start * system.scale) / system.scale)[free]
    first = np.concatenate([start[free], speed])
    found = solve_ivp(rate, (0.0, times[-1]), first, "DOP853", times, rtol=1e-11, atol=1e-12).y[: len(free)].T
    result = np.empty((len(times), len(start)))
    result[:, free] = found
    result[:, list(clamp)] = list(clamp.values())
    return result


@pytest.mark.slow(reason="solves to a reference's precision")
@pytest.mark.parametrize("clamp", [{}, {0: -1.5}, {3: 0.0}, {1: 2.0, 4: -0.5}, dict.fromkeys(range(1, 5), 0.1)])
def test_a_clamped_system_solves_the_equations_of_what_is_free(raw: RawTrajectories, clamp: dict[int, float]) -> None:
    system, times = system_of(raw), np.linspace(0.0, 12.0, 25)
    starts = np.stack([part.noise_free[0] for part in raw.trajectories[:3]])
    before = starts.copy()
    found = system.solve(starts, np.tile(times, (3, 1)), clamp)
    for row, start in enumerate(starts):
        np.testing.assert_allclose(found[row], integrate(system, start, times, clamp), atol=1e-7)
    np.testing.assert_array_equal(found[:, :, list(clamp)], np.broadcast_to(list(clamp.values()), (3, 25, len(clamp))))
    np.testing.assert_array_equal(starts, before)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0, 1))
@settings(max_examples=20)
def test_a_clamped_solution_is_affine_in_the_value(one: float, other: float, share: float) -> None:
    system = source(oscillators=3).draw_system().scaled(np.array([0.5, 1.0, 2.0]))
    times = np.linspace(0.0, 5.0, 7)[None]

    def held_at(value: float) -> np.ndarray:
        return system.solve(np.array([[0.3, -0.2, 0.9]]), times, {1: value})

    mixed = held_at(share * one + (1 - share) * other)
    np.testing.assert_allclose(mixed, share * held_at(one) + (1 - share) * held_at(other), atol=1e-9)


def test_without_a_clamp_the_trajectories_come_back(raw: RawTrajectories) -> None:
    part = raw.trajectories[-1]
    found = system_of(raw).solve(part.noise_free[:1], part.times[None])
    np.testing.assert_allclose(found[0], part.noise_free, atol=1e-9)


def test_what_cannot_be_held_or_simulated_again_is_named(raw: RawTrajectories) -> None:
    with pytest.raises(UserError, match="cannot hold oscillator 5: the system has the oscillators 0 to 4"):
        system_of(raw).solve(np.zeros((1, 5)), np.zeros((1, 2)), {5: 0.0})
    with pytest.raises(UserError, match=r"no stiffness, damping, options, scale, so it is not that of .* second_order"):
        make_source("second_order", {}).system_from_provenance({"coupling": np.zeros((2, 2))})


@pytest.mark.parametrize("factor", [0.5, 1.25])
def test_changed_couplings_are_those_of_the_same_draw_from_the_same_starts(factor: float) -> None:
    same, changed = load(options(), {}), load(options(parameter_factors={"coupling": factor}), {})
    np.testing.assert_array_equal(same.truth, changed.truth)
    scales = [data.trajectories[0].scale for data in (same, changed)]
    couplings = [
        np.asarray(data.provenance["coupling"]) * scale[:, None] / scale[None, :]
        for data, scale in zip((same, changed), scales, strict=True)
    ]
    np.testing.assert_allclose(couplings[1], factor * couplings[0], rtol=1e-12)
    np.testing.assert_array_equal(same.provenance["damping"], changed.provenance["damping"])
    first, second = same.trajectories[3], changed.trajectories[3]
    np.testing.assert_allclose(first.noise_free[0] * scales[0], second.noise_free[0] * scales[1], rtol=1e-12)
    system = system_of(same).with_parameter("coupling", factor)
    solved = system.solve(first.noise_free[:1], first.times)[0]
    np.testing.assert_allclose(solved * scales[0], second.noise_free * scales[1], rtol=1e-7, atol=1e-9)


def test_couplings_that_let_the_oscillators_grow_beyond_all_numbers_are_refused() -> None:
    with pytest.raises(UserError, match=r"grow by a factor of e\^.* beyond all numbers by time 15; take earlier times"):
        load(options(parameter_factors={"coupling": 1e5}), {})
