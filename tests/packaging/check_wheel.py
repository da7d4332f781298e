"""Build sdist and wheel, and use the wheel in an empty folder, as a person who has installed it does.

    python tests/packaging/check_wheel.py          # the environment sees the dependencies that are installed here
    python tests/packaging/check_wheel.py --full   # it installs those of envs/requirements.lock, by pip only

It ends with an error that says what is wrong, and prints how long each step takes. `make wheel-check` calls it.
"""

import argparse
import csv
import math
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
NOT_OF_THE_SOURCE = {".git", ".venv", ".snakemake", "results", "downloads", "build", "dist"}
IN_WHEEL = (
    "sparsenode/workflow/Snakefile",
    "sparsenode/workflow/config.yaml",
    "sparsenode/workflow/profiles/default/config.yaml",
    "sparsenode/workflow/slurm/config.yaml",
    "sparsenode/workflow/workflow/rules/train.smk",
    "sparsenode/workflow/workflow/report/workflow.rst",
    "sparsenode/workflow/workflow/schemas/config.schema.json",
    "sparsenode/pipeline/starter/README.md",
    "sparsenode/pipeline/starter/config.yaml",
    "sparsenode/dynamics/fused/kernel.c",
    "sparsenode/dynamics/fused/refit.c",
    "sparsenode/dynamics/fused/system.c",
    "sparsenode/dynamics/fused/vectors.h",
)
PACKAGES = {"sparsenode", "snakemake_logger_plugin_sparsenode"}
"""All that the wheel adds to the modules that can be imported; Snakemake finds the second one by its name."""
IN_SDIST = ("pyproject.toml", "setup.py", "Snakefile", "config.yaml", "docs/python.md", "tests/conftest.py")
TINY = """\
seeds: 1
seeds_per_job: 1
run: {peers: [correlation]}
models: {targets: {iterations: 20, check_every: 10}}
methods: {grouplasso: {strengths: ["1e-3", "1e-2"]}}
"""
FIT_FILES = ("summary.md", "network.csv", "strengths.csv", "metrics.csv", "figures/network.png", "model.sparsenode")


class Clock(NamedTuple):
    """Seconds since some time, and seconds of processors that the commands up to now have taken."""

    passed: float
    processors: float


def clock() -> Clock:
    """The clock now."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Clock(time.perf_counter(), used.ru_utime + used.ru_stime)


def step(what: str, started: Clock) -> Clock:
    """Say how long a step took, and give the clock at which the next one starts."""
    now = clock()
    passed, processors = now.passed - started.passed, now.processors - started.processors
    sys.stdout.write(f"{passed:6.1f} s, {processors:6.1f} s of processors: {what}\n")
    sys.stdout.flush()
    return now


def call(command: Sequence[str | Path], folder: Path, environment: dict[str, str] | None = None) -> str:
    """What a command prints; its failure ends the check."""
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nfailed in {folder}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def expect(holds: bool, what: str) -> None:
    """End the check where something does not hold."""
    if not holds:
        sys.exit(f"error: {what}")


def build(folder: Path) -> Path:
    """Build the sdist from a copy of the sources, and the wheel from the sdist."""
    sources = folder / "sources"

    def ignored(where: str, names: list[str]) -> set[str]:
        at_the_root = NOT_OF_THE_SOURCE if Path(where) == REPOSITORY else set()
        return {name for name in names if name in at_the_root or name == "__pycache__" or name.endswith(".egg-info")}

    shutil.copytree(REPOSITORY, sources, ignore=ignored, symlinks=True)
    program = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    call([sys.executable, "-c", program, folder], sources)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expect(set(IN_SDIST) <= names, f"the sdist lacks {sorted(set(IN_SDIST) - names)}")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    call([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, sdist], folder)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {path.relative_to(sources / "src").as_posix() for path in (sources / "src").rglob("*.py")}
    expect(modules <= names, f"the wheel lacks {sorted(modules - names)}")
    expect(set(IN_WHEEL) <= names, f"the wheel lacks {sorted(set(IN_WHEEL) - names)}")
    strangers = sorted({name.split("/")[0] for name in names} - PACKAGES)
    expect(
        len(strangers) == 1 and strangers[0].endswith(".dist-info"), f"the wheel has {strangers} beside the packages"
    )
    return wheel


def install(wheel: Path, folder: Path, *, full: bool) -> Path:
    """Make an environment with the wheel, and give the folder of its programs."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    options = ["--quiet", "--disable-pip-version-check"]
    if full:
        lock = REPOSITORY / "envs" / "requirements.lock"
        call([python, "-m", "pip", "install", *options, "--constraint", lock, wheel], folder)
        return folder / "bin"
    site = call([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
    # An editable installation there is one by a .pth file, and these are not read of a folder that a .pth file names.
    visible = [path for path in sys.path if path.endswith("site-packages")]
    Path(site, "dependencies.pth").write_text("\n".join(visible) + "\n")
    call([python, "-m", "pip", "install", *options, "--no-deps", "--no-index", wheel], folder)
    return folder / "bin"


def write_table(path: Path) -> None:
    """Four damped rotations as a long table, one entry missing."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["cell", "hour", "a", "b"])
        for cell in range(4):
            for hour in range(16):
                size, angle = math.exp(-0.1 * hour), cell + 0.5 * hour
                entry = "" if (cell, hour) == (1, 5) else f"{size * math.sin(angle):.6f}"
                writer.writerow([f"c{cell}", hour, f"{size * math.cos(angle):.6f}", entry])


def use(programs: Path, folder: Path) -> None:
    """Begin a folder, run the workflow on a tiny configuration, and fit a table; the environment is not on the path."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SPARSENODE", "VIRTUAL"))
    } | {"PATH": os.defpath, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    sparsenode, started = programs / "sparsenode", clock()
    program = "import sparsenode; print(sparsenode.__file__)"
    location = call([programs / "python", "-c", program], folder, environment).strip()
    expect(Path(location).is_relative_to(programs.parent), f"sparsenode is imported from {location}, not the wheel")
    call([sparsenode, "--help"], folder, environment)
    started = step("imported, --help printed", started)
    call([sparsenode, "init", "study"], folder, environment)
    study = folder / "study"
    (study / "tiny.yaml").write_text(TINY)
    expect("krumsiek11 / targets / grouplasso" in call([sparsenode, "plan"], study, environment), "plan says nothing")
    started = step("init, plan", started)
    targets = ["results/metrics.csv", "results/figures/krumsiek11/network.png"]
    command = [sparsenode, "run", "--configfile", "tiny.yaml", "--", *targets]
    call(command, study, environment)
    for name in targets:
        expect((study / name).stat().st_size > 0, f"run has not made {name}")
    expect("Nothing to be done" in call(command, study, environment), "a second run is not told to be done")
    started = step("run on a tiny configuration, and again", started)
    write_table(folder / "cells.csv")
    settings = ["--settings", "iterations=20", "seeds=2", "strengths=[0.001, 0.01]", "verbose=0"]
    columns = ["--time", "hour", "--trajectory", "cell"]
    printed = call([sparsenode, "fit", "cells.csv", *columns, *settings, "--output", "fit"], folder, environment)
    expect("4 trajectories of 2 variables (a, b): 64 observations" in printed, f"fit says: {printed}")
    for name in FIT_FILES:
        expect((folder / "fit" / name).stat().st_size > 0, f"fit has not made {name}")
    step("fit of a table", started)


def main() -> None:
    """Check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="install the dependencies, too")
    arguments = parser.parse_args()
    begun = started = clock()
    with tempfile.TemporaryDirectory(prefix="sparsenode-wheel-") as name:
        folder = Path(name)
        wheel = build(folder)
        started = step(f"built {wheel.name}, {wheel.stat().st_size / 1e6:.2f} MB, from the sdist", started)
        programs = install(wheel, folder / "environment", full=arguments.full)
        step("installed" + (" with all dependencies" if arguments.full else " beside the dependencies here"), started)
        empty = folder / "empty"
        empty.mkdir()
        use(programs, empty)
    step("in all", begun)


if __name__ == "__main__":
    main()
