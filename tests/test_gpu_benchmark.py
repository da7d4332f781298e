"""The benchmark of a GPU runs here too: each section on a CPU, with small sizes."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "gpu.py"


@pytest.mark.slow(reason="trains in a process of its own")
def test_every_check_of_a_gpu_passes_on_a_cpu(tmp_path: Path) -> None:
    """And it needs none of the heavy packages: the machine with the GPU may not have them."""
    for name in ("anndata", "pandas", "scanpy", "sklearn", "matplotlib", "yaml"):
        (tmp_path / "blocked" / name).mkdir(parents=True)
        (tmp_path / "blocked" / name / "__init__.py").write_text("raise ImportError('not on that machine')\n")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--device", "cpu", "--tiny", "--folder", tmp_path, "--sections", "checks", "small"],
        env={"PYTHONPATH": str(tmp_path / "blocked"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    with (tmp_path / "gpu.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    checks = [row for row in rows if row["section"] == "checks"]
    assert len(checks) == 15, done.stdout
    assert [row["name"] for row in checks if row["passed"] != "True"] == [], done.stdout
    measured = [row for row in rows if row["section"] == "small"]
    assert len(measured) == 6
    assert all(float(row["ms_per_iteration"]) > 0 for row in measured)
    assert "15 of 15 checks passed" in done.stdout
    assert "| members | 3 variables, none, float32 |" in done.stdout
