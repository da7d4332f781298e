"""What a training step solves and compares with, made once from a data set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sparsenode.data.contract import known_observations
from sparsenode.errors import UserError
from sparsenode.noise import draw_rows
from sparsenode.settings import MethodSettings, ModelSettings
from sparsenode.solvers import ExactLoss, Grid, factor_loss
from sparsenode.starts import GivenStarts, given_starts
from sparsenode.windows import Rows, make_windows, training_rows

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Problem:
    """Rows to solve: positions and velocities with their standard errors (row, feature), grid and loss.

    `learned` (row, 1) tells where a second-order model gives the velocity itself. An iteration takes `batch` rows, or
    all of them. With learned starts `groups` (row,) are numbers of those in `given`.
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

    @property
    def rows(self) -> int:
        """Rows that an iteration solves."""
        return min(len(self.positions), self.batch or len(self.positions))

    def sample(self, iteration: int) -> Problem:
        """The rows of an iteration."""
        if self.rows == len(self.positions):
            return self
        rows = draw_rows(iteration, len(self.positions), self.rows).to(self.positions.device)
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
        )

    def to(self, device: torch.device) -> Problem:
        """The same problem on another device."""
        loss = self.loss
        return Problem(
            self.positions.to(device),
            self.errors.to(device),
            self.velocities.to(device),
            self.velocity_errors.to(device),
            self.learned.to(device),
            Grid(self.grid.intervals, self.grid.step.to(device)),
            ExactLoss(
                loss.factor.to(device),
                loss.projected.to(device),
                loss.feature_weight.to(device),
                loss.constant.to(device),
                loss.scale.to(device),
            ),
            self.batch,
            None if self.groups is None else self.groups.to(device),
            self.given,
        )


def make_problem(
    rows: Rows,
    settings: ModelSettings,
    feature_weight: np.ndarray,
    *,
    batch: int | None = None,
    given: GivenStarts | None = None,
) -> Problem:
    """Grid and exact loss of training rows.

    All rows have the same number of steps, enough for the longest at `solver.step`. Each row counts the same, as
    the mean over its observations. A relative loss is 1 for holding the initial state. Raises UserError if there is
    nothing to learn from.
    """
    if not rows.times:
        raise UserError("there are no observations of split train and phase fit to train on; check the splits")
    empty = [number for number, weight in enumerate(rows.weights) if weight.sum() <= 0]
    if empty:
        raise UserError(
            f"all observations of training row {empty[0]} have weight 0; give one at least a weight above 0"
        )
    durations = np.array([times[-1] for times in rows.times])
    intervals = max(1, math.ceil(durations.max() / settings.solver.step - 1e-9))
    step = np.where(durations > 0, durations, 1.0) / intervals
    weights = [weight / weight.sum() / len(rows.times) for weight in rows.weights]
    per_feature = feature_weight / len(feature_weight)
    scale = 1.0
    if settings.normalization == "relative":
        scale = sum(
            float(weight @ np.square(observed - initial) @ per_feature)
            for weight, observed, initial in zip(weights, rows.observed, rows.initial, strict=True)
        )
    if scale <= 0:
        raise UserError("the training data never leave their initial states, so there is nothing to learn from them")
    positions = [times / row_step for times, row_step in zip(rows.times, step, strict=True)]
    loss = factor_loss(positions, rows.observed, weights, per_feature, intervals, scale)
    return Problem(
        torch.as_tensor(rows.initial, dtype=torch.float32),
        torch.as_tensor(rows.initial_error, dtype=torch.float32),
        torch.as_tensor(rows.velocity * settings.time_scale, dtype=torch.float32),
        torch.as_tensor(rows.velocity_error * settings.time_scale, dtype=torch.float32),
        torch.as_tensor(rows.at_start)[:, None],
        Grid(intervals, torch.as_tensor(step / settings.time_scale, dtype=torch.float32)[:, None]),
        loss,
        batch,
        None if given is None else torch.as_tensor(given.rows_of(rows.groups)),
        given,
    )


def make_problems(adata: AnnData, settings: ModelSettings) -> list[tuple[float, Problem]]:
    """The problems of a training run: (share of the iterations until which it is trained on, problem), in order.

    Windows first where there are any, whole trajectories in the last `whole_share` of the iterations.
    """
    weight = adata.var["weight"].to_numpy(dtype=float)
    windows = settings.windows
    rows_of = partial(
        training_rows,
        adata,
        smoothing=settings.smoothing,
        order=settings.order,
        velocity_observations=settings.velocity_observations,
    )
    problems = []
    if windows is not None and settings.whole_share < 1.0:
        rows = rows_of(windows=(windows.length, windows.stride))
        problems.append((1.0 - settings.whole_share, make_problem(rows, settings, weight, batch=windows.batch)))
    if windows is None or settings.whole_share > 0.0:
        rows = rows_of(windows=None)
        given = given_starts(adata) if settings.starts == "learned" else None
        problems.append((1.0, make_problem(rows, settings, weight, given=given)))
    return problems


def check_validation(adata: AnnData, settings: ModelSettings, method: MethodSettings) -> None:
    """Refuse to train several strengths on data that leave nothing to choose among them by.

    Raises UserError, before the training and not after it.
    """
    if len(method.strengths) < 2:
        return
    if settings.forecasts_from_windows and settings.windows is not None:
        past = known_observations(adata)
        make_windows(adata, "validation", "fit", settings.windows.length, settings.windows.stride, past=past)
    elif not ((adata.obs["split"] == "validation") & (adata.obs["phase"] == "fit")).any():
        raise UserError(
            f"there are no validation observations (phase fit) to choose among {len(method.strengths)} strengths on; "
            "set validation.by and validation.share of the dataset"
        )
