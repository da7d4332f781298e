"""Snakemake itself on a tiny configuration; one run that the tests of a session share."""

from __future__ import annotations

import fcntl
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snakemake_runs import Workflow, succeed

TINY: dict[str, Any] = {
    "run": {"datasets": ["branches"], "models": ["windows"], "methods": ["none", "l1"]},
    "seeds": 2,
    "seeds_per_job": 2,
    "device": "cpu",
    "datasets": {
        "branches": {"source": "krumsiek11", "validation": {"by": "time_blocks", "share": 0.2}},
        "springs": {
            "source": "second_order",
            "options": {"oscillators": 3, "trajectories": 8, "test_trajectories": 2, "observations": 20},
            "validation": {"by": "trajectory", "share": 0.2},
        },
    },
    "models": {
        "windows": {
            "datasets": ["branches"],
            "hidden": [8],
            "solver": {"step": 2.0},
            "windows": {"length": 8, "stride": 8},
            "iterations": 6,
            "check_every": 3,
        },
        "motion": {"datasets": ["springs"], "order": 2, "hidden": [8], "solver": {"step": 1.0}, "iterations": 4},
    },
    "methods": {
        "none": {},
        "l1": {"strengths": ["1e-3", "1e-1"]},
        "pathreg": {"strengths": ["1e-2"], "options": {"kappa": 0.1}},
    },
}


@pytest.fixture
def workflow(repository: Path, server: Path, tmp_path: Path) -> Workflow:
    """The workflow in an empty folder, nothing made yet."""
    workflow = Workflow(repository, tmp_path, TINY).warm(server)
    workflow.configure()
    return workflow


@pytest.fixture(scope="session")
def finished_run(repository: Path, server: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Workflow:
    """The workflow in a folder where everything has been made once; tests leave its results as they are.

    It is made by new processes, as by a user: each imports what it needs.

    Of the processes of a parallel run the first that asks makes it, under a lock, and each takes a copy of its own.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    original = Workflow(repository, shared / "finished_run", TINY)
    complete = shared / "finished_run.complete"
    with (shared / "finished_run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            original.folder.mkdir()
            original.configure()
            succeed(original.snakemake())
            complete.touch()
    copy = replace(original, folder=tmp_path_factory.mktemp("run") / "finished")
    shutil.copytree(original.folder, copy.folder, symlinks=True)
    return copy.warm(server)


@pytest.fixture
def finished(finished_run: Workflow) -> Workflow:
    """The finished run with its own configuration, whatever the test before has written."""
    finished_run.configure()
    return finished_run
