from pathlib import Path

import numpy as np
import pytest

from sparsenode.data.downloads import RemoteFile
from sparsenode.data.sources import make_source
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError
from sparsenode.pipeline.configuration import figures_of


def load(options: dict, files: dict[str, Path]) -> RawTrajectories:
    return make_source("scode", options).load(files)


def required_files(options: dict) -> list[RemoteFile]:
    return make_source("scode", options).required_files()


def load_real(mirror: Path, **options: object) -> RawTrajectories:
    complete = make_source("scode", options).options
    return load(complete, {file.local_path: mirror / file.local_path for file in required_files(complete)})


@pytest.mark.parametrize(("cells", "facts"), [(1, (616, 22, 46)), (2, (666, 15, 40))])
def test_the_network_of_footprints_has_self_effects_and_few_sources(
    mirror: Path, cells: int, facts: tuple[int, int, int]
) -> None:
    raw = load_real(mirror, cells=cells)
    assert tuple(raw.provenance["truth"].values()) == facts
    assert raw.truth is not None
    assert raw.truth.sum() == facts[0]
    assert raw.truth_known is not None
    assert raw.truth_known.all()


def test_cells_are_in_the_order_of_their_pseudotime_and_scaled_by_training_cells(mirror: Path) -> None:
    raw = load_real(mirror, cells=1, time_scaling="none")
    training, test = raw.trajectories
    assert (training.name, test.name) == ("train endoderm", "test endoderm")
    assert (len(training.times), len(test.times)) == (356, 100)
    assert (np.diff(training.times) > 0).all()
    assert training.values.min() == 0
    assert training.values.max() == 1
    # The first cell of the file, by its pseudotime.
    row = np.argmin(np.abs(training.times - 0.0655744288878164))
    assert training.offset is not None
    assert training.scale is not None
    first = training.offset + training.scale * training.values[row]
    np.testing.assert_allclose(first[:3], [1.24551266781415, 1.2797125608209259, 1.4173238584502945])
    assert training.observation_labels["cell_type"][row] == "0"


def test_the_second_data_set_by_its_labels(mirror: Path) -> None:
    (cells,) = load_real(mirror).trajectories
    labels = np.array(cells.observation_labels["cell_type"])
    assert len(labels) == 373
    assert (labels == "MEF").sum() == 83
    assert cells.times[labels == "MEF"].mean() < cells.times[labels == "Myocyte"].mean()


def test_equal_pseudotimes_are_averaged_or_refused(mirror: Path, tmp_path: Path) -> None:
    options = make_source("scode", {"scaling": "training_range"}).options
    files = {file.local_path: mirror / file.local_path for file in required_files(options)}
    (times,) = (path for path in files if path.endswith("/time.txt"))
    lines = files[times].read_text().splitlines()
    fields = lines[1].split("\t")
    lines[1] = "\t".join([fields[0], lines[0].split("\t")[1], fields[2]])
    files[times] = tmp_path / "time.txt"
    files[times].write_text("\n".join(lines))
    (cells,) = load(options, files).trajectories
    assert len(cells.times) == 372
    assert cells.weights is not None
    assert sorted(cells.weights)[-2:] == [1, 2]
    with pytest.raises(UserError, match=r"1 observations repeat a time \(first 26\.29.*`first` or `mean`"):
        load({**options, "repeated_pseudotimes": "error"}, files)


def test_cells_without_coordinates_have_no_figure_of_a_map() -> None:
    def figures(source: str) -> list[str]:
        entry = {"source": source, "options": {}, "evaluation": {"rolling": None}, "interventions": None, "edges": None}
        return figures_of({"datasets": {"cells": entry}}, "cells")

    assert "embedding" not in figures("scode")
    assert "gene_trends" in figures("scode")
    assert "embedding" in figures("hematopoiesis")


def test_every_file_has_a_checksum() -> None:
    assert all(file.sha256 and file.size for cells in (1, 2) for file in required_files({"cells": cells}))
