"""The benchmarks run: that of a GPU on a CPU, with small sizes, and measurements of the engine."""

from __future__ import annotations

import csv
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPT = BENCHMARKS / "gpu.py"


def load(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(name)


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


@pytest.mark.slow(reason="trains small models, and imports what evaluates them")
@pytest.mark.parametrize("per_target", [True, False])
def test_the_engine_is_measured_on_made_up_data(monkeypatch: pytest.MonkeyPatch, per_target: bool) -> None:
    measure = load(monkeypatch, "measure")
    size = {"variables": 3, "hidden": [4], "per_target": per_target, "rows": 5, "steps": 2, "step": 1.0}
    measured = measure.measure_rival("ours", size, [1, 2], 3)["seconds"]
    assert len(measured) == 2
    assert min(measured) > 0
    found = measure.measure_step(members=1, method="pathreg", gates="unit", hidden=[4], genes=10, iterations=5)
    # Three products of 3 rows in each of 4 x 5 + 1 evaluations, forward and twice in reverse.
    assert found["flops_per_member"] == 3 * 2 * 3 * 21 * (10 * 4 + 4 * 10)
    assert found["seconds"] > 0


def test_what_other_packages_solve_has_the_shapes_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    rivals = load(monkeypatch, "rivals")
    size = rivals.Size(variables=3, hidden=(5,), per_target=True, rows=4, steps=6, step=1.0)
    assert size.observed().shape == (4, 7, 3)
    shapes = [(weight.shape, bias.shape) for weight, bias in size.weights(0)]
    assert shapes == [((3, 3, 5), (3, 1, 5)), ((3, 5, 1), (3, 1, 1))]


def test_the_fastest_other_package_is_what_ours_is_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that take members one after the other take as long for each, however many there are."""
    engine = load(monkeypatch, "engine")
    monkeypatch.setattr(engine, "find_spec", lambda name: name != "torchode" or None)
    asked = []
    each = {"ours": 1e-3, "jax": 3e-3, "jax_vmap": 2e-3, "diffrax": 9e-3}

    def ask(kind: str, *, engine: str, size: dict[str, Any], members: list[int], iterations: int) -> dict[str, Any]:
        asked.append(engine)
        return {"seconds": [each[engine] * count for count in members]}

    table = engine.compare_rivals(ask)
    assert asked == ["ours", "jax", "jax_vmap", "diffrax"] * 4 * engine.RIVAL_ROUNDS
    assert table["members"].tolist() == [1, 8, 32, 128] * 4
    assert table["times_the_fastest_other"].tolist() == pytest.approx([2.0] * 16)
    assert table["diffrax_ms_per_member"].tolist() == pytest.approx([9.0] * 16)
    assert "torchode_ms_per_member" not in table


@pytest.mark.slow(reason="imports all of them in a process of its own")
def test_every_benchmark_can_be_imported() -> None:
    """What another package offers may be missing; every name of this one is there."""
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        if error.name.split('.')[0] in {'sparsenode', *sys.argv[1:]}:\n"
        "            raise\n"
    )
    names = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
    command = [sys.executable, "-c", code, *names]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_system_that_was_measured_again_counts_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calibration = load(monkeypatch, "calibration")
    file = tmp_path / "pairs.csv"
    assert calibration.read_rows(file, calibration.PAIR).columns.tolist() == ["kind", "system", "source", "target"]
    file.write_text("kind,system,source,target,q\nhill,0,a,b,.5\nhill,0,b,a,.5\nhill,0,a,b,.1\nhill,1,a,b,.2\n")
    rows = calibration.read_rows(file, calibration.PAIR)
    assert rows["q"].tolist() == [0.5, 0.1, 0.2]
    assert rows["target"].tolist() == ["a", "b", "b"]
