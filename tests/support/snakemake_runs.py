"""Snakemake itself, called on the repository's workflow in a folder of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

import warm_processes
from sparsenode import figures
from sparsenode.pipeline import configuration
from sparsenode.pipeline.terminal import FULL, TERMINAL

FIGURES = {f"draw_{name}": 1 for name, figure in figures.FIGURES.items() if figure.needs in {"always", "truth"}}
"""Jobs of the figures of a dataset of the tests, by rule."""
PICTURES = {**FIGURES, "draw_network_page": 1}
"""The same, with the page of its networks."""
TELLING = {"collect_remarks": 1, "summarize_run": 1, "tabulate_benchmark": 1, "write_overview": 1}
"""Jobs that tell of a run what was found."""
EVALUATION = {
    "evaluate_models_branches": 1, **PICTURES, "collect_metrics": 1, **TELLING,
}  # fmt: skip
"""Jobs of the dataset `branches` of the tests once it is trained, by rule."""
TINY: dict[str, Any] = {
    "run": {"datasets": ["branches"], "models": ["windows"], "methods": ["none", "l1"]},
    "seeds": 2,
    "seeds_per_job": 2,
    "device": "cpu",
    "figures": {"dots_per_inch": 40},
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
"""Configuration of the tests of the workflow, small in everything."""


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
    """The repository's workflow in a folder, with a base configuration and the way in which jobs are run.

    The folder is like a clone of the repository with a `config.yaml` of its own: all else that the workflow is made of
    is linked to the repository's.

    `environment` is laid over that of the tests. By default it sends clients of Slurm nowhere: where they are installed
    and no controller is, Snakemake's plugin for Slurm would wait for one at every start. `prefix` is a command that
    runs Snakemake.

    `server` is the folder of a server of warm processes: Snakemake and its jobs start with their modules imported.
    Without one every process is a new one, as for a user.
    """

    repository: Path
    folder: Path
    base: Mapping[str, Any]
    execution: Sequence[str] = ("--cores", "2")
    environment: Mapping[str, str] = field(default_factory=lambda: {"SLURM_CONF": os.devnull})
    prefix: Sequence[str] = ()
    server: Path | None = None

    def warm(self, server: Path) -> Workflow:
        """The same with processes of a server."""
        path = os.pathsep.join([str(server / "bin"), self.environment.get("PATH", os.environ["PATH"])])
        return replace(self, server=server, environment={**self.environment, "PATH": path})

    def cold(self) -> Workflow:
        """The same with new processes."""
        return replace(self, server=None, environment={**self.environment, "PATH": os.environ["PATH"]})

    def configure(self, **changes: Any) -> None:
        """Write the base configuration with changes laid over it."""
        for name in ("Snakefile", "workflow", "envs", "profiles"):
            if not (link := self.folder / name).is_symlink():
                link.symlink_to(self.repository / name)
        text = yaml.safe_dump(configuration.merge(self.base, changes), sort_keys=False)
        (self.folder / "config.yaml").write_text(text, encoding="utf-8")

    def start(self, *arguments: str, mirror: Path | None = None) -> subprocess.Popen[str]:
        """Start Snakemake; what it prints is in the process's standard output."""
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "snakemake", *self.execution, *arguments],
            cwd=self.folder,
            env=self._environment(mirror),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def snakemake(self, *arguments: str, mirror: Path | None = None) -> Done:
        """Call Snakemake, and wait for its end."""
        if self.server is None:
            return finish(self.start(*arguments, mirror=mirror))
        with tempfile.TemporaryFile("w+") as output:
            command = ["snakemake", *self.execution, *arguments]
            environment = self._environment(mirror)
            process = warm_processes.start_with_output(
                self.server, command, cwd=self.folder, env=environment, output=output.fileno()
            )
            status = process.wait()
            output.seek(0)
            return Done(status, output.read())

    def _environment(self, mirror: Path | None) -> dict[str, str]:
        # A person's default profile of Snakemake would lay its own settings over those of the tests.
        left_out = {"SPARSENODE_MIRROR", "SNAKEMAKE_PROFILE"}
        environment = {key: value for key, value in os.environ.items() if key not in left_out}
        if mirror is not None:
            environment["SPARSENODE_MIRROR"] = str(mirror)
        # Tests read what Snakemake says itself, unless they are of what people see.
        return {TERMINAL: FULL} | environment | dict(self.environment)

    def result(self, path: str) -> Path:
        """A path below the results."""
        return self.folder / "results" / path

    def read_log(self, path: str) -> str:
        """The log of a rule."""
        return self.result(f"logs/{path}.log").read_text(encoding="utf-8")


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait until a Snakemake that was started has ended."""
    output, _ = process.communicate()
    return Done(process.returncode, output)


def first_on_python_path(folder: Path) -> str:
    """The person's PYTHONPATH with a folder before all others."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def succeed(done: Done) -> Done:
    """Give what was done back, once it has succeeded."""
    assert done.status == 0, done.output
    return done
