"""A pack of trainings: several small ones in one job, of which one that fails takes no other with it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sparsenode import versions
from sparsenode.errors import UserError
from sparsenode.files import describe_problem, file_sha256, read_json, tensor_file_header
from sparsenode.training.job import train_members

_LOG = logging.getLogger(__name__)


class PackedTraining(NamedTuple):
    """The files and seeds of one training; `stash` is a folder for its results until all of the pack are there."""

    data: Path
    settings: Path
    seeds: range
    output: Path
    history: Path
    checkpoints: Path
    stash: Path

    def stashed(self) -> tuple[Path, Path]:
        """The model and the history in the stash."""
        return self.stash / self.output.name, self.stash / self.history.name


def train_pack(trainings: Sequence[PackedTraining], **circumstances: Any) -> None:
    """Train one after the other; the results come to their places when all have succeeded.

    Snakemake removes the outputs of a job that fails. So the results of those that have succeeded wait in the stash,
    and the next job that holds them takes them from there, if settings, data and version are the same.

    Args:
        trainings: what is trained.
        circumstances: `threads`, `device`, `memory_mb` and `checkpoint_seconds` of `train_members`.

    Raises:
        UserError: some have failed, each of which is named with its reason.
        InterruptedTrainingError: after SIGTERM or SIGINT.
    """
    problems = {}
    for training in trainings:
        model, history = training.stashed()
        try:
            if not _is_stashed(training):
                training.stash.mkdir(parents=True, exist_ok=True)
                train_members(
                    training.data,
                    training.settings,
                    training.seeds,
                    model,
                    history,
                    checkpoints=training.checkpoints,
                    **circumstances,
                )
        except UserError as error:
            problems[training] = str(error)
        except (ArithmeticError, LookupError, OSError, RuntimeError, ValueError) as error:
            _LOG.exception("%s: training failed", training.output)
            problems[training] = describe_problem(error)
    if problems:
        failed = "\n".join(f"  {training.output}: {problem}" for training, problem in problems.items())
        finished = len(trainings) - len(problems)
        message = (
            f"{len(problems)} of the {len(trainings)} trainings of this pack failed; {finished} wait in "
            f"{trainings[0].stash.parents[2]} for the next run, and are not trained again:\n{failed}"
        )
        raise UserError(message)
    for training in trainings:
        model, history = training.stashed()
        training.output.parent.mkdir(parents=True, exist_ok=True)
        history.replace(training.history)
        model.replace(training.output)
        with contextlib.suppress(OSError):  # what other jobs have in them stays
            for folder in (training.stash, *training.stash.parents[:4]):
                folder.rmdir()


def _is_stashed(training: PackedTraining) -> bool:
    """Whether the stash holds what this training would give."""
    model, history = training.stashed()
    try:
        with model.open("rb") as stream:
            header: Mapping[str, Any] = tensor_file_header(stream)
        metadata = header["metadata"]
        return (
            history.is_file()
            and header["settings"] == read_json(training.settings)
            and metadata["training_version"] == versions.TRAINING
            and metadata["data_sha256"] == file_sha256(training.data)
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False
