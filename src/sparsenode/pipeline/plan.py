"""What a run holds before it starts: jobs, members, and estimates of time, memory and disk.

The cost model is small on purpose and meant to be right within a factor of two on a present-day core:

- a training step solves `rows` trajectories or windows with 4 evaluations of the field in each interval of the grid
  (one interval a `solver.step`), at the costs of `ensemble.costs`: those of the compiled kernel where training takes
  it, which spreads members over threads, and else those of operations of torch;
- `dopri5` costs `ADAPTIVE_FACTOR` times as much as the coarse grid;
- a GPU starts evaluations as fast as a core, and computes `gpu_speed` times as fast: an assumption, not a measurement;
- memory is that of `memory.member_bytes` for each member, or `memory_mb`, by which a job is cut into parts;
- a test of edges takes what `inference.costs` estimates;
- evaluation and figures hold matrices (variable, variable), so many bytes for each pair of variables beside a base.

Light on purpose: the Snakefile imports this module again in every job.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sparsenode.data.outline import Outline
from sparsenode.dynamics.fused.library import find_compiler
from sparsenode.ensemble import costs, memory
from sparsenode.errors import UserError
from sparsenode.evaluation.study.claims import CLAIMS
from sparsenode.figures.study import STUDY_FIGURES
from sparsenode.files import reading
from sparsenode.inference.costs import Cost, estimate
from sparsenode.inference.settings import EdgeSettings
from sparsenode.pipeline import configuration
from sparsenode.settings import AUTO, BATCH, MOST_BATCHES, ModelSettings, read_model_settings
from sparsenode.typed import check_settings

ADAPTIVE_FACTOR = 10.0
JOB_START_SECONDS = 4.0
UNPACKING_SECONDS = 30.0
PREPROCESSING_SECONDS = 10.0
PEER_SECONDS = 20.0
INTERVENTION_SECONDS = 20.0
FIGURE_SECONDS = 5.0
CLAIM_SECONDS = 10.0
GPU_SPEED = 100.0
"""How many times as fast as a core a GPU multiplies: a cautious guess, since none was at hand to measure."""
MANY_STEPS = 5000
"""Steps of a training solve of which a plan warns."""
EVALUATION_BASE_MB, FIGURE_BASE_MB = 800.0, 400.0
"""Libraries, tables of errors and forecasts."""
LARGE_MB = 2000.0
"""Memory of a figure from which on it is drawn while no other large one is, since figures run on the login node."""
_EVALUATION_BYTES = 160
_RANKING_BYTES = 24
_CURVE_BYTES = 160
_NETWORK_BYTES, _EACH_NETWORK_BYTES = 80, 30
_RANKINGS_OF_METHOD, _RANKINGS_OF_PEER = 4, 2
EVALUATION_SHARE = 0.15
"""Time of the evaluation of a dataset, as a share of the time of its training."""


@dataclass(frozen=True)
class DataSize:
    """How large a dataset is to its training: `duration` of a trajectory in its unit of time.

    `exact` tells whether the numbers were read from the preprocessed file, and `missing` is then the share of the
    entries that are missing.
    """

    features: int
    trajectories: int
    observations: int
    duration: float
    exact: bool = False
    missing: float = 0.0


@dataclass(frozen=True)
class TrainingJob:
    """One training job with its estimates; `disk_mb` is that of the model file, `least_mb` the memory for one member.

    A solve takes `steps` of the model's `solver.step`, whose reverse pass and loss need `solve_mb` at the very least.

    `seconds` are those with the `threads` of the configuration. On a single core, with operations of torch only,
    `products_seconds` go into products and weights, and `overhead_seconds` into starting evaluations.
    """

    dataset: str
    model: str
    method: str
    members: int
    seconds: float
    products_seconds: float
    overhead_seconds: float
    memory_mb: float
    disk_mb: float
    least_mb: float
    steps: int
    solve_mb: float

    def gpu_seconds(self, speed: float) -> float:
        """Time on a GPU whose products are `speed` times as fast as a core's; with 1 that of torch on a core."""
        return JOB_START_SECONDS + self.overhead_seconds + self.products_seconds / speed


@dataclass(frozen=True)
class RunPlan:
    """All jobs of a run: training in detail, the other jobs by number and seconds each; remarks on what is left out.

    `packs` is the number of jobs that the trainings on datasets of sweeps are packed into, which are `packed` ones.
    """

    training: tuple[TrainingJob, ...]
    others: Mapping[str, tuple[int, float]]
    exact: bool
    remarks: tuple[str, ...] = ()
    packs: int = 0
    packed: int = 0

    def training_jobs(self) -> int:
        """Number of jobs that train."""
        return len(self.training) - self.packed + self.packs


def _study_jobs(config: Mapping[str, Any]) -> dict[str, tuple[int, float]]:
    """Jobs of the study, each with its seconds: those of stored tables take none of the run's datasets."""
    is_stored = bool(config["study"]["tables"])
    kinds = {} if is_stored else configuration.kinds_of_study(config)
    if not (kinds or is_stored):
        return {}
    return {
        "tabulate_study": (sum(map(len, kinds.values())), JOB_START_SECONDS),
        "collect_kind": (len(kinds), JOB_START_SECONDS),
        "collect_study": (1, JOB_START_SECONDS),
        "answer_claim": (len(CLAIMS), CLAIM_SECONDS),
        "answer_study": (1, JOB_START_SECONDS),
        "summarize_effects": (1, CLAIM_SECONDS),
        "draw_study": (len(STUDY_FIGURES), FIGURE_SECONDS),
    }


def make_plan(config: Mapping[str, Any]) -> RunPlan:
    """Plan a checked configuration; sizes are read from preprocessed data where those are there already."""
    blocks = configuration.seed_blocks(config)
    grid = configuration.grid(config)
    training = tuple(training_job(config, *result, seeds=last - first + 1) for result in grid for first, last in blocks)
    datasets = config["run"]["datasets"]
    seconds = sum(job.seconds for job in training)
    files = configuration.remote_files(config).values()
    tested = [name for name in datasets if config["datasets"][name]["edges"] is not None]
    other_jobs = {
        "download_source": (len({file.relative_path for file in files}), 2.0),
        "unpack_source": (sum(file.unpack for file in files), UNPACKING_SECONDS),
        "preprocess_dataset": (len(datasets), PREPROCESSING_SECONDS),
        "freeze_settings": (len(grid), 0.3),
        "infer_peer": (sum(len(configuration.peers_of(config, name)) for name in datasets), PEER_SECONDS),
        "infer_edges": _mean_job([edges_job(config, name).seconds for name in tested]),
        "evaluate_models": (len(datasets), JOB_START_SECONDS + EVALUATION_SHARE * seconds / len(datasets)),
        "forecast_interventions": (
            sum(config["datasets"][name]["interventions"] is not None for name in datasets),
            INTERVENTION_SECONDS,
        ),
        "draw figures": (
            sum(len(configuration.figures_drawn(config, name)) for name in datasets)
            + len(configuration.comparisons_of(config)),
            FIGURE_SECONDS,
        ),
        "draw_network_page": (
            sum("network" in configuration.figures_drawn(config, name) for name in datasets),
            FIGURE_SECONDS,
        ),
        "collect_metrics": (1, 1.0),
        "collect_remarks": (1, 1.0),
        "summarize_run": (1, 1.0),
        "write_overview": (1, 1.0),
        "tabulate_sweeps": (int(any(configuration.sweeps_of(config).values())), 1.0),
        "tabulate_benchmark": (int(bool(configuration.benchmarks_of(config))), 1.0),
        **_study_jobs(config),
    }
    exact = all(data_size(config, dataset).exact for dataset in datasets)
    other_jobs = {name: entry for name, entry in other_jobs.items() if entry[0]}
    remarks = [
        *configuration.remarks(config),
        *strength_remarks(config),
        *memory_remarks(config, training),
        *wide_remarks(config),
        *edges_remarks(config, tested),
        *missing_remarks(config),
    ]
    from sparsenode.pipeline import packs

    all_packs = packs.packs_of_run(config, dict.fromkeys(grid, blocks), is_forced=True)
    packed = sum(map(len, all_packs))
    return RunPlan(training, other_jobs, exact, tuple(remarks), len(all_packs), packed)


def training_job(
    config: Mapping[str, Any], dataset: str, model: str, method: str, *, seeds: int | None = None
) -> TrainingJob:
    """Estimate one training job of `seeds` seeds (as many as a whole job holds where it is None)."""
    from sparsenode.methods import get_method

    size = data_size(config, dataset)
    settings = expected_settings(config, dataset, model, method)
    entry = config["methods"][method]
    block = min(config["seeds"], config["seeds_per_job"]) if seeds is None else seeds
    at_once, in_all = configuration.count_strengths(entry)
    members = in_all * block

    regularizer = get_method(entry["regularizer"])
    model_settings = read_model_settings(settings)
    member = memory.member_size_of(size.features, model_settings, regularizer)
    rows, duration = training_rows(size, settings["windows"])
    try:
        intervals = memory.count_steps(duration, settings["solver"]["step"])
    except UserError as error:
        raise UserError(f"models.{model}.{error}") from None
    evaluations = memory.evaluations_kept("rk4", intervals)

    matched = settings["iterations"] * (settings["matching"]["share"] if settings["matching"] else 0.0)
    solves = settings["iterations"] - matched + (settings["refit"]["iterations"] if settings["refit"] else 0)
    if settings["solver"]["scheme"] == "dopri5":
        solves *= ADAPTIVE_FACTOR
    solve = {"members": members, "rows": rows, "evaluations": evaluations}
    plain = costs.solves_plain(member, solves=solves, **solve)
    match = {"members": members, "rows": size.observations * size.trajectories, "evaluations": 1}
    matching = costs.solves_plain(member, solves=matched, **match)
    weights = (solves + matched) * members * member.trained * costs.SECONDS_PER_WEIGHT
    batches = in_all / at_once
    overhead, products = (plain.overhead + matching.overhead) * batches, plain.products + matching.products + weights
    seconds = (overhead + products) / max(1.0, 0.7 * config["threads"])
    complete = size.missing == 0
    pays = costs.compiling_pays(model_settings, member, complete=complete, matched=match["rows"], **solve)
    if pays and find_compiler() is not None:
        compiled = costs.solves_compiled(member, model_settings, solves=solves, complete=complete, **solve)
        matching = costs.solves_compiled(member, model_settings, solves=matched, complete=complete, **match)
        core = compiled.products / min(max(1.0, 0.9 * config["threads"]), members)
        rest = (matching.products + weights) / max(1.0, 0.7 * config["threads"])
        seconds = (compiled.overhead + matching.overhead) * batches + core + rest
    stored_evaluations = memory.evaluations_kept(settings["solver"]["scheme"], intervals)
    each = memory.member_bytes(member, rows=rows, evaluations=stored_evaluations)
    needed = memory.BASE_BYTES + at_once * block * each
    solve_bytes = memory.solve_bytes(member, rows=rows, evaluations=evaluations)
    limit = config["memory_mb"]
    return TrainingJob(
        dataset,
        model,
        method,
        members,
        JOB_START_SECONDS + seconds,
        products,
        overhead,
        min(needed / 1e6, limit or math.inf),
        4 * members * member.trained / 1e6,
        (memory.BASE_BYTES + each) / 1e6,
        intervals,
        max(solve_bytes, memory.loss_bytes(size.observations, intervals)) / 1e6,
    )


def strength_remarks(config: Mapping[str, Any]) -> list[str]:
    """A sentence on the methods whose strengths training chooses, of which a plan states the most."""
    methods = sorted({method for _, _, method in configuration.grid(config)})
    searched = [name for name in methods if configuration.strengths_of(config["methods"][name]) == AUTO]
    if not searched:
        return []
    return [
        f"methods: training chooses the strengths of {', '.join(searched)}, in batches of {BATCH} until the choice is "
        f"inside them; members, time and model files are the most that they can take, {MOST_BATCHES} batches (one of "
        "strengths that are shares)"
    ]


def expected_settings(config: Mapping[str, Any], dataset: str, model: str, method: str) -> dict[str, Any]:
    """The settings of a model, of an automatic one those in its file of settings, or else what may be chosen.

    Nothing is read of the data, since the workflow asks for this in each of its jobs.
    """
    entry = config["models"][model]
    if not configuration.is_automatic(config, model):
        return {key: value for key, value in entry.items() if key not in {"datasets", "methods"}}
    frozen = Path(config["results_dir"]) / "settings" / dataset / model / f"{method}.json"
    if frozen.is_file():
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):  # what trains by it says so
            chosen: dict[str, Any] = json.loads(frozen.read_text(encoding="utf-8"))["model_settings"]
            return read_model_settings(chosen).model_dump(mode="json")
    size = data_size(config, dataset)
    steps = {"step": 2 * size.duration / max(1, size.observations - 1)}
    usual = {"hidden": [20], "windows": {"length": 10, "stride": 5, "batch": 400}, "solver": steps, "iterations": 1500}
    by_hand = {key: entry[key] for key in entry["by_hand"]}
    return ModelSettings.model_validate_json(json.dumps({"network": "per_target", **usual, **by_hand})).model_dump(
        mode="json"
    )


def automatic_choices(config: Mapping[str, Any]) -> list[str]:
    """What is chosen of each automatic model of the run, as lines: of preprocessed data, chosen here and now."""
    from sparsenode.automatic.record import describe_choices

    lines: list[str] = []
    waiting: list[str] = []
    seen: dict[tuple[str, str], list[str]] = {}
    automatic_of: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for dataset, model, method in configuration.grid(config):
        if not configuration.is_automatic(config, model):
            continue
        data = Path(config["results_dir"]) / "data" / f"{dataset}.h5ad"
        if not data.is_file():
            waiting.append(dataset)
            continue
        settings = configuration.slice_settings(config, dataset, model, method)
        # What is chosen depends on the regularizer, and on nothing else of a method.
        key = dataset, model, settings["method_settings"]["regularizer"]
        if key not in automatic_of:
            automatic_of[key] = configuration.choose_automatic(settings, data)["automatic"]
        automatic = automatic_of[key]
        chosen = [*describe_choices(automatic["choices"]), *automatic["warnings"]]
        if seen.setdefault((dataset, model), chosen) is chosen:
            lines += ["", f"{model} on {dataset}, chosen from its training and validation data ({method}):"]
            lines += [f"  {line}" for line in chosen]
        elif differing := [line for line in chosen if line not in seen[dataset, model]]:
            lines += [f"with {method}:", *(f"  {line}" for line in differing)]
    if waiting:
        listed = ", ".join(dict.fromkeys(waiting))
        lines += [
            "",
            f"Automatic models are chosen once their data are preprocessed, and estimated until then: {listed}. "
            f"`snakemake {Path(config['results_dir']) / 'data' / waiting[0]}.h5ad` makes the first of them.",
        ]
    return lines


def memory_remarks(config: Mapping[str, Any], jobs: Sequence[TrainingJob]) -> list[str]:
    """Sentences on models of which no member fits into `memory_mb` or into this machine, or that take long."""
    limit = config["memory_mb"]
    usable = memory.USABLE * memory.machine_bytes()
    remarks = {}
    for job in jobs:
        key = job.dataset, job.model
        settings = expected_settings(config, job.dataset, job.model, job.method)
        step = settings["solver"]["step"]
        if limit is not None and memory.is_refused(settings["network"], job.least_mb, limit):
            remarks[key] = (
                f"memory_mb: {job.model} on {job.dataset} will be refused: one member needs about "
                f"{_size(job.least_mb)}, and {_size(limit)} may be used; set `network` of the model to joint or "
                "biological, or take fewer variables or units"
            )
        elif 1e6 * job.solve_mb > usable:
            needed, windows = 1e6 * job.solve_mb, settings["windows"] is not None
            explanation = memory.describe_steps(job.steps, step, needed, usable, windows=windows)
            named = "solver.step" if memory.a_step_helps(job.steps, needed, usable) else "windows.batch"
            remarks[key] = (
                f"{named}: {job.model} on {job.dataset} will be refused on a machine with no more memory than this "
                f"one: {explanation}"
            )
        elif job.steps > MANY_STEPS:
            remarks[key] = (
                f"solver.step: {job.model} on {job.dataset} takes {job.steps:,} steps of {step:g}, one after another, "
                "in every training solve; where the system is slower, set a larger `solver.step`, or give the "
                "times in a larger unit (`time_scaling: unit` of the dataset)"
            )
    return list(remarks.values())


def evaluation_mb(config: Mapping[str, Any], dataset: str) -> float:
    """Memory that the evaluation of a dataset needs: matrices of all members of a method, and rankings."""
    pairs = data_size(config, dataset).features ** 2
    grid = configuration.grid(config, dataset)
    strengths = max(configuration.count_strengths(config["methods"][method])[1] for _, _, method in grid)
    members = strengths * config["seeds"]
    each = _EVALUATION_BYTES + 3 * 4 * members
    if configuration.has_truth(config, dataset):
        peers = configuration.peers_of(config, dataset)
        each += _RANKING_BYTES * (_RANKINGS_OF_METHOD * len(grid) + _RANKINGS_OF_PEER * len(peers))
    return EVALUATION_BASE_MB + each * pairs / 1e6


def figure_mb(config: Mapping[str, Any], dataset: str, figure: str) -> float:
    """Memory that a figure of a dataset needs."""
    pairs = data_size(config, dataset).features ** 2
    networks = _NETWORK_BYTES + _EACH_NETWORK_BYTES * len(configuration.grid(config, dataset))
    of_pair = {
        "precision_recall": _CURVE_BYTES,
        "balanced_accuracy": _CURVE_BYTES,
        **dict.fromkeys(("network", "network_graph", "joints", "regulators"), networks),
    }
    return FIGURE_BASE_MB + of_pair.get(figure, 0) * pairs / 1e6


def wide_remarks(config: Mapping[str, Any]) -> list[str]:
    """Sentences on datasets of so many variables that evaluation or figures need much memory."""
    remarks = []
    for dataset in config["run"]["datasets"]:
        evaluation = evaluation_mb(config, dataset)
        largest = max(figure_mb(config, dataset, name) for name in configuration.figures_of(config, dataset))
        if max(evaluation, largest) > LARGE_MB:
            remarks.append(
                f"{dataset}: with {data_size(config, dataset).features:,} variables its evaluation needs about "
                f"{_size(evaluation)} of memory, and the largest of its figures about {_size(largest)}"
            )
    return remarks


def _mean_job(seconds: Sequence[float]) -> tuple[int, float]:
    """Number of jobs, and their mean time."""
    return len(seconds), sum(seconds) / max(1, len(seconds))


def edges_job(config: Mapping[str, Any], dataset: str) -> Cost:
    """Estimate the test of the edges of a dataset."""
    size = data_size(config, dataset)
    settings, _ = check_settings(EdgeSettings, config["datasets"][dataset]["edges"])
    assert settings is not None  # noqa: S101  the configuration is checked
    observations = size.trajectories * size.observations
    return estimate(settings, variables=size.features, observations=observations, threads=config["threads"])


def edges_remarks(config: Mapping[str, Any], datasets: Iterable[str]) -> list[str]:
    """A sentence on each dataset whose edges are tested: how long it takes, and how much memory."""
    remarks = []
    for dataset in datasets:
        cost = edges_job(config, dataset)
        remarks.append(
            f"datasets.{dataset}.edges: the test takes about {_duration(cost.seconds)} and {_size(cost.memory_mb)} of "
            f"memory (threads: {config['threads']})"
        )
    return remarks


def missing_remarks(config: Mapping[str, Any]) -> list[str]:
    """How much is missing of each preprocessed dataset that misses entries."""
    from sparsenode.data.missing import describe_share

    sizes = {dataset: data_size(config, dataset) for dataset in config["run"]["datasets"]}
    return [f"{dataset}: {describe_share(size.missing)}" for dataset, size in sizes.items() if size.missing]


def wall_seconds(plan: RunPlan, cores: int) -> float:
    """Estimate the time of the whole run: jobs spread over the cores, none shorter than the longest training job."""
    total = sum(job.seconds for job in plan.training) + sum(count * each for count, each in plan.others.values())
    longest = max(job.seconds for job in plan.training)
    return max(total / cores, longest)


def describe_plan(plan: RunPlan, *, cores: int, gpu_speed: float = GPU_SPEED) -> str:
    """Write a plan as a table for people, jobs that are alike on one line, with totals."""
    alike = Counter(plan.training)
    names = [f"{job.dataset} / {job.model} / {job.method}" for job in alike]
    width = max(map(len, names))
    lines = [
        f"{'training jobs':<{width}} {'jobs':>6} {'members':>8} {'time':>9} {'memory':>9} {'model file':>11}  (each)"
    ]
    for name, (job, count) in zip(names, alike.items(), strict=True):
        time, memory, disk = _duration(job.seconds), _size(job.memory_mb), _size(job.disk_mb)
        lines.append(f"{name:<{width}} {count:>6} {job.members:>8} {time:>9} {memory:>9} {disk:>11}")
    jobs = plan.training_jobs() + sum(count for count, _ in plan.others.values())
    members = sum(job.members for job in plan.training)
    all_disk = sum(job.disk_mb for job in plan.training)
    side_by_side = sorted((job.memory_mb for job in plan.training), reverse=True)[:cores]
    other_jobs = ", ".join(f"{count} {name}" for name, (count, _) in plan.others.items())
    unpacked = len(plan.training) - plan.packed
    trainings = " and ".join(
        [
            *([f"{unpacked} train_members"] if unpacked or not plan.packs else []),
            *([f"{plan.packs} packs of {plan.packed} trainings on sweeps"] if plan.packs else []),
        ]
    )
    on_core, on_gpu = (sum(job.gpu_seconds(speed) for job in plan.training) for speed in (1.0, gpu_speed))
    lines += [
        "",
        f"jobs:    {jobs}, of them {trainings} ({other_jobs})",
        f"members: {members}",
        f"time:    about {_duration(wall_seconds(plan, cores))} on {cores} cores",
        f"memory:  about {_size(sum(side_by_side))} with {len(side_by_side)} training jobs side by side",
        f"disk:    about {_size(all_disk)} of model files",
        f"in all:  about {_hours(on_core)} core-hours of training, or {_hours(on_gpu)} GPU-hours on GPUs that multiply"
        f" {gpu_speed:g} times as fast as a core (--gpu-speed)",
    ]
    if not plan.exact:
        lines.append("Datasets that are not preprocessed yet are taken at their expected size.")
    lines += plan.remarks
    lines.append("Estimates are rough, within a factor of two or so; the dry run says which jobs are still to do.")
    return "\n".join(lines)


def training_rows(size: DataSize, windows: Mapping[str, Any] | None) -> tuple[int, float]:
    """Rows of a training solve, and how long the longest one is in the unit of time."""
    if windows is None:
        return size.trajectories, size.duration
    length = min(windows["length"], max(1, size.observations - 1))
    starts = math.ceil(max(1, size.observations - length) / windows["stride"])
    rows = min(size.trajectories * starts, windows["batch"] or math.inf)
    return int(rows), size.duration * length / max(1, size.observations - 1)


def data_size(config: Mapping[str, Any], dataset: str) -> DataSize:
    """Size of a dataset: read from its preprocessed file, or else what is expected of its source."""
    path = Path(config["results_dir"]) / "data" / f"{dataset}.h5ad"
    if path.is_file():
        # What reads the values of a damaged file says so; until then an estimate will do.
        with contextlib.suppress(UserError):
            return _read_size(path, path.stat().st_mtime_ns)
    entry = config["datasets"][dataset]
    stamps = tuple(
        path.stat().st_mtime_ns if path.is_file() else None
        for path in map(Path, configuration.local_files(config, dataset))
    )
    return _outlined_size(entry["source"], configuration.canonical_json(entry["options"]), stamps)


@lru_cache
def _outlined_size(source: str, options: str, stamps: tuple[int | None, ...]) -> DataSize:
    """Size as the source outlines it; `stamps` are the times at which files of the user's own changed."""
    outline = Outline()
    # Where nothing is known, as without such a file, a small single-cell dataset is assumed.
    if None not in stamps:
        entry = {"source": source, "options": json.loads(options)}
        outline = configuration.outline_of({"datasets": {source: entry}}, source) or outline
    features = outline.feature_count or len(outline.features or ()) or 100
    return DataSize(features, outline.trajectories or 3, outline.observations or 500, outline.duration or 1.0)


@lru_cache
def _read_size(path: Path, _modified: int) -> DataSize:
    """Read the size of the training data from a preprocessed file, without reading its values."""
    import h5py
    import numpy as np

    from sparsenode.data.contract import training_mask

    with reading(path), h5py.File(path) as file:
        obs = file["obs"]
        splits = np.array(obs["split"]["categories"].asstr())[obs["split"]["codes"][:]]
        phases = np.array(obs["phase"]["categories"].asstr())[obs["phase"]["codes"][:]]
        fitted = training_mask(splits, phases)
        trajectories = obs["trajectory"]["codes"][:][fitted]
        times = obs["time"][:][fitted]
        facts = file["uns"]["sparsenode"]
        missing = float(facts["missing_share"][()]) if "missing_share" in facts else 0.0
        shape = file["X"].shape if isinstance(file["X"], h5py.Dataset) else tuple(file["X"].attrs["shape"])
    codes, counts = np.unique(trajectories, return_counts=True)
    longest = max((float(np.ptp(times[trajectories == code])) for code in codes), default=1.0)
    return DataSize(int(shape[1]), len(codes), int(counts.max(initial=1)), longest, exact=True, missing=missing)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.2g}" if hours < 10 else f"{hours:,.0f}"


def _size(megabytes: float) -> str:
    return f"{megabytes:.1f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
