"""Which blocks of seeds a run trains, and which it has."""

import json
import os
from pathlib import Path

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from sparsenode import versions
from sparsenode.files import file_sha256
from sparsenode.pipeline import configuration, seed_blocks
from sparsenode.pipeline.seed_blocks import choose_blocks, decode_blocks, encode_blocks, trained_blocks

SETTINGS = {"dataset": "a", "model": "b", "method": "c", "model_settings": {"step": 2.0}, "method_settings": {}}

seeds, sizes = st.integers(1, 12), st.integers(1, 5)
blocks = st.tuples(st.integers(0, 12), st.integers(0, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@pytest.mark.parametrize(
    ("count", "size", "trained", "chosen"),
    [
        (3, 3, [], [(0, 2)]),
        (2, 3, [(0, 2)], [(0, 2)]),
        (3, 3, [(0, 1)], [(0, 1), (2, 2)]),
        (5, 3, [(0, 2)], [(0, 2), (3, 4)]),
        (7, 3, [(0, 1)], [(0, 1), (2, 4), (5, 6)]),
        (3, 1, [(0, 2)], [(0, 2)]),
        (4, 4, [(2, 3)], [(0, 1), (2, 3)]),
        (2, 3, [(0, 2), (0, 1)], [(0, 1)]),
        (3, 3, [(0, 2), (0, 1), (2, 2)], [(0, 2)]),
        (5, 5, [(0, 2), (0, 1), (2, 4)], [(0, 1), (2, 4)]),
        (4, 2, [(1, 2)], [(0, 0), (1, 2), (3, 3)]),
    ],
)
def test_what_is_trained_is_used_and_the_rest_is_cut(count, size, trained, chosen):
    assert choose_blocks(count, size, trained) == chosen


@given(seeds, sizes)
def test_without_trained_ones_blocks_are_those_of_the_configuration(count, size):
    assert choose_blocks(count, size) == configuration.seed_blocks({"seeds": count, "seeds_per_job": size})


@given(seeds, sizes, st.sets(blocks, max_size=6))
def test_every_seed_is_held_once_and_no_new_block_is_too_large(count, size, trained):
    chosen = choose_blocks(count, size, trained)
    held = [seed for first, last in chosen for seed in range(first, last + 1)]
    assert held == list(range(len(held)))
    assert len(held) >= count
    new = [block for block in chosen if block not in trained]
    assert all(last < count and last - first < size for first, last in new)


@pytest.mark.slow(reason="draws many examples")
@given(seeds, sizes, st.sets(blocks, max_size=6), st.data())
def test_the_choice_remains_while_blocks_are_trained(count, size, trained, data):
    chosen = choose_blocks(count, size, trained)
    done = data.draw(st.sets(st.sampled_from(chosen)))
    assert choose_blocks(count, size, trained | done) == chosen


@given(seeds, sizes, seeds)
def test_another_number_of_seeds_trains_only_new_ones(before, size, after):
    trained = set(choose_blocks(before, size))
    new = [block for block in choose_blocks(after, size, trained) if block not in trained]
    assert sum(last - first + 1 for first, last in new) == max(0, after - before)


def write_model(path: Path, settings: dict, version: int = versions.TRAINING, **metadata: str) -> None:
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"settings": settings, "metadata": {"training_version": version, **metadata}}
    save_file({"weights.0": np.zeros(3, np.float32)}, path, {"sparsenode": json.dumps(header)})


def test_only_models_of_the_same_settings_and_version_count_as_trained(tmp_path):
    write_model(tmp_path / "seeds_0-2.safetensors", SETTINGS)
    write_model(tmp_path / "seeds_10-12.safetensors", SETTINGS)
    write_model(tmp_path / "seeds_3-3.safetensors", {**SETTINGS, "model_settings": {"step": 1.0}})
    write_model(tmp_path / "seeds_4-4.safetensors", SETTINGS, version=versions.TRAINING - 1)
    write_model(tmp_path / "seeds_5-5.safetensors.copy", SETTINGS)
    write_model(tmp_path / "seeds_old-6.safetensors", SETTINGS)
    (tmp_path / "seeds_7-7.safetensors").write_bytes(b"")
    (tmp_path / "seeds_8-8.safetensors").write_bytes((tmp_path / "seeds_0-2.safetensors").read_bytes()[:40])
    (tmp_path / "seeds_9-9.safetensors").mkdir()
    assert trained_blocks(tmp_path, SETTINGS) == [(0, 2), (10, 12)]
    assert trained_blocks(tmp_path, {**SETTINGS, "model_settings": {"step": 2}}) == [(0, 2), (10, 12)]
    assert trained_blocks(tmp_path / "none", SETTINGS) == []


def write_model_of_three(config: dict, key: tuple[str, str, str], *, with_settings: bool = True) -> Path:
    """A model of the seeds 0 to 2, with its settings and data, as a run would leave them."""
    results, settings = Path(config["results_dir"]), configuration.slice_settings(config, *key)
    data = results / "data" / f"{key[0]}.h5ad"
    data.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(data, "w") as file:
        file["uns/sparsenode/settings"] = configuration.canonical_json(configuration.dataset_settings(config, key[0]))
    if with_settings:
        configuration.freeze_settings(settings, results.joinpath("settings", *key).with_suffix(".json"))
    model = results.joinpath("models", *key, "seeds_0-2.safetensors")
    write_model(model, settings, data_sha256=file_sha256(data))
    return model


def test_jobs_inherit_the_blocks_of_their_run(repository, tmp_path):
    config = configuration.read_configuration(repository)
    config |= {"results_dir": str(tmp_path), "seeds": 2}
    key = ("krumsiek11", "windows", "l1")
    write_model_of_three(config, key)
    chosen = seed_blocks.blocks_of_run(config)
    assert chosen.pop(key) == [(0, 2)]
    assert set(map(tuple, chosen.values())) == {((0, 1),)}
    line = encode_blocks(config, {**chosen, key: [(0, 2)]})
    assert len(line) < 200
    assert decode_blocks(config, line) == {**chosen, key: [(0, 2)]}


def test_a_block_of_more_seeds_is_left_where_it_would_be_trained_again(repository, tmp_path):
    config = configuration.read_configuration(repository)
    config |= {"results_dir": str(tmp_path), "seeds": 2}
    key = ("krumsiek11", "windows", "l1")
    large, cut = [(0, 2)], [(0, 1)]

    def chosen() -> list[tuple[int, int]]:
        return seed_blocks.blocks_of_run(config)[key]

    model = write_model_of_three(config, key, with_settings=False)
    assert chosen() == cut
    write_model_of_three(config, key)
    assert chosen() == large
    data = tmp_path / "data" / "krumsiek11.h5ad"
    later = model.stat().st_mtime + 10
    os.utime(data, (later, later))
    assert chosen() == large  # the same data
    with h5py.File(data, "a") as file:
        file["X"] = 1.0
    os.utime(data, (later, later))
    assert chosen() == cut
    write_model_of_three(config, key)
    config["datasets"]["krumsiek11"]["options"]["test_share"] = 0.5
    assert chosen() == cut
    write_model_of_three(config, key)
    assert chosen() == large
    data.unlink()
    assert chosen() == cut
    config["seeds"] = 3  # as many as it holds
    assert chosen() == large
