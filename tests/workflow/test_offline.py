"""Compute nodes have no internet: training and what comes after it need no network, and never ask for one."""

import os
import shutil
import subprocess
from dataclasses import replace

import pytest

from snakemake_runs import first_on_python_path, succeed

pytestmark = pytest.mark.workflow

# Python imports this module at its start, in every process of the run.
WATCH = """\
import os, socket, sys

def note(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        with open(os.environ["ASKED_FOR"], "a") as stream:
            print(event, arguments, file=stream)
    elif event in ("socket.connect", "socket.sendto") and arguments[0].family != socket.AF_UNIX:
        with open(os.environ["ASKED_FOR"], "a") as stream:
            print(event, arguments[1:], file=stream)

sys.addaudithook(note)
"""
WITHOUT_NETWORK = ("unshare", "--map-root-user", "--net")


@pytest.fixture
def offline(workflow, tmp_path):
    """The workflow in a network namespace without a route, every look-up and connection of Python noted in a file."""
    if shutil.which("unshare") is None or subprocess.run([*WITHOUT_NETWORK, "true"], check=False).returncode != 0:
        assert "CI" not in os.environ, "no network namespaces here"
        pytest.skip("this system gives no network namespaces")
    watch = tmp_path / "watch"
    watch.mkdir()
    (watch / "sitecustomize.py").write_text(WATCH)
    asked = watch / "asked_for.txt"
    environment = {**workflow.cold().environment, "PYTHONPATH": first_on_python_path(watch), "ASKED_FOR": str(asked)}
    return replace(workflow.cold(), prefix=WITHOUT_NETWORK, environment=environment), asked


def test_training_and_all_after_it_need_no_network(workflow, offline):
    isolated, asked = offline
    workflow.configure(
        run={"methods": ["l1"], "peers": ["correlation"]},
        peers={"correlation": {}},
        datasets={"branches": {"interventions": {"clamp": {"gata1_knockout": {"Gata1": 0}}}}},
    )
    succeed(workflow.snakemake("--", "results/data/branches.h5ad"))
    targets = ("metrics.csv", "interventions/branches.parquet", "figures/branches/pareto.pdf")
    done = succeed(isolated.snakemake("--", *(f"results/{target}" for target in targets)))
    after = {"train_members", "infer_peer", "evaluate_models_branches", "forecast_interventions", "draw_pareto"}
    assert after <= set(done.jobs)
    assert "preprocess_dataset" not in done.jobs
    assert workflow.result("metrics.csv").exists()
    assert not asked.exists(), asked.read_text()


def test_watch_notices_a_download(workflow, offline):
    """Otherwise the test above could not fail."""
    isolated, asked = offline
    cells = {
        "source": "hematopoiesis",
        "options": {"donors": {"train": ["s3d6"], "test": []}, "lineages": ["B"]},
        "validation": {"by": "observation", "share": 0.2},
    }
    workflow.configure(
        run={"datasets": ["cells"], "models": ["plain"], "methods": ["none"]},
        datasets={"cells": cells},
        models={"plain": {}},
    )
    done = isolated.snakemake("--", "results/data/cells.h5ad")
    assert done.status == 1
    assert "raw.githubusercontent.com" in asked.read_text()
