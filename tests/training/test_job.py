"""The training job: what it reads and writes, what it refuses, and how it goes on after it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import anndata
import pandas as pd
import pytest
import torch

import warm_processes
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.ensemble.members import load_ensemble
from sparsenode.errors import InterruptedTrainingError, UserError
from sparsenode.evaluation.blocks import load_blocks
from sparsenode.pipeline.seed_blocks import trained_blocks
from sparsenode.training import graph, job, loop, step
from sparsenode.training.job import train_members, watch_signals


def frozen(folder: Path, **changes: Any) -> Path:
    path = folder / "settings.json"
    content = {
        "dataset": "springs",
        "model": "small",
        "method": "l0",
        "model_settings": {"order": 2, "hidden": [4], "iterations": 4, "check_every": 2, "solver": {"step": 1.0}},
        "method_settings": {"regularizer": "l0", "strengths": [0.1, 1.0], "options": {}},
    }
    path.write_text(json.dumps(content | changes))
    return path


@pytest.fixture(scope="module")
def springs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("springs")
    options = {"oscillators": 3, "trajectories": 6, "test_trajectories": 1, "observations": 10}
    entry = {
        "source": "second_order",
        "options": options,
        "validation": {"by": "trajectory", "share": 0.2, "seed": 0},
        "initial_state": {"mean_of_first": 1},
        "feature_weight": "uniform",
    }
    preprocess_dataset("springs", entry, folder, folder / "springs.h5ad")
    return folder / "springs.h5ad"


def test_a_job_writes_a_model_that_says_what_it_was_made_with(springs: Path, tmp_path: Path) -> None:
    settings = frozen(tmp_path)
    output, history = tmp_path / "seeds_3-4.safetensors", tmp_path / "history.parquet"
    train_members(springs, settings, range(3, 5), output, history, device="cpu")
    ensemble = load_ensemble(output)
    assert ensemble.settings == json.loads(settings.read_text())
    assert [(member.strength, member.seed) for member in ensemble.members] == [(0.1, 3), (0.1, 4), (1.0, 3), (1.0, 4)]
    assert {"data_sha256", "torch_version", "sparsenode_version", "training_version"} <= ensemble.metadata.keys()
    table = pd.read_parquet(history)
    assert set(table["iteration"]) == {0, 2, 4}
    assert len(table) == 12


@pytest.mark.slow(reason="trains several batches twice")
def test_a_job_that_chooses_its_strengths_writes_which_and_why(springs: Path, tmp_path: Path) -> None:
    """Its settings say `auto`, by which later runs find it, and joined blocks of seeds are evaluated together."""
    settings = frozen(tmp_path, method_settings={"regularizer": "l0", "strengths": "auto", "options": {}})
    models = [tmp_path / f"seeds_{seed}-{seed}.safetensors" for seed in (0, 1)]
    for seed, model in enumerate(models):
        train_members(springs, settings, [seed], model, tmp_path / "history.parquet", checkpoints=tmp_path / "at")
        assert not (tmp_path / "at").exists()
    (joined,) = load_blocks(models, [settings], "springs")
    assert joined.settings["method_settings"]["strengths"] == "auto"
    for seed, search in enumerate(joined.metadata["searches"]):
        assert search["seeds"] == [seed]
        chosen = {member.strength for member in joined.members if member.seed == seed}
        assert chosen == {strength for batch in search["batches"] for strength in batch}
    assert pd.read_parquet(tmp_path / "history.parquet")["strength"].nunique() == len(chosen)
    assert trained_blocks(tmp_path, json.loads(settings.read_text())) == [(0, 0), (1, 1)]


def test_settings_of_another_dataset_are_refused(springs: Path, tmp_path: Path) -> None:
    settings = frozen(tmp_path, dataset="other")
    with pytest.raises(UserError, match=r"holds the dataset 'springs', but .* is for 'other'"):
        train_members(springs, settings, [0], tmp_path / "m.safetensors", tmp_path / "h.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"method_settings": {"strengths": [0.1], "options": {}}}, "regularizer"),
        ({"method_settings": {"regularizer": "nono", "strengths": [0.1], "options": {}}}, "nono"),
        ({"method_settings": {"regularizer": "l1", "strengths": 5, "options": {}}}, ""),
        ({"method_settings": {"regularizer": "l1", "strengths": [0.1], "options": {"kapa": 1}}}, "kapa"),
        ({"model_settings": {"depth": 3}}, "depth"),
        ({"model_settings": {"solver": 5}}, ""),
        ({"model_settings": {"hidden": 5}}, ""),
        ({"model_settings": None}, ""),
    ],
)
def test_settings_that_cannot_be_read_are_refused_in_one_line(
    springs: Path, tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    settings = frozen(tmp_path, **changes)
    with pytest.raises(UserError, match=rf"settings\.json holds settings that cannot be read \(.*{problem}") as refusal:
        train_members(springs, settings, [0], tmp_path / "m.safetensors", tmp_path / "h.parquet")
    assert str(refusal.value).endswith("delete the file and run again")
    assert "\n" not in str(refusal.value)


def test_a_solve_of_more_steps_than_the_memory_holds_is_refused_before_training(
    springs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "usable_memory", lambda _device, _limit=None: 10**6)
    monkeypatch.setattr(job, "train", lambda *_arguments, **_settings: pytest.fail("was trained"))
    model = {"order": 2, "hidden": [4], "iterations": 4, "solver": {"step": 0.001}}
    settings = frozen(tmp_path, model_settings=model)
    with pytest.raises(
        UserError, match=r"small on springs: a training solve takes [0-9,]+ steps of 0\.001 .* set `solver"
    ):
        train_members(springs, settings, [0], tmp_path / "m.safetensors", tmp_path / "h.parquet", device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def pruned(folder: Path, prior: str, strengths: list[float], **options: Any) -> Path:
    method = {"regularizer": "dash", "strengths": strengths, "options": {"prior": prior, "epochs": 10, **options}}
    model = {"order": 2, "hidden": [8], "iterations": 10, "check_every": 5, "solver": {"step": 1.0}}
    return frozen(folder, method="dash", method_settings=method, model_settings=model)


@pytest.fixture(scope="module")
def informed(springs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The springs with their true couplings, and with none, as prior networks."""
    adata = anndata.read_h5ad(springs)
    adata.varp["prior_known"] = adata.varp["truth"]
    adata.varp["prior_empty"] = 0 * adata.varp["truth"]
    path = tmp_path_factory.mktemp("informed") / "springs.h5ad"
    adata.write_h5ad(path)
    return path


@pytest.mark.slow(reason="trains a job, stopped or whole, to compare")
def test_a_pruner_is_told_of_the_prior_that_its_option_names(informed: Path, tmp_path: Path) -> None:
    found = {}
    for name in ("known", "empty"):
        output = tmp_path / f"{name}.safetensors"
        settings = pruned(tmp_path, name, [0.0, 1.0])
        train_members(informed, settings, [0], output, tmp_path / "history.parquet", device="cpu")
        found[name] = load_ensemble(output)
        # Layers of 48 and 24 weights: 70 % go.
        assert found[name].weight_sparsity().tolist() == [(48 + 24 - 14 - 7) / 72] * 2
    masks = {name: [mask.flatten(1) for mask in ensemble.parameters.masks] for name, ensemble in found.items()}
    for known, empty in zip(masks["known"], masks["empty"], strict=True):
        assert torch.equal(known[0], empty[0])
        assert not torch.equal(known[1], empty[1])


def test_a_prior_that_is_not_there_is_refused_before_anything_is_trained(
    springs: Path, informed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "make_problems", lambda *_: pytest.fail("too late"))
    settings = pruned(tmp_path, "motif", [0.5])
    for data, known in ((informed, "there are: empty, known"), (springs, "it has none")):
        with pytest.raises(UserError, match=rf"the dataset 'springs' has no prior network 'motif' \({known}\)"):
            train_members(data, settings, [0], tmp_path / "m.safetensors", tmp_path / "h.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_a_window_longer_than_every_trajectory_is_refused(springs: Path, tmp_path: Path) -> None:
    windows = {"order": 1, "hidden": [4], "windows": {"length": 50, "stride": 1}}
    settings = frozen(tmp_path, model_settings=windows)
    with pytest.raises(UserError, match="windows of length 50 do not fit: the longest stretch of train"):
        train_members(springs, settings, [0], tmp_path / "m.safetensors", tmp_path / "h.parquet")


LONG = {
    "order": 2,
    "hidden": [8],
    "iterations": 200,
    "check_every": 20,
    "solver": {"step": 2.0},
    "refit": {"iterations": 60},
    "initial_noise": 0.5,
}


def command(springs: Path, folder: Path, *, seconds: float = 0.05) -> list[str]:
    arguments = {
        "data": springs,
        "settings": frozen(folder, model_settings=LONG),
        "first-seed": 0,
        "last-seed": 2,
        "device": "cpu",
        "output": folder / "model.safetensors",
        "history": folder / "history.parquet",
        "checkpoints": folder / "checkpoints" / "job",
        "checkpoint-seconds": seconds,
    }
    flags = [str(part) for name, value in arguments.items() for part in (f"--{name}", value)]
    return ["train-members", *flags]


def start(server: Path, springs: Path, folder: Path) -> warm_processes.Process:
    """Start the job; what it prints is in `log.txt` beside its folder."""
    with log_of(folder).open("w") as log:
        return warm_processes.start_with_output(
            server, ["sparsenode", *command(springs, folder)], cwd=folder, env=os.environ, output=log.fileno()
        )


def log_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(springs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    program = Path(sys.executable).with_name("sparsenode")
    subprocess.run([program, *command(springs, folder, seconds=1000)], check=True, capture_output=True)
    assert names(folder) == {"settings.json", "model.safetensors", "history.parquet"}
    return folder


def assert_same_results(folder: Path, other: Path) -> None:
    one, two = (load_ensemble(each / "model.safetensors") for each in (folder, other))
    for name, tensor in one.parameters.named().items():
        assert torch.equal(tensor, two.parameters.named()[name]), name
    assert [(each.seed, each.status, each.iterations) for each in one.members] == [
        (each.seed, each.status, each.iterations) for each in two.members
    ]
    tables = [pd.read_parquet(each / "history.parquet") for each in (folder, other)]
    pd.testing.assert_frame_equal(*tables)


@pytest.fixture
def heeding_interrupts() -> Iterator[None]:
    """Shells start what runs in the background with SIGINT ignored, which the tests' own processes would inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_job_goes_on_and_ends_with_the_result_of_an_undisturbed_one(
    server: Path, springs: Path, undisturbed: Path, tmp_path: Path, how: signal.Signals
) -> None:
    checkpoints = tmp_path / "checkpoints" / "job"
    for kill in range(2 if how == signal.SIGKILL else 1):
        known = set(checkpoints.glob("[0-9]*.checkpoint"))
        process = start(server, springs, tmp_path)
        began = time.monotonic()
        while set(checkpoints.glob("[0-9]*.checkpoint")) <= known and not process.has_ended():
            assert time.monotonic() - began < 60
            time.sleep(0.01)
        process.send_signal(how)
        status, log = process.wait(), log_of(tmp_path).read_text()
        assert status == (-how if how == signal.SIGKILL else 128 + how), log
        assert names(tmp_path) == {"settings.json", "checkpoints"}
        if how != signal.SIGKILL:
            assert f"stopped by signal {int(how)}; saved: the same command goes on from here" in log
        if kill:
            assert "going on from a checkpoint at iteration" in log
    assert start(server, springs, tmp_path).wait() == 0
    assert names(tmp_path) == {"settings.json", "model.safetensors", "history.parquet"}
    assert_same_results(tmp_path, undisturbed)


def train_here(springs: Path, folder: Path, **changes: Any) -> None:
    train_members(
        springs,
        frozen(folder, model_settings=LONG | changes.pop("model_settings", {})),
        range(3),
        folder / "model.safetensors",
        folder / "history.parquet",
        device="cpu",
        **{"checkpoints": folder / "checkpoints" / "job", "checkpoint_seconds": 0.05} | changes,
    )


@pytest.mark.slow(reason="trains a job, stopped or whole, to compare")
def test_results_that_cannot_be_written_leave_the_checkpoint_of_the_end(
    springs: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write(*arguments: Any, **named: Any) -> None:
        message = "cannot write model.safetensors: No space left on device"
        raise UserError(message)

    with monkeypatch.context() as patch:
        patch.setattr("sparsenode.training.job.save_ensemble", write)
        with pytest.raises(UserError, match="No space left"):
            train_here(springs, tmp_path)
    calls = []
    step = graph.step
    monkeypatch.setattr(graph, "step", lambda *arguments, **named: calls.append(step(*arguments, **named)))
    train_here(springs, tmp_path)
    assert calls == []
    assert_same_results(tmp_path, undisturbed)


@pytest.mark.slow(reason="trains a job, stopped or whole, to compare")
def test_a_disk_that_fills_up_meanwhile_does_not_stop_training(
    springs: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    largest_file: Callable[[int], AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No checkpoint fits, but the results do."""
    save = loop.Checkpoints.save

    def refused(*arguments: Any) -> bool:
        with largest_file(1000):
            return save(*arguments)

    monkeypatch.setattr(loop.Checkpoints, "save", refused)
    train_here(springs, tmp_path)
    assert "no checkpoint: cannot write" in caplog.text
    assert_same_results(tmp_path, undisturbed)


@pytest.mark.slow(reason="trains a job, stopped or whole, to compare")
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_settings": {"learning_rate": 0.02}}, "settings.model_settings.learning_rate: None, now 0.02"),
        ({"model_settings": {"iterations": 100}}, "settings.model_settings.iterations: 200, now 100"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused_and_training_starts_anew(
    springs: Path, tmp_path: Path, changes: dict[str, Any], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    half_way(springs, tmp_path)
    train_here(springs, tmp_path, **changes)
    assert f"belongs to another training ({named})" in caplog.text
    assert load_ensemble(tmp_path / "model.safetensors").members[0].iterations in {160, 260}
    assert "checkpoints" not in names(tmp_path)


@pytest.mark.slow(reason="trains a job, stopped or whole, to compare")
def test_a_checkpoint_of_another_version_is_refused(
    springs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    half_way(springs, tmp_path)
    monkeypatch.setattr("sparsenode.versions.TRAINING", 99)
    train_here(springs, tmp_path)
    assert "now 99" in caplog.text


@pytest.mark.slow(reason="trains a job, stopped or whole, to compare")
def test_a_checkpoint_cut_in_half_is_refused(
    springs: Path, undisturbed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    half_way(springs, tmp_path)
    for path in (tmp_path / "checkpoints" / "job").iterdir():
        os.truncate(path, path.stat().st_size // 2)
    train_here(springs, tmp_path)
    assert "is damaged (its checksum is wrong: it was cut or changed): it is not used" in caplog.text
    assert_same_results(tmp_path, undisturbed)


def half_way(springs: Path, folder: Path) -> None:
    """Leave the checkpoint of a job that was stopped at iteration 50."""
    iterations = []
    with pytest.MonkeyPatch.context() as patch:
        step = graph.step

        def interrupting(*arguments: Any, **named: Any) -> None:
            step(*arguments, **named)
            iterations.append(1)
            if len(iterations) == 50:
                os.kill(os.getpid(), signal.SIGTERM)

        patch.setattr(graph, "step", interrupting)
        with pytest.raises(InterruptedTrainingError):
            train_here(springs, folder)
    assert names(folder) == {"settings.json", "checkpoints"}


@pytest.mark.usefixtures("heeding_interrupts")
def test_a_signal_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with watch_signals() as interrupted:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted() == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupted() == signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


@pytest.mark.slow(reason="trains several models")
def test_a_second_process_is_kept_out(server: Path, springs: Path, tmp_path: Path) -> None:
    process = start(server, springs, tmp_path)
    while not list((tmp_path / "checkpoints").rglob("[0-9]*.checkpoint")) and not process.has_ended():
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(UserError, match="another process is training with the checkpoints in"):
            train_here(springs, tmp_path)
        assert list((tmp_path / "checkpoints").rglob("[0-9]*.checkpoint"))
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.wait() == 0, log_of(tmp_path).read_text()


def test_a_signal_without_a_checkpoint_says_that_nothing_was_saved(
    springs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = graph.step

    def interrupting(*arguments: Any, **named: Any) -> None:
        step(*arguments, **named)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(graph, "step", interrupting)
    with pytest.raises(InterruptedTrainingError, match="nothing of the last iterations was saved"):
        train_here(springs, tmp_path, checkpoints=None)
    assert names(tmp_path) == {"settings.json"}


def test_members_that_do_not_fit_in_the_memory_given_are_trained_in_parts(
    springs: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    draw = step.data_loss
    monkeypatch.setattr(step, "data_loss", lambda run, *rest: sizes.append(len(run.active)) or draw(run, *rest))
    monkeypatch.setattr("sparsenode.ensemble.memory.BASE_BYTES", 0)
    monkeypatch.setattr("sparsenode.training.job.member_bytes", lambda *arguments, **named: 10**6)
    train_here(springs, tmp_path, memory_mb=4, model_settings={"iterations": 5, "refit": None})
    assert set(sizes) == {3}
    assert len(load_ensemble(tmp_path / "model.safetensors").members) == 6


@pytest.mark.parametrize("network", ["per_target", "joint"])
def test_one_network_per_target_that_does_not_fit_is_refused_with_an_estimate(
    springs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    """Other networks, whose size grows less, may try a single member."""
    monkeypatch.setattr("sparsenode.training.job.member_bytes", lambda *arguments, **named: 12 * 10**9)
    model_settings = {"network": network, "hidden": [4], "iterations": 1, "check_every": 1}
    settings = frozen(tmp_path, model_settings=model_settings)
    output = tmp_path / "m.safetensors"
    if network == "joint":
        train_members(springs, settings, [0], output, tmp_path / "h.parquet", memory_mb=3000)
        assert output.is_file()
        return
    message = (
        r"with 3 variables one member has 48 weights and needs about 12\.4 GB, and 3\.0 GB may be used here "
        r"\(`memory_mb`, .*\); set `network` of the model small to joint or biological"
    )
    with pytest.raises(UserError, match=message):
        train_members(springs, settings, [0], output, tmp_path / "h.parquet", memory_mb=3000)
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


@pytest.mark.slow(reason="trains a job, stopped or whole, to compare")
@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_products_on_a_gpu_are_as_precise_as_asked(
    springs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    seen = set()
    draw = step.data_loss

    def data_loss(*arguments: Any) -> torch.Tensor:
        seen.add(torch.backends.cuda.matmul.allow_tf32)
        return draw(*arguments)

    monkeypatch.setattr(step, "data_loss", data_loss)
    asked = {} if precision == "float32" else {"precision": precision}
    train_here(springs, tmp_path, model_settings={"iterations": 3, **asked})
    assert seen == {precision == "tf32"}
    assert not torch.backends.cuda.matmul.allow_tf32
