"""Check and measure the training engine on a GPU: one command, at most eight minutes.

    python benchmarks/gpu.py [--folder results/benchmarks] [--sections checks members] [--seconds 480] [--jobs jobs.pt]

Needs torch, numpy, scipy and the package with its light dependencies (pydantic, safetensors). Each section has a share
of the time; one that fails or runs out of it loses nothing of the others. Everything measured goes into gpu.csv as it
comes, and at the end is printed what belongs into docs/results.md. `--device cpu --tiny` runs the same on a CPU.

`--jobs` is a file of trainings that `--prepare` writes where the whole package is installed and the default run has
preprocessed its data: the default grid is then trained too.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import logging
import platform
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from made_up import lineages, windows
from torch import Tensor

from sparsenode.dynamics.solvers import Grid
from sparsenode.ensemble.device import matrix_precision, release_memory
from sparsenode.ensemble.memory import evaluations_kept
from sparsenode.errors import InterruptedTrainingError
from sparsenode.settings import MethodSettings, ModelSettings, SolverSettings
from sparsenode.training import run as runs
from sparsenode.training.checkpoints import Checkpoints
from sparsenode.training.loop import TrainingResult, train
from sparsenode.training.problems import Problem
from sparsenode.training.run import Task
from sparsenode.training.step import objective

GRADIENT_TOLERANCE = 1e-4
"""Relative, of gradients in float32 to those in float64."""
TRAINING_TOLERANCE = 0.02
"""Relative, of a loss after 200 iterations to that of a CPU: training magnifies what was rounded differently."""
TABLE = "gpu.csv"
COLUMNS = (
    "section",
    "name",
    "members",
    "precision",
    "recorded",
    "ms_per_iteration",
    "member_iterations_per_second",
    "peak_gb",
    "share_of_peak",
    "value",
    "unit",
    "passed",
)
GENES, HIDDEN, ROWS, STEP = 529, (100, 100), 3, 0.2
"""The shape of the study's data: genes, layers, lineages, and the solver's step over a time of one."""


class OutOfTimeError(Exception):
    """A section has used its time."""


class EnoughError(Exception):
    """What was to be measured has been."""


@dataclass
class Bench:
    """What sections share: the device, sizes, the table, and until when the present section may run."""

    device: str
    tiny: bool
    path: Path
    jobs: Path | None
    until: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    peak: dict[str, float] = field(default_factory=dict)

    def write(self, section: str, name: str, **values: Any) -> None:
        """Add a row to the table, and print it."""
        row = {"section": section, "name": name, **values}
        self.rows.append(row)
        is_new = not self.path.exists()
        with self.path.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            if is_new:
                writer.writeheader()
            writer.writerow({key: f"{value:.5g}" if isinstance(value, float) else value for key, value in row.items()})
        print(
            "  "
            + " ".join(
                f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in row.items()
            ),
            flush=True,
        )

    def check(self, name: str, passed: bool, value: float | None = None, unit: str = "") -> None:
        """Add the outcome of a check."""
        self.write("checks", name, value=value, unit=unit, passed=bool(passed))

    def in_time(self) -> None:
        """Raises OutOfTimeError once the section's time is used."""
        if time.perf_counter() > self.until:
            raise OutOfTimeError

    def synchronize(self) -> None:
        """Wait for the GPU."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes, for a test of this script")
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--seconds", type=float, default=480.0, help="time of the sections together")
    parser.add_argument("--jobs", type=Path, help="trainings that --prepare has written")
    parser.add_argument("--prepare", type=Path, metavar="FILE", help="write the trainings of the default run, and end")
    arguments = parser.parse_args()
    if arguments.prepare:
        prepare_jobs(arguments.prepare)
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    path = arguments.folder / TABLE
    path.unlink(missing_ok=True)
    bench = Bench(arguments.device, arguments.tiny, path, arguments.jobs)
    began = time.perf_counter()
    total = sum(SECTIONS[name][1] for name in arguments.sections)
    left = total
    for name in arguments.sections:
        measure, share = SECTIONS[name]
        now = time.perf_counter()
        # What a section has not used goes to those after it.
        bench.until = now + (arguments.seconds - (now - began)) * share / left
        left -= share
        print(f"{name} (at {now - began:.0f} s, until {bench.until - began:.0f} s)", flush=True)
        try:
            measure(bench)
        except OutOfTimeError:
            print(f"  {name}: out of time; what is missing was not measured", flush=True)
        except Exception:
            traceback.print_exc()
            bench.write(name, "failed", passed=False)
        release_memory()
    print(f"\n{describe(bench, time.perf_counter() - began)}")


# Checks


def check_all(bench: Bench) -> None:
    """Everything that a GPU might do otherwise than a CPU."""
    for check in (check_gradients, check_training, check_checkpoints, check_divergence, check_halving):
        try:
            check(bench)
        except OutOfTimeError:
            raise
        except Exception:
            traceback.print_exc()
            bench.check(check.__name__, False)
        bench.in_time()


def check_gradients(bench: Bench) -> None:
    """Gradients in float32 on the device beside those in float64 on the CPU."""
    for network, method in (("joint", "pathreg"), ("per_target", "none")):
        settings = small_settings(network=network)
        problem = small_problem(settings)
        gradients = {}
        for name, device, double in (("device", bench.device, False), ("reference", "cpu", True)):
            task = runs.make_task(8, settings, methods(method), [0, 1], torch.device(device))
            run = runs.start(task, range(len(task.grid)))
            compared = problem.to(task.device)
            if double:
                compared = as_double(compared)
                with torch.no_grad():
                    for tensor in run.parameters.named().values():
                        tensor.data = tensor.data.double()
                run.penalty_scale = [scale.double() for scale in run.penalty_scale]
            strength = task.strengths(run.active)
            *_, total = objective(run, task, compared, 3, gate_noise=0.5, strength=strength, penalized=True)
            total.sum().backward()
            gradients[name] = [t.grad.cpu().double() for t in run.parameters.named().values() if t.grad is not None]
        errors = [
            float((mine - reference).norm() / reference.norm().clamp(min=1e-12))
            for mine, reference in zip(gradients["device"], gradients["reference"], strict=True)
        ]
        error = max(errors)
        bench.check(f"gradients, {network} {method}", error < GRADIENT_TOLERANCE, error, "relative to float64")


def as_double(problem: Problem) -> Problem:
    """The same problem in float64."""

    def double(record: Any) -> Any:
        changed = {
            entry.name: value.double()
            for entry in fields(record)
            if isinstance(value := getattr(record, entry.name), Tensor) and value.is_floating_point()
        }
        return replace(record, **changed)

    grid = Grid(problem.grid.intervals, problem.grid.step.double())
    return replace(double(problem), grid=grid, loss=double(problem.loss))


def check_training(bench: Bench) -> None:
    """Trainings with and without a record beside that of the CPU."""
    iterations = 40 if bench.tiny else 200
    for method, network in (("pathreg", "joint"), ("l1", "joint"), ("grouplasso", "per_target")):
        settings = small_settings(network=network, iterations=iterations, warm_up=0.3)
        problems = [(1.0, small_problem(settings))]
        results = {
            name: train(problems, 8, settings, methods(method), [0, 1, 2], device=device, recorded=recorded)
            for name, device, recorded in (
                ("reference", "cpu", False),
                ("plain", bench.device, False),
                ("recorded", bench.device, True),
            )
        }
        losses = {name: final_losses(result) for name, result in results.items()}
        for name in ("plain", "recorded"):
            error = float(np.max(np.abs(losses[name] / losses["reference"] - 1)))
            bench.check(f"training, {method}, {name}", error < TRAINING_TOLERANCE, error, "of the CPU's loss")
        pairs = zip(*(results[name].parameters.named().values() for name in ("plain", "recorded")), strict=True)
        largest = max(float((one - other).abs().max()) for one, other in pairs)
        bench.check(f"training, {method}, recorded as plain", largest < 1e-2, largest, "largest difference of a weight")
        bench.in_time()


def check_checkpoints(bench: Bench) -> None:
    """A training that begins on one device and ends on the other."""
    settings = small_settings(iterations=40, check_every=10)
    problems = [(1.0, small_problem(settings))]
    whole = final_losses(train(problems, 8, settings, methods("l0"), [0, 1], device="cpu"))
    for first, second in (("cpu", bench.device), (bench.device, "cpu")):
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder) / "checkpoints", {"job": "gpu"})
            calls = iter(range(10**6))
            with contextlib.suppress(InterruptedTrainingError):
                train(
                    problems,
                    8,
                    settings,
                    methods("l0"),
                    [0, 1],
                    device=first,
                    checkpoints=checkpoints,
                    interrupted=lambda calls=calls: 15 if next(calls) == 23 else 0,
                )
            result = train(problems, 8, settings, methods("l0"), [0, 1], device=second, checkpoints=checkpoints)
        iterations = [row["iteration"] for row in result.history if row["seed"] == 0 and row["strength"] == 0.0]
        error = float(np.max(np.abs(final_losses(result) / whole - 1)))
        passed = error < TRAINING_TOLERANCE and iterations == [0, 10, 20, 30, 40]
        bench.check(f"checkpoint, {first} to {second}", passed, error, "of the CPU's loss")


def check_divergence(bench: Bench) -> None:
    """Two members of which one diverges: the other one is as it is by itself."""
    settings = small_settings(iterations=60, check_every=10, warm_up=0.0)
    problems = [(1.0, small_problem(settings))]
    absurd = MethodSettings(regularizer="cnode", strengths=(0.0, 1e38), options={})
    both = train(problems, 8, settings, absurd, [0], device=bench.device)
    single = train(
        problems,
        8,
        settings,
        MethodSettings(regularizer="cnode", strengths=(0.0,), options={}),
        [0],
        device=bench.device,
    )
    statuses = [member.status for member in both.members]
    pairs = zip(both.parameters.named().values(), single.parameters.named().values(), strict=True)
    largest = max(float((one[:1] - other).abs().max()) for one, other in pairs)
    passed = statuses == ["finished", "diverged"] and largest < 1e-3
    bench.check(f"one of two members diverges ({', '.join(statuses)})", passed, largest, "difference of a weight")


def check_halving(bench: Bench) -> None:
    """A block that does not fit is trained in parts, and ends as a block that does."""
    members = 8 if bench.tiny else 64
    settings = small_settings(iterations=10, hidden=(64,) if bench.tiny else (600, 600))
    problems = [(1.0, small_problem(settings))]
    seeds = range(members)
    sizes: list[str] = []
    logger = logging.getLogger("sparsenode.training.loop")
    handler = logging.Handler()
    handler.emit = lambda record: sizes.append(record.getMessage())  # type: ignore[method-assign]  # of this one handler
    logger.addHandler(handler)
    whole = train(problems, 8, settings, methods("none"), seeds, device=bench.device)
    try:
        with little_memory(bench, members):
            parts = train(problems, 8, settings, methods("none"), seeds, device=bench.device)
    finally:
        logger.removeHandler(handler)
    error = float(np.max(np.abs(final_losses(parts) / final_losses(whole) - 1)))
    bench.check(
        f"a block is halved {len(sizes)} times", bool(sizes) and error < TRAINING_TOLERANCE, error, "of the loss"
    )


@contextlib.contextmanager
def little_memory(bench: Bench, members: int) -> Iterator[None]:
    """Half of the memory that was needed; on a CPU, an error in its place for more than half of the members."""
    if bench.device == "cuda":
        needed = torch.cuda.max_memory_reserved()
        release_memory()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(needed / 2 / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    start = runs.start

    def refusing(task: Task, chosen: Sequence[int]) -> runs.Run:
        if len(chosen) > members / 2:
            message = "no room"
            raise torch.OutOfMemoryError(message)
        return start(task, chosen)

    runs.start = refusing
    try:
        yield
    finally:
        runs.start = start


# Tables


def measure_ceilings(bench: Bench) -> None:
    """What the device can do: products of matrices in both precisions, a copy."""
    size = 256 if bench.tiny else 8192
    left, right = (torch.rand(size, size, device=bench.device) for _ in range(2))
    for precision in ("float32", "tf32"):
        with matrix_precision(precision):
            rate = 2 * size**3 / seconds_of(bench, lambda: left @ right)
        bench.peak[precision] = rate
        bench.write("ceilings", f"product of {size} x {size}", precision=precision, value=rate / 1e12, unit="TFLOP/s")
    large = torch.rand(2**20 if bench.tiny else 2**30, device=bench.device)
    rate = 2 * large.nbytes / seconds_of(bench, large.clone)
    bench.write("ceilings", "copy", value=rate / 1e12, unit="TB/s")
    members, rows = (8, 3) if bench.tiny else (1024, 3)
    states, weights = (torch.rand(members, *shape, device=bench.device) for shape in ((rows, 529), (529, 100)))
    for precision in ("float32", "tf32"):
        with matrix_precision(precision):
            rate = weights.nbytes / seconds_of(bench, lambda: torch.bmm(states, weights))
        bench.write(
            "ceilings", f"{members} products of 3 x 529 x 100", precision=precision, value=rate / 1e12, unit="TB/s"
        )


def seconds_of(bench: Bench, work: Callable[[], Any], repeats: int = 10) -> float:
    """Median seconds of one piece of work."""
    seconds = []
    for _ in range(repeats + 3):
        bench.synchronize()
        began = time.perf_counter()
        work()
        bench.synchronize()
        seconds.append(time.perf_counter() - began)
    return median(seconds[3:])


def measure_members(bench: Bench) -> None:
    """529-100-100-529 for one to many members: methods, precisions, with and without a record."""
    sizes = (1, 2) if bench.tiny else (8, 1024, 1, 128, 4096, 32, 512, 2048)
    genes, hidden = (20, (8, 8)) if bench.tiny else (GENES, HIDDEN)
    settings = ModelSettings(
        hidden=hidden, gates="unit", solver=SolverSettings(step=STEP), iterations=10**6, check_every=10**6, warm_up=0.0
    )
    problems = [(1.0, lineages(1000, genes, settings))]
    widths = (genes, *hidden, genes)
    evaluations = evaluations_kept("rk4", problems[0][1].grid.intervals)
    flops = 6 * ROWS * evaluations * sum(below * above for below, above in pairwise(widths))
    for members in sizes:
        for gates, method in (("unit", "pathreg"), ("unit", "none"), ("weight", "pathreg")):
            if gates == "weight" and members > 512:
                continue
            name = "no gates" if method == "none" else f"gates on {gates}s"
            for precision, recorded in (("float32", True), ("float32", False), ("tf32", True)):
                if not recorded and members > 512:
                    continue
                measure(
                    bench,
                    "members",
                    name,
                    problems,
                    settings.changed(gates=gates, precision=precision),
                    method,
                    members,
                    recorded=recorded,
                    flops=flops,
                )


def measure_small(bench: Bench) -> None:
    """Three variables, one network of 20 units per target, 64 windows of 12 steps."""
    settings = small_network()
    problems = [(1.0, windows(3, 64, 12, settings))]
    for members in (1, 2) if bench.tiny else (8, 1024, 4096, 1, 128, 32, 512, 2048):
        for method, recorded in (("none", True), ("grouplasso", True), ("none", False)):
            if recorded or members <= 512:
                name = f"3 variables, {method}"
                measure(bench, "small", name, problems, settings, method, members, recorded=recorded)


def measure_variables(bench: Bench) -> None:
    """20 and 50 variables, one network of 20 units per target."""
    for variables in (20, 50):
        settings = small_network()
        problems = [(1.0, windows(variables, 64, 12, settings))]
        for members in (1, 2) if bench.tiny else (8, 64, 256):
            for method in ("none", "grouplasso"):
                name = f"{variables} variables, {method}"
                measure(bench, "variables", name, problems, settings, method, members, recorded=True)


def small_network() -> ModelSettings:
    """One network of 20 units per target."""
    return ModelSettings(
        network="per_target",
        hidden=(20,),
        activation="tanh",
        solver=SolverSettings(step=1.0),
        iterations=10**6,
        check_every=10**6,
        warm_up=0.0,
    )


def measure(
    bench: Bench,
    section: str,
    name: str,
    problems: Sequence[tuple[float, Problem]],
    settings: ModelSettings,
    method: str,
    members: int,
    *,
    recorded: bool,
    flops: float | None = None,
) -> None:
    """Seconds of an iteration of the training loop itself, and the memory that it takes."""
    bench.in_time()
    if bench.device == "cuda":
        release_memory()
        torch.cuda.reset_peak_memory_stats()
    stamps: list[float] = []
    calls = 0
    first, most, longest = 6, 40 if not bench.tiny else 3, 1.0

    def stamp() -> int:
        nonlocal calls
        calls += 1
        if calls == first or (calls > first and (calls - first) % 10 == 0) or bench.tiny:
            bench.synchronize()
            stamps.append(time.perf_counter())
            if len(stamps) > 1 and (calls - first >= most or stamps[-1] - stamps[0] > longest):
                raise EnoughError
        return 0

    strengths = (0.0,) if method == "none" else (0.1,)
    features = problems[0][1].positions.shape[1]
    values: dict[str, Any] = {"members": members, "precision": settings.precision, "recorded": recorded}
    try:
        with contextlib.suppress(EnoughError), matrix_precision(settings.precision):
            train(
                problems,
                features,
                settings,
                MethodSettings(regularizer=method, strengths=strengths, options={}),
                range(members),
                device=bench.device,
                interrupted=stamp,
                recorded=recorded,
            )
    except torch.OutOfMemoryError:
        bench.write(section, name, **values, unit="does not fit")
        return
    each = (stamps[-1] - stamps[0]) / ((len(stamps) - 1) * (1 if bench.tiny else 10))
    values |= {"ms_per_iteration": 1e3 * each, "member_iterations_per_second": members / each}
    if bench.device == "cuda":
        values["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    if flops is not None and settings.precision in bench.peak:
        values["share_of_peak"] = flops * members / each / bench.peak[settings.precision]
    bench.write(section, name, **values)


def measure_default_run(bench: Bench) -> None:
    """All trainings of the default run, one after another."""
    if bench.jobs is None:
        print("  not measured: give --jobs, which --prepare writes", flush=True)
        return
    total = 0.0
    jobs = torch.load(bench.jobs, weights_only=False)
    for job in jobs[:2] if bench.tiny else jobs:
        bench.in_time()
        bench.synchronize()
        began = time.perf_counter()
        settings = job["settings"]
        if bench.tiny:
            settings = settings.changed(iterations=3)
        with matrix_precision(settings.precision):
            result = train(
                job["problems"],
                job["features"],
                settings,
                job["method"],
                job["seeds"],
                device=bench.device,
                prior=job["prior"],
                matching=job["matching"],
                validation=job["validation"],
            )
        seconds = time.perf_counter() - began
        total += seconds
        steps = sum(member.iterations for member in result.members)
        bench.write(
            "default run",
            job["name"],
            members=len(result.members),
            member_iterations_per_second=steps / seconds,
            value=seconds,
            unit="s",
        )
    bench.write("default run", "all", value=total, unit="s")


def prepare_jobs(path: Path) -> None:
    """Write the trainings of the default run; its datasets have to be preprocessed."""
    from sparsenode.data.contract import read_trajectories
    from sparsenode.pipeline import configuration
    from sparsenode.training.job import make_training, read_frozen

    config = configuration.read_configuration(Path())
    jobs = []
    for dataset, model, method in configuration.grid(config):
        adata = read_trajectories(Path(config["results_dir"]) / "data" / f"{dataset}.h5ad")
        frozen = configuration.slice_settings(config, dataset, model, method)
        task = make_training(adata, frozen, range(config["seeds"]))
        settings, method_settings, _ = read_frozen(frozen)
        jobs.append(
            {
                "name": f"{dataset}/{model}/{method}",
                "features": adata.n_vars,
                "settings": settings,
                "method": method_settings,
                "seeds": list(task.seeds),
                "problems": task.problems,
                "prior": task.prior,
                "matching": task.matching,
                "validation": task.validation,
            }
        )
    torch.save(jobs, path)


# Problems


def small_problem(settings: ModelSettings) -> Problem:
    """Eight variables, six windows of eight steps."""
    return windows(8, 6, 8, settings)


def small_settings(**changes: Any) -> ModelSettings:
    """A small model that trains in a second."""
    settings = ModelSettings(
        hidden=(16,),
        activation="tanh",
        gates="unit",
        solver=SolverSettings(step=1.0),
        iterations=40,
        check_every=10,
        learning_rate=0.01,
        warm_up=0.2,
    )
    return settings.changed(**changes)


def methods(name: str) -> MethodSettings:
    """A method with two strengths, if it takes any."""
    return MethodSettings(regularizer=name, strengths=(0.0,) if name == "none" else (0.0, 0.05), options={})


def final_losses(result: TrainingResult) -> np.ndarray:
    """The last loss of each member."""
    last = {(row["strength"], row["seed"]): row["loss"] for row in result.history}
    return np.array([last[member.strength, member.seed] for member in result.members])


# Words


def describe(bench: Bench, seconds: float) -> str:
    """What belongs into docs/results.md."""
    name = torch.cuda.get_device_name() if bench.device == "cuda" else platform.processor() or "a CPU"
    checks = [row for row in bench.rows if row["section"] == "checks"]
    failed = [row["name"] for row in checks if not row["passed"]]
    lines = [
        f"{name}, torch {torch.__version__}, `python benchmarks/gpu.py` in {seconds:.0f} s. "
        f"{len(checks) - len(failed)} of {len(checks)} checks passed"
        + (f"; failed: {', '.join(failed)}" if failed else ""),
        "",
        *(f"- {row['name']}: {row['value']:.2g} {row['unit']}" for row in checks if row.get("value") is not None),
        "",
        *(
            f"- {row['name']} {row.get('precision', '')}: {row['value']:.3g} {row['unit']}"
            for row in bench.rows
            if row["section"] == "ceilings" and row.get("value") is not None
        ),
    ]
    for section in ("members", "small", "variables"):
        lines += ["", *table_of([row for row in bench.rows if row["section"] == section and "members" in row])]
    for row in bench.rows:
        if row["section"] == "default run" and row.get("value") is not None:
            lines.append(f"- default run, {row['name']}: {row['value']:.1f} {row['unit']}")
    return "\n".join(lines)


def table_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Members down, what was measured across."""
    if not rows:
        return []
    kinds = list(dict.fromkeys((row["name"], row["precision"], row["recorded"]) for row in rows))
    cell_of = {(row["members"], row["name"], row["precision"], row["recorded"]): row for row in rows}
    heads = [f"{name}, {precision}{'' if recorded else ', no graph'}" for name, precision, recorded in kinds]
    lines = ["| members | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for members in sorted({row["members"] for row in rows}):
        cells = []
        for kind in kinds:
            row = cell_of.get((members, *kind), {})
            if "ms_per_iteration" not in row:
                cells.append(row.get("unit", ""))
                continue
            text = f"{row['ms_per_iteration']:.3g} ms, {row['member_iterations_per_second']:,.0f}/s"
            if "peak_gb" in row:
                text += f", {row['peak_gb']:.2g} GB"
            if "share_of_peak" in row:
                text += f", {100 * row['share_of_peak']:.1f} %"
            cells.append(text)
        lines.append(f"| {members} | " + " | ".join(cells) + " |")
    return lines


SECTIONS: dict[str, tuple[Callable[[Bench], None], float]] = {
    "checks": (check_all, 60.0),
    "ceilings": (measure_ceilings, 15.0),
    "members": (measure_members, 160.0),
    "small": (measure_small, 60.0),
    "variables": (measure_variables, 45.0),
    "default run": (measure_default_run, 140.0),
}
"""Each with its share of the time."""

if __name__ == "__main__":
    main()
