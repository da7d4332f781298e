"""A training job: from the files of the data and the settings to those of the model and the history."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from sparsenode import versions
from sparsenode.ensemble.device import keep_freed_memory, matrix_precision, peak_memory, resolve_device, usable_memory
from sparsenode.ensemble.members import Member, save_ensemble
from sparsenode.ensemble.memory import (
    BASE_BYTES,
    describe_steps,
    evaluations_kept,
    is_refused,
    member_bytes,
    member_size_of,
    most_members,
    solve_bytes,
)
from sparsenode.errors import UserError
from sparsenode.files import describe_problem, file_sha256, read_json, write_atomically
from sparsenode.methods import Method, make_method
from sparsenode.progress import follow_training
from sparsenode.provenance import describe_software
from sparsenode.settings import FROZEN, MethodSettings, ModelSettings, read_method_settings, read_model_settings
from sparsenode.training.checkpoints import Checkpoints
from sparsenode.training.divergence import count_lost, reasons_of_loss
from sparsenode.training.loop import train
from sparsenode.training.problems import check_validation, make_problems

if TYPE_CHECKING:
    from anndata import AnnData

_LOG = logging.getLogger(__name__)


def train_members(
    data: Path,
    settings: Path,
    seeds: Sequence[int],
    output: Path,
    history: Path,
    *,
    threads: int = 1,
    device: str = "auto",
    memory_mb: int | None = None,
    checkpoints: Path | None = None,
    checkpoint_seconds: float = 60.0,
) -> None:
    """Train one block of seeds of a (dataset, model, method), and write its model file and history.

    The model file carries settings, seeds, versions and every member's status.

    Args:
        data: a file of trajectories.
        settings: file of the frozen settings.
        seeds: the seeds of the block.
        output: where the model file is written.
        history: where the history of the training is written.
        threads: number of threads.
        device: name of the device, or `auto`.
        memory_mb: memory that may be used at most, in megabytes; None for what the device allows.
        checkpoints: a folder of this job only: what is there of the same job (data, settings, seeds, versions) is gone
            on from, anything else is removed with a warning, and all is removed at the end. None for no checkpoints.
        checkpoint_seconds: time between two checkpoints.

    Raises:
        UserError: the data do not fit the settings or lack the prior network that the method takes, or one network per
            target, or what a solve of so many steps needs, is larger than the memory, or another process trains with
            the same checkpoints.
        InterruptedTrainingError: after SIGTERM or SIGINT.
    """
    import pandas as pd

    from sparsenode.data.contract import prior_network, read_metadata, read_trajectories

    torch.set_num_threads(threads)
    keep_freed_memory()
    frozen = read_json(settings, keys=FROZEN)
    adata = read_trajectories(data)
    metadata = read_metadata(adata)
    if metadata.name != frozen["dataset"]:
        raise UserError(f"{data} holds the dataset {metadata.name!r}, but {settings} is for {frozen['dataset']!r}")
    model_settings, method_settings, method = _read_settings(settings, frozen)
    prior_name = method.prior_name()
    prior = None if prior_name is None else prior_network(adata, prior_name).truth
    problems = make_problems(adata, model_settings, seeds)
    check_validation(adata, model_settings, method_settings)
    device_name = resolve_device(device)
    software = describe_software()
    data_sha256 = file_sha256(data)
    store = None
    if checkpoints is not None:
        identity = {
            "settings": frozen,
            "seeds": list(seeds),
            "data_sha256": data_sha256,
            "device": device_name,
            **{name: version for name, version in software.items() if name != "git_commit"},
        }
        store = Checkpoints(checkpoints, identity, checkpoint_seconds)
    available = usable_memory(device_name, None if memory_mb is None else memory_mb * 10**6)
    size = member_size_of(adata.n_vars, model_settings, type(method))
    scheme = model_settings.solver.scheme
    each = max(
        member_bytes(size, rows=problem.rows, evaluations=evaluations_kept(scheme, problem.grid.intervals))
        for _, problem in problems
    )
    if is_refused(model_settings.network, BASE_BYTES + each, available):
        raise UserError(
            f"one network per target does not fit: with {adata.n_vars:,} variables one member has {size.weights:,} "
            f"weights and needs about {(BASE_BYTES + each) / 1e9:.1f} GB, and {available / 1e9:.1f} GB may be used "
            f"here (`memory_mb`, or four fifths of the memory); set `network` of the model {frozen['model']} to joint "
            "or biological, or take fewer variables or units"
        )
    machine = usable_memory(device_name)
    for _, problem in problems:
        least = solve_bytes(size, rows=problem.rows, evaluations=evaluations_kept("rk4", problem.grid.intervals))
        if least > machine:
            explanation = describe_steps(
                problem.grid.intervals,
                model_settings.solver.step,
                least,
                machine,
                windows=model_settings.windows is not None,
            )
            raise UserError(f"{frozen['model']} on {frozen['dataset']}: {explanation}")
    with (
        follow_training(f"{frozen['dataset']} {frozen['model']} {frozen['method']}") as report,
        matrix_precision(model_settings.precision),
        watch_signals() as interrupted,
        store.alone() if store is not None else contextlib.nullcontext(),
    ):
        result = train(
            problems,
            adata.n_vars,
            model_settings,
            method_settings,
            list(seeds),
            device=device_name,
            most_members=most_members(available, each),
            report=report,
            checkpoints=store,
            interrupted=interrupted,
            prior=prior,
        )
        tell_lost(result.members, adata, frozen, model_settings)
        circumstances = {
            "memory_bytes": peak_memory(device_name),
            "data_sha256": data_sha256,
            "preprocessing_version": versions.PREPROCESSING,
            "seeds": list(seeds),
            "device": device_name,
            "threads": threads,
            **software,
        }
        with write_atomically(history) as temporary:
            pd.DataFrame(result.history).to_parquet(temporary, index=False)
        starts = problems[-1][1].given
        groups = starts.groups if starts is not None else ()
        centers = [] if metadata.center is None else metadata.center.tolist()
        save_ensemble(
            output, result.parameters, result.members, frozen, list(adata.var_names), circumstances, groups, centers
        )
        if store is not None:
            store.remove()


def _read_settings(path: Path, frozen: Mapping[str, Any]) -> tuple[ModelSettings, MethodSettings, Method]:
    """The settings of the model and of the method in a file of frozen settings, and the method.

    Raises:
        UserError: they lack something, or hold what is unknown or of another type.
    """
    try:
        model_settings = read_model_settings(frozen["model_settings"])
        method_settings = read_method_settings(frozen["method_settings"])
        method = make_method(method_settings.regularizer, method_settings.options)
    except (LookupError, TypeError, ValueError, AttributeError, UserError) as error:
        raise UserError(
            f"{path} holds settings that cannot be read ({describe_problem(error)}): they are of another version or "
            "were changed; delete the file and run again"
        ) from error
    return model_settings, method_settings, method


def tell_lost(
    members: Sequence[Member], adata: AnnData, frozen: Mapping[str, Any], model_settings: ModelSettings
) -> None:
    """Warn of members that were lost in training: how many, and why, as far as data and settings tell."""
    from sparsenode.data.magnitudes import measure_magnitudes

    lost = count_lost(members)
    if not lost:
        return
    trained = f"{frozen['dataset']}/{frozen['model']}"
    _LOG.warning(
        "%s/%s: members were lost in training, since their loss exploded or was not finite: %s",
        trained,
        frozen["method"],
        lost,
    )
    for reason in reasons_of_loss(measure_magnitudes(adata), model_settings, members):
        _LOG.warning("%s: %s", trained, reason)


@contextlib.contextmanager
def watch_signals() -> Iterator[Callable[[], int]]:
    """Give a function that tells the number of the first SIGTERM or SIGINT within the block, 0 while there is none.

    Slurm sends SIGTERM some time before SIGKILL; a second signal acts as usual.
    """
    received = 0
    handlers: dict[signal.Signals, Any] = {}
    if threading.current_thread() is not threading.main_thread():  # only that one may handle signals
        yield lambda: 0
        return

    def receive(number: int, _frame: FrameType | None) -> None:
        nonlocal received
        received = number
        for signal_number, handler in handlers.items():
            signal.signal(signal_number, handler)

    for signal_number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(signal_number) != signal.SIG_IGN:  # as that of a job in the background
            handlers[signal_number] = signal.signal(signal_number, receive)
    try:
        yield lambda: received
    finally:
        for signal_number, handler in handlers.items():
            signal.signal(signal_number, handler)
