"""Downloads from a mirror, and what happens when a file cannot be had."""

from pathlib import Path

import pytest

from sparsenode.data.sources import make_source

pytestmark = pytest.mark.workflow

CELLS = {
    "run": {"datasets": ["cells"], "models": ["plain"], "methods": ["none"]},
    "datasets": {
        "cells": {
            "source": "hematopoiesis",
            "options": {"donors": {"train": ["s3d6"], "test": []}, "lineages": ["B"]},
            "validation": {"by": "observation", "share": 0.2},
        }
    },
    "models": {"plain": {}},
}


def test_donor_without_a_file_fails_in_its_download_alone(workflow, mirror):
    donors = {"train": ["s3d6"], "test": ["s2d4"]}
    cells = {**CELLS["datasets"]["cells"], "options": {"donors": donors, "lineages": ["B"]}}
    workflow.configure(**{**CELLS, "datasets": {"cells": cells}})
    done = workflow.snakemake("--keep-going", "--until", "preprocess_dataset", mirror=mirror)
    assert done.status == 1
    assert set(failed_rules(done.output)) == {"download_source"}
    assert "B_24_norm.csv" in done.output
    assert "Traceback" not in done.output
    folder = workflow.folder / "downloads" / "raw.githubusercontent.com" / "theislab"
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    needed = make_source("hematopoiesis", cells["options"]).required_files()
    assert names == {Path(file.relative_path).name for file in needed} - {"B_24_norm.csv"}
    assert names >= {"B_36_norm.csv", "tf_targets_baseGRN_human_matrix.csv.gz"}
    assert not workflow.result("data/cells.h5ad").exists()


def test_missing_and_damaged_files_of_a_mirror(workflow, tmp_path):
    """A folder without the file, then an HTML page in its place: a clear message, and no file is left."""
    workflow.configure(**CELLS)
    path = "raw.githubusercontent.com/theislab/PathReg/main/data/data/trajectories/B_36_norm.csv"
    folder = tmp_path / "mirror"
    folder.mkdir()
    done = workflow.snakemake(f"downloads/{path}", mirror=folder)
    assert done.status == 1
    assert f"https://{path}" in done.output

    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_text("<!DOCTYPE html><html>not found</html>")
    done = workflow.snakemake(f"downloads/{path}", mirror=folder)
    assert done.status == 1
    assert "HTML" in workflow.read_log(f"download_source/{path}")
    assert "HTML" in done.output
    assert not (workflow.folder / "downloads" / path).exists()


def test_another_mirror_downloads_nothing_again(workflow, mirror, tmp_path):
    workflow.configure(**CELLS)
    target = "downloads/raw.githubusercontent.com/theislab/PathReg/main/data/data/trajectories/B_36_norm.csv"
    done = workflow.snakemake(target, mirror=mirror)
    assert done.status == 0, done.output
    workflow.configure(**CELLS, mirror=str(tmp_path))
    done = workflow.snakemake(target)
    assert done.status == 0, done.output
    assert "Nothing to be done" in done.output


def failed_rules(output):
    return [line.split()[-1].rstrip(":") for line in output.splitlines() if line.startswith("Error in rule ")]
