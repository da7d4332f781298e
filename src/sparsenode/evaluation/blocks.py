"""Trained blocks of seeds, compared with their frozen settings and joined into ensembles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsenode.errors import UserError
from sparsenode.files import read_json
from sparsenode.provenance import list_differences
from sparsenode.settings import FROZEN

if TYPE_CHECKING:
    from sparsenode.ensemble.members import Ensemble

_ABSENT = object()


def load_blocks(
    models: Sequence[Path],
    settings: Sequence[Path],
    dataset: str,
    data_sha256: str | None = None,
    seeds: int | None = None,
) -> list[Ensemble]:
    """Join the blocks of each (model, method) after comparing them with their frozen settings and data.

    Args:
        models: model files, each of a block of seeds.
        settings: frozen settings, one file for each (model, method).
        dataset: name of the dataset.
        data_sha256: checksum of the file of trajectories; None to compare none.
        seeds: how many seeds to take, from 0 on: a block may have been trained when more were asked for. All if None.

    Raises:
        UserError: see `sparsenode.evaluation.evaluate.evaluate_models`.
    """
    from sparsenode.ensemble.members import join_ensembles, load_ensemble

    frozen_settings = {}
    for path in settings:
        frozen = read_json(path, keys=FROZEN)
        frozen_settings[frozen["dataset"], frozen["model"], frozen["method"]] = (frozen, path)
    blocks: dict[tuple[str, str, str], list[Ensemble]] = {key: [] for key in frozen_settings}
    for path in models:
        block = load_ensemble(path)
        key = (block.settings["dataset"], block.settings["model"], block.settings["method"])
        if key not in frozen_settings:
            raise UserError(f"{path} holds {key}, for which no frozen settings were given: pass their JSON file too")
        frozen, origin = frozen_settings[key]
        check_settings(block.settings, frozen, path, origin)
        if data_sha256 is not None and block.metadata.get("data_sha256") != data_sha256:
            raise UserError(f"{path} was trained on another version of the dataset {dataset}; delete it and run again")
        blocks[key].append(block)
    taken: list[list[Ensemble]] = []
    for key, ensembles in blocks.items():
        if key[0] != dataset:
            raise UserError(f"{frozen_settings[key][1]} belongs to data set {key[0]}, but the data are {dataset}")
        if not ensembles:
            raise UserError(f"no trained model was given for {frozen_settings[key][1]}: train it first")
        taken.append(ensembles if seeds is None else take_seeds(ensembles, seeds))
        members = [(member.strength, member.seed) for block in taken[-1] for member in block.members]
        if len(set(members)) < len(members):
            raise UserError(f"several model files of {key} hold the same seeds: give each block of seeds once")
        if seeds is not None and (lacking := sorted(set(range(seeds)) - {seed for _, seed in members})):
            raise UserError(f"no model file of {key} holds the seed {lacking[0]}, and {seeds} seeds are asked for")
    # What is compared with the data of the training is less the center, as these are.
    return [replace(join_ensembles(ensembles), centers=()) for ensembles in taken]


def take_seeds(blocks: Sequence[Ensemble], seeds: int) -> list[Ensemble]:
    """The members of the first `seeds` seeds; blocks that have none of them are left out."""
    taken = []
    for block in blocks:
        rows = [row for row, member in enumerate(block.members) if member.seed < seeds]
        if rows:
            taken.append(block if len(rows) == len(block.members) else block.select(rows))
    return taken


def check_settings(found: Mapping[str, Any], frozen: Mapping[str, Any], path: Path, origin: Path) -> None:
    """Refuse a model that was trained with other settings than the frozen ones.

    Raises:
        UserError: names the keys that differ, and their values.
    """
    differing = [
        "{}: {} in the model, {} in the settings".format(
            key, *("nothing" if value is _ABSENT else repr(value) for value in values)
        )
        for key, *values in list_differences(found, frozen, _ABSENT)
    ]
    if differing:
        listed = "; ".join(differing[:5])
        raise UserError(f"{path} was not trained with the settings in {origin}: {listed}; delete it and run again")
