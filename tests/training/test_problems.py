"""What training is asked to solve: grids, relative losses, and which observations count."""

from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pytest
import torch

from sparsenode.data.windows import Rows, training_rows
from sparsenode.dynamics.solvers import dense_output_matrix
from sparsenode.errors import UserError
from sparsenode.settings import BootstrapSettings, MethodSettings, ModelSettings, SolverSettings, WindowSettings
from sparsenode.training import problems
from sparsenode.training.problems import (
    Problem,
    bootstrap_multipliers,
    check_validation,
    make_problem,
    make_problems,
)

SETTINGS = ModelSettings(solver=SolverSettings(step=0.5))


def rows(*lengths: float, level: float = 1.0) -> Rows:
    """Rows that start at 0 and stand at `level` from then on."""
    times = [np.array([0.0, 0.3 * length, length]) for length in lengths]
    shape = (len(lengths), 2)
    return Rows(
        initial=np.zeros(shape),
        initial_error=np.zeros(shape),
        velocity=np.zeros(shape),
        velocity_error=np.zeros(shape),
        at_start=np.ones(len(lengths), bool),
        times=times,
        observed=[np.array([[0.0, 0.0], [level, level], [level, level]]) for _ in lengths],
        weights=[np.ones(3) for _ in lengths],
    )


def held(problem_rows: Rows, intervals: int) -> torch.Tensor:
    """Node values of a forecast that holds the initial state."""
    return torch.zeros(1, len(problem_rows.times), 2 * (intervals + 1), 2)


def test_holding_the_state_has_the_relative_loss_one() -> None:
    for level in (1e-3, 1.0, 50.0):
        given = rows(2.0, 3.0, level=level)
        problem = make_problem(given, SETTINGS, np.array([1.0, 4.0]))
        assert problem.loss(held(given, problem.grid.intervals)).item() == pytest.approx(1.0, rel=1e-5)


def test_the_loss_of_the_study_is_the_plain_mean_squared_error() -> None:
    given = rows(2.0, 3.0, level=2.0)
    problem = make_problem(given, SETTINGS.changed(normalization="study"), np.ones(2))
    assert problem.loss(held(given, problem.grid.intervals)).item() == pytest.approx(4.0 * 2 / 3, rel=1e-5)


@pytest.mark.parametrize(("length", "intervals"), [(0.4, 1), (0.5, 1), (0.51, 2), (3.0, 6)])
def test_steps_are_as_many_as_the_longest_row_needs(length: float, intervals: int) -> None:
    problem = make_problem(rows(length, length / 2), SETTINGS, np.ones(2))
    assert problem.grid.intervals == intervals
    np.testing.assert_allclose(problem.grid.step[:, 0] * intervals, [length, length / 2], rtol=1e-6)


def test_a_row_counts_the_same_whatever_its_number_of_observations() -> None:
    short, long = rows(2.0), rows(2.0)
    long = replace(
        long,
        times=[np.array([0.0, *np.linspace(0.6, 2.0, 29)])],
        observed=[np.concatenate((np.zeros((1, 2)), np.full((29, 2), 1.0)))],
        weights=[np.ones(30)],
    )
    both = replace(
        short,
        initial=np.zeros((2, 2)),
        initial_error=np.zeros((2, 2)),
        velocity=np.zeros((2, 2)),
        at_start=np.ones(2, bool),
        times=[*short.times, *long.times],
        observed=[*short.observed, *long.observed],
        weights=[*short.weights, *long.weights],
    )
    problem = make_problem(both, SETTINGS.changed(normalization="study"), np.ones(2))
    loss = problem.loss(held(both, problem.grid.intervals)).item()
    assert loss == pytest.approx((2 / 3 + 29 / 30) / 2, rel=1e-5)


def test_windows_come_first_and_whole_trajectories_last(rotation: anndata.AnnData) -> None:
    settings = SETTINGS.changed(windows=WindowSettings(length=4, stride=2), whole_share=0.25)
    (until, windowed), (end, whole) = make_problems(rotation, settings)
    assert (until, end) == (0.75, 1.0)
    assert (len(windowed.positions), len(whole.positions)) == (15, 3)
    assert len(make_problems(rotation, settings.changed(whole_share=0.0))) == 1


@pytest.mark.parametrize("windows", [None, WindowSettings(length=4, stride=2)])
def test_holding_the_state_has_the_relative_loss_one_on_data(
    rotation: anndata.AnnData, windows: WindowSettings | None
) -> None:
    ((_, problem),) = make_problems(rotation, SETTINGS.changed(windows=windows))
    nodes = problem.positions.unsqueeze(1).expand(-1, problem.grid.intervals + 1, -1)
    nodes = torch.cat((nodes, torch.zeros_like(nodes)), dim=1).unsqueeze(0)
    assert problem.loss(nodes).item() == pytest.approx(1.0, rel=1e-5)


def test_each_row_is_read_at_its_own_times_with_its_own_weights(rotation: anndata.AnnData) -> None:
    """Against the definition: a mean over rows of weighted means over observations, features by their weight."""
    data = rotation.copy()
    rng = np.random.default_rng(0)
    data.obs["weight"] = rng.uniform(0.2, 3.0, data.n_obs)
    data.obs["time"] += 7.0 + np.linspace(0.0, 1.0, data.n_obs) ** 2  # another spacing in each trajectory
    data.var["weight"] = [0.3, 2.0]
    ((_, problem),) = make_problems(data, SETTINGS.changed(normalization="study"))
    given = training_rows(data, windows=None, smoothing=0, order=1)
    intervals = problem.grid.intervals
    nodes = torch.as_tensor(rng.normal(size=(1, len(given.times), 2 * (intervals + 1), 2)), dtype=torch.float32)
    errors = []
    for row, (times, observed) in enumerate(zip(given.times, given.observed, strict=True)):
        predicted = dense_output_matrix(times / float(problem.grid.step[row]), intervals) @ nodes[0, row].numpy()
        squares = (np.square(predicted - observed) * [0.3, 2.0]).mean(1)
        errors.append(np.average(squares, weights=given.weights[row]))
    assert problem.loss(nodes).item() == pytest.approx(np.mean(errors), rel=1e-4)


BATCHED = SETTINGS.changed(order=2, windows=WindowSettings(length=4, stride=2, batch=4))


def rows_of(problem: Problem, part: Problem) -> list[int]:
    """Which rows of a problem a part of it holds, by their positions."""
    return [int(torch.nonzero((problem.positions == one).all(1)).item()) for one in part.positions]


def test_an_iteration_solves_rows_of_its_own_without_repetition(rotation: anndata.AnnData) -> None:
    ((_, problem),) = make_problems(rotation, BATCHED)
    assert (len(problem.positions), problem.rows) == (15, 4)
    drawn = [rows_of(problem, problem.sample(iteration)) for iteration in range(60)]
    assert all(len(set(part)) == 4 for part in drawn)
    assert set().union(*drawn) == set(range(15))
    assert len({tuple(part) for part in drawn}) == 60
    assert rows_of(problem, problem.sample(7)) == drawn[7]


def test_a_sample_holds_all_that_belongs_to_its_rows(rotation: anndata.AnnData) -> None:
    data = rotation.copy()
    data.uns["sparsenode"]["known_observations"] = 2
    data.obs["time"] += np.linspace(0.0, 1.0, data.n_obs) ** 2
    for settings in (BATCHED, BATCHED.changed(velocity_observations=2)):
        ((_, problem),) = make_problems(data, settings)
        part = problem.sample(3)
        rows = rows_of(problem, part)
        for name in ("positions", "errors", "velocities", "velocity_errors", "learned"):
            assert torch.equal(getattr(part, name), getattr(problem, name)[rows])
        assert torch.equal(part.grid.step, problem.grid.step[rows])
        assert part.grid.intervals == problem.grid.intervals
        assert part.rows == 4
        assert part.sample(9) is part


@pytest.mark.parametrize("batch", [None, 15, 16, 1000])
def test_a_batch_as_large_as_the_problem_is_the_problem(rotation: anndata.AnnData, batch: int | None) -> None:
    ((_, problem),) = make_problems(rotation, BATCHED.changed(windows=WindowSettings(length=4, stride=2, batch=batch)))
    assert problem.rows == 15
    assert problem.sample(5) is problem


def test_whole_trajectories_are_drawn_in_batches_of_as_many_as_windows(rotation: anndata.AnnData) -> None:
    for batch, rows_solved in ((2, 2), (3, 3), (50, 3)):
        settings = BATCHED.changed(windows=WindowSettings(length=4, stride=2, batch=batch), whole_share=0.5)
        (_, windowed), (_, whole) = make_problems(rotation, settings)
        assert (windowed.rows, whole.rows) == (min(batch, len(windowed.positions)), rows_solved)
        assert len(whole.sample(0).positions) == rows_solved


# Windows observed at the same positions share one factor of the loss; with uneven times each has its own.
@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("normalization", ["relative", "study"])
def test_the_loss_of_a_sample_is_that_of_its_windows_alone(
    rotation: anndata.AnnData, normalization: str, uneven: bool
) -> None:
    data = rotation.copy()
    rng = np.random.default_rng(0)
    data.var["weight"] = [0.3, 2.0]
    if uneven:
        data.obs["weight"] = rng.uniform(0.2, 3.0, data.n_obs)
        data.obs["time"] += 7.0 + np.linspace(0.0, 1.0, data.n_obs) ** 2
    settings = SETTINGS.changed(normalization=normalization, windows=WindowSettings(length=4, stride=2, batch=4))
    ((_, problem),) = make_problems(data, settings)
    assert len(problem.loss.factor) == (15 if uneven else 1)
    given = training_rows(data, windows=(4, 2), smoothing=0, order=1)
    scale = 1.0
    if normalization == "relative":
        held_errors = [
            np.average((np.square(observed - start) * [0.3, 2.0]).mean(1), weights=weight)
            for observed, start, weight in zip(given.observed, given.initial, given.weights, strict=True)
        ]
        scale = float(np.mean(held_errors))
    part = problem.sample(11)
    intervals = part.grid.intervals
    nodes = torch.as_tensor(rng.normal(size=(1, 4, 2 * (intervals + 1), 2)), dtype=torch.float32)
    errors = []
    for place, row in enumerate(rows_of(problem, part)):
        step = given.times[row][-1] / intervals
        predicted = dense_output_matrix(given.times[row] / step, intervals) @ nodes[0, place].numpy()
        squares = (np.square(predicted - given.observed[row]) * [0.3, 2.0]).mean(1)
        errors.append(np.average(squares, weights=given.weights[row]))
    assert part.loss(nodes).item() == pytest.approx(np.mean(errors) / scale, rel=1e-4)


def test_samples_average_to_the_loss_of_the_whole_problem(rotation: anndata.AnnData) -> None:
    """Over many iterations; each has a standard error of its own."""
    ((_, problem),) = make_problems(rotation, SETTINGS.changed(windows=WindowSettings(length=4, stride=2, batch=5)))
    nodes = torch.randn(1, 15, 2 * (problem.grid.intervals + 1), 2, generator=torch.Generator().manual_seed(0))
    losses = np.array([part.loss(nodes[:, rows_of(problem, part)]).item() for part in map(problem.sample, range(300))])
    assert losses.std() > 0.01 * losses.mean()
    assert losses.mean() == pytest.approx(problem.loss(nodes).item(), abs=4 * losses.std() / 300**0.5)


@pytest.mark.parametrize("windows", [None, WindowSettings(length=4, stride=2)])
def test_a_time_scale_is_another_unit_of_time(rotation: anndata.AnnData, windows: WindowSettings | None) -> None:
    """Problems of (times, step, time scale) are those of (times / scale, step / scale, 1)."""
    scale = 0.4
    data, other = rotation.copy(), rotation.copy()
    for one in (data, other):
        one.uns["sparsenode"]["known_observations"] = 3
        one.X = one.X + 0.01 * np.random.default_rng(0).normal(size=one.X.shape).astype(np.float32)
    other.obs["time"] = other.obs["time"] / scale
    for velocity_observations in (None, 3):
        settings = SETTINGS.changed(order=2, windows=windows, velocity_observations=velocity_observations)
        ((_, scaled),) = make_problems(data, settings.changed(time_scale=scale))
        stretched = settings.changed(solver=SolverSettings(step=SETTINGS.solver.step / scale))
        ((_, plain),) = make_problems(other, stretched)
        assert scaled.grid.intervals == plain.grid.intervals
        for name in ("positions", "errors", "velocities", "velocity_errors", "learned"):
            torch.testing.assert_close(getattr(scaled, name), getattr(plain, name))
        assert scaled.velocities.any()
        assert bool(scaled.velocity_errors.any()) == (velocity_observations is not None)
        torch.testing.assert_close(scaled.grid.step, plain.grid.step)
        generator = torch.Generator().manual_seed(0)
        nodes = torch.randn(2, len(scaled.positions), 2 * (scaled.grid.intervals + 1), 2, generator=generator)
        torch.testing.assert_close(scaled.loss(nodes), plain.loss(nodes))


def test_rows_of_a_model_given_slopes_all_begin_with_its_own_velocity(rotation: anndata.AnnData) -> None:
    data = rotation.copy()
    data.uns["sparsenode"]["known_observations"] = 3
    settings = SETTINGS.changed(
        order=2, windows=WindowSettings(length=6, stride=6), whole_share=0.5, velocity_observations=3
    )
    for _, problem in make_problems(data, settings):
        assert problem.learned.all()
        assert problem.velocities.any()
    with pytest.raises(UserError, match=r"velocity_observations of the model is 4, .* given 3"):
        make_problems(data, settings.changed(velocity_observations=4))


def test_rows_that_start_where_a_trajectory_starts_learn_their_velocity(rotation: anndata.AnnData) -> None:
    ((_, problem),) = make_problems(rotation, SETTINGS.changed(order=2, windows=WindowSettings(length=6, stride=6)))
    assert problem.learned[:, 0].tolist() == [True, False] * 3
    assert problem.velocities.any()


@pytest.mark.parametrize("missing", [False, True])
def test_a_problem_moves_whole(rotation: anndata.AnnData, missing: bool) -> None:
    data = rotation.copy()
    data.X[5, 0] = np.nan if missing else data.X[5, 0]
    ((_, problem),) = make_problems(data, SETTINGS)
    moved = problem.to(torch.device("meta"))
    parts = [moved.positions, moved.errors, moved.velocities, moved.velocity_errors, moved.learned, moved.grid.step]
    of_loss = [part for part in vars(moved.loss).values() if part is not None]
    assert len(of_loss) == 5 + missing
    assert {part.device.type for part in (*parts, *of_loss)} == {"meta"}
    assert moved.grid.intervals == problem.grid.intervals
    ((_, batched),) = make_problems(rotation, BATCHED)
    assert batched.to(torch.device("meta")).batch == 4


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(UserError, match="never leave their initial states"):
        make_problem(rows(2.0, level=0.0), SETTINGS, np.ones(2))
    with pytest.raises(UserError, match="training row 1 have weight 0"):
        make_problem(replace(rows(2.0, 1.0), weights=[np.ones(3), np.zeros(3)]), SETTINGS, np.ones(2))
    with pytest.raises(UserError, match="no observations of split train"):
        make_problem(rows(), SETTINGS, np.ones(2))


def test_spans_beyond_the_memory_are_refused_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    message = (
        r"1,209,600,000 steps of 0\.5 .* needs at least .* GB, and .* set `solver\.step` of the model to [0-9.e+]+"
    )
    with pytest.raises(UserError, match=message) as refusal:
        make_problem(rows(604_800_000.0, 1.0), SETTINGS, np.ones(2))
    told = str(refusal.value).partition("`solver.step` of the model to ")[2].partition(" or more")[0]
    monkeypatch.setattr(problems, "factor_loss", lambda *_arguments, **_settings: None)
    make_problem(rows(604_800_000.0, 1.0), SETTINGS.changed(solver=SolverSettings(step=float(told))), np.ones(2))


def test_several_strengths_without_validation_are_refused_before_training(rotation: anndata.AnnData) -> None:
    several, one = (
        MethodSettings(regularizer="l1", strengths=(0.1, 1.0), options={}),
        MethodSettings(regularizer="l1", strengths=(0.1,), options={}),
    )
    with pytest.raises(UserError, match="no validation observations"):
        check_validation(rotation, SETTINGS, several)
    windows = SETTINGS.changed(windows=WindowSettings(length=4, stride=2))
    with pytest.raises(UserError, match="longest stretch of validation observations"):
        check_validation(rotation, windows, several)
    check_validation(rotation, windows, one)


@pytest.mark.parametrize("block", [None, 1, 4])
def test_blocks_of_a_trajectory_share_the_weight_that_a_seed_gives_them(
    rotation: anndata.AnnData, block: int | None
) -> None:
    drawn = bootstrap_multipliers(rotation, block, [3, 8])
    training = ((rotation.obs["split"] == "train") & (rotation.obs["phase"] == "fit")).to_numpy()
    names = rotation.obs["trajectory"].to_numpy()
    assert list(drawn) == [3, 8]
    for own in drawn.values():
        assert (own > 0).all()
        assert own[training].mean() == pytest.approx(1.0)
        for name in np.unique(names):
            parts = np.flatnonzero(names == name)
            for first in range(0, len(parts), block or len(parts)):
                assert np.ptp(own[parts[first : first + (block or len(parts))]]) == 0
    assert len(np.unique(drawn[3])) > 1
    assert not np.allclose(drawn[3], drawn[8])
    np.testing.assert_array_equal(bootstrap_multipliers(rotation, block, [8])[8], drawn[8])


def test_exponential_weights_have_the_bootstraps_mean_and_variance() -> None:
    from sparsenode.training.noise import draw_weights

    drawn = draw_weights(0, 20_000)
    assert drawn.mean() == pytest.approx(1.0, abs=0.03)
    assert drawn.var() == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(
    "windows", [None, WindowSettings(length=4, stride=2), WindowSettings(length=4, stride=2, batch=3)]
)
def test_the_loss_of_a_seed_weighs_every_observation_by_its_own_draw(
    rotation: anndata.AnnData, windows: WindowSettings | None
) -> None:
    settings = SETTINGS.changed(windows=windows, bootstrap=BootstrapSettings(block=2))
    seeds = [5, 1, 2]
    ((_, problem),) = make_problems(rotation, settings, seeds)
    ((_, plain),) = make_problems(rotation, settings.changed(bootstrap=None))
    own = problem.of_seeds([2, 2, 5])
    generator = torch.Generator().manual_seed(0)
    nodes = torch.randn(3, len(plain.positions), 2 * (plain.grid.intervals + 1), 2, generator=generator)
    found = own.loss(nodes)
    # Row by row, from the definition: the interpolant at every observation, its square error times the draw.
    row_settings = None if windows is None else (windows.length, windows.stride)
    given = training_rows(rotation, windows=row_settings, smoothing=0, order=1)
    multipliers = bootstrap_multipliers(rotation, 2, seeds)
    for member, seed in enumerate([2, 2, 5]):
        total = 0.0
        for row, times in enumerate(given.times):
            matrix = dense_output_matrix(times / float(plain.grid.step[row, 0]), plain.grid.intervals)
            error = np.square(matrix @ nodes[member, row].double().numpy() - given.observed[row])
            weight = given.weights[row] / given.weights[row].sum() / len(given.times)
            weight = weight * multipliers[seed][given.observations[row]]
            total += float(weight @ error @ (rotation.var["weight"].to_numpy() / 2))
        assert found[member].item() == pytest.approx(total / float(plain.loss.scale), rel=2e-4)
    assert plain.of_seeds([0, 1]) is plain
    sampled = own.sample(4)
    assert sampled.loss.projected.shape[:2] == (3, problem.rows)
    # Training draws the rows first, so that no member holds the loss of all of them.
    drawn = problem.sample(4).of_seeds([2, 2, 5])
    assert sampled.loss.columns is None
    for name in ("factor", "projected", "feature_weight", "constant", "scale"):
        assert torch.equal(getattr(sampled.loss, name), getattr(drawn.loss, name)), name


def test_a_bootstrap_in_which_all_share_one_weight_is_refused(rotation: anndata.AnnData) -> None:
    one = rotation[rotation.obs["trajectory"] == rotation.obs["trajectory"].iloc[0]].copy()
    one.obs["trajectory"] = one.obs["trajectory"].cat.remove_unused_categories()
    one.obs["split"] = "train"
    with pytest.raises(UserError, match="share one weight of the bootstrap"):
        bootstrap_multipliers(one, None, [0])
    assert len(np.unique(bootstrap_multipliers(one, 1, [0])[0])) > 1
