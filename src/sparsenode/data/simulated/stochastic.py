"""Stochastic differential equations by Heun's method (Rümelin, SIAM Journal on Numerical Analysis 1982)."""

from collections.abc import Callable, Sequence

import numpy as np

from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

_STEPS = 1000  # least number of steps up to the last time


def solve_stochastic(
    rates: Callable[[Floats], Floats],
    diffusion: Callable[[Floats], Floats],
    initial_states: Floats,
    times: Floats,
    generator: np.random.Generator,
    *,
    names: Sequence[str],
    steps: int = _STEPS,
) -> Floats:
    """States (trajectory, time, variable) of dx = rates(x) dt + diffusion(x) dW in the sense of Stratonovich.

    Its strong order is 1 and, for a constant diffusion, its mean has order 2.

    Args:
        rates: takes states and gives rates, both (trajectory, variable).
        diffusion: the same for the standard deviation over one unit of time; noise is independent in each variable.
        initial_states: (trajectory, variable), at time 0.
        times: (trajectory, time), not decreasing, from 0 on.
        generator: of the noise.
        names: (variable,), for messages.
        steps: at least how many steps lead to the last time.

    Raises:
        UserError: a state is not finite.
    """
    states = np.array(initial_states, np.float64)
    solution = np.empty((*times.shape, states.shape[1]))
    before = np.zeros(len(states))
    largest = times.max() / steps
    for number in range(times.shape[1]):
        span = times[:, number] - before
        count = int(np.ceil(span.max() / largest - 1e-9)) if span.max() > 0 else 0
        width = (span / max(count, 1))[:, None]
        with np.errstate(all="ignore"):
            for _ in range(count):
                change = np.sqrt(width) * generator.standard_normal(states.shape)
                drift, spread = rates(states), diffusion(states)
                guess = states + drift * width + spread * change
                states = states + (drift + rates(guess)) * width / 2 + (spread + diffusion(guess)) * change / 2
        lost = ~np.isfinite(states).all(axis=0)
        if lost.any():
            message = (
                f"cannot simulate the system with noise up to time {times[:, number].max():.6g}: "
                f"{names[int(lost.argmax())]} is not finite; take less process_noise, earlier times or slower rates"
            )
            raise UserError(message)
        solution[:, number], before = states, times[:, number]
    return solution
