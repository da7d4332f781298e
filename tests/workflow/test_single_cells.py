"""Cells of a file of the user's own to metrics and figures, and what a run of the raw bone marrow needs."""

import gzip
import runpy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from snakemake_runs import TINY, Workflow, succeed
from sparsenode.data.contract import read_trajectories

pytestmark = pytest.mark.workflow

DONORS = ["s1d2", "s2d1"]


def write_files(repository: Path, folder: Path) -> None:
    """A small file of cells, and a network of some of their genes."""
    write_cells = runpy.run_path(str(repository / "benchmarks" / "preprocess_cells.py"))["write_cells"]
    write_cells(folder / "cells.h5ad", 700, 150, 30, donors=DONORS, density=0.3)
    (folder / "network.csv").write_text("TF.human,GENE0,GENE1,GENE2\nGENE3,1,0,1\nGENE4,0,1,0\n")


def configuration() -> dict[str, Any]:
    """A run on the cells, small in everything."""
    return {
        "run": {"datasets": ["mine"], "models": ["small"], "methods": ["none", "l1"]},
        "seeds": 1,
        "datasets": {
            "mine": {
                "source": "single_cells",
                "options": {
                    "file": "cells.h5ad",
                    "donors": {"train": DONORS[:1], "test": DONORS[1:]},
                    "genes": {"highly_variable": 10, "names": ["GENE0", "GENE1", "GENE2"]},
                    "networks": {"base": "network.csv"},
                    "transform": "log1p",
                    "scaling": "training_range",
                    "drop_first": 2,
                    "drop_last": 2,
                },
                "validation": {"by": "observation", "share": 0.2},
                "initial_state": {"mean_of_first": 5},
                "feature_weight": "uniform",
            }
        },
        "models": {"small": {"datasets": ["mine"], "hidden": [8], "decay": 3.0, "iterations": 10}},
    }


@pytest.fixture(scope="module")
def original(repository: Path, server: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The workflow in a folder where the cells have been preprocessed once."""
    workflow = Workflow(repository, tmp_path_factory.mktemp("cells"), TINY).warm(server)
    write_files(repository, workflow.folder)
    workflow.configure(**configuration())
    succeed(workflow.snakemake("--until", "preprocess_dataset"))
    return workflow


@pytest.fixture
def preprocessed(original: Workflow, tmp_path: Path) -> Workflow:
    """A copy of it, which a test may change."""
    copy = replace(original, folder=tmp_path / "copy")
    shutil.copytree(original.folder, copy.folder, symlinks=True)
    return copy


def test_from_cells_to_metrics_and_figures(preprocessed):
    workflow = preprocessed
    done = workflow.snakemake()
    assert done.status == 0, done.output
    drawn = {name.removeprefix("draw_") for name in done.jobs if name.startswith("draw_")}
    assert {"strengths", "pareto", "trajectories", "network", "embedding", "gene_trends", "regulators"} <= drawn
    assert workflow.result("figures/mine/network.html").stat().st_size > 1000
    for figure in drawn - {"network_page"}:
        for ending in ("pdf", "png"):
            assert workflow.result(f"figures/mine/{figure}.{ending}").stat().st_size > 1000
    log = workflow.read_log("preprocess_dataset/mine")
    assert "layers['counts'] holds counts (all" in log
    adata = read_trajectories(workflow.result("data/mine.h5ad"))
    lineages = ("erythroid", "monocyte", "B")
    assert set(adata.obs["trajectory"].cat.categories) == {f"{donor} {name}" for donor in DONORS for name in lineages}
    metrics = pd.read_parquet(workflow.result("metrics/mine.parquet"))
    scored = metrics[(metrics["metric"] == "mse") & (metrics["split"] == "test")]
    assert {"all", *(f"s2d1 {name}" for name in lineages)} <= set(scored["trajectory"])
    assert {"none", "l1", "baseline:training_mean"} <= set(scored["method"])
    assert "spurious_feature_sparsity" in set(metrics["metric"])
    again = workflow.snakemake()
    assert again.status == 0, again.output
    assert "Nothing to be done" in again.output


def test_another_file_is_another_dataset(preprocessed):
    workflow = preprocessed
    assert "preprocess_dataset" not in succeed(workflow.snakemake("--dry-run")).jobs
    shutil.copy(workflow.folder / "cells.h5ad", workflow.folder / "copy.h5ad")
    (workflow.folder / "cells.h5ad").unlink()
    (workflow.folder / "copy.h5ad").rename(workflow.folder / "cells.h5ad")
    done = workflow.snakemake("--dry-run")
    assert done.status == 0, done.output
    assert done.jobs["preprocess_dataset"] == 1


def test_a_packed_file_of_the_internet_gives_the_same_data(preprocessed):
    workflow, packed_run = preprocessed, configuration()
    values = read_trajectories(workflow.result("data/mine.h5ad")).X
    packed = workflow.folder / "mirror" / "example.org" / "cells.h5ad.gz"
    packed.parent.mkdir(parents=True)
    packed.write_bytes(gzip.compress((workflow.folder / "cells.h5ad").read_bytes()))
    packed_run["datasets"]["mine"]["options"]["file"] = "https://example.org/cells.h5ad.gz"
    workflow.configure(**packed_run)
    done = workflow.snakemake("--until", "preprocess_dataset", mirror=workflow.folder / "mirror")
    assert done.status == 0, done.output
    assert (done.jobs["download_source"], done.jobs["unpack_source"]) == (1, 1)
    np.testing.assert_array_equal(read_trajectories(workflow.result("data/mine.h5ad")).X, values)


def test_a_file_that_is_cut_short_leaves_nothing(workflow, repository):
    write_files(repository, workflow.folder)
    workflow.configure(**configuration())
    path = workflow.folder / "cells.h5ad"
    path.write_bytes(path.read_bytes()[:-100])
    done = workflow.snakemake("--until", "preprocess_dataset")
    assert done.status != 0
    assert "datasets.mine.options: cells.h5ad is cut short or no h5ad file" in done.output
    assert not workflow.result("data/mine.h5ad").exists()


def test_the_raw_bone_marrow_is_downloaded_once_and_unpacked(workflow, repository):
    shutil.copy(repository / "config.yaml", workflow.folder / "config.yaml")
    overrides = [repository / "experiments" / f"{name}.yaml" for name in ("hematopoiesis", "hematopoiesis_raw")]
    done = workflow.snakemake("--dry-run", "--configfile", *map(str, overrides))
    assert done.status == 0, done.output
    assert done.jobs["preprocess_dataset"] == 2
    assert done.jobs["download_source"] == 13
    assert done.jobs["unpack_source"] == 1
    assert done.jobs["train_members"] == 10
