"""A run of the workflow whose training is killed goes on where it was."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from sparsenode import load_model

pytestmark = pytest.mark.workflow

MODEL = "results/models/branches/windows/l1/seeds_0-1.safetensors"


def kill_training(folder: Path, killed: list[int]) -> None:
    """Kill the training process, and nothing else, once it has written a checkpoint."""
    checkpoints = folder / "results" / "checkpoints"
    for _ in range(6000):
        if list(checkpoints.rglob("[0-9]*.checkpoint")):
            found = subprocess.run(
                ["pgrep", "--full", f"train-members.*{folder}/results/data|train-members --data results/data"],
                capture_output=True,
                text=True,
                check=False,
            )
            for process in map(int, found.stdout.split()):
                try:
                    here = Path(f"/proc/{process}/cwd").readlink() == folder
                    name = Path(f"/proc/{process}/comm").read_text().strip()
                except OSError:
                    continue
                if here and name not in {"bash", "sh", "snakemake"}:
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
            if killed:
                return
        time.sleep(0.01)


def test_killed_training_goes_on_in_the_next_run(workflow):
    slow = {"models": {"windows": {"iterations": 400, "check_every": 200}}, "checkpoint_seconds": 0.2}
    workflow = workflow.cold()
    workflow.configure(**slow)
    killed: list[int] = []
    killer = threading.Thread(target=kill_training, args=(workflow.folder, killed))
    killer.start()
    first = workflow.snakemake(MODEL)
    killer.join()
    assert killed
    assert first.status != 0
    assert not (workflow.folder / MODEL).exists()
    assert list(workflow.result("checkpoints/branches/windows/l1/seeds_0-1").glob("[0-9]*.checkpoint"))
    second = workflow.snakemake(MODEL)
    assert second.status == 0, second.output
    assert "going on from a checkpoint" in workflow.read_log("train_members/branches/windows/l1/seeds_0-1")
    assert {member.iterations for member in load_model(workflow.folder / MODEL).members} == {400}
    assert not workflow.result("checkpoints").exists()
