"""A training job: from the files of the data and the settings to those of the model and the history."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from sparsenode import versions
from sparsenode.ensemble.choice import SEARCHES
from sparsenode.ensemble.device import keep_freed_memory, matrix_precision, peak_memory, resolve_device, usable_memory
from sparsenode.ensemble.members import Ensemble, Member, save_ensemble
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
from sparsenode.progress import Report, follow_training
from sparsenode.provenance import describe_software
from sparsenode.settings import AUTO, FROZEN, MethodSettings, ModelSettings, read_method_settings, read_model_settings
from sparsenode.training.checkpoints import Checkpoints
from sparsenode.training.divergence import count_lost, reasons_of_loss
from sparsenode.training.engine import Engine
from sparsenode.training.loop import train
from sparsenode.training.matching import Matching, make_matching
from sparsenode.training.problems import (
    Problem,
    bootstrap_of_seeds,
    check_validation,
    make_judge,
    make_problems,
    make_validation,
)
from sparsenode.training.screen import first_batch
from sparsenode.training.strengths import Search

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
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
    from sparsenode.data.contract import read_metadata, read_trajectories

    torch.set_num_threads(threads)
    keep_freed_memory()
    frozen = read_json(settings, keys=FROZEN)
    adata = read_trajectories(data)
    name = read_metadata(adata).name
    if name != frozen["dataset"]:
        raise UserError(f"{data} holds the dataset {name!r}, but {settings} is for {frozen['dataset']!r}")
    _check_settings(settings, frozen)
    device_name = resolve_device(device)
    data_sha256 = file_sha256(data)
    store = None
    if checkpoints is not None:
        identity = {
            "settings": frozen,
            "seeds": list(seeds),
            "data_sha256": data_sha256,
            **{name: version for name, version in describe_software().items() if name != "git_commit"},
        }
        store = Checkpoints(checkpoints, identity, checkpoint_seconds)
    task = make_training(adata, frozen, seeds, device=device_name, memory_mb=memory_mb)
    with (
        follow_training(f"{frozen['dataset']} {frozen['model']} {frozen['method']}") as report,
        watch_signals() as interrupted,
        store.alone() if store is not None else contextlib.nullcontext(),
    ):
        ensemble, steps = task.run(report=report, checkpoints=store, interrupted=interrupted)
        with write_atomically(history) as temporary:
            steps.to_parquet(temporary, index=False)
        save_ensemble(
            output,
            ensemble.parameters,
            ensemble.members,
            ensemble.settings,
            ensemble.features,
            {
                **ensemble.metadata,
                "data_sha256": data_sha256,
                "preprocessing_version": versions.PREPROCESSING,
            },
            ensemble.groups,
            ensemble.centers,
        )
        if store is not None:
            store.remove()


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is to be trained, once it is known that data, settings and memory fit each other.

    Attributes:
        adata: the trajectories.
        frozen: the frozen settings.
        seeds: the seeds.
        device: name of the device.
        problems: what a step solves (see `make_problems`).
        matching: what rates are compared with first (see `make_matching`); None for nothing.
        validation: what tells after it which start is the better one (see `make_validation`).
        prior: the network that a pruner knows, (source, target); None where the method takes none.
        most_members: members that fit into the memory at once, by an estimate.
        available: bytes that may be used.
        judge: what strengths that are chosen by themselves are compared by (see `make_judge`); None for a list of them.
    """

    adata: AnnData
    frozen: Mapping[str, Any]
    seeds: Sequence[int]
    device: str
    problems: Sequence[tuple[float, Problem]]
    matching: Matching | None
    validation: Problem | None
    prior: np.ndarray | None
    most_members: int
    available: int
    judge: tuple[Problem, np.ndarray] | None = None

    def run(
        self,
        *,
        report: Callable[[Report], None] | None = None,
        checkpoints: Checkpoints | None = None,
        interrupted: Callable[[], int] = lambda: 0,
        keep_interrupted: bool = False,
        engine: Engine = "auto",
    ) -> tuple[Ensemble, pd.DataFrame]:
        """Train; the trained members, and the history of their training.

        Args:
            report: called at each check.
            checkpoints: where training goes on from, and saves itself.
            interrupted: gives the number of a signal that has come, or 0.
            keep_interrupted: whether members are then ended where they are (see `train`).
            engine: what computes losses (see `train`); the metadata of the members say which it was.

        Raises:
            InterruptedTrainingError: a signal has come, and no member is kept.
        """
        import pandas as pd

        from sparsenode.data.contract import read_metadata

        model_settings, method_settings, method = read_frozen(self.frozen)
        search = None
        if self.judge is not None:
            first = partial(
                first_batch,
                self.adata,
                self.problems,
                model_settings,
                method_settings,
                method,
                device=self.device,
                interrupted=interrupted,
            )
            search = Search(first=first, judge=self.judge[0], cluster=self.judge[1])
        with matrix_precision(model_settings.precision):
            result = train(
                self.problems,
                self.adata.n_vars,
                model_settings,
                method_settings,
                list(self.seeds),
                device=self.device,
                most_members=self.most_members,
                available=self.available,
                report=report,
                checkpoints=checkpoints,
                interrupted=interrupted,
                keep_interrupted=keep_interrupted,
                prior=self.prior,
                matching=self.matching,
                validation=self.validation,
                search=search,
                engine=engine,
            )
        tell_lost(result.members, self.adata, self.frozen, model_settings)
        starts = self.problems[-1][1].given
        center = read_metadata(self.adata).center
        ensemble = Ensemble(
            settings=dict(self.frozen),
            members=result.members,
            features=tuple(self.adata.var_names),
            metadata={
                "memory_bytes": peak_memory(self.device),
                "seeds": list(self.seeds),
                "device": self.device,
                "threads": torch.get_num_threads(),
                "engine": result.engine,
                SEARCHES: []
                if search is None
                else [{"seeds": list(self.seeds), "batches": result.batches, "reasons": result.reasons}],
                **describe_software(),
            },
            parameters=result.parameters,
            groups=starts.groups if starts is not None else (),
            centers=() if center is None else tuple(center.tolist()),
        )
        return ensemble, pd.DataFrame(result.history)


def make_training(
    adata: AnnData,
    frozen: Mapping[str, Any],
    seeds: Sequence[int],
    *,
    device: str = "cpu",
    memory_mb: int | None = None,
) -> Training:
    """Prepare the training of a block of seeds, and refuse what cannot be trained before anything large is allocated.

    Args:
        adata: the trajectories, which keep the contract.
        frozen: the frozen settings.
        seeds: the seeds of the block.
        device: name of the device.
        memory_mb: memory that may be used at most, in megabytes; None for what the device allows.

    Raises:
        UserError: see `train_members`.
    """
    from sparsenode.data.contract import prior_network

    model_settings, method_settings, method = read_frozen(frozen)
    prior_name = method.prior_name()
    prior = None if prior_name is None else prior_network(adata, prior_name).truth
    problems = make_problems(adata, model_settings, seeds)
    matching = make_matching(adata, model_settings, bootstrap_of_seeds(adata, model_settings, seeds))
    validation = None if matching is None else make_validation(adata, model_settings)
    check_validation(adata, model_settings, method_settings)
    judge = make_judge(adata, model_settings) if method_settings.strengths == AUTO else None
    available = usable_memory(device, None if memory_mb is None else memory_mb * 10**6)
    size = member_size_of(adata.n_vars, model_settings, type(method))
    scheme = model_settings.solver.scheme
    each = max(
        member_bytes(size, rows=problem.rows, evaluations=evaluations_kept(scheme, problem.grid.intervals))
        for _, problem in problems
    )
    if matching is not None:
        each = max(each, member_bytes(size, rows=matching.rows, evaluations=1))
    if is_refused(model_settings.network, BASE_BYTES + each, available):
        raise UserError(
            f"one network per target does not fit: with {adata.n_vars:,} variables one member has {size.weights:,} "
            f"weights and needs about {(BASE_BYTES + each) / 1e9:.1f} GB, and {available / 1e9:.1f} GB may be used "
            f"here (`memory_mb`, or four fifths of the memory); set `network` of the model {frozen['model']} to joint "
            "or biological, or take fewer variables or units"
        )
    machine = usable_memory(device)
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
    return Training(
        adata=adata,
        frozen=frozen,
        seeds=list(seeds),
        device=device,
        problems=problems,
        matching=matching,
        validation=validation,
        prior=prior,
        most_members=most_members(available, each),
        judge=judge,
        available=available,
    )


def read_frozen(frozen: Mapping[str, Any]) -> tuple[ModelSettings, MethodSettings, Method]:
    """The settings of the model and of the method among frozen settings, and the method.

    Raises:
        UserError: a key is unknown or missing, a value is not allowed, or values contradict each other.
    """
    method_settings = read_method_settings(frozen["method_settings"])
    method = make_method(method_settings.regularizer, method_settings.options)
    return read_model_settings(frozen["model_settings"]), method_settings, method


def _check_settings(path: Path, frozen: Mapping[str, Any]) -> None:
    """Refuse a file of frozen settings that lack something, or hold what is unknown or of another type."""
    try:
        read_frozen(frozen)
    except (LookupError, TypeError, ValueError, AttributeError, UserError) as error:
        raise UserError(
            f"{path} holds settings that cannot be read ({describe_problem(error)}): they are of another version or "
            "were changed; delete the file and run again"
        ) from error


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
