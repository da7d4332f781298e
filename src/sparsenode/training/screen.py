"""Where strengths begin: a short training by matching, without a solve, of one seed at strengths over four decades."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sparsenode.ensemble.members import path_strengths
from sparsenode.ensemble.model import make_field
from sparsenode.errors import UserError
from sparsenode.methods import Method
from sparsenode.settings import PRUNING_THRESHOLD, MatchingSettings, MethodSettings, ModelSettings
from sparsenode.training.loop import train
from sparsenode.training.matching import Matching, make_matching
from sparsenode.training.strengths import Batch, batch_below, strength_at

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.training.problems import Problem

SCREENED = tuple(map(strength_at, range(-4, 5)))
"""Strengths of the screen."""
ITERATIONS, ROWS = 500, 400
"""Iterations of the screen, and observations that it matches, at most."""
UNKNOWN = 10.0
"""Largest strength of a first batch where data cannot be matched."""


def first_batch(
    adata: AnnData,
    problems: Sequence[tuple[float, Problem]],
    settings: ModelSettings,
    method_settings: MethodSettings,
    method: Method,
    *,
    device: str = "cpu",
    interrupted: Callable[[], int] = lambda: 0,
) -> Batch:
    """The first batch of strengths: downward from one that leaves no edge, or that doubles the loss.

    Strengths have the same meaning in matching as in training by solves: its loss is relative too, to that of a field
    without any rate, and penalties, gates and proximal steps are the same. All jobs of other seeds begin alike, since
    the screen is of seed 0.

    Args:
        adata: the trajectories.
        problems: what `make_problems` gives.
        settings: the settings of the model.
        method_settings: those of the method, whose strengths are not looked at.
        method: the method.
        device: name of the device.
        interrupted: gives the number of a signal that has come, or 0.

    Raises:
        InterruptedTrainingError: a signal has come.
    """
    if method.whole_range is not None:
        return Batch(method.whole_range, "the range of a share")
    screened = settings.changed(
        iterations=min(settings.iterations, ITERATIONS),
        matching=MatchingSettings(share=1.0),
        windows=None,
        whole_share=0.0,
        refit=None,
        stop=None,
        bootstrap=None,
    )
    try:
        matching = make_matching(adata, screened)
    except UserError:
        return Batch(batch_below(UNKNOWN), f"downward from {UNKNOWN:g}, since the data are too few to be matched")
    assert matching is not None  # noqa: S101  the settings have one
    result = train(
        problems,
        adata.n_vars,
        screened,
        method_settings.changed(strengths=SCREENED),
        [0],
        device=device,
        interrupted=interrupted,
        matching=thin(matching, ROWS),
    )
    losses = {row["strength"]: row["loss"] for row in result.history}
    paths = path_strengths(result.parameters, make_field(screened, adata.n_vars)).numpy()
    off_diagonal = ~np.eye(adata.n_vars, dtype=bool)
    edges = [int((matrix[off_diagonal] >= PRUNING_THRESHOLD).sum()) for matrix in paths]
    return begin_at(edges, [losses[strength] for strength in SCREENED], method)


def begin_at(edges: Sequence[int], losses: Sequence[float], method: Method) -> Batch:
    """The batch downward from the smallest of `SCREENED` from which on no edge is left, or the loss has doubled.

    Args:
        edges: number of the edges at each strength.
        losses: loss at each strength.
        method: the method.
    """
    loss = np.where(np.isfinite(losses), losses, np.inf)
    rules = {
        "leaves no edge": np.equal(edges, 0) if method.empties else np.zeros(len(edges), bool),
        "doubles the loss": loss >= 2.0 * loss.min(),
    }
    for what, reached in rules.items():
        beyond = np.logical_and.accumulate(reached[::-1])[::-1]  # and so does every larger one
        if beyond.any():
            top = SCREENED[int(np.argmax(beyond))]
            return Batch(batch_below(top), f"downward from {top:g}, the smallest that {what} where slopes are matched")
    top = SCREENED[-1]
    return Batch(batch_below(top), f"downward from {top:g}, the largest that was matched")


def thin(matching: Matching, most: int) -> Matching:
    """Slopes at `most` rows at most, evenly spread, which weigh as much in all."""
    count = len(matching.states)
    if count <= most:
        return matching
    rows = torch.linspace(0, count - 1, most).round().long()
    weight = matching.weight[:, rows]
    return replace(
        matching,
        states=matching.states[rows],
        movement=matching.movement[rows],
        weight=weight / weight.sum(1, keepdim=True),
        observed=None if matching.observed is None else matching.observed[rows],
    )
