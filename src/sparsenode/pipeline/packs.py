"""Which trainings of a sweep one job holds. Imports nothing heavy."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sparsenode.pipeline import configuration, plan, seed_blocks

PACK_SECONDS = 1800.0
"""Estimated time of a pack at most, unless a single training takes longer."""
MOST_PACKED = 40
"""Trainings in a pack at most: their files are on one command line."""


class Training(NamedTuple):
    """One training: its dataset, model and method, and its first and last seed."""

    dataset: str
    model: str
    method: str
    first: int
    last: int

    def path(self) -> str:
        """Where its files are below the folder of models, without their ending."""
        return f"{self.dataset}/{self.model}/{self.method}/seeds_{self.first}-{self.last}"


Pack = tuple[Training, ...]


def packs_of_run(
    config: Mapping[str, Any], blocks: Mapping[seed_blocks.Trained, list[seed_blocks.Block]], *, is_forced: bool = False
) -> list[Pack]:
    """Packs of what is to be trained on the datasets of sweeps, as the results are now.

    What is trained with the same settings on the same data is left out and used as it is: so another value in a sweep,
    or changed settings of one of its datasets, trains nothing else again.

    Args:
        config: the checked configuration.
        blocks: the blocks of seeds of each (dataset, model, method) of the run.
        is_forced: whether all is to be trained, whatever there is.
    """
    sweep_of = sweep_of_dataset(config)
    trainings = [
        Training(*key, first, last) for key, chosen in blocks.items() if key[0] in sweep_of for first, last in chosen
    ]
    missing = [each for each in trainings if is_forced or not _is_trained(config, each)]
    alike: dict[Any, list[Training]] = {}
    for training in missing:
        size = plan.data_size(config, training.dataset)
        shape = (size.features, size.trajectories, size.observations)
        seeds = training.last - training.first + 1
        alike.setdefault((sweep_of[training.dataset], training.model, training.method, seeds, shape), []).append(
            training
        )
    return [pack for group in alike.values() for pack in cut(config, group)]


def cut(config: Mapping[str, Any], trainings: Iterable[Training]) -> list[Pack]:
    """Cut trainings that are alike into packs by their estimated time and number, in their order."""
    packs: list[list[Training]] = []
    seconds = 0.0
    for training in trainings:
        each = estimate(config, training).seconds
        if not packs or seconds + each > PACK_SECONDS or len(packs[-1]) >= MOST_PACKED:
            packs.append([])
            seconds = 0.0
        packs[-1].append(training)
        seconds += each
    return [tuple(pack) for pack in packs]


def estimate(config: Mapping[str, Any], training: Training) -> plan.TrainingJob:
    """What a training is expected to take by itself."""
    seeds = training.last - training.first + 1
    return plan.training_job(config, training.dataset, training.model, training.method, seeds=seeds)


def sweep_of_dataset(config: Mapping[str, Any]) -> dict[str, str]:
    """The datasets of sweeps, each with the name of its sweep."""
    sweeps = configuration.sweeps_of(config)["datasets"]
    return {dataset: sweep for sweep, members in sweeps.items() for dataset in members}


def _is_trained(config: Mapping[str, Any], training: Training) -> bool:
    """Whether a training is done, with the settings, data and versions of now."""
    results = Path(config["results_dir"])
    model = results / "models" / f"{training.path()}.safetensors"
    history = results / "models" / f"{training.path()}.history.parquet"
    settings = configuration.slice_settings(config, training.dataset, training.model, training.method)
    return (
        history.is_file()
        and model.is_file()
        and seed_blocks.is_trained_now(model, settings)
        and seed_blocks.has_its_data(config, training.dataset, model)
    )


def encode_packs(packs: Iterable[Pack]) -> str:
    """Packs as one short line."""
    return base64.b64encode(zlib.compress(json.dumps(list(packs)).encode())).decode()


def decode_packs(line: str) -> list[Pack]:
    """What `encode_packs` made one line of."""
    return [
        tuple(Training(*training) for training in pack) for pack in json.loads(zlib.decompress(base64.b64decode(line)))
    ]
