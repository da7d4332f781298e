import os
from pathlib import Path

import pytest

from sparsenode.pipeline import cluster


@pytest.fixture
def sinfo(tmp_path, monkeypatch):
    """Stands on the path as Slurm's program: prints a text, notes its arguments, ends with a status."""

    def install(text: str, status: int = 0) -> Path:
        program = tmp_path / "sinfo"
        program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat <<END\n{text}\nEND\nexit {status}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return tmp_path / "asked"

    return install


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpu gpu:1", True),
        ("gpu gpu:a100:4(S:0-1)", True),
        ("mixed (null)\nmixed shard:8,gpu:h100:2", True),
        ("mixed gpu", True),
        ("cpu (null)", False),
        ("cpu license:gpus:3", False),
        ("cpu notgpu:1", False),
        ("", False),
    ],
)
def test_partition_with_and_without_gpus(sinfo, text, expected):
    asked = sinfo(text)
    assert cluster.partition_has_gpus("night") is expected
    assert "--partition=night" in asked.read_text()


def test_without_a_name_the_default_partition_counts(sinfo):
    asked = sinfo("gpu gpu:1\ncpu* (null)")
    assert cluster.partition_has_gpus() is False
    assert "--partition" not in asked.read_text()
    sinfo("gpu* gpu:1\ncpu (null)")
    assert cluster.partition_has_gpus() is True


def test_a_cluster_that_cannot_be_asked_has_none(sinfo, monkeypatch):
    sinfo("gpu* gpu:1", status=1)
    assert cluster.partition_has_gpus() is False
    monkeypatch.setenv("PATH", os.devnull)
    assert cluster.partition_has_gpus() is False
