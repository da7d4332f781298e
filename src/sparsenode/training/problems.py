"""What a training step solves and compares with, made once from a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sparsenode.data.contract import read_metadata, replace_entries, training_mask, trajectory_slices
from sparsenode.data.missing import deviation_observed, is_complete, largest_observed, mean_observed
from sparsenode.data.windows import Rows, make_windows, training_rows
from sparsenode.dynamics.solvers import ExactLoss, Grid, factor_loss, group_features, stack_losses
from sparsenode.ensemble.choice import time_blocks
from sparsenode.ensemble.device import usable_memory
from sparsenode.ensemble.memory import a_step_helps, count_steps, describe_steps, loss_bytes
from sparsenode.ensemble.starts import GivenStarts, given_starts
from sparsenode.errors import UserError
from sparsenode.settings import AUTO, MethodSettings, ModelSettings
from sparsenode.training.noise import draw_rows, draw_weights

if TYPE_CHECKING:
    from anndata import AnnData


_FACTOR_COPIES = 2  # a factor before and after it is filled up to the rank of all


@dataclass(frozen=True)
class Problem:
    """Rows to solve: positions and velocities with their standard errors (row, feature), grid and loss.

    `learned` (row, 1) tells where a second-order model gives the velocity itself. An iteration takes `batch` rows, or
    all of them. With learned starts `groups` (row,) are numbers of those in `given`. `standards` (2, feature) are
    centers and spreads of the variables, where the network sees standardized states. Where `seeds` weigh observations
    differently the loss has one entry for each of them, and `of_seeds` gives that of members.
    """

    positions: Tensor
    errors: Tensor
    velocities: Tensor
    velocity_errors: Tensor
    learned: Tensor
    grid: Grid
    loss: ExactLoss
    batch: int | None = None
    groups: Tensor | None = None
    given: GivenStarts | None = None
    seeds: tuple[int, ...] = ()
    standards: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """Rows that an iteration solves."""
        return min(len(self.positions), self.batch or len(self.positions))

    def of_seeds(self, seeds: Sequence[int]) -> Problem:
        """The problem of members with these seeds."""
        if not self.seeds:
            return self
        members = _places(self.seeds, tuple(seeds), self.positions.device)
        return replace(self, loss=self.loss.of_members(members), seeds=())

    def sample(self, iteration: int) -> Problem:
        """The rows of an iteration."""
        if self.rows == len(self.positions):
            return self
        return self.take(draw_rows(iteration, len(self.positions), self.rows).to(self.positions.device))

    def take(self, rows: Tensor) -> Problem:
        """Some rows, by their numbers, as those of an iteration."""
        return Problem(
            self.positions[rows],
            self.errors[rows],
            self.velocities[rows],
            self.velocity_errors[rows],
            self.learned[rows],
            Grid(self.grid.intervals, self.grid.step[rows]),
            self.loss.select(rows),
            groups=None if self.groups is None else self.groups[rows],
            given=self.given,
            seeds=self.seeds,
            standards=self.standards,
        )

    def to(self, device: torch.device) -> Problem:
        """The same problem on another device."""
        return Problem(
            self.positions.to(device),
            self.errors.to(device),
            self.velocities.to(device),
            self.velocity_errors.to(device),
            self.learned.to(device),
            Grid(self.grid.intervals, self.grid.step.to(device)),
            self.loss.to(device),
            self.batch,
            None if self.groups is None else self.groups.to(device),
            self.given,
            self.seeds,
            self.standards,
        )


@lru_cache(maxsize=16)  # asked for in every iteration with batches, in which a GPU should not wait for the host
def _places(among: tuple[int, ...], seeds: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor([among.index(seed) for seed in seeds], device=device)


def make_problem(
    rows: Rows,
    settings: ModelSettings,
    feature_weight: np.ndarray,
    *,
    batch: int | None = None,
    starts: GivenStarts | None = None,
    multipliers: Mapping[int, np.ndarray] | None = None,
    standards: np.ndarray | None = None,
) -> Problem:
    """Grid and exact loss of training rows.

    All rows have the same number of steps, enough for the longest at `solver.step`. Each row counts the same, as the
    mean over its observations. A relative loss is 1 for holding the initial state.

    Where entries are missing, the error of a feature is the mean over those that are observed, each observation with
    the weight that it has otherwise, and the loss is the same weighted sum over the features. A feature that no row
    observes has no share in it.

    Args:
        rows: the training rows.
        settings: the settings of the model.
        feature_weight: (feature,) weights of the features in the loss.
        batch: number of rows of one iteration; all where it is None.
        starts: the starts from which learned ones begin.
        multipliers: (observation,) of the weights, by seed; they make the loss one of each seed.
        standards: (2, feature) what states are standardized by.

    Raises:
        UserError: there is nothing to learn from, or the steps from the first to the last observation are more than the
            memory can hold.
    """
    if not rows.times:
        raise UserError("there are no observations of split train and phase fit to train on; check the splits")
    empty = [number for number, weight in enumerate(rows.weights) if weight.sum() <= 0]
    if empty:
        raise UserError(
            f"all observations of training row {empty[0]} have weight 0; give one at least a weight above 0"
        )
    durations = np.array([times[-1] for times in rows.times])
    intervals = count_steps(float(durations.max()), settings.solver.step)
    _check_steps(rows, intervals, settings)
    step = np.where(durations > 0, durations, 1.0) / intervals
    weights = [weight / weight.sum() / len(rows.times) for weight in rows.weights]
    per_feature = feature_weight / len(feature_weight)
    complete = all(is_complete(observed) for observed in rows.observed)
    if not complete:
        pairs = zip(weights, rows.observed, strict=True)
        observed_weight = np.sum([weight @ ~np.isnan(observed) for weight, observed in pairs], axis=0)
        per_feature = np.where(observed_weight > 0, per_feature / np.where(observed_weight > 0, observed_weight, 1), 0)
    scale = 1.0
    if settings.normalization == "relative":
        scale = sum(
            float(weight @ (squares if complete else np.nan_to_num(squares)) @ per_feature)
            for weight, observed, initial in zip(weights, rows.observed, rows.initial, strict=True)
            for squares in [np.square(observed - initial)]
        )
    if scale <= 0:
        raise UserError("the training data never leave their initial states, so there is nothing to learn from them")
    positions = [times / row_step for times, row_step in zip(rows.times, step, strict=True)]
    loss_of = partial(
        factor_loss, positions, rows.observed, feature_weight=per_feature, intervals=intervals, scale=scale
    )
    if multipliers is None:
        loss = loss_of(weights)
    else:
        loss = stack_losses(
            [
                loss_of([weight * by[indices] for weight, indices in zip(weights, rows.observations, strict=True)])
                for by in multipliers.values()
            ]
        )
    return Problem(
        torch.as_tensor(rows.initial, dtype=torch.float32),
        torch.as_tensor(rows.initial_error, dtype=torch.float32),
        torch.as_tensor(rows.velocity * settings.time_scale, dtype=torch.float32),
        torch.as_tensor(rows.velocity_error * settings.time_scale, dtype=torch.float32),
        torch.as_tensor(rows.at_start)[:, None],
        Grid(intervals, torch.as_tensor(step / settings.time_scale, dtype=torch.float32)[:, None]),
        loss,
        batch,
        None if starts is None else torch.as_tensor(starts.rows_of(rows.groups, rows.initial)),
        starts,
        () if multipliers is None else tuple(multipliers),
        standards,
    )


def _check_steps(rows: Rows, intervals: int, settings: ModelSettings) -> None:
    """Refuse a loss that is larger than the memory, before any of it is allocated."""
    needed = loss_bytes(max(len(times) for times in rows.times), intervals)
    # Rows observed at the same times share what their loss is factored into; every other row has its own.
    needed += sum(
        loss_bytes(len(times), intervals) // 3 for times in {row.tobytes(): row for row in rows.times}.values()
    )
    nodes = 2 * (intervals + 1)
    if not all(is_complete(observed) for observed in rows.observed):
        # Every group of features has a factor for each row, at most one of so many rows as it has node values.
        groups = len(group_features(rows.observed, nodes))
        needed += groups * sum(8 * _FACTOR_COPIES * min(len(times), nodes) * nodes for times in rows.times)
    usable = usable_memory("cpu")
    if needed <= usable:
        return
    if settings.windows is not None and not a_step_helps(intervals, needed, usable):
        # The loss is that of all windows, whatever the batch.
        raise UserError(
            f"the loss of {len(rows.times):,} windows needs {needed / 1e9:.1f} GB, and {usable / 1e9:.1f} GB may be "
            "used here: set a larger `windows.stride` of the model"
        )
    windows = settings.windows is not None
    raise UserError(describe_steps(intervals, settings.solver.step, needed, usable, windows=windows))


def training_standards(adata: AnnData) -> np.ndarray:
    """Mean and standard deviation (2, feature) of what is observed in the training observations.

    The deviation is 1 for a variable that hardly changes: below a millionth of its size rounding would take the rest.
    """
    is_training = training_mask(adata.obs["split"], adata.obs["phase"])
    values = np.asarray(adata.X, dtype=np.float64)[is_training]
    spread = deviation_observed(values)
    moves = spread > 1e-6 * largest_observed(np.abs(values))
    return np.stack((mean_observed(values), np.where(moves, spread, 1.0)))


def bootstrap_multipliers(adata: AnnData, block: int | None, seeds: Sequence[int]) -> dict[int, np.ndarray]:
    """Multipliers (observation,) of the observations' weights for every seed, of mean 1 over the training data.

    Args:
        adata: the trajectories.
        block: number of consecutive observations of a trajectory that share one multiplier, or all of it where it is
            None (see `sparsenode.settings.BootstrapSettings`).
        seeds: the seeds.

    Raises:
        UserError: all training observations would share one multiplier.
    """
    training = training_mask(adata.obs["split"], adata.obs["phase"])
    numbers = np.zeros(adata.n_obs, dtype=np.int64)
    count = 0
    for rows in trajectory_slices(adata).values():
        length = rows.stop - rows.start
        within = np.arange(length) // (block or length)
        numbers[rows] = count + within
        count += int(within[-1]) + 1
    if len(np.unique(numbers[training])) < 2:
        raise UserError(
            "all training observations would share one weight of the bootstrap, which changes nothing; set "
            "`bootstrap.block` of the model to a number of observations (1 where they are independent)"
        )
    drawn = {}
    for seed in seeds:
        seed_weights = draw_weights(seed, count)[numbers]
        drawn[seed] = seed_weights / seed_weights[training].mean()
    return drawn


def bootstrap_of_seeds(adata: AnnData, settings: ModelSettings, seeds: Sequence[int]) -> dict[int, np.ndarray] | None:
    """The `bootstrap_multipliers` of a model's seeds; None for a model without a bootstrap."""
    return None if settings.bootstrap is None else bootstrap_multipliers(adata, settings.bootstrap.block, seeds)


def make_problems(
    adata: AnnData, settings: ModelSettings, seeds: Sequence[int] = (0,), starts: GivenStarts | None = None
) -> list[tuple[float, Problem]]:
    """The problems of a training run: (share of the iterations until which it is trained on, problem), in order.

    Windows first where there are any, whole trajectories in the last `whole_share` of the iterations.

    Args:
        adata: the trajectories.
        settings: the settings of the model.
        seeds: seeds of the members, which matter only for a bootstrap.
        starts: the starts from which learned ones begin; those of the trajectories where it is None.
    """
    multipliers = bootstrap_of_seeds(adata, settings, seeds)
    windows = settings.windows
    rows_of = partial(
        training_rows,
        adata,
        smoothing=settings.smoothing,
        order=settings.order,
        velocity_observations=settings.velocity_observations,
    )
    common = partial(
        make_problem,
        settings=settings,
        feature_weight=adata.var["weight"].to_numpy(dtype=float),
        multipliers=multipliers,
        standards=training_standards(adata) if settings.standardize else None,
    )
    problems = []
    if windows is not None and settings.whole_share < 1.0:
        rows = rows_of(windows=(windows.length, windows.stride))
        problems.append((1.0 - settings.whole_share, common(rows, batch=windows.batch)))
    if windows is None or settings.whole_share > 0.0:
        rows = rows_of(windows=None)
        given = (starts or given_starts(adata)) if settings.starts == "learned" else None
        problems.append((1.0, common(rows, starts=given, batch=windows.batch if windows is not None else None)))
    return problems


def make_validation(adata: AnnData, settings: ModelSettings) -> Problem | None:
    """The solves that tell whether a start forecasts validation observations; None where there are too few of them.

    Windows where the model has them, else whole trajectories, over the validation observations of the fit phase. With
    learned starts these begin where the training trajectories of their groups do; None where a group has none.

    Args:
        adata: the trajectories.
        settings: the settings of the model.
    """
    try:
        # Groups of learned starts have the numbers that they have in training.
        starts = given_starts(adata) if settings.starts == "learned" else None
        return make_problems(_exchange_splits(adata), settings.changed(bootstrap=None), starts=starts)[0][1]
    except UserError:
        return None


def _exchange_splits(adata: AnnData) -> AnnData:
    """The trajectories with what is held out for validation in place of the training data."""
    split = adata.obs["split"].astype(str)
    held_out = adata.obs.assign(split=split.map({"validation": "train", "train": "validation"}).fillna(split))
    return replace_entries(adata, obs=held_out)


def make_judge(adata: AnnData, settings: ModelSettings) -> tuple[Problem, np.ndarray]:
    """Forecasts of the validation observations (phase fit), by which strengths are compared while they are trained.

    As evaluation has them: windows where the model can forecast from them, else whole trajectories, all observations
    and variables alike. The errors of a row of the problem are those of a cluster, `row_losses`.

    Args:
        adata: the trajectories.
        settings: the settings of the model.

    Returns:
        The problem, and the cluster (row,) of each of its rows: its trajectory, or where all are of one its block of
        time.

    Raises:
        UserError: no validation observations can be forecast.
    """
    windows = settings.windows if settings.forecasts_from_windows else None
    rows = training_rows(
        _exchange_splits(adata),
        windows=None if windows is None else (windows.length, windows.stride),
        smoothing=0,
        order=settings.order,
        velocity_observations=settings.velocity_observations,
    )
    rows = replace(rows, weights=[np.ones(len(times)) for times in rows.times])
    trajectory = adata.obs["trajectory"].cat.codes.to_numpy()
    cluster = np.array([trajectory[observations[0]] for observations in rows.observations])
    if len(set(cluster.tolist())) == 1:
        if len(cluster) == 1:
            rows = _cut_row(rows, time_blocks(rows.times[0]))
            cluster = np.arange(len(rows.times))
        else:
            time = adata.obs["time"].to_numpy(dtype=np.float64)
            cluster = time_blocks(np.array([time[observations[0]] for observations in rows.observations]))
    problem = make_problem(
        rows,
        settings.changed(normalization="study", bootstrap=None),
        np.ones(adata.n_vars),
        starts=given_starts(adata) if settings.starts == "learned" and windows is None else None,
    )
    return problem, cluster


def _cut_row(rows: Rows, blocks: np.ndarray) -> Rows:
    """A row for each block of time of the only one, from its start to the end of the block."""
    chosen = [np.flatnonzero(blocks == block) for block in range(int(blocks.max()) + 1)]
    return Rows(
        initial=np.repeat(rows.initial, len(chosen), axis=0),
        initial_error=np.repeat(rows.initial_error, len(chosen), axis=0),
        velocity=np.repeat(rows.velocity, len(chosen), axis=0),
        velocity_error=np.repeat(rows.velocity_error, len(chosen), axis=0),
        at_start=np.repeat(rows.at_start, len(chosen), axis=0),
        times=[rows.times[0][numbers] for numbers in chosen],
        observed=[rows.observed[0][numbers] for numbers in chosen],
        weights=[rows.weights[0][numbers] for numbers in chosen],
        groups=rows.groups * len(chosen),
        observations=[rows.observations[0][numbers] for numbers in chosen],
    )


def check_validation(adata: AnnData, settings: ModelSettings, method: MethodSettings) -> None:
    """Refuse to train several strengths on data that leave nothing to choose among them by.

    Raises UserError, before the training and not after it.
    """
    if method.strengths != AUTO and len(method.strengths) < 2:
        return
    if settings.forecasts_from_windows and settings.windows is not None:
        past = read_metadata(adata).known_observations
        make_windows(adata, "validation", "fit", settings.windows.length, settings.windows.stride, past=past)
    elif not ((adata.obs["split"] == "validation") & (adata.obs["phase"] == "fit")).any():
        several = "the" if method.strengths == AUTO else len(method.strengths)
        raise UserError(
            f"there are no validation observations (phase fit) to choose among {several} strengths on; "
            "set validation.by and validation.share of the dataset"
        )
