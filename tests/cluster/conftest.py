"""A real Slurm of two nodes on this machine, which the tests of a session share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from slurm import Cluster, missing_programs, running_cluster
from snakemake_runs import Workflow
from sparsenode.pipeline import configuration


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster; without Slurm tests are skipped, but never in continuous integration."""
    missing = missing_programs()
    if missing:
        reason = f"no {', '.join(missing)} here; install Slurm with tests/cluster/install.sh, as root"
        assert "CI" not in os.environ, reason
        pytest.skip(reason)
    # A short path, since that of a socket may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, running_cluster(Path(folder)) as running:
        yield running


@pytest.fixture
def on_slurm(repository: Path, cluster: Cluster) -> Callable[..., Workflow]:
    """Give a workflow in a folder whose jobs run on the cluster, by the repository's profile with changes laid over it.

    Without accounting Snakemake has to ask the queue; it looks more often than users need.
    """

    def make(folder: Path, base: Mapping[str, Any], **changes: Any) -> Workflow:
        profile = configuration.read_yaml(repository / "slurm" / "config.yaml")
        (folder / "slurm").mkdir(parents=True)
        (folder / "slurm" / "config.yaml").write_text(yaml.safe_dump(configuration.merge(profile, changes)))
        looking = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
        return Workflow(repository, folder, base, ["--profile", "slurm", *looking], {"PATH": cluster.path})

    return make
