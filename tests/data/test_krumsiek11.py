from pathlib import Path

import numpy as np
import pytest

from sparsenode.data.downloads import RemoteFile
from sparsenode.data.sources import make_source
from sparsenode.data.sources.krumsiek11 import read_couplings
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError


def load(options: dict, files: dict[str, Path]) -> RawTrajectories:
    return make_source("krumsiek11", options).load(files)


def required_files(options: dict) -> list[RemoteFile]:
    return make_source("krumsiek11", options).required_files()


@pytest.fixture(scope="module")
def raw() -> RawTrajectories:
    return load(make_source("krumsiek11", None).options, {})


def test_four_branches_that_start_alike(raw: RawTrajectories) -> None:
    assert [part.name for part in raw.trajectories] == ["monocyte", "erythrocyte", "megakaryocyte", "neutrophil"]
    for part in raw.trajectories:
        assert part.values.shape == (160, 11)
        np.testing.assert_array_equal(part.times, np.arange(160))
        np.testing.assert_allclose(part.values[0], raw.trajectories[0].values[0], atol=0.01)


@pytest.mark.parametrize(
    ("fate", "on", "off"),
    [
        ("monocyte", ["cJun", "EgrNab", "Pu.1"], ["Gfi1", "Gata1"]),
        ("neutrophil", ["Gfi1", "Cebpa", "Pu.1"], ["EgrNab", "Gata1"]),
        ("erythrocyte", ["Gata1", "EKLF"], ["Fli1", "Pu.1"]),
        ("megakaryocyte", ["Gata1", "Fli1"], ["EKLF", "Pu.1"]),
    ],
)
def test_a_branch_ends_in_its_fate(raw: RawTrajectories, fate: str, on: list[str], off: list[str]) -> None:
    # The attractors of Krumsiek et al. 2011, figure 2.
    last = next(part.values[-1] for part in raw.trajectories if part.name == fate)
    assert all(last[raw.features.index(gene)] > 0.7 for gene in on)
    assert all(last[raw.features.index(gene)] < 0.3 for gene in off)


@pytest.mark.parametrize(
    ("source", "target", "sign"),
    [
        ("Gata1", "EKLF", 1),  # EKLF = Gata1 and not Fli1
        ("Fli1", "EKLF", -1),
        ("Pu.1", "cJun", 1),  # cJun = Pu.1 and not Gfi1
        ("Gfi1", "cJun", -1),
        ("EgrNab", "Gfi1", -1),  # Gfi1 = Cebpa and not EgrNab
        ("EKLF", "Gata1", 0),
        ("cJun", "Pu.1", 0),
    ],
)
def test_known_edges(raw: RawTrajectories, source: str, target: str, sign: int) -> None:
    assert np.sign(raw.truth[raw.features.index(source), raw.features.index(target)]) == sign


def test_the_number_of_edges(raw: RawTrajectories) -> None:
    assert np.count_nonzero(raw.truth) == 30
    assert np.count_nonzero(raw.truth[raw.truth_known]) == 26
    assert not raw.truth_known.diagonal().any()
    assert raw.truth_known.sum() == 110


@pytest.mark.parametrize("share", [0.0, 0.15, 0.5])
def test_the_end_of_each_branch_is_test_data(share: float) -> None:
    for part in load({"test_share": share}, {}).trajectories:
        assert (part.splits == "test").sum() == round(160 * share)
        assert list(part.splits) == sorted(part.splits, reverse=True)  # train, then test


def test_nothing_is_downloaded() -> None:
    assert required_files({}) == []


def test_a_network_file_of_another_form(tmp_path: Path) -> None:
    (tmp_path / "network.txt").write_text("a = b\n")
    with pytest.raises(UserError, match="no list of couplings"):
        read_couplings(tmp_path / "network.txt", ["a", "b"])
