"""Plan and dry-run a sweep of 30,000 trainings: time, peak memory and jobs of both.

500 datasets (25 seeds at 20 levels of noise), one model, two methods of ten strengths, three seeds:
    python benchmarks/sweep.py [--datasets 500] [--limit-seconds 600]
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def configuration(datasets: int) -> dict:
    """A sweep of so many datasets, each with 60 trainings."""
    strengths = [f"{0.001 * 2**power:g}" for power in range(10)]
    return {
        "results_dir": "results",
        "seeds": 3,
        "seeds_per_job": 3,
        "device": "cpu",
        "run": {"datasets": ["hill"], "models": ["genes"], "methods": ["l1", "cnode"], "peers": []},
        "datasets": {
            "hill": {
                "source": "hill",
                "options": {"nodes": 5, "trajectories": 10},
                "sweep": {
                    "noise": [round(0.01 * level, 2) for level in range(20)],
                    "seed": list(range(datasets // 20)),
                },
                "validation": {"by": "trajectory", "share": 0.2},
            }
        },
        "models": {"genes": {"datasets": ["hill"], "hidden": [8], "solver": {"step": 0.5}, "iterations": 300}},
        "methods": {"l1": {"strengths": strengths}, "cnode": {"strengths": strengths}},
    }


def main() -> None:
    """Write the configuration into a folder of its own, run both commands there, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=500, help="a multiple of 20")
    parser.add_argument("--limit-seconds", type=float, default=600.0)
    arguments = parser.parse_args()
    commands = {
        "plan": ["sparsenode", "plan", "--workflow", str(ROOT), "--configfile", "sweep.yaml"],
        "dry run": [
            *(sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "host", "--cores", "2"),
            *("--snakefile", str(ROOT / "Snakefile"), "--configfile", "sweep.yaml"),
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        text = yaml.safe_dump(configuration(arguments.datasets), sort_keys=False)
        (Path(folder) / "sweep.yaml").write_text(text, encoding="utf-8")
        for name, command in commands.items():
            start = time.perf_counter()
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, check=True, timeout=arguments.limit_seconds
            )
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3  # the larger one of those so far
            jobs = re.findall(r"^(?:jobs:|total) +([0-9]+)", done.stdout + done.stderr, re.MULTILINE)
            print(f"{name}: {seconds:.1f} s, {peak:.0f} MB, {', '.join(jobs[:1]) or 'no'} jobs")


if __name__ == "__main__":
    main()
