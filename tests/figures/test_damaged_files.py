"""Figures and tables from damaged files of a run: one line that names the file and says what to do."""

import json
import shutil
from pathlib import Path

import pytest
from pyarrow import parquet

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


CHOICE = {"chosen": 0.1, "protocol": "trajectory", "regularizer": "l1"}
WRONG_CHOICES = [
    ({"chosen": "x"}, "'chosen' is 'x'"),
    ({"protocol": 3}, "'protocol' is 3"),
    ({"regularizer": "nosuch"}, "the regularizer 'nosuch' is not known"),
    ({"regularizer": None}, "'regularizer' is None"),
    ({"prior": {"name": "a"}}, "it lacks 'of'"),
    ({"prior": {"name": "a", "of": "truth", "corruption": "x"}}, "'corruption' is 'x'"),
    ({"prior": "a"}, "'prior' is 'a'"),
    ({"edges": {"found": 3}}, "it lacks 'listed'"),
    ({"edges": {"found": 3, "listed": None, "typical": 3}}, "'listed' is None"),
]


@pytest.mark.parametrize(("change", "reason"), WRONG_CHOICES)
def test_a_choice_with_wrong_or_missing_entries_is_damage(folder, change, reason, capsys):
    path = folder / FILES["selection"]
    path.write_text(json.dumps(CHOICE | change))
    for figure in ("network", "strengths"):
        assert draw(folder, figure) == 1
        assert capsys.readouterr().err == f"error: {path} is damaged ({reason}); delete it and run again\n"


@pytest.mark.parametrize(
    ("figure", "file", "column"),
    [
        ("strengths", "metrics", "method"),
        ("strengths", "metrics", "trajectory"),
        ("stability", "stability", "weight"),
        ("precision_recall", "rankings", "estimator"),
        ("balanced_accuracy", "rankings", "edge"),
    ],
)
def test_a_table_without_a_column_is_damage(folder, figure, file, column, capsys):
    path = folder / FILES[file]
    table = parquet.read_table(path)
    parquet.write_table(table.drop_columns([column]), path, row_group_size=110)
    assert draw(folder, figure) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error: {path} ")
    assert column in message or file == "rankings"
    assert message.endswith("; delete it and run again\n")
    assert message.count("\n") == 1


@pytest.mark.parametrize("figure", ["network", "network_graph"])
def test_a_network_of_other_variables_is_named(folder, figure, capsys):
    path = folder / FILES["network"]
    path.write_text(path.read_text().replace("Gata1", "Gata7"))
    assert draw(folder, figure) == 1
    message = f"error: {path} names the feature 'Gata7', which the data do not have; delete it and run again\n"
    assert capsys.readouterr().err == message


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
