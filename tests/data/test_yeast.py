from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sparsenode.data.contract import read_trajectories
from sparsenode.data.downloads import RemoteFile
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.data.readers.edge_tables import read_edge_matrix
from sparsenode.data.sources import make_source
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError

ALL, SOME = (make_source("yeast", {"genes": count}).options for count in (3551, 500))


def load(options: dict, files: dict[str, Path]) -> RawTrajectories:
    return make_source("yeast", options).load(files)


def required_files(options: dict) -> list[RemoteFile]:
    return make_source("yeast", options).required_files()


def read(mirror: Path, options: dict) -> RawTrajectories:
    return load(options, {file.local_path: mirror / file.local_path for file in required_files(options)})


@pytest.fixture(scope="module")
def whole(mirror: Path) -> RawTrajectories:
    return read(mirror, ALL)


@pytest.fixture(scope="module")
def some(mirror: Path) -> RawTrajectories:
    return read(mirror, SOME)


@pytest.mark.slow(reason="reads, simulates or preprocesses whole datasets")
def test_two_replicates_at_24_times(whole: RawTrajectories) -> None:
    assert len(whole.features) == 3551
    assert [part.name for part in whole.trajectories] == ["replicate_1", "replicate_2"]
    assert [set(part.splits) for part in whole.trajectories] == [{"train"}, {"test"}]
    for part in whole.trajectories:
        np.testing.assert_array_equal(part.times, [*range(0, 105, 5), 110, 115, 120])
        assert np.isfinite(part.values).all()
        # Quantile normalized: every sample holds the same values.
        ranked = np.sort(part.values, axis=1)
        np.testing.assert_array_equal(ranked, np.tile(ranked[0], (24, 1)))
    assert whole.truth is None
    assert whole.features[0] == "YAL001C"
    assert whole.feature_labels["symbol"][0] == "TFC3"


def test_genes_without_a_common_name_keep_that_of_their_reading_frame(whole: RawTrajectories) -> None:
    symbols = whole.feature_labels["symbol"]
    assert len(set(symbols)) == 3551
    assert "None" not in symbols
    assert sum(gene == symbol for gene, symbol in zip(whole.features, symbols, strict=True)) >= 23


def test_the_motif_prior(whole: RawTrajectories) -> None:
    prior = whole.priors["motif"]
    assert set(np.unique(prior)) == {0.0, 1.0}
    assert whole.provenance["prior"] == {"prior_edges": 51254, "regulators": 65, "regulators_not_measured": 40}
    assert prior.sum() == 51254
    assert prior.any(axis=0).sum() == 3551 - 13
    assert prior.diagonal().sum() == 25
    np.testing.assert_array_equal(whole.is_regulator, prior.any(axis=1))


def test_trivial_forecasts_of_the_second_replicate(whole: RawTrajectories) -> None:
    first, second = (part.values for part in whole.trajectories)
    assert ((second - second[0]) ** 2).mean() == pytest.approx(0.2259, abs=5e-5)
    assert ((second - first.mean(axis=0)) ** 2).mean() == pytest.approx(0.0906, abs=5e-5)
    assert ((second - first) ** 2).mean() == pytest.approx(0.0683, abs=5e-5)


def test_the_500_genes_are_a_part_of_all(whole: RawTrajectories, some: RawTrajectories) -> None:
    places = [whole.features.index(gene) for gene in some.features]
    for part, all_ in zip(some.trajectories, whole.trajectories, strict=True):
        np.testing.assert_array_equal(part.values, all_.values[:, places])
    np.testing.assert_array_equal(some.priors["motif"], whole.priors["motif"][np.ix_(places, places)])


def test_the_prior_is_that_of_the_published_matrix(mirror: Path, some: RawTrajectories) -> None:
    folder = (mirror / required_files(SOME)[0].local_path).parent
    matrix = read_edge_matrix(folder / "edge_prior_matrix_pramila_500.csv", 500)
    np.testing.assert_array_equal(some.priors["motif"], matrix != 0)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_whole_way(mirror: Path, tmp_path: Path) -> None:
    settings = {
        "source": "yeast",
        "options": {"genes": 500},
        "validation": {"by": "time_blocks", "share": 0.15},
        "priors": {"motif40": {"of": "motif", "corruption": 0.4, "seed": 1}},
    }
    preprocess_dataset("yeast", settings, mirror, tmp_path / "yeast.h5ad")
    found = read_trajectories(tmp_path / "yeast.h5ad")
    assert found.shape == (48, 500)
    assert found.obs["split"].value_counts().to_dict() == {"test": 24, "train": 20, "validation": 4}
    prior, corrupted = (found.varp[f"prior_{name}"].toarray() != 0 for name in ("motif", "motif40"))
    assert (prior.sum(), corrupted.sum(), (prior & corrupted).sum()) == (1146, 1146, 1146 - 458)
    assert found.var["symbol"].iloc[0] == "YAL004W"
    assert "truth" not in found.varp


@pytest.mark.parametrize("options", [ALL, SOME], ids=["3551", "500"])
def test_every_file_has_a_checksum(options: dict) -> None:
    assert all(file.sha256 and file.size for file in required_files(options))


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., dict]:
    """The four files of the 500 genes, with values of 1 and one edge."""
    genes = [f"Y{number:03d}" for number in range(500)]
    values = "500,1,\n" + "1,2\n" * 500 + "0,5\n"
    texts = [values, values, 'x,name\n"' + '","None"\n"'.join(genes) + '","A"\n', "reg, aff,w\nY001,Y002,1\nZ,Y003,1\n"]

    def write(**changes: str) -> dict:
        files = {}
        for kind, text, file in zip(("one", "two", "genes", "motifs"), texts, required_files(SOME), strict=True):
            files[file.local_path] = tmp_path / f"{kind}.csv"
            files[file.local_path].write_text(changes.get(kind, text))
        return files

    return write


def test_made_files(made: Callable[..., dict]) -> None:
    raw = load(SOME, made())
    assert np.argwhere(raw.priors["motif"]).tolist() == [[1, 2]]
    assert raw.feature_labels["symbol"][-2:] == ("Y498", "A")
    assert raw.provenance["prior"]["regulators_not_measured"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"two": "2,1\n1\n1\n0\n"}, r"two\.csv: 1 trajectories of 2 genes, expected one of 500"),
        ({"genes": "x,name\na,b\n"}, r"genes\.csv: 1 genes, but the trajectories have 500"),
        ({"motifs": "reg,aff\nZ,Y003\n"}, r"motifs\.csv: no edge among the 500 genes"),
    ],
)
def test_files_that_do_not_belong_together(made: Callable[..., dict], changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(SOME, made(**changes))
