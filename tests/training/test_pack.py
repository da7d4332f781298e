"""A pack of trainings: one that fails is named, and takes no other with it."""

import json

import pytest

from sparsenode import versions
from sparsenode.errors import UserError
from sparsenode.files import file_sha256
from sparsenode.training import pack


@pytest.fixture
def trainings(tmp_path):
    """Two trainings, of which no file is there yet."""
    records = []
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text('{"dataset": "' + name + '"}')
        (tmp_path / f"{name}.h5ad").write_text(name)
        records.append(
            pack.PackedTraining(
                data=tmp_path / f"{name}.h5ad",
                settings=tmp_path / f"{name}.json",
                seeds=range(2),
                output=tmp_path / "models" / name / "m" / "seeds_0-1.safetensors",
                history=tmp_path / "models" / name / "m" / "seeds_0-1.history.parquet",
                checkpoints=tmp_path / "checkpoints" / name / "m",
                stash=tmp_path / "checkpoints" / "finished" / name / "m" / "x" / "seeds_0-1",
            )
        )
    return records


def trainer(calls, *, fails=()):
    """A training that writes a model file as the real one does, or fails for some data."""

    def train(data, settings, _seeds, output, history, **_circumstances):
        calls.append(data.stem)
        if data.stem in fails:
            raise UserError(f"{data.stem} is too short")
        metadata = {"training_version": versions.TRAINING, "data_sha256": file_sha256(data)}
        output.write_text(json.dumps({"settings": json.loads(settings.read_text()), "metadata": metadata}))
        history.write_text("history")

    return train


@pytest.fixture(autouse=True)
def _plain_headers(monkeypatch):
    monkeypatch.setattr(pack, "tensor_file_header", json.load)


def test_one_that_fails_is_named_and_the_others_are_not_trained_again(trainings, monkeypatch):
    calls = []
    monkeypatch.setattr(pack, "train_members", trainer(calls, fails={"a"}))
    with pytest.raises(UserError, match=r"1 of the 2 trainings .*\n.*models/a/m/seeds_0-1.*: a is too short$"):
        pack.train_pack(trainings)
    assert calls == ["a", "b"]
    assert not any(training.output.exists() for training in trainings)

    monkeypatch.setattr(pack, "train_members", trainer(calls))
    pack.train_pack(trainings)
    assert calls == ["a", "b", "a"]
    assert all(training.output.is_file() and training.history.is_file() for training in trainings)
    assert not any(training.stash.exists() for training in trainings)


@pytest.mark.parametrize("changed", ["data", "settings"])
def test_what_waits_is_trained_again_when_it_has_changed(trainings, monkeypatch, changed):
    calls = []
    monkeypatch.setattr(pack, "train_members", trainer(calls, fails={"a"}))
    with pytest.raises(UserError):
        pack.train_pack(trainings)
    getattr(trainings[1], changed).write_text('{"dataset": "other"}')
    monkeypatch.setattr(pack, "train_members", trainer(calls))
    pack.train_pack(trainings)
    assert calls == ["a", "b", "a", "b"]
