"""What a test of edges takes, in seconds and megabytes. Light: `sparsenode plan` and the workflow's rules ask for it.

A fold fits all targets a few times and then each target without each of its inputs. A step of a refit solves one
equation along all observations with its sensitivities, and sets up and solves its normal equations. The numbers below
are of compiled kernels and one thread; operations of torch, where there is no compiler, take 2 to 34 times as long.
Whole tests of 3 to 20 variables and 496 to 2,001 observations took 2.4 to 147 s of a processor, of which the estimate
was .8 to 1.7 times; on linear systems that of memory was 1 to 1.6 times what was needed (386 to 618 MB).

The estimate knows sizes only. Where observations are so far apart that a test takes several solver steps between two of
them, up to 10, solving and sensitivities take as many times as long.
"""

from __future__ import annotations

from typing import NamedTuple

from sparsenode.inference.settings import EdgeTestSettings

START_SECONDS = 6.0
"""Of a job, until it has read its data."""
FOLD_SECONDS = 0.5
"""Of a fold, whatever its size: screening, and overhead of small batches."""
SECONDS_PER_SENSITIVITY = 2e-9
"""Of a step of a refit, for each parameter and observation."""
SECONDS_PER_PRODUCT = 7.5e-11
"""The same for each pair of parameters and observation."""
STEPS = 18.0
"""Of a refit, in the mean."""
FULL_FITS = 6.0
"""Fits of each target with all its inputs in a fold, in refits."""
BASE_MB, BATCH_MB = 350.0, 250.0
"""Of a job, and of a fold: Jacobians are computed in batches of one size."""
BYTES_PER_STATE = 400.0
"""Of a fold, for each target, input and observation."""
FEW_VARIABLES, UNITS_OF_FEW, UNITS_OF_MANY = 5, 12, 8
"""Hidden units of a target's network: of up to so many variables, and of more."""


class Cost(NamedTuple):
    """Estimated seconds of a test with its threads, and the memory that it needs."""

    seconds: float
    memory_mb: float


def units_of(settings: EdgeTestSettings, variables: int) -> int:
    """Hidden units of each target's network."""
    return settings.units or (UNITS_OF_FEW if variables <= FEW_VARIABLES else UNITS_OF_MANY)


def estimate(settings: EdgeTestSettings, *, variables: int, observations: int, threads: int = 1) -> Cost:
    """Time and memory of a test.

    Args:
        settings: of the test.
        variables: number of the variables.
        observations: of all trajectories together.
        threads: folds that are computed at a time.
    """
    inputs = min(settings.candidates, max(variables - 1, 1)) + 1
    units = units_of(settings, variables)
    parameters = inputs * units + 2 * units + inputs + 1
    training = observations * (settings.folds - 1) / settings.folds
    step = training * parameters * (SECONDS_PER_SENSITIVITY + parameters * SECONDS_PER_PRODUCT)
    fold = FOLD_SECONDS + variables * (inputs + FULL_FITS) * STEPS * step
    folds = settings.folds * settings.splits
    together = min(threads, folds)
    memory = together * (BATCH_MB + BYTES_PER_STATE * variables * inputs * training / 1e6)
    return Cost(START_SECONDS + folds * fold / max(1.0, 0.8 * together), BASE_MB + memory)
