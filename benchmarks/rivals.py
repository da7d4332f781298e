"""The same training by other packages, each as its documentation suggests; `measure.py` times them.

All of them solve the same rows from the same starts with a network of the same shape, and take a step of Adam on the
mean squared error at the nodes of the grid. None has gates or penalties.

- `jax`: the classical Runge-Kutta method by `lax.scan` and optax's Adam in one jitted program, for one member, for all
  members at once (`vmap`), or for one after the other.
- `diffrax`: `diffeqsolve` with Tsit5 and its step size controller, tolerance 1e-3, jitted, one member after the other.
- `torchode`: Dopri5 with its integral controller, tolerance 1e-3, a step size for each row, one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

TOLERANCE = 1e-3
LEARNING_RATE = 0.01
PACKAGES = {"jax": ("jax", "optax"), "jax_vmap": ("jax", "optax"), "diffrax": ("jax", "diffrax", "optax")}
PACKAGES["torchode"] = ("torchode",)


@dataclass(frozen=True)
class Size:
    """Rows to solve over so many steps of a length; with `per_target` each variable has a network of its own."""

    variables: int
    hidden: tuple[int, ...]
    per_target: bool
    rows: int
    steps: int
    step: float

    def observed(self) -> np.ndarray:
        """Made-up values (row, node, variable), of which the first are the starts."""
        generator = np.random.default_rng(0)
        times = np.arange(self.steps + 1.0)[None, :, None]
        phase, size = generator.random((2, self.rows, 1, self.variables))
        return (np.sin(0.5 * times + 6.0 * phase) * (0.5 + size)).astype(np.float32)

    def weights(self, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights and biases of each layer, (in, out), or (target, in, out) with networks of single targets."""
        generator = np.random.default_rng(seed)
        widths = [self.variables, *self.hidden, 1 if self.per_target else self.variables]
        targets = (self.variables,) if self.per_target else ()
        return [
            tuple(
                ((2 * generator.random((*targets, rows, above)) - 1) * below**-0.5).astype(np.float32)
                for rows in (below, 1)
            )
            for below, above in pairwise(widths)
        ]


def time_engine(engine: str, size: Size, members: int, iterations: int) -> float:
    """Seconds of an iteration of all members, median."""
    step = ENGINES[engine](size, members)
    for _ in range(3):
        step()
    seconds = []
    for _ in range(iterations):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _jax_rate(size: Size) -> Callable[[Any, Any], Any]:
    import jax
    import jax.numpy as jnp

    act = jax.nn.elu if not size.per_target else jnp.tanh

    def rate(weights: Any, state: Any) -> Any:
        """Of states (row, variable)."""
        values = state if not size.per_target else state[None]
        for index, (weight, bias) in enumerate(weights):
            values = values @ weight + bias
            if index < len(weights) - 1:
                values = act(values)
        return values if not size.per_target else values[..., 0].T

    return rate


def _jax_step(size: Size, solve: Callable[[Any, Any], Any]) -> tuple[Callable[[Any, Any], Any], Callable[[int], Any]]:
    """A step of (weights, moments), and what makes both for a seed; `solve(weights, start)` gives the nodes."""
    import jax
    import jax.numpy as jnp
    import optax

    observed = jnp.asarray(size.observed())
    optimizer = optax.adam(LEARNING_RATE)

    def loss(weights: Any) -> Any:
        return jnp.mean(jnp.square(solve(weights, observed[:, 0]) - observed.swapaxes(0, 1)))

    def step(weights: Any, moments: Any) -> Any:
        updates, moments = optimizer.update(jax.grad(loss)(weights), moments)
        return optax.apply_updates(weights, updates), moments

    def begin(seed: int) -> Any:
        weights = [tuple(map(jnp.asarray, layer)) for layer in size.weights(seed)]
        return weights, optimizer.init(weights)

    return step, begin


def _runge_kutta(size: Size) -> Callable[[Any, Any], Any]:
    import jax
    import jax.numpy as jnp

    rate = _jax_rate(size)

    def solve(weights: Any, start: Any) -> Any:
        def advance(state: Any, _: None) -> Any:
            first = rate(weights, state)
            second = rate(weights, state + size.step / 2 * first)
            third = rate(weights, state + size.step / 2 * second)
            fourth = rate(weights, state + size.step * third)
            state = state + size.step / 6 * (first + 2 * second + 2 * third + fourth)
            return state, state

        _, states = jax.lax.scan(advance, start, None, length=size.steps)
        return jnp.concatenate((start[None], states))

    return solve


def _one_after_another(size: Size, members: int, solve: Callable[[Any, Any], Any]) -> Callable[[], None]:
    import jax

    step, begin = _jax_step(size, solve)
    jitted = jax.jit(step, donate_argnums=(0, 1))
    states = [begin(seed) for seed in range(members)]

    def iterate() -> None:
        states[:] = [jitted(*state) for state in states]
        jax.block_until_ready(states)

    return iterate


def jax_single(size: Size, members: int) -> Callable[[], None]:
    """Members one after the other, each by the same jitted program."""
    return _one_after_another(size, members, _runge_kutta(size))


def jax_vectorized(size: Size, members: int) -> Callable[[], None]:
    """All members in one program."""
    import jax
    import jax.numpy as jnp

    step, begin = _jax_step(size, _runge_kutta(size))
    jitted = jax.jit(jax.vmap(step), donate_argnums=(0, 1))
    begun = [begin(seed) for seed in range(members)]
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *begun)

    def iterate() -> None:
        nonlocal state
        state = jax.block_until_ready(jitted(*state))

    return iterate


def diffrax_single(size: Size, members: int) -> Callable[[], None]:
    """Members one after the other, adaptive steps."""
    import diffrax
    import jax.numpy as jnp

    rate = _jax_rate(size)
    times = jnp.arange(size.steps + 1) * size.step

    def solve(weights: Any, start: Any) -> Any:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda _time, state, given: rate(given, state)),
            diffrax.Tsit5(),
            times[0],
            times[-1],
            size.step,
            start,
            args=weights,
            saveat=diffrax.SaveAt(ts=times),
            stepsize_controller=diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE),
        )
        return solution.ys

    return _one_after_another(size, members, solve)


def torchode_single(size: Size, members: int) -> Callable[[], None]:
    """Members one after the other, adaptive steps of each row."""
    import torch
    import torchode

    observed = torch.from_numpy(size.observed())
    times = (torch.arange(size.steps + 1) * size.step).expand(size.rows, -1)

    def rate(_time: Any, state: Any, weights: Any) -> Any:
        values = state if not size.per_target else state[None]
        for index, (weight, bias) in enumerate(weights):
            values = values @ weight + bias
            if index < len(weights) - 1:
                values = torch.tanh(values) if size.per_target else torch.nn.functional.elu(values)
        return values if not size.per_target else values[..., 0].T

    term = torchode.ODETerm(rate, with_args=True)
    method = torchode.Dopri5(term=term)
    controller = torchode.IntegralController(atol=TOLERANCE, rtol=TOLERANCE, term=term)
    adjoint = torchode.AutoDiffAdjoint(method, controller)
    begun = [
        [tuple(torch.from_numpy(values).requires_grad_() for values in layer) for layer in size.weights(seed)]
        for seed in range(members)
    ]
    optimizers = [torch.optim.Adam([t for layer in w for t in layer], lr=LEARNING_RATE, fused=True) for w in begun]

    def iterate() -> None:
        for weights, optimizer in zip(begun, optimizers, strict=True):
            optimizer.zero_grad()
            problem = torchode.InitialValueProblem(y0=observed[:, 0], t_eval=times)
            solution = adjoint.solve(problem, args=weights)
            (solution.ys - observed).square().mean().backward()
            optimizer.step()

    return iterate


ENGINES: dict[str, Callable[[Size, int], Callable[[], None]]] = {
    "jax": jax_single,
    "jax_vmap": jax_vectorized,
    "diffrax": diffrax_single,
    "torchode": torchode_single,
}
