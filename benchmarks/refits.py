"""Time steps of Levenberg-Marquardt refits by both engines, and whole tests of edges by the compiled one.

    python benchmarks/refits.py [--threads 1] [--clock process] [--rounds 5] [--tests "10 variables" "3 variables"]

The refits are of one target along random waves, noise added, 160 windows of ten intervals; a step is all that it takes:
sensitivities, normal equations, the damped solve and the solves that are tried. Prints milliseconds a step and refit,
the least of the rounds. With `--tests`, simulated networks of these sizes are tested whole.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from sparsenode.data.preprocess import assemble
from sparsenode.data.sources import make_source
from sparsenode.inference import test_edges
from sparsenode.inference.networks import Inputs, Layout, solve_targets
from sparsenode.inference.refits import Fits, Problems, refit, refit_plainly

CLOCKS = {"wall": time.perf_counter, "process": time.process_time}
WINDOWS, INTERVALS = 160, 10
# Other inputs and the target itself, units, substeps, and the milliseconds that are aimed at.
POINTS = {
    "3 inputs, 12 units": (3, 12, 1, 2.0),
    "3 inputs, 12 units, 5 substeps": (3, 12, 5, None),
    "10 inputs, 8 units": (10, 8, 1, None),
    "21 inputs, 8 units": (21, 8, 1, None),
    "50 inputs, 8 units": (50, 8, 1, None),
}
# Source and options, and the seconds on two cores that are aimed at.
TESTS = {
    "3 variables x 1,600": ("linear", {"nodes": 3, "trajectories": 33, "observations": 50}, None),
    "10 variables x 1,000": ("hill", {"nodes": 10, "trajectories": 21, "observations": 50}, 120.0),
    "50 variables x 2,000": ("hill", {"nodes": 50, "trajectories": 41, "observations": 50}, 600.0),
}


def make_problem(inputs: int, units: int, substeps: int) -> tuple[Problems, torch.Tensor, torch.Tensor]:
    """A target with windows, parameters to begin with, and starts."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    layout, steps = Layout(inputs=inputs, units=units), INTERVALS * substeps
    time_ = torch.linspace(0, 1, 2 * steps + 1, dtype=torch.float64)[None, None, :, None]
    shape = (1, WINDOWS, 1, inputs - 1)
    driven = Inputs(
        values=draw(*shape) * torch.sin(6 * time_ * draw(*shape) + 3 * draw(*shape)),
        steps=torch.full((WINDOWS, steps), 1 / steps, dtype=torch.float64),
        slope=torch.ones(1, dtype=torch.float64),
    )
    true = layout.draw(1, generator) + draw(1, layout.size) / inputs**0.5
    start = draw(1, WINDOWS)
    states = solve_targets(layout, true, start, driven).states
    weight = torch.zeros_like(states)
    weight[..., ::substeps] = 1.0
    problems = Problems(
        layout=layout,
        inputs=driven,
        observed=(states + 0.05 * draw(*states.shape)) * weight,
        weight=weight,
        mask=torch.ones((1, inputs), dtype=torch.float64),
    )
    return problems, true + 0.3 * draw(1, layout.size), start


def time_step(engine: Callable[..., Fits], inputs: int, units: int, substeps: int, clock: Callable[[], float]) -> float:
    """Seconds of a step: of four refits of six, less those of refits of one, over five."""
    problems, parameters, start = make_problem(inputs, units, substeps)
    ridge = torch.full((1,), 1e-2, dtype=torch.float64)
    seconds = []
    for steps in (1, 6):
        began = clock()
        for _ in range(4):
            engine(problems, parameters, start, ridge, steps=steps, tolerance=0.0)
        seconds.append((clock() - began) / 4)
    return (seconds[1] - seconds[0]) / 5


def time_test(source: str, options: dict[str, object]) -> tuple[float, float]:
    """Seconds and processor seconds of a whole test of edges."""
    made = make_source(
        source, {**options, "noise": 0.05, "test_trajectories": 1, "extrapolation_share": 0.0, "seed": 7}
    )
    entry = {"source": source, "options": made.options, "validation": {"by": "none-in-source"}}
    adata = assemble(source, made.load({}), entry, {})
    began, processor = time.perf_counter(), time.process_time()
    test_edges(adata)
    return time.perf_counter() - began, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--tests", nargs="*", default=[], help="begins of the names of what is tested whole")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{'ms a step and refit':<34} {'plain':>9} {'compiled':>9} {'ratio':>6} {'aim':>5}")
    for name, (inputs, units, substeps, most) in POINTS.items():
        pairs = [
            [time_step(engine, inputs, units, substeps, CLOCKS[arguments.clock]) for engine in (refit_plainly, refit)]
            for _ in range(arguments.rounds)
        ]
        plain, compiled = (1e3 * min(times) for times in zip(*pairs, strict=True))
        aim = "" if most is None else f"{most:.1f}"
        print(f"{name:<34} {plain:>9.2f} {compiled:>9.3f} {plain / compiled:>6.1f} {aim:>5}", flush=True)
    for name, (source, options, most) in TESTS.items():
        if any(name.startswith(begin) for begin in arguments.tests):
            seconds, processor = time_test(source, options)
            aim = "" if most is None else f", aim {most:.0f}"
            print(f"{name}: {seconds:.1f} s, {processor:.1f} s of processors{aim}", flush=True)


if __name__ == "__main__":
    main()
