"""Which seeds a training job holds: what an earlier run has trained is used again. Imports nothing heavy."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sparsenode import versions
from sparsenode.errors import UserError
from sparsenode.files import file_sha256, reading, tensor_file_header
from sparsenode.pipeline import configuration

Block = tuple[int, int]
"""The first and the last seed of a training job, both included."""
Trained = tuple[str, str, str]
"""Dataset, model and method."""

_SMALL = 10**6  # bytes of a file of which Snakemake takes checksums
_NAME = re.compile(r"seeds_([0-9]+)-([0-9]+)\.safetensors")


def choose_blocks(seeds: int, seeds_per_job: int, trained: Iterable[Block] = ()) -> list[Block]:
    """Blocks that together hold the seeds 0 .. `seeds` - 1, each once: trained ones where there are any.

    As few seeds as possible are trained, in as few jobs as possible, the full ones first. The choice remains the same
    while the blocks that are missing are trained, in whatever order.

    Args:
        seeds: how many seeds are asked for.
        seeds_per_job: how many of them a new block holds at most.
        trained: blocks that there are; those that hold further seeds may be chosen too.
    """
    return list(_choose(seeds, seeds_per_job, frozenset(trained)))


@lru_cache
def _choose(seeds: int, size: int, trained: frozenset[Block]) -> tuple[Block, ...]:
    # What it takes to hold the seeds from each one on: seeds to train, blocks, and their ends by which ties are broken.
    costs: dict[int, tuple[int, int, tuple[tuple[int, int], ...]]] = {seeds: (0, 0, ())}
    for first in reversed(range(seeds)):
        ends = {last: last - first + 1 for last in range(first, min(first + size, seeds))}
        ends |= {last: 0 for begin, last in trained if begin == first and last >= first}
        options = []
        for last, new in ends.items():
            to_train, count, rest = costs[min(last + 1, seeds)]
            options.append((to_train + new, count + 1, ((-min(last, seeds - 1), last), *rest)))
        costs[first] = min(options)
    blocks: list[Block] = []
    for _, last in costs[0][2]:
        blocks.append((blocks[-1][1] + 1 if blocks else 0, last))
    return tuple(blocks)


def trained_blocks(folder: Path, settings: Mapping[str, Any]) -> list[Block]:
    """Blocks of seeds of which a folder holds a model that was trained with the settings, by the present version.

    Args:
        folder: where the model files of a (dataset, model, method) are.
        settings: what they should be trained with, as `configuration.slice_settings` gives it.
    """
    frozen = json.loads(configuration.canonical_json(settings))
    blocks = []
    for path in sorted(folder.glob("seeds_*.safetensors")):
        name = _NAME.fullmatch(path.name)
        if name is not None and _is_trained_with(path, frozen):
            blocks.append((int(name[1]), int(name[2])))
    return blocks


def _is_trained_with(path: Path, frozen: Mapping[str, Any]) -> bool:
    try:
        with path.open("rb") as stream:
            header = tensor_file_header(stream)
        same_version = header["metadata"]["training_version"] == versions.TRAINING
        return bool(configuration.as_asked(header["settings"]) == frozen and same_version)
    except (OSError, ValueError, LookupError, TypeError):
        return False  # Damaged or of another kind: what reads the whole of it says so.


def blocks_of_run(config: Mapping[str, Any]) -> dict[Trained, list[Block]]:
    """Blocks of each (dataset, model, method) of a run, as its results are now.

    A block of more seeds than the run asks for is taken only where nothing would train all of them again.
    """
    results = Path(config["results_dir"])
    blocks = {}
    for key in configuration.grid(config):
        folder, settings = results.joinpath("models", *key), configuration.slice_settings(config, *key)
        trained = [
            (first, last)
            for first, last in trained_blocks(folder, settings)
            if last < config["seeds"]
            or (
                _same_json(results.joinpath("settings", *key).with_suffix(".json"), settings)
                and has_its_data(config, key[0], folder / f"seeds_{first}-{last}.safetensors")
            )
        ]
        blocks[key] = choose_blocks(config["seeds"], config["seeds_per_job"], trained)
    return blocks


def _same_json(path: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a file holds settings, so that it will not be written again."""
    with contextlib.suppress(OSError, ValueError):
        frozen = configuration.as_asked(json.loads(path.read_text(encoding="utf-8")))
        return bool(frozen == json.loads(configuration.canonical_json(settings)))
    return False


def is_trained_now(model: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a model file is of the settings, and of the present versions of preprocessing and training."""
    if not _is_trained_with(model, json.loads(configuration.canonical_json(settings))):
        return False
    with model.open("rb") as stream:
        metadata = tensor_file_header(stream)["metadata"]
    return bool(metadata.get("preprocessing_version") == versions.PREPROCESSING)


def has_its_data(config: Mapping[str, Any], dataset: str, model: Path) -> bool:
    """Whether the data that a model was trained on are there, and will not be made again."""
    data = Path(config["results_dir"]) / "data" / f"{dataset}.h5ad"
    downloads = [Path(config["downloads_dir"]) / path for path in configuration.remote_files(config, dataset)]
    sources = [*downloads, *map(Path, configuration.local_files(config, dataset))]
    try:
        time_of_data = data.stat().st_mtime
        if any(source.stat().st_mtime > time_of_data for source in sources if source.exists()):
            return False
        if _settings_of_data(data) != json.loads(
            configuration.canonical_json(configuration.dataset_settings(config, dataset))
        ):
            return False
        if time_of_data <= model.stat().st_mtime:
            return True
        # Of small files that are newer Snakemake compares the checksums.
        if data.stat().st_size > _SMALL:
            return False
        with model.open("rb") as stream:
            trained_on = tensor_file_header(stream)["metadata"]["data_sha256"]
        return bool(trained_on == file_sha256(data))
    except (OSError, ValueError, LookupError, TypeError, UserError):
        return False


def _settings_of_data(data: Path) -> Any:
    """The settings that preprocessed data say they were made with."""
    import h5py

    with reading(data), h5py.File(data) as file:
        return json.loads(file["uns/sparsenode/settings"][()])


def encode_blocks(config: Mapping[str, Any], blocks: Mapping[Trained, list[Block]]) -> str:
    """Blocks of a run as one line, short also for large grids: those that are not cut as if nothing was trained."""
    usual = configuration.seed_blocks(config)
    unusual = {"/".join(key): chosen for key, chosen in blocks.items() if chosen != usual}
    return base64.b64encode(zlib.compress(json.dumps(unusual).encode())).decode()


def decode_blocks(config: Mapping[str, Any], line: str) -> dict[Trained, list[Block]]:
    """What `encode_blocks` made one line of."""
    unusual = json.loads(zlib.decompress(base64.b64decode(line)))
    usual = configuration.seed_blocks(config)
    return {
        key: [(first, last) for first, last in unusual.get("/".join(key), usual)] for key in configuration.grid(config)
    }
