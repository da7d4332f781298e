"""What the rules share: the checked configuration, the grid, and the functions that answer the rules' questions."""

import os
import re
import shlex
import sys
import time
from functools import cache
from pathlib import Path
from shutil import which

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from sparsenode.pipeline import (
    cluster,
    configuration,
    invocation,
    packs,
    plan,
    seed_blocks,
    sweeps,
)
from sparsenode import remarks, versions
from sparsenode.errors import UserError
from sparsenode.evaluation.study.claims import CLAIMS
from sparsenode.figures import FIGURES, subcommand_of
from sparsenode.figures.overview import IMPORTANCE
from sparsenode.figures.study import STUDY_FIGURES

try:
    CHECKED = configuration.check_configuration(config)
    configuration.check_folders(CHECKED)
    REMOTE_FILES = configuration.remote_files(CHECKED)
    DOWNLOADED = {file.relative_path: file for file in REMOTE_FILES.values()}
    UNPACKED = [path for path, file in REMOTE_FILES.items() if file.unpack]
    # The jobs of a run, which read the workflow again, would only repeat it.
    if workflow.is_main_process:
        configuration.check_sources(CHECKED)
except UserError as error:
    raise WorkflowError(str(error)) from None

config.clear()
config.update(CHECKED)

if workflow.is_main_process:
    for remark in configuration.remarks(config):
        logger.warning(remark)

STARTED = time.time()


def prefix_of(folder):
    """What begins the paths in a folder, as Snakemake compares them: nothing before those in the working folder."""
    path = os.path.normpath(folder)
    return "" if path == os.curdir else os.path.join(path, "")


RESULTS = prefix_of(config["results_dir"])
DOWNLOADS = prefix_of(config["downloads_dir"])

configuration.set_environment(config)

# Environment variables, which jobs on a cluster inherit: what the run has found when it was started counts for them.
TRAINING_GPUS = "SPARSENODE_TRAINING_GPUS"
SEED_BLOCKS = "SPARSENODE_SEED_BLOCKS"
TRAINING_PACKS = "SPARSENODE_TRAINING_PACKS"

# Blocks of seeds of each (dataset, model, method). They depend on the models that are there: jobs see others.
if workflow.is_main_process or SEED_BLOCKS not in os.environ:
    BLOCKS = seed_blocks.blocks_of_run(config)
    os.environ[SEED_BLOCKS] = seed_blocks.encode_blocks(config, BLOCKS)
else:
    BLOCKS = seed_blocks.decode_blocks(config, os.environ[SEED_BLOCKS])


# Trainings on the datasets of sweeps that one job holds; what is trained already is used as it is, and has no rule.
PACKED = packs.sweep_of_dataset(config)
try:
    if workflow.is_main_process or TRAINING_PACKS not in os.environ:
        is_forced = invocation.forces_training(sys.argv)
        PACKS = packs.packs_of_run(config, BLOCKS, is_forced=is_forced)
        os.environ[TRAINING_PACKS] = packs.encode_packs(PACKS)
    else:
        PACKS = packs.decode_packs(os.environ[TRAINING_PACKS])
except UserError as error:
    raise WorkflowError(str(error)) from None


# What the profile or the command line asks for `evaluate_models` holds for the rule of each dataset. To be said before
# the first rule, at which Snakemake takes them over.
for name in ("overwrite_resources", "overwrite_threads"):
    asked = dict(getattr(workflow.resource_settings, name))
    each = {}
    if "evaluate_models" in asked:
        for dataset in config["run"]["datasets"]:
            each[f"evaluate_models_{dataset}"] = asked["evaluate_models"]
    if "train_members" in asked:
        for number in range(len(PACKS)):
            each[f"train_pack_{number}"] = asked["train_members"]
    if each:
        setattr(workflow.resource_settings, name, each | asked)


wildcard_constraints:
    dataset="|".join(map(re.escape, config["run"]["datasets"])),
    model="|".join(map(re.escape, config["run"]["models"])),
    method="|".join(config["run"]["methods"]),
    peer="|".join(config["run"]["peers"]) or "(?!)",
    comparison="|".join(configuration.comparisons_of(config)) or "(?!)",
    first="[0-9]+",
    last="[0-9]+",
    url_path="|".join(map(re.escape, DOWNLOADED)) or "(?!)",
    unpacked_path="|".join(map(re.escape, UNPACKED)) or "(?!)",


def pictures_of_figures(dataset, figures):
    """The files of figures of a dataset; its networks are a page for a browser too."""
    pictures = [
        f"{RESULTS}figures/{dataset}/{figure}.{ending}"
        for figure in figures
        for ending in FIGURE_ENDINGS[figure].values()
    ]
    page = f"{RESULTS}figures/{dataset}/network.html"
    return pictures + [page] * ("network" in figures)


def all_figures():
    return [
        picture
        for dataset in config["run"]["datasets"]
        for picture in pictures_of_figures(
            dataset, configuration.figures_drawn(config, dataset)
        )
    ] + [
        f"{RESULTS}figures/comparisons/{comparison}.{ending}"
        for comparison in configuration.comparisons_of(config)
        for ending in ("pdf", "png")
    ]


def overview_pictures():
    """The pictures of which the page that the report opens on takes some."""
    return [
        f"{RESULTS}figures/{dataset}/{figure}.png"
        for dataset in config["run"]["datasets"]
        for figure in configuration.figures_drawn(config, dataset)
        if figure in IMPORTANCE
    ]


def all_tables():
    benchmarks = configuration.benchmarks_of(config)
    tables = [
        "metrics.csv",
        "remarks.csv",
        "remarks.md",
        "summary.json",
        "summary.md",
        "overview.html",
    ]
    if benchmarks:
        tables += ["benchmark.csv", "benchmark.md"]
    if any(configuration.sweeps_of(config).values()):
        tables.append("sweeps.csv")
    return [f"{RESULTS}{table}" for table in tables]


def all_results():
    """What the figures and tables are made from: a target of its own, so that none of it remains away after a failure."""
    return [path for name in config["run"]["datasets"] for path in results_of(name)]


def results_of(dataset):
    """What the figures and tables of a dataset are made from."""
    results = [
        f"{RESULTS}data/{dataset}.h5ad",
        *settings_of(dataset),
        *models_of(dataset),
        *(
            path.replace(".safetensors", ".history.parquet")
            for path in models_of(dataset)
        ),
        *peers_of(dataset),
        f"{RESULTS}metrics/{dataset}.parquet",
        f"{RESULTS}forecasts/{dataset}.parquet",
        f"{RESULTS}remarks/{dataset}.csv",
        *networks_of(dataset),
        *selections_of(dataset),
        *edges_of(dataset),
    ]
    if config["datasets"][dataset]["interventions"] is not None:
        results += [
            f"{RESULTS}interventions/{dataset}.{ending}"
            for ending in ("parquet", "effects.csv", "fates.csv")
        ]
    return results


def members_of_sweep(sweep):
    """The datasets of a sweep that are of the run."""
    members = configuration.sweeps_of(config)["datasets"][sweep]
    return [dataset for dataset in config["run"]["datasets"] if dataset in members]


def models_of_sweep(sweep):
    """Trained members of the models of a sweep, on all datasets that they are trained on."""
    swept = configuration.sweeps_of(config)["models"][sweep]
    return [
        path
        for dataset in config["run"]["datasets"]
        for path in models_of(dataset, swept)
    ]


def settings_of(dataset):
    return [
        f"{RESULTS}settings/{dataset}/{model}/{method}.json"
        for _, model, method in configuration.grid(config, dataset)
    ]


def models_of(dataset, models=None):
    """Trained members on a dataset, of all models or of some."""
    return [
        f"{RESULTS}models/{dataset}/{model}/{method}/seeds_{first}-{last}.safetensors"
        for _, model, method in configuration.grid(config, dataset)
        if models is None or model in models
        for first, last in BLOCKS[dataset, model, method]
    ]


def peers_of(dataset):
    return [
        f"{RESULTS}peers/{dataset}/{peer}.parquet"
        for peer in configuration.peers_of(config, dataset)
    ]


def networks_of(dataset):
    """All files of the folder of networks of a dataset."""
    return [
        f"{RESULTS}networks/{dataset}/{model}/{method}.{ending}"
        for _, model, method in configuration.grid(config, dataset)
        for ending in ("csv", "graphml", "groups.parquet", "stability.parquet")
    ] + [
        f"{RESULTS}networks/{dataset}/{name}"
        for name in ("network.h5ad", "rankings.parquet")
    ]


def selections_of(dataset):
    """All files of the folder of chosen strengths of a dataset."""
    return [
        f"{RESULTS}selection/{dataset}/{model}/{method}.json"
        for _, model, method in configuration.grid(config, dataset)
    ]


# The files of tested edges.
EDGE_FILES = {
    "network": "network.csv",
    "self_effects": "self_effects.csv",
    "targets": "targets.csv",
    "groups": "groups.csv",
    "graph": "network.graphml",
    "test": "test.json",
}


def edges_of(dataset):
    """All files of the folder of tested edges of a dataset, none where they are not tested."""
    if config["datasets"][dataset]["edges"] is None:
        return []
    return [f"{RESULTS}edges/{dataset}/{name}" for name in EDGE_FILES.values()]


# What the commands take as a folder, and rules as its files: a file that is gone is seen, and nothing old is left.
FOLDERS = {"networks": networks_of, "selection": selections_of, "edges": edges_of}


def folder_of(name, dataset=None):
    """The parameter of a rule that is such a folder, of a dataset or of that in the wildcard."""
    return lambda wildcards: f"{RESULTS}{name}/{dataset or wildcards.dataset}"


def of_dataset(files):
    """The input function of a rule with the wildcard `dataset`, of a function of its name."""
    return lambda wildcards: files(wildcards.dataset)


def origin_of(*datasets, interventions=False):
    """What the results of datasets were made with: a parameter of what is made of them.

    So they are made again after a change, whatever a failure has left, and whatever the clocks say.
    """
    settings = {
        dataset: configuration.results_settings(config, dataset) for dataset in datasets
    }
    if interventions:
        settings |= {
            f"interventions of {dataset}": [
                config["datasets"][dataset]["interventions"],
                versions.INTERVENTIONS,
            ]
            for dataset in datasets
        }
    return configuration.fingerprint(settings)


def origin_of_figure(figure):
    """The parameter `origin` of a figure of a dataset."""
    inputs = FIGURES[figure].inputs

    def origin(wildcards):
        if set(inputs) == {"data"}:
            dataset = configuration.dataset_settings(config, wildcards.dataset)
            return configuration.fingerprint([dataset, versions.PREPROCESSING])
        return origin_of(wildcards.dataset, interventions="interventions" in inputs)

    return origin


def origin_of_comparison(wildcards):
    return origin_of(*configuration.datasets_compared(config, wildcards.comparison))


@cache
def possible_files():
    """Every file that the run can make, by the outputs that it declares."""
    jobs = [
        {
            "dataset": dataset,
            "model": model,
            "method": method,
            "first": first,
            "last": last,
        }
        for dataset, model, method in configuration.grid(config)
        for first, last in BLOCKS[dataset, model, method]
    ]
    jobs += [
        {"dataset": dataset, "peer": peer}
        for dataset in config["run"]["datasets"]
        for peer in configuration.peers_of(config, dataset)
    ]
    jobs += [{"comparison": name} for name in configuration.comparisons_of(config)]
    jobs += [{"kind": kind} for kind in configuration.kinds_of_study(config)]
    jobs += [{"claim": claim} for claim in CLAIMS]
    jobs += [{"figure": figure} for figure in STUDY_FIGURES]
    jobs += [{"url_path": path} for path in DOWNLOADED]
    jobs += [{"unpacked_path": path} for path in UNPACKED]
    allowed = {
        (dataset, figure)
        for dataset in config["run"]["datasets"]
        for figure in configuration.figures_of(config, dataset)
    }
    fixed = {
        str(output)
        for producer in workflow.rules
        for output in producer.output
        if not output.get_wildcard_names()
    }
    return fixed | {
        str(output.apply_wildcards(job))
        for producer in workflow.rules
        for output in producer.output
        if output.get_wildcard_names()
        for job in jobs
        if set(output.get_wildcard_names()) <= set(job)
        if producer.name.removeprefix("draw_") not in FIGURES
        or (job["dataset"], producer.name.removeprefix("draw_")) in allowed
    }


def check_targets():
    """Refuse targets that nothing makes, with the nearest names; Snakemake's message has none.

    And what options name as rules or files: Snakemake passes over some that are unknown.
    """
    if not workflow.is_main_process:
        return
    for target in invocation.targets_of(sys.argv):
        check_target(target)
    for option, names in invocation.targets_of_options(sys.argv).items():
        for name in names:
            check_target(name, f"{option}: ")


def check_target(target, where=""):
    """Refuse what is neither a rule nor a file that is there or that the run makes."""
    # As Snakemake takes them: absolute paths as they are, others from the working folder.
    path = target if os.path.isabs(target) else os.path.relpath(target)
    names = [producer.name for producer in workflow.rules]
    if target in names or is_made(path) or os.path.isfile(path):
        return
    for other in (os.path.normpath(path), os.path.relpath(path), os.path.abspath(path)):
        if is_made(other):
            raise WorkflowError(f"{where}nothing makes {target}; name it {other}")
    path = os.path.relpath(path) if not os.path.isabs(RESULTS) else path
    problem = invocation.describe_unknown_target(path, names, possible_files())
    raise WorkflowError(f"{where}{problem}")


def is_made(path):
    """Whether the run makes a file; figures and models only of what its configuration has them of."""
    producers = [each for each in workflow.rules if each.is_producer(path)]
    listed = path.startswith((f"{RESULTS}figures/", f"{RESULTS}models/"))
    return bool(producers) and (not listed or path in possible_files())


def of_benchmarks(files):
    """Files of each dataset that the table of benchmarks holds: a pattern, or a function of the dataset's name."""

    def tables(wildcards):
        datasets = list(configuration.benchmarks_of(config))
        if not datasets:
            raise WorkflowError(
                "no dataset of the run has a `benchmark` or a known true network, so that there is nothing to tabulate"
            )
        return of_datasets(files, datasets)

    return tables


def tell_summary():
    """Print what was found, at the end of a run that has succeeded."""
    text = remarks.tell_summary(f"{RESULTS}summary.md")
    if text and workflow.is_main_process:
        logger.warning(f"\n{text}\n")


def tell_remarks():
    """Print what is doubtful about the results, at the end of a run that has succeeded or failed."""
    models = {dataset: models_of(dataset) for dataset in config["run"]["datasets"]}
    text = remarks.tell_run(RESULTS, models, STARTED)
    if text and workflow.is_main_process:
        logger.warning(f"\nWhat is doubtful about the results:\n{text}\n")


def arguments(**lists):
    """Flags with lists of values, as words of a command or in a file of the working folder where they are too many."""
    return invocation.arguments_of(
        {f"--{flag}": values for flag, values in lists.items()},
        Path(".snakemake", "sparsenode"),
    )


def of_datasets(files, datasets):
    """Files of datasets: a pattern, or a function of a dataset's name that gives a list."""
    if callable(files):
        return [path for dataset in datasets for path in files(dataset)]
    return expand(files, dataset=datasets)


# The files of each figure, by the name of the command's flag.
FIGURE_ENDINGS = {
    figure: {"pdf": "pdf", "png": "png"}
    | ({"animation": "gif"} if drawn.animated else {})
    for figure, drawn in FIGURES.items()
}


def pictures_of(figure):
    """The files of a figure, those that the report shows marked."""
    shown = {"png": figure.replace("_", " ")}
    if FIGURES[figure].animated:
        shown["animation"] = f"{shown['png']} (animation)"
    pictures = {
        kind: f"{RESULTS}figures/{{dataset}}/{figure}.{ending}"
        for kind, ending in FIGURE_ENDINGS[figure].items()
    }
    for kind, label in shown.items():
        pictures[kind] = report(
            pictures[kind],
            caption=f"../report/{figure}.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"dataset": "{dataset}", "figure": label},
        )
    return pictures


def file_flags(wildcards, input, output):
    """The files and folders that a job reads and writes, each as the flag of its name."""
    paths = dict([*input.items(), *output.items()]) | {
        name: f"{RESULTS}{name}/{wildcards.dataset}"
        for name in FOLDERS
        if name in input.keys()
    }
    return " ".join(
        f"--{name} {shlex.quote(str(path))}" for name, path in paths.items()
    )


def compared(files):
    """Files of each dataset of a comparison: a pattern, or a function of the dataset's name."""

    def tables(wildcards):
        datasets = configuration.datasets_compared(config, wildcards.comparison)
        return of_datasets(files, datasets)

    return tables


def arguments_of_datasets(datasets, input, **more):
    """What of a table of several datasets is a list: their names, metrics and folders of chosen strengths."""
    return arguments(
        datasets=datasets,
        metrics=input.metrics,
        selections=[f"{RESULTS}selection/{dataset}" for dataset in datasets],
        **more,
    )


def comparison_arguments(wildcards, input):
    return arguments_of_datasets(compared("{dataset}")(wildcards), input)


def benchmark_arguments(wildcards, input):
    datasets = of_benchmarks("{dataset}")(wildcards)
    return arguments_of_datasets(datasets, input, remarks=input.remarks)


def summary_arguments(wildcards, input):
    datasets = config["run"]["datasets"]
    return arguments_of_datasets(datasets, input, remarks=input.remarks)


def model_arguments(wildcards, input):
    """The models of a dataset, and their settings."""
    return arguments(models=input.models, settings=input.settings)


def comparison_settings(wildcards):
    return configuration.canonical_json(config["comparisons"][wildcards.comparison])


def benchmark_of(figure):
    """The flag of the benchmark whose published values a figure shows, where it shows any."""

    def flag(wildcards):
        benchmark = config["datasets"][wildcards.dataset]["benchmark"]
        shown = benchmark and FIGURES[figure].published
        return f"--benchmark {shlex.quote(benchmark)}" if shown else ""

    return flag


def checks_of(wildcards):
    """Checksum and size of a download, where they are known, as flags."""
    file = DOWNLOADED[wildcards.url_path]
    checks = [f"--sha256 {file.sha256}"] if file.sha256 else []
    checks += [f"--size {file.size}"] if file.size else []
    return " ".join(checks)


def downloads_of(wildcards):
    return [
        f"{DOWNLOADS}{path}"
        for path in configuration.remote_files(config, wildcards.dataset)
    ]


def local_files_of(wildcards):
    return configuration.local_files(config, wildcards.dataset)


def training_settings(part):
    """The parameter of freeze_settings: one part of the settings of a (dataset, model, method), as JSON."""

    def settings(wildcards):
        grid_or_error(wildcards)
        chosen = configuration.slice_settings(
            config, wildcards.dataset, wildcards.model, wildcards.method
        )
        return configuration.canonical_json(chosen[part])

    return settings


def data_of_choice(wildcards):
    """The data that the settings of an automatic model are chosen from; none of another model."""
    if configuration.is_automatic(config, wildcards.model):
        return f"{RESULTS}data/{wildcards.dataset}.h5ad"
    return []


def grid_or_error(wildcards):
    wanted = (wildcards.dataset, wildcards.model, wildcards.method)
    if wanted not in configuration.grid(config, wildcards.dataset):
        raise WorkflowError(
            f"models.{wildcards.model} is not trained on {wildcards.dataset} with {wildcards.method} (see its"
            f" `datasets` and `methods`, and datasets.{wildcards.dataset}.methods)"
        )


def settings_of_block(wildcards):
    """The settings of a training job, whose seeds have to be one of the run's blocks."""
    grid_or_error(wildcards)
    block = (int(wildcards.first), int(wildcards.last))
    chosen = BLOCKS[wildcards.dataset, wildcards.model, wildcards.method]
    if block not in chosen:
        blocks = ", ".join(f"{first}-{last}" for first, last in chosen)
        raise WorkflowError(
            f"seeds {block[0]}-{block[1]} are no block of the configuration; there are: {blocks}"
        )
    return f"{RESULTS}settings/{wildcards.dataset}/{wildcards.model}/{wildcards.method}.json"


def seeds_of_block(wildcards):
    return int(wildcards.last) - int(wildcards.first) + 1


def interventions_of(wildcards):
    """The interventions on a dataset, as JSON."""
    interventions = config["datasets"][wildcards.dataset]["interventions"]
    if interventions is None:
        raise WorkflowError(
            f"datasets.{wildcards.dataset} has no `interventions`, so that none can be forecast"
        )
    return configuration.canonical_json(interventions)


def edges_settings(wildcards):
    """The test of edges of a dataset, as JSON."""
    edges = config["datasets"][wildcards.dataset]["edges"]
    if edges is None:
        raise WorkflowError(
            f"datasets.{wildcards.dataset} has no `edges`, so that none are tested"
        )
    return configuration.canonical_json(edges)


def edges_memory(wildcards, attempt):
    """Memory of a test of edges in MB: half as much again as the estimate at each attempt."""
    return int(plan.edges_job(config, wildcards.dataset).memory_mb * 1.5**attempt)


def edges_minutes(wildcards, attempt):
    """Time limit of a test of edges in minutes: four times the estimate, since machines differ."""
    return int(
        10 + 4 * attempt * plan.edges_job(config, wildcards.dataset).seconds / 60
    )


def edges_flag(dataset):
    """The flag of the folder of tested edges, followed by a space, where there is one."""
    folder = shlex.quote(f"{RESULTS}edges/{dataset}")
    return f"--edges {folder} " if edges_of(dataset) else ""


def peer_settings(part):
    """A parameter of infer_peer: one part of what a peer on a dataset depends on, mappings as JSON."""

    def settings(wildcards):
        dataset, peer = wildcards.dataset, wildcards.peer
        chosen = configuration.peer_settings(config, dataset, peer)[part]
        return (
            configuration.canonical_json(chosen) if isinstance(chosen, dict) else chosen
        )

    return settings


def training_estimates(wildcards):
    """What a training job is expected to take."""
    try:
        return plan.training_job(
            config,
            wildcards.dataset,
            wildcards.model,
            wildcards.method,
            seeds=seeds_of_block(wildcards),
        )
    except UserError as error:
        raise WorkflowError(str(error)) from None


def training_memory(wildcards, attempt):
    """Memory of a training job in MB: half as much again as the estimate, and again at each further attempt.

    On a cluster two Snakemakes around it count as well.
    """
    job = training_estimates(wildcards)
    return int((400 + job.memory_mb) * 1.5**attempt)


def memory_of_evaluation(dataset):
    """Memory of an evaluation in MB: with room to spare, and more at each further attempt."""
    return lambda wildcards, attempt: int(
        max(4000, 1.5 * plan.evaluation_mb(config, dataset)) * attempt
    )


def figure_memory(figure):
    """Memory of a figure in MB: half as much again as the estimate."""

    def memory(wildcards):
        return int(1.5 * plan.figure_mb(config, wildcards.dataset, figure))

    return memory


def is_large(figure):
    """1 for a figure that takes so much memory that no two of them run at once, else 0."""

    def large(wildcards):
        return int(plan.figure_mb(config, wildcards.dataset, figure) > plan.LARGE_MB)

    return large


def gpus_of_training(wildcards):
    """GPUs of a training job: `auto` takes one where training will find it, here or on Slurm in its partition."""
    # Jobs inherit what was found where they were submitted: the nodes that they run on may differ in it.
    if workflow.is_main_process or TRAINING_GPUS not in os.environ:
        os.environ[TRAINING_GPUS] = str(int(training_finds_gpu()))
    return int(os.environ[TRAINING_GPUS])


@cache
def training_finds_gpu():
    """Whether training will run on a GPU, as far as can be told where the run is started."""
    if config["device"] != "auto":
        return config["device"] == "cuda"
    partition = training_partition()
    # A report or a summary has no executor.
    executor = workflow.executor_plugin.name if workflow.executor_plugin else None
    if partition is None and executor != "slurm":
        return which("nvidia-smi") is not None
    return cluster.partition_has_gpus(partition)


def training_partition():
    """The Slurm partition that training is submitted to, where the profile or the command line names one."""
    settings = workflow.resource_settings
    for given in (
        settings.overwrite_resources.get("train_members"),
        settings.default_resources,
    ):
        if given and "slurm_partition" in given:
            return str(given["slurm_partition"].raw)
    return None


def training_environment(wildcards):
    """The conda environment of training, with CUDA where it takes a GPU."""
    return f"../../envs/sparsenode{'_gpu' * gpus_of_training(wildcards)}.yaml"


def memory_limit():
    """The flag that cuts training jobs into parts; followed by a space where there is one."""
    return f"--memory-mb {config['memory_mb']} " if config["memory_mb"] else ""


def pack_memory(pack):
    """Memory of a pack in MB, that of its largest training."""
    largest = max(packs.estimate(config, training).memory_mb for training in pack)
    return lambda wildcards, attempt: int((400 + largest) * 1.5**attempt)


def pack_minutes(pack):
    """Time limit of a pack in minutes."""
    seconds = sum(packs.estimate(config, training).seconds for training in pack)
    return lambda wildcards, attempt: int(10 + 4 * attempt * seconds / 60)


def files_of_pack(pack, pattern):
    """A file of each training of a pack: `path` is DATASET/MODEL/METHOD/seeds_FIRST-LAST."""
    return [
        RESULTS + pattern.format(path=each.path(), **each._asdict()) for each in pack
    ]


def training_minutes(wildcards, attempt):
    """Time limit of a training job in minutes: four times the estimate, since machines differ."""
    job = training_estimates(wildcards)
    return int(10 + 4 * attempt * job.seconds / 60)


STUDY = f"{RESULTS}study/"
STUDIED = configuration.studied_datasets(config)
KINDS = configuration.kinds_of_study(config)


def study_results():
    """What is made of the study where the run has one."""
    if not (STUDIED or config["study"]["tables"]):
        return []
    pictures = [
        f"{STUDY}figures/{figure}.{ending}"
        for figure in STUDY_FIGURES
        for ending in ("pdf", "png")
    ]
    return [
        f"{STUDY}answer.csv",
        f"{STUDY}answer.md",
        f"{STUDY}effects.csv",
        *pictures,
    ]


def tables_of_study(_):
    """Stored long tables, or those of the kinds of the run."""
    stored = config["study"]["tables"]
    if not (stored or KINDS):
        raise WorkflowError(
            "the run has no study: no dataset has the option `distances`, and `study.tables` names no stored table"
        )
    return list(stored) or [f"{STUDY}kinds/{kind}.csv.gz" for kind in KINDS]


def held_of_study(wildcards):
    """Forecasts with held variables of a dataset, where it has some."""
    entry = config["datasets"][wildcards.dataset]
    has_some = entry["interventions"] is not None
    return [f"{RESULTS}interventions/{wildcards.dataset}.parquet"] if has_some else []
