"""Figures and tables from damaged files of a run: one line that names the file and says what to do."""

import shutil
from pathlib import Path

import pytest

from sparsenode.cli import main
from sparsenode.figures import FIGURES, subcommand_of

FILES = {
    "metrics": "metrics.parquet",
    "data": "data.h5ad",
    "selection": "selection/windows/l1.json",
    "stability": "networks/windows/l1.stability.parquet",
    "network": "networks/windows/l1.csv",
    "rankings": "networks/rankings.parquet",
}
DRAWN_FROM = [
    ("strengths", "metrics"),
    ("strengths", "selection"),
    ("pareto", "metrics"),
    ("network", "network"),
    ("network", "data"),
    ("network_graph", "network"),
    ("stability", "stability"),
    ("stability", "data"),
    ("precision_recall", "rankings"),
    ("balanced_accuracy", "rankings"),
]


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def draw(folder: Path, figure: str) -> int:
    arguments = [subcommand_of(figure), "--dataset", "genes", "--dots-per-inch", "40"]
    for name in FIGURES[figure].inputs:
        arguments += [f"--{name}", str(folder / {"metrics": "metrics.parquet", "data": "data.h5ad"}.get(name, name))]
    return main([*arguments, "--pdf", str(folder / "figure.pdf"), "--png", str(folder / "figure.png")])


@pytest.fixture
def folder(gene_files: dict[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(gene_files["data"].parent, tmp_path / "genes")
    return tmp_path / "genes"


@pytest.mark.parametrize("damage", [cut, empty, overwrite])
@pytest.mark.parametrize(("figure", "file"), DRAWN_FROM)
def test_a_damaged_file_is_named_on_one_line(folder, figure, file, damage, capsys):
    path = folder / FILES[file]
    damage(path)
    assert draw(folder, figure) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert message.startswith(f"error: {path} is damaged (")
    assert message.endswith("; delete it and run again\n")
    assert not (folder / "figure.pdf").exists()


@pytest.mark.parametrize("file", ["metrics", "network", "data", "stability", "rankings"])
def test_a_missing_file_is_named_on_one_line(folder, file, capsys):
    figure = next(name for name, one in DRAWN_FROM if one == file)
    (folder / FILES[file]).unlink()
    assert draw(folder, figure) == 1
    assert capsys.readouterr().err == f"error: {folder / FILES[file]} is missing; run again, and it is made\n"


@pytest.mark.parametrize("damage", [cut, empty, overwrite])
def test_damaged_metrics_are_named_by_the_table_of_all_datasets(folder, damage, capsys):
    damage(folder / "metrics.parquet")
    assert (
        main(["collect-metrics", "--metrics", str(folder / "metrics.parquet"), "--output", str(folder / "a.csv")]) == 1
    )
    assert f"{folder / 'metrics.parquet'} is damaged (" in capsys.readouterr().err
    assert not (folder / "a.csv").exists()
