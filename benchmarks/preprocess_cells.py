"""Time and memory of the way from a file of cells to trajectories, on a made file of the size of the real one.

    python benchmarks/preprocess_cells.py [--cells 69000] [--genes 13431] [--peaks 6569] [--everything] [--folder F]

Makes a file of the schema of GEO GSE194122 (13 donors, cell types of the bone marrow, counts of genes and of peaks,
three lineages that branch off from the stem cells), preprocesses it in a process of its own, and prints that process's
time and its peak of memory. As in the experiment, five donors are used, and half of the cells belong to no lineage;
with `--everything` all cells of all donors are used, without an embedding in the file, which is the most there can be.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem
from scipy.sparse import csr_matrix, hstack

DONORS = ["s1d1", "s1d2", "s1d3", "s2d1", "s2d4", "s2d5", "s3d10", "s3d3", "s3d6", "s3d7", "s4d1", "s4d8", "s4d9"]
TRAIN, TEST = ["s1d2"], ["s2d1", "s3d6", "s1d1", "s2d4"]
LINEAGES = {
    "erythroid": ["HSC", "MK/E prog", "Proerythroblast", "Erythroblast", "Normoblast"],
    "monocyte": ["HSC", "G/M prog", "CD14+ Mono", "CD16+ Mono"],
    "B": ["HSC", "Lymph prog", "Transitional B", "Naive CD20+ B"],
}
OTHERS = ["CD8+ T", "NK", "Plasma cell"]
"""Cell types outside of the lineages."""

SHARE_OF_OTHERS = 0.5
SHARES = {"erythroid": 0.3, "monocyte": 0.5, "B": 0.2}
STEM = 0.15
"""Progress up to which a cell is a stem cell, and the lineages are alike."""

PIECE = 2000
"""Cells written at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=69_000)
    parser.add_argument("--genes", type=int, default=13_431)
    parser.add_argument("--peaks", type=int, default=6_569)
    parser.add_argument("--folder", type=Path, help="where the file is made for the time of the run")
    parser.add_argument("--everything", action="store_true", help="use all cells, and no embedding of the file's")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        began = time.perf_counter()
        path = folder / "cells.h5ad"
        others = 0.0 if given.everything else SHARE_OF_OTHERS
        write_cells(path, given.cells, given.genes, given.peaks, others=others, embedding=not given.everything)
        size = path.stat().st_size / 1e9
        print(f"made {given.cells} cells x {given.genes + given.peaks} features, {size:.2f} GB, {seconds(began)}")
        tested = [name for name in DONORS if name not in TRAIN] if given.everything else TEST
        settings = {
            "source": "single_cells",
            "options": {
                "file": str(path),
                "donors": {"train": TRAIN, "test": tested},
                "networks": {"base": str(write_network(folder / "network.csv", given.genes))},
                "transform": "log1p",
                "scaling": "training_range",
            },
            "validation": {"by": "observation", "share": 0.2},
            "initial_state": {"mean_of_first": 5},
            "feature_weight": "uniform",
        }
        began = time.perf_counter()
        peak = preprocess(settings, folder)
        print(f"preprocessed in {seconds(began)}, at most {peak:.2f} GB of memory")


def seconds(began: float) -> str:
    return f"{time.perf_counter() - began:.0f} s"


def preprocess(settings: Mapping[str, Any], folder: Path) -> float:
    """Run the subcommand in a process of its own; its peak of memory in GB."""
    arguments = ["--settings", json.dumps(settings), "--downloads", str(folder), "--output", str(folder / "made.h5ad")]
    command = [sys.executable, "-m", "sparsenode.cli", "preprocess-dataset", "--name", "made", *arguments]
    child = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit("preprocessing failed")
    return usage.ru_maxrss * 1024 / 1e9  # kilobytes on Linux


def write_network(path: Path, genes: int) -> Path:
    """A base network of every 40th gene as a regulator, each of whose targets is drawn at random."""
    generator = np.random.default_rng(1)
    names = gene_names(genes)
    lines = [",".join(["TF.human", *names])]
    lines += [",".join([name, *np.where(generator.random(genes) < 0.5, "1.0", "0.0").tolist()]) for name in names[::40]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def gene_names(count: int) -> list[str]:
    return [f"GENE{number}" for number in range(count)]


def write_cells(
    path: Path,
    cells: int,
    genes: int,
    peaks: int,
    *,
    donors: Sequence[str] = DONORS,
    density: float = 0.1,
    others: float = SHARE_OF_OTHERS,
    embedding: bool = True,
    seed: int = 0,
) -> None:
    """Write a file of cells, a piece at a time: `layers["counts"]`, and X, counts over the cell's size factor.

    Beside the columns of the real file, `obs` has the true `progress` of each cell along its `lineage`.
    """
    generator = np.random.default_rng(seed)
    obs = make_obs(cells, donors, others, generator)
    means, effects = make_program(genes, density, generator)
    openness = generator.gamma(0.5, 0.1, peaks)
    states = make_states(obs)
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for name in ("layers", "obsm"):
            write_elem(file, name, {})
        write_elem(file, "obs", obs)
        names = [*gene_names(genes), *(f"chr1-{place}-{place + 500}" for place in range(1, 1000 * peaks, 1000))]
        kinds = pd.Categorical(["GEX"] * genes + ["ATAC"] * peaks)
        write_elem(file, "var", pd.DataFrame({"feature_types": kinds}, index=names))
        if embedding:
            turned = states @ generator.standard_normal((states.shape[1], 50))
            write_elem(file, "obsm/GEX_X_pca", turned + 0.3 * generator.standard_normal(turned.shape))
        for start in range(0, cells, PIECE):
            rows = slice(start, start + PIECE)
            factors = obs["GEX_size_factors"].to_numpy()[rows, None]
            rates = np.exp(means + states[rows] @ effects) * factors
            found = csr_matrix(generator.poisson(rates).astype(np.float32))
            opened = csr_matrix(generator.poisson(np.tile(openness, (len(factors), 1))).astype(np.float32))
            counts = hstack([found, opened], format="csr")
            append(file, "layers/counts", counts)
            counts.data = counts.data / np.repeat(factors.ravel(), np.diff(counts.indptr)).astype(np.float32)
            append(file, "X", counts)


def make_obs(cells: int, donors: Sequence[str], others: float, generator: np.random.Generator) -> pd.DataFrame:
    """Donor, lineage, progress (0 to 1), cell type and size factor of each cell; a share `others` has no lineage."""
    lineage = generator.choice(list(LINEAGES), cells, p=list(SHARES.values()))
    progress = generator.random(cells)
    types = np.array([stage(name, place) for name, place in zip(lineage, progress, strict=True)])
    other = generator.random(cells) < others
    types[other] = generator.choice(OTHERS, int(other.sum()))
    lineage[other] = "none"
    return pd.DataFrame(
        {
            "batch": pd.Categorical(np.repeat(donors, -(-cells // len(donors)))[:cells]),
            "cell_type": pd.Categorical(types),
            "GEX_size_factors": generator.lognormal(0.0, 0.4, cells),
            "lineage": lineage,
            "progress": progress,
        },
        index=[f"cell{number}" for number in range(cells)],
    )


def stage(lineage: str, progress: float) -> str:
    """The cell type at a progress: stem cells first, then the others at equal parts."""
    types = LINEAGES[lineage]
    if progress < STEM:
        return types[0]
    return types[1 + int((progress - STEM) / (1 - STEM) * (len(types) - 1))]


def make_states(obs: pd.DataFrame) -> np.ndarray:
    """Where each cell stands, (cell, 2 * lineage + 1): a wave and a rise along each lineage, and one for the others."""
    columns = []
    for name in LINEAGES:
        place = np.where(obs["lineage"] == name, np.clip(obs["progress"] - STEM, 0, None) / (1 - STEM), 0.0)
        columns += [3 * place, np.sin(np.pi * place)]
    columns.append(np.where(obs["lineage"] == "none", 4.0, 0.0))
    return np.stack(columns, axis=1)


def make_program(genes: int, density: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Log means (gene,) at which a share `density` of counts is above 0, and effects (state, gene) of states."""
    means = generator.normal(0.0, 1.5, genes)
    low, high = -20.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 - np.exp(-np.exp(means + middle))).mean() < density else (low, middle)
    effects = generator.normal(0.0, 0.7, (2 * len(LINEAGES) + 1, genes)) * (generator.random(genes) < 0.15)
    return means + low, effects


def append(file: h5py.File, name: str, values: csr_matrix) -> None:
    """Append rows to a sparse matrix of the file, which is begun where there is none."""
    if name not in file:
        group = file.create_group(name)
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (0, values.shape[1])})
        for part, kind in (("data", np.float32), ("indices", np.int32), ("indptr", np.int64)):
            group.create_dataset(part, (0,), kind, maxshape=(None,), chunks=(2**16,), compression=None)
        group["indptr"].resize((1,))
        group["indptr"][0] = 0
    group = file[name]
    rows, stored = len(group["indptr"]) - 1, len(group["data"])
    for part, added in (
        ("data", values.data),
        ("indices", values.indices),
        ("indptr", values.indptr[1:].astype(np.int64) + stored),
    ):
        dataset = group[part]
        end = len(dataset)
        dataset.resize((end + len(added),))
        dataset[end:] = added
    group.attrs["shape"] = (rows + values.shape[0], values.shape[1])


if __name__ == "__main__":
    main()
