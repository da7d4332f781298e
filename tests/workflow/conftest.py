"""Snakemake itself on a tiny configuration; one run that the tests of a session share."""

from __future__ import annotations

import fcntl
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_runs import TINY, Workflow, succeed


@pytest.fixture
def workflow(repository: Path, server: Path, tmp_path: Path) -> Workflow:
    """The workflow in an empty folder, nothing made yet."""
    workflow = Workflow(repository, tmp_path, TINY).warm(server)
    workflow.configure()
    return workflow


@pytest.fixture(scope="session")
def finished_run(repository: Path, server: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Workflow:
    """The workflow in a folder where everything has been made once; tests leave its results as they are.

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
            succeed(original.warm(server).snakemake())
            complete.touch()
    copy = replace(original, folder=tmp_path_factory.mktemp("run") / "finished")
    shutil.copytree(original.folder, copy.folder, symlinks=True)
    return copy.warm(server)


@pytest.fixture
def finished(finished_run: Workflow) -> Workflow:
    """The finished run with its own configuration, whatever the test before has written."""
    finished_run.configure()
    return finished_run
