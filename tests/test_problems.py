"""What training is asked to solve: grids, relative losses, and which observations count."""

from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pytest
import torch

from sparsenode.errors import UserError
from sparsenode.problems import check_validation, make_problem, make_problems
from sparsenode.settings import MethodSettings, ModelSettings, SolverSettings, WindowSettings
from sparsenode.solvers import dense_output_matrix
from sparsenode.windows import Rows, training_rows

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
    problem = make_problem(given, replace(SETTINGS, normalization="study"), np.ones(2))
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
    problem = make_problem(both, replace(SETTINGS, normalization="study"), np.ones(2))
    loss = problem.loss(held(both, problem.grid.intervals)).item()
    assert loss == pytest.approx((2 / 3 + 29 / 30) / 2, rel=1e-5)


def test_windows_come_first_and_whole_trajectories_last(rotation: anndata.AnnData) -> None:
    settings = replace(SETTINGS, windows=WindowSettings(4, 2), whole_share=0.25)
    (until, windowed), (end, whole) = make_problems(rotation, settings)
    assert (until, end) == (0.75, 1.0)
    assert (len(windowed.positions), len(whole.positions)) == (15, 3)
    assert len(make_problems(rotation, replace(settings, whole_share=0.0))) == 1


@pytest.mark.parametrize("windows", [None, WindowSettings(4, 2)])
def test_holding_the_state_has_the_relative_loss_one_on_data(
    rotation: anndata.AnnData, windows: WindowSettings | None
) -> None:
    ((_, problem),) = make_problems(rotation, replace(SETTINGS, windows=windows))
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
    ((_, problem),) = make_problems(data, replace(SETTINGS, normalization="study"))
    given = training_rows(data, windows=None, smoothing=0, order=1)
    intervals = problem.grid.intervals
    nodes = torch.as_tensor(rng.normal(size=(1, len(given.times), 2 * (intervals + 1), 2)), dtype=torch.float32)
    errors = []
    for row, (times, observed) in enumerate(zip(given.times, given.observed, strict=True)):
        predicted = dense_output_matrix(times / float(problem.grid.step[row]), intervals) @ nodes[0, row].numpy()
        squares = (np.square(predicted - observed) * [0.3, 2.0]).mean(1)
        errors.append(np.average(squares, weights=given.weights[row]))
    assert problem.loss(nodes).item() == pytest.approx(np.mean(errors), rel=1e-4)


def test_rows_that_start_where_a_trajectory_starts_learn_their_velocity(rotation: anndata.AnnData) -> None:
    ((_, problem),) = make_problems(rotation, replace(SETTINGS, order=2, windows=WindowSettings(6, 6)))
    assert problem.learned[:, 0].tolist() == [True, False] * 3
    assert problem.velocities.any()


def test_a_problem_moves_whole(rotation: anndata.AnnData) -> None:
    ((_, problem),) = make_problems(rotation, SETTINGS)
    moved = problem.to(torch.device("meta"))
    parts = [moved.positions, moved.errors, moved.velocities, moved.learned, moved.grid.step]
    assert {part.device.type for part in (*parts, *vars(moved.loss).values())} == {"meta"}
    assert moved.grid.intervals == problem.grid.intervals


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(UserError, match="never leave their initial states"):
        make_problem(rows(2.0, level=0.0), SETTINGS, np.ones(2))
    with pytest.raises(UserError, match="training row 1 have weight 0"):
        make_problem(replace(rows(2.0, 1.0), weights=[np.ones(3), np.zeros(3)]), SETTINGS, np.ones(2))
    with pytest.raises(UserError, match="no observations of split train"):
        make_problem(rows(), SETTINGS, np.ones(2))


def test_several_strengths_without_validation_are_refused_before_training(rotation: anndata.AnnData) -> None:
    several, one = MethodSettings("l1", (0.1, 1.0), {}), MethodSettings("l1", (0.1,), {})
    with pytest.raises(UserError, match="no validation observations"):
        check_validation(rotation, SETTINGS, several)
    windows = replace(SETTINGS, windows=WindowSettings(4, 2))
    with pytest.raises(UserError, match="longest stretch of validation observations"):
        check_validation(rotation, windows, several)
    check_validation(rotation, windows, one)
