"""The command line: one subcommand for each rule of the workflow, and those that only serve a person."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import sparsenode
from sparsenode.errors import InterruptedTrainingError, UserError
from sparsenode.figures import FIGURES, INPUTS, shield_matplotlib, subcommand_of
from sparsenode.figures.study import STUDY_FIGURES
from sparsenode.files import reading

_ARGUMENTS_FROM = "--arguments-from"

Arguments = argparse.Namespace
Subparsers = Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; 0 if it succeeded, 1 after an error that the user can mend, printed on one line.

    Training that a signal stopped ends with 128 and the number of the signal.
    """
    try:
        parsed = build_parser().parse_args(_read_arguments(sys.argv[1:] if arguments is None else arguments))
        shield_matplotlib()
        logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
        parsed.run(parsed)
    except UserError as error:
        _print(f"error: {error}", sys.stderr)
        return 1
    except InterruptedTrainingError as stop:
        _print(f"error: {stop}", sys.stderr)
        return 128 + stop.signal  # as shells count it
    except KeyboardInterrupt:
        _print("error: interrupted: what was begun is not written, and the next run makes it", sys.stderr)
        return 128 + signal.SIGINT
    except MemoryError as error:
        return _tell_lack_of_memory(error)
    except RuntimeError as error:
        if not _is_lack_of_memory(error):
            raise
        return _tell_lack_of_memory(error)
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone; further flushes would fail likewise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        file_name = f" {error.filename}" if error.filename else ""
        _print(f"error: the system refused{file_name}: {error.strerror or error}", sys.stderr)
        return 1
    return 0


def _read_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments, with those of the file in place of `--arguments-from FILE`, one a line.

    The workflow lists in a file what is too long for a command (`pipeline.invocation.arguments_of`).

    Raises:
        UserError: the file is missing or cannot be read.
    """
    if _ARGUMENTS_FROM not in arguments[:-1]:
        return list(arguments)
    at = list(arguments).index(_ARGUMENTS_FROM)
    path = Path(arguments[at + 1])
    with reading(path):
        listed = path.read_text(encoding="utf-8").splitlines()
    return [*arguments[:at], *listed, *arguments[at + 2 :]]


def _is_lack_of_memory(error: RuntimeError) -> bool:
    """Whether torch, where it runs, has found too little memory."""
    if "torch" not in sys.modules:
        return False
    from sparsenode.ensemble.device import is_out_of_memory

    return is_out_of_memory(error)


def _tell_lack_of_memory(error: Exception) -> int:
    reason = str(error).strip().partition("\n")[0]
    advice = "run fewer jobs at once, or take a machine with more (on a cluster, a larger `mem_mb` of the rule)"
    _print(f"error: there is not enough memory{f' ({reason})' if reason else ''}; {advice}", sys.stderr)
    return 1


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all subcommands."""
    epilog = f"Of a long list: {_ARGUMENTS_FROM} FILE takes further arguments of a subcommand from a file, one a line."
    parser = argparse.ArgumentParser(prog="sparsenode", description=sparsenode.__doc__, epilog=epilog)
    parser.add_argument("--version", action="version", version=f"sparsenode {sparsenode.__version__}")
    subparsers = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND", required=True)
    for add in (
        _add_init,
        _add_run,
        _add_fit,
        _add_plan,
        _add_options,
        _add_metrics,
        _add_published,
        _add_schema,
        _add_describe,
        _add_forecast,
        _add_rates,
        _add_network,
        _add_edges,
        _add_download_source,
        _add_unpack_source,
        _add_preprocess_dataset,
        _add_freeze_settings,
        _add_train_members,
        _add_train_pack,
        _add_infer_peer,
        _add_infer_edges,
        _add_evaluate_models,
        _add_forecast_interventions,
        _add_collect_metrics,
        _add_collect_remarks,
        _add_summarize_run,
        _add_write_overview,
        _add_tabulate_sweeps,
        _add_tabulate_benchmark,
        _add_tabulate_study,
        _add_collect_study,
        _add_answer_claim,
        _add_answer_study,
        _add_summarize_effects,
        _add_draw_study,
    ):
        add(subparsers)
    for figure in FIGURES:
        _add_draw(subparsers, figure)
    _add_draw_comparison(subparsers)
    _add_draw_network_page(subparsers)
    return parser


def _print(text: str, stream: Any = None) -> None:
    print(text, file=stream or sys.stdout)


def _subcommand(
    subparsers: Subparsers, name: str, summary: str, run: Callable[[Arguments], None] | str
) -> argparse.ArgumentParser:
    """Add a subcommand that runs a function of its arguments, or the one that is named as `module:function`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
    )
    # Of a repeated option, argparse would take the last without a word.
    parser.register("action", None, _StoreOnce)
    parser.register("type", Path, _path)
    parser.set_defaults(run=partial(_call, run) if isinstance(run, str) else run)
    return parser


def _call(function: str, arguments: Arguments) -> None:
    """Call `module:function` of this package with the arguments by their names, and print the text that it gives."""
    module, _, name = function.partition(":")
    values = {key: value for key, value in vars(arguments).items() if key != "run"}
    text = getattr(import_module(f"sparsenode.{module}"), name)(**values)
    if text is not None:
        _print(text)


class _StoreOnce(argparse.Action):
    """Store the value of an option, which may be given once."""

    _filled: argparse.Namespace | None = None

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        _option: str | None = None,
    ) -> None:
        if self._filled is namespace:
            several = " (with all its values after it)" if self.nargs in {"+", "*"} else ""
            raise argparse.ArgumentError(self, f"found more than once; allowed: once{several}")
        self._filled = namespace
        setattr(namespace, self.dest, values)


def _path(text: str) -> Path:
    """Read a path given as an argument; shells leave `~` in `--option=~/file` as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        message = f"found {text!r}, whose home folder is not known; write the path in full"
        raise argparse.ArgumentTypeError(message) from error


def _json_object(text: str) -> dict[str, Any]:
    """Read a JSON object given as an argument."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"not JSON: {error}"
        raise argparse.ArgumentTypeError(message) from error
    if not isinstance(value, dict):
        message = f"not a JSON object: {text}"
        raise argparse.ArgumentTypeError(message)
    return value


def _positive(text: str) -> int:
    """Read a whole number of at least 1 given as an argument."""
    return _whole_number(text, 1)


def _not_negative(text: str) -> int:
    """Read a whole number of at least 0 given as an argument."""
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        message = f"found {text!r}; allowed: a whole number, {least} or more"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _above_zero(text: str) -> float:
    """Read a finite number above 0 given as an argument."""
    value = _number(text)
    if not 0 < value < math.inf:
        message = f"found {text!r}; allowed: a number above 0"
        raise argparse.ArgumentTypeError(message)
    return value


def _finite(text: str) -> float:
    """Read a finite number given as an argument."""
    value = _number(text)
    if not math.isfinite(value):
        message = f"found {text!r}; allowed: a finite number"
        raise argparse.ArgumentTypeError(message)
    return value


def _number(text: str) -> float:
    """The number that a text is, NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _held_variable(text: str) -> tuple[str, float]:
    """Read a variable and the value it is held at, given as NAME=VALUE."""
    name, _, value = text.rpartition("=")
    number = _number(value)
    if not name or not math.isfinite(number):
        message = f"found {text!r}; allowed: a variable, = and a finite number, such as Gata1=0"
        raise argparse.ArgumentTypeError(message)
    return name, number


def _limit_threads(threads: int) -> None:
    """Bound the threads of numerical libraries; to be called before torch or numpy are first imported."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = str(threads)


def _add_init(subparsers: Subparsers) -> None:
    summary = "begin a folder for runs: write a configuration, a profile for Slurm and a README"
    parser = _subcommand(subparsers, "init", summary, _init)
    parser.add_argument("folder", type=Path, help="folder, which is made; nothing is overwritten")


def _init(arguments: Arguments) -> None:
    from sparsenode.pipeline.starter import init_folder

    for path in init_folder(arguments.folder):
        _print(f"wrote {path}")
    _print("change config.yaml, and there: sparsenode run")


_RUN_HELP = "run the workflow: train, measure and draw what is not done yet; all options of Snakemake go with it"


def _add_run(subparsers: Subparsers) -> None:
    # No option is looked for, so that all are Snakemake's.
    parser = subparsers.add_parser(
        "run",
        help=_RUN_HELP,
        usage="sparsenode run [--configfile FILE ...] [--profile NAME] [OPTION OF SNAKEMAKE ...] [TARGET ...]",
        description=f"{_RUN_HELP[0].upper()}{_RUN_HELP[1:]}. The workflow is that of the working folder, if this is a "
        "clone of the repository, or else that of the installed package. The config.yaml of the working folder is laid "
        "over that of the workflow, files of --configfile in turn over both. Without --cores, --jobs or a cluster all "
        "cores are taken. `snakemake --help` lists its options.",
        add_help=False,
        prefix_chars="\0",
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="OPTION OR TARGET", help="passed to Snakemake")
    parser.set_defaults(run=lambda arguments: _run(parser, arguments))


def _run(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    if {"-h", "--help"} & set(arguments.arguments):
        parser.print_help()
        parser.exit()
    from sparsenode.pipeline.running import run_workflow

    run_workflow(arguments.arguments)


def _add_fit(subparsers: Subparsers) -> None:
    summary = "fit SparseNODE to a file: tables, figures, a summary and the model, without a configuration"
    parser = _subcommand(subparsers, "fit", summary, _fit)
    parser.add_argument(
        "data", type=Path, help="h5ad file, or CSV, TSV or parquet file with a line for each observation"
    )
    parser.add_argument("--time", metavar="COLUMN", help="column of the times (of `obs`)")
    parser.add_argument("--trajectory", metavar="COLUMN", help="column of the trajectories; default: all are one")
    parser.add_argument("--group", metavar="COLUMN", help="column that trajectories of one kind share (lineage)")
    parser.add_argument("--subject", metavar="COLUMN", help="column of the donor or person")
    parser.add_argument("--layer", help="layer of an h5ad file to model; default: X")
    parser.add_argument(
        "--variables", nargs="+", metavar="COLUMN", help="columns of a table to model; default: all others"
    )
    parser.add_argument(
        "--leave-out", nargs="+", default=[], metavar="COLUMN", help="columns of a table that are no variables"
    )
    parser.add_argument(
        "--any-order",
        action="store_true",
        help="lines of a table may be in any order, and times may repeat, as of cells in pseudotime",
    )
    parser.add_argument(
        "--settings",
        type=_setting,
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="settings of SparseNODE, such as seeds=5 iterations=500 regularizer=l1; values are JSON or text",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder to write; it is made")


def _setting(text: str) -> tuple[str, Any]:
    """Read a setting given as NAME=VALUE, whose value is JSON, or else text."""
    name, separator, value = text.partition("=")
    if not name or not separator:
        message = f"found {text!r}; allowed: a name, = and a value, such as seeds=5"
        raise argparse.ArgumentTypeError(message)
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _fit(arguments: Arguments) -> None:
    from sparsenode.fitting import fit_file

    names = [name for name, _ in arguments.settings]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(f"--settings: found {repeated[0]} more than once; allowed: each setting once")
    summary = fit_file(
        arguments.data,
        arguments.output,
        time=arguments.time,
        trajectory=arguments.trajectory,
        group=arguments.group,
        subject=arguments.subject,
        layer=arguments.layer,
        variables=arguments.variables,
        leave_out=arguments.leave_out,
        any_order=arguments.any_order,
        settings=dict(arguments.settings),
    )
    _print(summary)
    _print(f"written: {arguments.output}")


def _add_plan(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "plan", "say what a run holds: jobs, members, estimated time, memory and disk", _plan
    )
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[], metavar="FILE", help="laid over config.yaml in turn"
    )
    parser.add_argument(
        "--config",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="laid over all files, as by `snakemake --config`",
    )
    parser.add_argument(
        "--workflow",
        type=Path,
        metavar="FOLDER",
        help="where config.yaml and workflow/ are; default: the working folder, the clone that sparsenode is installed "
        "from, or the installed package",
    )
    parser.add_argument("--cores", type=_positive, default=os.cpu_count() or 1, help="default: all of this machine")
    parser.add_argument(
        "--gpu-speed",
        type=_above_zero,
        metavar="FACTOR",
        help="how many times as fast as one core a GPU multiplies, for the estimate of GPU-hours; default: a guess, "
        "which is printed",
    )


def _plan(arguments: Arguments) -> None:
    from sparsenode.pipeline import configuration, plan

    gpu_speed = plan.GPU_SPEED if arguments.gpu_speed is None else arguments.gpu_speed
    workflow = arguments.workflow or configuration.find_workflow()
    files = arguments.configfile
    if arguments.workflow is None:
        files = configuration.with_own_configuration(workflow, files)  # as `sparsenode run` does
    for remark in configuration.check_configuration_files(workflow / "config.yaml", files):
        logging.getLogger(__name__).warning(remark)
    config = configuration.read_configuration(workflow, files, arguments.config)
    configuration.check_folders(config)
    configuration.check_sources(config)
    run_plan = plan.make_plan(config)
    _print(plan.describe_plan(run_plan, cores=arguments.cores, gpu_speed=gpu_speed))
    if choices := plan.automatic_choices(config):
        _print("\n".join(choices))


def _add_download_source(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "download-source", "download one file and check it", "data.downloads:download_source"
    )
    parser.add_argument("--url", required=True)
    parser.add_argument("--sha256", help="expected checksum; without one, the checksum found is logged")
    parser.add_argument("--size", type=_not_negative, help="expected size in bytes")
    parser.add_argument("--mirror", help="folder or http(s) address laid out as HOST/PATH, instead of the internet")
    parser.add_argument("--output", type=Path, required=True)


def _add_unpack_source(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "unpack-source", "unpack one downloaded gzip file", "data.downloads.unpacking:unpack_source"
    )
    parser.add_argument("--packed", type=Path, required=True, help="gzip file")
    parser.add_argument("--output", type=Path, required=True)


def _add_preprocess_dataset(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers,
        "preprocess-dataset",
        "make the AnnData of trajectories of a dataset",
        "data.preprocess:preprocess_dataset",
    )
    parser.add_argument("--name", required=True, help="name of the dataset")
    parser.add_argument(
        "--settings", dest="dataset_settings", type=_json_object, required=True, help="the dataset's entry, as JSON"
    )
    parser.add_argument("--downloads", type=Path, required=True, help="folder of downloads, laid out as HOST/PATH")
    parser.add_argument("--output", type=Path, required=True, help="h5ad file")


def _add_freeze_settings(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "freeze-settings", "write the settings that training takes as its input", _freeze_settings
    )
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--model-settings", type=_json_object, required=True, help="as JSON")
    parser.add_argument("--method-settings", type=_json_object, required=True, help="as JSON")
    parser.add_argument("--data", type=Path, help="the trajectories that an automatic model is chosen from")
    parser.add_argument("--output", type=Path, required=True, help="JSON file")


def _freeze_settings(arguments: Arguments) -> None:
    from sparsenode.pipeline.configuration import freeze_settings
    from sparsenode.settings import FROZEN

    freeze_settings({key: getattr(arguments, key) for key in FROZEN}, arguments.output, data=arguments.data)


def _add_train_members(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "train-members", "train all strengths of a method for a block of seeds", _train_members
    )
    parser.add_argument("--data", type=Path, required=True, help="h5ad file of trajectories")
    parser.add_argument("--settings", type=Path, required=True, help="frozen settings, a JSON file")
    parser.add_argument("--first-seed", type=_not_negative, required=True)
    parser.add_argument("--last-seed", type=_not_negative, required=True, help="this one is trained too")
    parser.add_argument("--threads", type=_positive, default=1)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--memory-mb", type=_positive, help="members that need more are trained in parts; default: all")
    parser.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="of this job only; default: none are kept")
    parser.add_argument("--checkpoint-seconds", type=_above_zero, default=60.0, help="time from one to the next")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file")
    parser.add_argument("--history", type=Path, required=True, help="parquet file of the course of training")


def _train_members(arguments: Arguments) -> None:
    if arguments.first_seed > arguments.last_seed:
        seed_range = f"{arguments.first_seed} to {arguments.last_seed}"
        message = f"--first-seed, --last-seed: found {seed_range}; allowed: a first seed that is not above the last"
        raise UserError(message)
    _limit_threads(arguments.threads)
    from sparsenode.training.job import train_members

    train_members(
        arguments.data,
        arguments.settings,
        range(arguments.first_seed, arguments.last_seed + 1),
        arguments.output,
        arguments.history,
        threads=arguments.threads,
        device=arguments.device,
        memory_mb=arguments.memory_mb,
        checkpoints=arguments.checkpoints,
        checkpoint_seconds=arguments.checkpoint_seconds,
    )


def _add_train_pack(subparsers: Subparsers) -> None:
    parser = _subcommand(subparsers, "train-pack", "train on several datasets of a sweep in turn", _train_pack)
    parser.add_argument("--results", type=Path, required=True, help="folder of the results, which holds data, settings")
    parser.add_argument(
        "--trainings",
        type=_training,
        nargs="+",
        required=True,
        metavar="DATASET/MODEL/METHOD/seeds_FIRST-LAST",
        help="what is trained",
    )
    parser.add_argument("--threads", type=_positive, default=1)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--memory-mb", type=_positive, help="members that need more are trained in parts; default: all")
    parser.add_argument("--checkpoint-seconds", type=_above_zero, default=60.0, help="time from one to the next")


def _training(text: str) -> tuple[str, str, range]:
    """The dataset, the path of a (dataset, model, method) and the seeds of a packed training."""
    match = re.fullmatch(r"(([^/]+)/[^/]+/[^/]+)/seeds_([0-9]+)-([0-9]+)", text)
    if match is None or int(match[3]) > int(match[4]):
        message = f"found {text!r}; allowed: DATASET/MODEL/METHOD/seeds_FIRST-LAST"
        raise argparse.ArgumentTypeError(message)
    return match[2], match[1], range(int(match[3]), int(match[4]) + 1)


def _train_pack(arguments: Arguments) -> None:
    _limit_threads(arguments.threads)
    from sparsenode.training.pack import PackedTraining, train_pack

    results = arguments.results
    trainings = []
    for dataset, folder, seeds in arguments.trainings:
        name = f"seeds_{seeds[0]}-{seeds[-1]}"
        trainings.append(
            PackedTraining(
                data=results / "data" / f"{dataset}.h5ad",
                settings=results / "settings" / f"{folder}.json",
                seeds=seeds,
                output=results / "models" / folder / f"{name}.safetensors",
                history=results / "models" / folder / f"{name}.history.parquet",
                checkpoints=results / "checkpoints" / folder / name,
                stash=results / "checkpoints" / "finished" / folder / name,
            )
        )
    train_pack(
        trainings,
        threads=arguments.threads,
        device=arguments.device,
        memory_mb=arguments.memory_mb,
        checkpoint_seconds=arguments.checkpoint_seconds,
    )


def _add_infer_peer(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "infer-peer", "score all pairs of variables by another package's method", _infer_peer
    )
    parser.add_argument("--data", type=Path, required=True, help="h5ad file of trajectories")
    parser.add_argument("--peer", required=True, help="name of a module of sparsenode/peers, such as extra_trees")
    parser.add_argument("--options", type=_json_object, default={}, help="of the peer, as JSON")
    parser.add_argument("--seeds", type=_positive, default=1, help="how many seeds a random peer is asked with")
    parser.add_argument("--order", type=int, choices=[1, 2], default=1, help="of the derivatives that are explained")
    parser.add_argument("--output", type=Path, required=True, help="parquet file")


def _infer_peer(arguments: Arguments) -> None:
    _limit_threads(1)
    from sparsenode.peers.inference import infer_peer

    infer_peer(arguments.data, arguments.peer, arguments.options, arguments.seeds, arguments.order, arguments.output)


def _add_seeds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=_positive, help="how many seeds of the models to take, from 0 on; default: all")


def _add_infer_edges(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "infer-edges", "test which edges of a dataset are needed, with false discovery rates", _infer_edges
    )
    parser.add_argument("--data", type=Path, required=True, help="h5ad file of trajectories")
    parser.add_argument(
        "--settings", type=_json_object, required=True, help="the dataset's `edges` of the configuration, as JSON"
    )
    parser.add_argument("--threads", type=_positive, default=1)
    parser.add_argument("--output", type=Path, required=True, help="folder to write")


def _infer_edges(arguments: Arguments) -> None:
    _limit_threads(arguments.threads)
    from sparsenode.evaluation.edges import infer_edges
    from sparsenode.inference.settings import EdgeSettings
    from sparsenode.typed import read_settings

    settings = read_settings(EdgeSettings, arguments.settings, "edges")
    _print(infer_edges(arguments.data, arguments.output, settings, threads=arguments.threads))


def _add_evaluate_models(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "evaluate-models", "forecast, score and choose strengths on a dataset", _evaluate_models
    )
    parser.add_argument("--data", type=Path, required=True, help="h5ad file of trajectories")
    parser.add_argument("--models", type=Path, nargs="+", action="extend", required=True, help="safetensors files")
    parser.add_argument(
        "--settings", type=Path, nargs="+", action="extend", required=True, help="frozen settings, JSON files"
    )
    parser.add_argument(
        "--evaluation", type=_json_object, default={}, help="the dataset's `evaluation` of the configuration, as JSON"
    )
    parser.add_argument(
        "--peers", type=Path, nargs="*", action="extend", default=[], help="parquet files that infer-peer wrote"
    )
    _add_seeds(parser)
    parser.add_argument("--threads", type=_positive, default=1)
    parser.add_argument("--metrics", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--forecasts", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--networks", type=Path, required=True, help="folder to write")
    parser.add_argument("--selection", type=Path, required=True, help="folder to write")
    parser.add_argument("--remarks", type=Path, help="CSV file of what is doubtful; default: none is written")
    parser.add_argument("--edges", type=Path, help="folder that infer-edges wrote; default: edges were not tested")


def _evaluate_models(arguments: Arguments) -> None:
    _limit_threads(arguments.threads)
    from sparsenode.evaluation.evaluate import evaluate_models
    from sparsenode.evaluation.settings import EvaluationSettings
    from sparsenode.typed import read_settings

    evaluate_models(
        arguments.data,
        arguments.models,
        arguments.settings,
        arguments.metrics,
        arguments.forecasts,
        arguments.networks,
        arguments.selection,
        read_settings(EvaluationSettings, arguments.evaluation, "evaluation"),
        peers=arguments.peers,
        remarks=arguments.remarks,
        seeds=arguments.seeds,
        edges=arguments.edges,
    )


def _add_forecast_interventions(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers,
        "forecast-interventions",
        "forecast knock-outs and over-expressions and compare them with what is known",
        _forecast_interventions,
    )
    parser.add_argument("--data", type=Path, required=True, help="h5ad file of trajectories")
    parser.add_argument("--models", type=Path, nargs="+", action="extend", required=True, help="safetensors files")
    parser.add_argument(
        "--settings", type=Path, nargs="+", action="extend", required=True, help="frozen settings, JSON files"
    )
    parser.add_argument("--selection", type=Path, required=True, help="folder of chosen strengths")
    parser.add_argument(
        "--interventions",
        type=_json_object,
        required=True,
        help="the dataset's `interventions` of the configuration, as JSON",
    )
    _add_seeds(parser)
    parser.add_argument("--threads", type=_positive, default=1)
    parser.add_argument("--output", type=Path, required=True, help="parquet file")
    parser.add_argument("--effects", type=Path, help="CSV file of effects with intervals and verdicts; default: none")
    parser.add_argument("--fates", type=Path, help="CSV file of fates with intervals and verdicts; default: none")


def _forecast_interventions(arguments: Arguments) -> None:
    _limit_threads(arguments.threads)
    from sparsenode.interventions.forecast import forecast_interventions
    from sparsenode.interventions.settings import InterventionSettings
    from sparsenode.typed import read_settings

    forecast_interventions(
        arguments.data,
        arguments.models,
        arguments.settings,
        arguments.selection,
        arguments.output,
        read_settings(InterventionSettings, arguments.interventions, "interventions"),
        seeds=arguments.seeds,
        effects=arguments.effects,
        fates=arguments.fates,
    )


def _add_collect_metrics(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "collect-metrics", "write the metrics of several datasets to one CSV", _collect_metrics
    )
    parser.add_argument("--metrics", type=Path, nargs="+", action="extend", required=True, help="parquet files")
    parser.add_argument("--output", type=Path, required=True, help="CSV file")


def _collect_metrics(arguments: Arguments) -> None:
    from sparsenode.evaluation.tables import COLUMNS
    from sparsenode.files import read_table, write_atomically

    # One after the other: of thousands of datasets not all tables fit into memory.
    with write_atomically(arguments.output) as path, path.open("w", encoding="utf-8", newline="") as file:
        for number, table in enumerate(arguments.metrics):
            read_table(table, columns=list(COLUMNS)).to_csv(file, index=False, header=number == 0)


def _add_collect_remarks(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers,
        "collect-remarks",
        "write what is doubtful about the results of several datasets",
        "remarks:collect_remarks",
    )
    parser.add_argument(
        "--remarks", dest="tables", type=Path, nargs="+", required=True, help="CSV files that evaluate-models wrote"
    )
    parser.add_argument("--output", type=Path, required=True, help="CSV file")
    parser.add_argument("--markdown", type=Path, required=True, help="the same for reading, a Markdown file")


def _add_tables_of_datasets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--datasets", nargs="+", action="extend", required=True, help="names of the datasets")
    parser.add_argument(
        "--metrics", type=Path, nargs="+", action="extend", required=True, help="parquet files, in the same order"
    )
    parser.add_argument(
        "--selections",
        type=Path,
        nargs="+",
        action="extend",
        required=True,
        help="folders of chosen strengths, in the same order",
    )


def _add_write_overview(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers,
        "write-overview",
        "write the page that the report opens on, with its pictures",
        "figures.overview:write_overview",
    )
    parser.add_argument("--summary", type=Path, required=True, help="the summary for reading, a Markdown file")
    parser.add_argument("--benchmark", type=Path, help="table of the benchmark, a CSV file; default: there is none")
    parser.add_argument("--pictures", type=Path, nargs="*", default=[], help="PNG files, figures/DATASET/FIGURE.png")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")


def _add_summarize_run(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers,
        "summarize-run",
        "write in a few lines what was found on several datasets",
        "figures.summary:write_summary",
    )
    _add_tables_of_datasets(parser)
    parser.add_argument("--remarks", type=Path, nargs="*", action="extend", default=[], help="CSV files of remarks")
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    parser.add_argument("--markdown", type=Path, required=True, help="the same for reading, a Markdown file")


def _add_tabulate_sweeps(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers,
        "tabulate-sweeps",
        "write which values the members of sweeps have",
        "pipeline.sweeps:tabulate_sweeps",
    )
    parser.add_argument("--sweeps", dest="table", type=_json_object, required=True, help="columns and rows, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="CSV file")


def _add_tabulate_benchmark(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers,
        "tabulate-benchmark",
        "write what every method reached on several datasets, beside published values",
        "figures.benchmark:tabulate_benchmark",
    )
    _add_tables_of_datasets(parser)
    parser.add_argument(
        "--benchmarks", type=_json_object, default={}, help="published benchmarks by dataset, as JSON; default: none"
    )
    parser.add_argument(
        "--remarks", type=Path, nargs="*", default=[], help="CSV files of what is doubtful, of some or all datasets"
    )
    parser.add_argument("--output", type=Path, required=True, help="CSV file")
    parser.add_argument("--markdown", type=Path, required=True, help="the same for reading, a Markdown file")


def _add_draw(subparsers: Subparsers, figure: str) -> None:
    drawn = FIGURES[figure]
    parser = _subcommand(
        subparsers, subcommand_of(figure), f"draw {drawn.shows}", lambda arguments: _draw(figure, arguments)
    )
    parser.add_argument("--dataset", required=True, help="name of the dataset")
    for name in drawn.inputs:
        parser.add_argument(f"--{name}", type=Path, required=True, help=INPUTS[name])
    if drawn.animated:
        parser.add_argument("--animation", type=Path, required=True, help="GIF file to write")
    if drawn.published:
        parser.add_argument("--benchmark", help="whose published values are shown as well; default: none are")
    _add_pictures(parser)


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--font-size", type=_above_zero, default=9.0, help="in points")
    parser.add_argument("--dots-per-inch", type=_positive, default=150, help="of the PNG file")
    parser.add_argument("--pdf", type=Path, required=True, help="file to write")
    parser.add_argument("--png", type=Path, required=True, help="file to write")


def _draw(figure: str, arguments: Arguments) -> None:
    from sparsenode.evaluation.results import Results
    from sparsenode.figures.drawing import draw_figure

    files = {name: getattr(arguments, name) for name in FIGURES[figure].inputs}
    draw_figure(
        figure,
        Results(arguments.dataset, files, getattr(arguments, "benchmark", None)),
        [arguments.pdf, arguments.png],
        animation=getattr(arguments, "animation", None),
        font_size=arguments.font_size,
        dots_per_inch=arguments.dots_per_inch,
    )


def _add_tabulate_study(subparsers: Subparsers) -> None:
    summary = "write the long table of the study for one dataset: errors by level of distance, and structure"
    parser = _subcommand(subparsers, "tabulate-study", summary, "evaluation.study.rows:tabulate_study")
    parser.add_argument("--data", type=Path, required=True, help="h5ad file of trajectories")
    parser.add_argument("--metrics", type=Path, required=True, help="parquet file of metrics")
    parser.add_argument("--interventions", type=Path, help="parquet file of forecast interventions; default: none")
    parser.add_argument("--output", type=Path, required=True, help="CSV file, compressed by its ending .gz")


def _add_collect_study(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "collect-study", "join long tables of the study into one", "evaluation.study.tables:collect_study"
    )
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="CSV files, which may be compressed")
    parser.add_argument("--output", type=Path, required=True, help="CSV file, compressed by its ending .gz")


def _add_answer_claim(subparsers: Subparsers) -> None:
    summary = "measure what one claim of the study says, with intervals, tests and verdicts"
    parser = _subcommand(subparsers, "answer-claim", summary, "evaluation.study.verdicts:answer_claim")
    parser.add_argument("--claim", dest="name", required=True, help="name of the claim")
    parser.add_argument("--long", type=Path, required=True, help="long table of the study")
    parser.add_argument("--output", type=Path, required=True, help="CSV file")


def _add_answer_study(subparsers: Subparsers) -> None:
    summary = "write the answer of the study: all claims, each with its number, interval and verdict"
    parser = _subcommand(subparsers, "answer-study", summary, "evaluation.study.answer:answer_study")
    parser.add_argument("--claims", type=Path, nargs="+", required=True, help="CSV files of claims")
    parser.add_argument("--output", type=Path, required=True, help="CSV file")
    parser.add_argument("--markdown", type=Path, required=True, help="the page, as Markdown")


def _add_summarize_effects(subparsers: Subparsers) -> None:
    summary = "measure all effects of the study, those that no claim asks for too"
    parser = _subcommand(subparsers, "summarize-effects", summary, "evaluation.study.summary:summarize_effects")
    parser.add_argument("--long", type=Path, required=True, help="long table of the study")
    parser.add_argument("--output", type=Path, required=True, help="CSV file")


def _add_draw_study(subparsers: Subparsers) -> None:
    parser = _subcommand(subparsers, "draw-study", "draw a figure of the study from its long table", _draw_study)
    parser.add_argument("--figure", required=True, choices=sorted(STUDY_FIGURES), help="name of the figure")
    parser.add_argument("--long", type=Path, required=True, help="long table of the study")
    _add_pictures(parser)


def _draw_study(arguments: Arguments) -> None:
    from sparsenode.figures.study import draw_study

    draw_study(
        arguments.figure,
        arguments.long,
        [arguments.pdf, arguments.png],
        font_size=arguments.font_size,
        dots_per_inch=arguments.dots_per_inch,
    )


def _add_draw_network_page(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "draw-network-page", "write the learned networks as a page for a browser", _draw_network_page
    )
    parser.add_argument("--dataset", required=True, help="name of the dataset")
    for name in ("selection", "networks"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=INPUTS[name])
    parser.add_argument("--html", type=Path, required=True, help="file to write; it needs no other, and no internet")


def _draw_network_page(arguments: Arguments) -> None:
    from sparsenode.evaluation.results import Results
    from sparsenode.figures import interactive

    results = Results(arguments.dataset, {"selection": arguments.selection, "networks": arguments.networks})
    networks, totals = interactive.read(results)
    interactive.write_page(networks, arguments.html, title=arguments.dataset, totals=totals)


def _add_draw_comparison(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "draw-comparison", "draw accuracy, sparsity and error across datasets or methods", _draw_comparison
    )
    parser.add_argument("--comparison", required=True, help="name of the comparison")
    parser.add_argument("--settings", type=_json_object, required=True, help="its entry of `comparisons`, as JSON")
    _add_tables_of_datasets(parser)
    _add_pictures(parser)


def _draw_comparison(arguments: Arguments) -> None:
    from sparsenode.evaluation.results import results_of_datasets
    from sparsenode.figures.drawing import draw_comparison

    draw_comparison(
        arguments.comparison,
        arguments.settings,
        results_of_datasets(arguments.datasets, arguments.metrics, arguments.selections),
        [arguments.pdf, arguments.png],
        font_size=arguments.font_size,
        dots_per_inch=arguments.dots_per_inch,
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="trained members, a safetensors file")
    parser.add_argument("--strength", type=_finite, help="only members of this strength; default: all")


def _add_options(subparsers: Subparsers) -> None:
    summary = "say which sections, data sources, methods and peers there are, or what one of them is and its options"
    parser = _subcommand(subparsers, "options", summary, "pipeline.catalog:describe_catalog")
    parser.add_argument(
        "name", nargs="?", help="a section of the configuration, data source, method or peer; default: list all"
    )


def _add_metrics(subparsers: Subparsers) -> None:
    _subcommand(
        subparsers,
        "metrics",
        "say what each metric is, in what unit, and where it is undefined",
        "evaluation.metrics:metrics_table",
    )


def _add_published(subparsers: Subparsers) -> None:
    summary = "list the values that other studies have published, each with its source and what it counts"
    parser = _subcommand(subparsers, "published", summary, "figures.published:published_table")
    parser.add_argument("benchmark", nargs="?", help="name of a published benchmark; default: all")


def _add_schema(subparsers: Subparsers) -> None:
    summary = "write the JSON schema of the configuration, by which editors complete and check it"
    parser = _subcommand(subparsers, "schema", summary, "pipeline.schema:write_schema")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")


def _add_describe(subparsers: Subparsers) -> None:
    parser = _subcommand(subparsers, "describe", "say what a model file holds", "application:describe_model")
    _add_model(parser)


def _add_forecast(subparsers: Subparsers) -> None:
    parser = _subcommand(subparsers, "forecast", "forecast from initial states with a trained model", _forecast)
    _add_model(parser)
    parser.add_argument(
        "--initial-states",
        type=Path,
        required=True,
        metavar="FILE",
        help="CSV or TSV file (a name, then a column for each feature) or h5ad file, in the units of the training data",
    )
    parser.add_argument("--layer", help="layer of the h5ad file that holds the states; default: X")
    parser.add_argument(
        "--times",
        type=float,
        nargs="+",
        action="extend",
        help="increasing, the first one being that of the initial state; a dataset's h5ad file brings its own",
    )
    parser.add_argument(
        "--clamp",
        type=_held_variable,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="hold variables from the start on (knock-out, over-expression), in the units of the training data",
    )
    parser.add_argument("--output", type=Path, required=True, help="CSV or parquet file")


def _forecast(arguments: Arguments) -> None:
    from sparsenode.application import forecast_file

    clamp = dict(arguments.clamp)
    if len(clamp) < len(arguments.clamp):
        names = [name for name, _ in arguments.clamp]
        repeated = next(name for name in names if names.count(name) > 1)
        message = f"--clamp: found {repeated} more than once; allowed: each variable once"
        raise UserError(message)
    forecast_file(
        arguments.model,
        arguments.initial_states,
        arguments.output,
        times=arguments.times,
        layer=arguments.layer,
        strength=arguments.strength,
        clamp=clamp,
    )


def _add_rates(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "rates", "give the rates of change at states with a trained model", "application:rates_file"
    )
    _add_model(parser)
    parser.add_argument("--states", type=Path, required=True, metavar="FILE", help="CSV, TSV or h5ad file")
    parser.add_argument("--layer", help="layer of the h5ad file that holds the states; default: X")
    parser.add_argument("--output", type=Path, required=True, help="CSV or parquet file")


def _add_network(subparsers: Subparsers) -> None:
    parser = _subcommand(
        subparsers, "network", "write the effective network of a trained model", "application:network_file"
    )
    _add_model(parser)
    parser.add_argument("--output", type=Path, required=True, help="CSV or parquet file of source, target, weight")


def _add_edges(subparsers: Subparsers) -> None:
    parser = _subcommand(subparsers, "edges", "test which edges are needed, given the other measured variables", _edges)
    parser.add_argument("dataset", type=Path, help="h5ad file of trajectories, results/data/DATASET.h5ad of a run")
    parser.add_argument("--output", type=Path, required=True, help="CSV file of all pairs: effects, p- and q-values")
    parser.add_argument("--graph", type=Path, help="GraphML file of the edges at the false discovery rate")
    parser.add_argument(
        "--fdr", type=_above_zero, default=0.1, help="rate of false edges in the graph; default: %(default)s"
    )
    parser.add_argument(
        "--folds", type=_positive, default=5, help="sets of blocks that are held out; default: %(default)s"
    )
    parser.add_argument(
        "--splits", type=_positive, default=1, help="how often blocks are dealt again; default: %(default)s"
    )
    parser.add_argument(
        "--candidates", type=_positive, default=20, help="most inputs of a target; default: %(default)s"
    )
    for name, meaning in (("forbidden", "known to be no edges"), ("required", "known to be edges")):
        parser.add_argument(
            f"--{name}",
            type=_pair,
            nargs="+",
            default=(),
            metavar="SOURCE,TARGET",
            help=f"pairs that are {meaning}; default: none",
        )
    parser.add_argument("--threads", type=_positive, default=1, help="folds computed at a time; default: %(default)s")
    parser.add_argument("--seed", type=_not_negative, default=0, help="default: %(default)s")


def _pair(text: str) -> tuple[str, str]:
    """Read a pair of variables given as SOURCE,TARGET."""
    source, comma, target = text.partition(",")
    if not (source and comma and target) or "," in target:
        message = f"found {text!r}; allowed: names of a source and a target with a comma between, such as Gata1,Fog1"
        raise argparse.ArgumentTypeError(message)
    return source, target


def _edges(arguments: Arguments) -> None:
    _limit_threads(arguments.threads)
    from sparsenode.application import edges_file

    names = ("fdr", "folds", "splits", "candidates", "seed", "forbidden", "required")
    settings = {name: getattr(arguments, name) for name in names}
    summary = edges_file(
        arguments.dataset, arguments.output, graph=arguments.graph, settings=settings, threads=arguments.threads
    )
    _print(summary)


if __name__ == "__main__":
    sys.exit(main())
