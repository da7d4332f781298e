"""Checkpoint files: whole or not at all, two at most, and never those of another job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from sparsenode.errors import UserError
from sparsenode.training.checkpoints import Checkpoints

IDENTITY = {"settings": {"model_settings": {"learning_rate": 0.01}}, "seeds": [0, 1], "training_version": 2}
TENSORS = {"run.weights": torch.arange(6.0).view(2, 3), "run.step": torch.tensor(7.0)}


def filled(folder: Path, numbers: int = 1, identity: dict | None = None) -> Checkpoints:
    checkpoints = Checkpoints(folder, identity or IDENTITY)
    for number in range(1, numbers + 1):
        assert checkpoints.save(number, TENSORS, {"iteration": number, "loss": [float("nan"), 0.1]})
    return checkpoints


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    found = filled(tmp_path / "here").load()
    assert found is not None
    number, tensors, state = found
    assert number == 1
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensor, TENSORS[name]) for name, tensor in tensors.items())
    assert state["iteration"] == 1
    assert str(state["loss"]) == "[nan, 0.1]"


def test_no_folder_is_no_checkpoint(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "nothing", IDENTITY).load() is None


def test_the_last_two_are_kept_and_the_newest_is_used(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 12)
    assert files(tmp_path) == [f"00000000001{last}-{checkpoints.key}.checkpoint" for last in (1, 2)]
    assert checkpoints.load()[0] == 12


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    changed = bytearray(content)
    changed[-5] ^= 1
    path.write_bytes(
        {"cut in half": content[: len(content) // 2], "empty": b"", "one bit": bytes(changed), "other": b"x" * 500}[how]
    )


@pytest.mark.parametrize("how", ["cut in half", "empty", "one bit", "other"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = filled(tmp_path, 3)
    newest = tmp_path / files(tmp_path)[-1]
    damage(newest, how)
    assert checkpoints.load()[2]["iteration"] == 2
    assert f"{newest} is damaged" in caplog.text
    assert len(files(tmp_path)) == 1


def test_when_all_are_damaged_training_starts_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = filled(tmp_path, 3)
    for name in files(tmp_path):
        damage(tmp_path / name, "cut in half")
    assert checkpoints.load() is None
    assert caplog.text.count("is damaged") == 2
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"training_version": 3}, "training_version: 2, now 3"),
        ({"seeds": [0, 2]}, "seeds: [0, 1], now [0, 2]"),
        (
            {"settings": {"model_settings": {"learning_rate": 0.02}}},
            "settings.model_settings.learning_rate: 0.01, now 0.02",
        ),
        ({"torch_version": "9"}, "torch_version: None, now 9"),
    ],
)
def test_a_checkpoint_of_another_job_is_refused_by_name(
    tmp_path: Path, changes: dict, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path, 2)
    assert Checkpoints(tmp_path, IDENTITY | changes).load() is None
    assert f"belongs to another training ({named})" in caplog.text
    assert files(tmp_path) == []


def test_a_renamed_checkpoint_of_another_job_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What counts is what is in the file."""
    other = filled(tmp_path, 1, IDENTITY | {"seeds": [9]})
    mine = Checkpoints(tmp_path, IDENTITY)
    path = tmp_path / files(tmp_path)[0]
    path.rename(tmp_path / path.name.replace(other.key, mine.key))
    assert mine.load() is None
    assert "seeds: [9], now [0, 1]" in caplog.text


def test_one_that_cannot_be_read_falls_back_likewise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = filled(tmp_path, 2)
    newest = tmp_path / files(tmp_path)[-1]
    newest.unlink()
    newest.mkdir()
    assert checkpoints.load()[0] == 1
    assert f"{newest} is damaged" in caplog.text


def test_files_of_another_kind_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "backup.checkpoint").write_text("mine")
    (tmp_path / ".000000000009-0123456789abcdef-12.checkpoint").write_text("half")
    checkpoints = filled(tmp_path, 3)
    assert checkpoints.load()[0] == 3
    assert "backup.checkpoint" in files(tmp_path)


def test_the_folder_is_for_one_process_at_a_time_and_goes_when_it_is_empty(tmp_path: Path) -> None:
    one, other = (Checkpoints(tmp_path / "checkpoints" / "job", IDENTITY) for _ in range(2))
    with one.alone():
        with pytest.raises(UserError, match="another process is training"), other.alone():
            pass
        one.save(1, TENSORS, {})
    with other.alone():
        assert other.load()[0] == 1
        other.remove()
    assert files(tmp_path) == []


def test_what_an_interrupted_write_left_is_removed(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path)
    (tmp_path / ".000000000002-abc-1234.checkpoint").write_bytes(b"half")
    assert checkpoints.load()[0] == 1
    assert len(files(tmp_path)) == 1


def test_removing_leaves_no_empty_folders_and_nothing_of_others(tmp_path: Path) -> None:
    top = tmp_path / "checkpoints"
    one, other = (filled(top / "data" / "model" / method / "seeds_0-1") for method in ("l0", "l1"))
    one.remove()
    assert not one.folder.parent.exists()
    assert other.load() is not None
    other.remove()
    assert files(tmp_path) == []
    plain = filled(tmp_path / "plain" / "folder")
    plain.remove()
    assert files(tmp_path) == ["plain"]


def test_a_full_disk_is_a_warning_and_leaves_the_last_checkpoint(
    tmp_path: Path, largest_file: Callable[[int], AbstractContextManager[None]], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = filled(tmp_path)
    before = files(tmp_path)
    with largest_file(100), caplog.at_level(logging.WARNING):
        assert not checkpoints.save(2, TENSORS, {"iteration": 2})
    assert "no checkpoint: cannot write" in caplog.text
    assert files(tmp_path) == before
    assert checkpoints.load()[0] == 1


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_training_goes_on_where_memory_does_not_suffice_for_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    checkpoints = filled(tmp_path, 1)

    def refuse(*_tensors: object, **_metadata: object) -> bytes:
        raise error

    monkeypatch.setattr("sparsenode.training.checkpoints.save", refuse)
    assert not checkpoints.save(2, TENSORS, {})
    assert "not enough memory for one; the training goes on" in caplog.text
    assert checkpoints.load()[0] == 1
