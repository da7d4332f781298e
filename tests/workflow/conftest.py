"""Snakemake itself on a tiny configuration; one run that the tests of a session share."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sparsenode import configuration

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


@dataclass(frozen=True)
class Done:
    """How a call of Snakemake ended: `output` is all that it printed."""

    status: int
    output: str

    @property
    def jobs(self) -> dict[str, int]:
        """Number of jobs by rule, from the first table of jobs that Snakemake printed; the rule `all` is left out."""
        table = self.output.partition("Job stats:")[2].partition("total")[0]
        counts = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
        return {rule: count for rule, count in counts.items() if rule != "all"}


@dataclass(frozen=True)
class Workflow:
    """The repository's workflow in a folder of its own."""

    repository: Path
    folder: Path

    def configure(self, **changes: Any) -> None:
        """Write the tiny configuration with changes laid over it."""
        text = yaml.safe_dump(configuration.merge(TINY, changes), sort_keys=False)
        (self.folder / "config.yaml").write_text(text, encoding="utf-8")

    def snakemake(self, *arguments: str, mirror: Path | None = None) -> Done:
        """Call Snakemake with two cores."""
        environment = {key: value for key, value in os.environ.items() if key != "SPARSENODE_MIRROR"}
        if mirror is not None:
            environment["SPARSENODE_MIRROR"] = str(mirror)
        snakefile = ["--snakefile", str(self.repository / "Snakefile")]
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *snakefile, "--cores", "2", *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout)

    def result(self, path: str) -> Path:
        """A path below the results."""
        return self.folder / "results" / path

    def read_log(self, path: str) -> str:
        """The log of a rule."""
        return self.result(f"logs/{path}.log").read_text(encoding="utf-8")


def succeed(done: Done) -> Done:
    """Give what was done back, once it has succeeded."""
    assert done.status == 0, done.output
    return done


@pytest.fixture
def workflow(repository: Path, tmp_path: Path) -> Workflow:
    """The workflow in an empty folder, nothing made yet."""
    workflow = Workflow(repository, tmp_path)
    workflow.configure()
    return workflow


@pytest.fixture(scope="session")
def finished_run(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The workflow in a folder where everything has been made once; tests leave its results as they are."""
    workflow = Workflow(repository, tmp_path_factory.mktemp("run"))
    workflow.configure()
    succeed(workflow.snakemake())
    return workflow


@pytest.fixture
def finished(finished_run: Workflow) -> Workflow:
    """The finished run with its own configuration, whatever the test before has written."""
    finished_run.configure()
    return finished_run
