from pathlib import Path

import numpy as np
import pytest

from sparsenode.data.contract import read_trajectories, true_network
from sparsenode.data.downloads import RemoteFile
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.data.sources import make_source
from sparsenode.data.sources.dream3 import NETWORKS, SERIES
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError


def load(options: dict, files: dict[str, Path]) -> RawTrajectories:
    return make_source("dream3", options).load(files)


def required_files(options: dict) -> list[RemoteFile]:
    return make_source("dream3", options).required_files()


def load_real(mirror: Path, **options: object) -> RawTrajectories:
    complete = make_source("dream3", options).options
    return load(complete, {file.local_path: mirror / file.local_path for file in required_files(complete)})


@pytest.mark.slow(reason="reads all published networks")
# Edges in the true networks of the files that are downloaded, in the order of `NETWORKS`.
@pytest.mark.parametrize(
    ("size", "edges"), [(10, (11, 15, 10, 25, 22)), (50, (62, 82, 77, 160, 173)), (100, (125, 119, 166, 389, 551))]
)
def test_numbers_of_edges_are_those_of_the_true_networks(mirror: Path, size: int, edges: tuple[int, ...]) -> None:
    for network, count in zip(NETWORKS, edges, strict=True):
        raw = load_real(mirror, size=size, network=network)
        outline = make_source("dream3", {"size": size}).outline()
        assert outline is not None
        assert outline.features == raw.features
        assert raw.truth is not None
        assert raw.truth.sum() == count
        assert len(raw.trajectories) == SERIES[size]
        assert all(len(trajectory.times) == 21 for trajectory in raw.trajectories)
        assert len(raw.features) == size


def test_a_number_and_a_name_are_the_same_network(mirror: Path) -> None:
    numbered, named = load_real(mirror, size=10, network=3), load_real(mirror, size=10, network="Yeast1")
    np.testing.assert_array_equal(numbered.trajectories[3].values, named.trajectories[3].values)
    assert named.trajectories[0].times.tolist() == list(range(0, 201, 10))


def test_the_file_of_trajectories(mirror: Path, tmp_path: Path) -> None:
    entry = {"source": "dream3", "options": {"size": 10, "test_series": 1}, "validation": {"by": "none-in-source"}}
    preprocess_dataset("dream", entry, mirror, tmp_path / "dream.h5ad")
    adata = read_trajectories(tmp_path / "dream.h5ad")
    assert adata.shape == (84, 10)
    assert adata.X[0, 0] == pytest.approx(0.22515668)
    test = adata.obs["split"].astype(str) == "test"
    assert set(adata.obs.loc[test, "trajectory"]) == {"series_4"}
    network = true_network(adata)
    assert network is not None
    np.testing.assert_array_equal(network.known, ~np.eye(10, dtype=bool))
    names = list(adata.var_names)
    assert network.truth[names.index("G2"), names.index("G1")] == 1
    assert network.truth[names.index("G1"), names.index("G2")] == 0
    assert not adata.uns["sparsenode"]["truth_signed"]


def test_every_file_has_a_checksum() -> None:
    for size in SERIES:
        for network in NETWORKS:
            files = required_files({"size": size, "network": network})
            assert all(file.sha256 and file.size for file in files)


def test_files_of_another_network_and_no_training_series(mirror: Path) -> None:
    options = make_source("dream3", {"size": 10}).options
    series, pairs = required_files(options)
    other = required_files({**options, "size": 50})
    with pytest.raises(UserError, match=r"dream3_50_0_true\.txt, line 10: no gene of the series is named 'G11'"):
        load(options, {series.local_path: mirror / series.local_path, pairs.local_path: mirror / other[1].local_path})
    with pytest.raises(UserError, match=r"23 series of 50 genes, expected 4 of 10"):
        load(options, {series.local_path: mirror / other[0].local_path, pairs.local_path: mirror / pairs.local_path})
    with pytest.raises(UserError, match=r"data source dream3: test_series: 4 of 4 series leave none for training"):
        load_real(mirror, size=10, test_series=4)
