from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from sparsenode.data.contract import read_trajectories
from sparsenode.data.downloads import RemoteFile
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.data.readers.edge_tables import read_edge_list
from sparsenode.data.sources import make_source
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError

SETTINGS = {"source": "breast", "validation": {"by": "inner_blocks", "share": 0.15, "seed": 0}}
FACTORS = ["AR", "ESR1", "FOXA1", "FOXM1", "GATA3", "NR2F1", "PGR"]


def load(options: dict, files: dict[str, Path]) -> RawTrajectories:
    return make_source("breast", options).load(files)


def required_files(options: dict) -> list[RemoteFile]:
    return make_source("breast", options).required_files()


@pytest.fixture(scope="module")
def breast(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> AnnData:
    path = tmp_path_factory.mktemp("breast") / "breast.h5ad"
    preprocess_dataset("breast", SETTINGS, mirror, path)
    return read_trajectories(path)


@pytest.mark.slow(reason="reads, simulates or preprocesses whole datasets")
def test_the_middle_is_held_out(breast: AnnData) -> None:
    assert breast.shape == (186, 500)
    splits = breast.obs["split"].astype(str).to_numpy()
    np.testing.assert_array_equal(np.flatnonzero(splits == "test"), np.arange(92, 100))
    assert (splits == "validation").sum() == round(0.15 * 178)
    times = breast.obs["time"].to_numpy()
    assert (times[0], times[92], times[99], times[-1]) == (0.030612, 0.5, 0.53571, 0.97449)
    assert breast.X[92, 0] == pytest.approx(0.482153333)
    assert breast.X[91, 0] == pytest.approx(0.471506667)


@pytest.mark.slow(reason="preprocesses the published table")
def test_chip_seq_tells_of_seven_factors_alone(breast: AnnData) -> None:
    truth, known = breast.varp["truth"].toarray(), np.asarray(breast.varp["truth_known"])
    names = breast.var_names
    assert names[known.any(axis=1)].tolist() == FACTORS
    assert names[~known.any(axis=0)].tolist() == ["FOXG1"]
    assert known.sum() == 7 * 499 - 7
    assert (truth != 0).sum() == 1586
    assert (truth != 0)[known].sum() == 1580
    assert truth[names.get_loc("ESR1"), names.get_loc("ABCA8")] == 1
    assert truth[names.get_loc("ESR1")].sum() == 337
    assert not breast.uns["sparsenode"]["truth_signed"]


@pytest.mark.slow(reason="preprocesses the published table")
def test_the_motif_prior_and_what_it_is_worth(breast: AnnData) -> None:
    prior = breast.varp["prior_motif"].toarray()
    assert set(np.unique(prior)) == {0.0, 1.0}
    assert prior.sum() == 7732
    assert breast.var["is_regulator"].sum() == 34
    np.testing.assert_array_equal(breast.var["is_regulator"], (prior != 0).any(axis=1))
    known = np.asarray(breast.varp["truth_known"])
    edges, told = (breast.varp["truth"].toarray() != 0)[known], prior[known] != 0
    assert (edges & told).sum() == 1067
    assert told[edges].mean() == pytest.approx(0.675, abs=5e-4)
    assert (~told[~edges]).mean() == pytest.approx(0.517, abs=5e-4)


@pytest.mark.slow(reason="preprocesses the published table")
def test_trivial_forecasts_of_the_held_out_middle(breast: AnnData) -> None:
    values, splits = breast.X.astype(np.float64), breast.obs["split"].astype(str).to_numpy()
    test = values[splits == "test"]
    mean = values[splits != "test"].mean(axis=0)
    assert ((test - values[0]) ** 2).mean() == pytest.approx(7.66e-3, abs=5e-6)
    assert ((test - mean) ** 2).mean() == pytest.approx(2.419e-3, abs=5e-7)
    assert (np.diff(test, axis=0) ** 2).mean() == pytest.approx(3.29e-4, abs=5e-7)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_all_pairs_count_where_the_published_scores_are_repeated(mirror: Path) -> None:
    options = make_source("breast", {"known": "all"}).options
    raw = load(options, {file.local_path: mirror / file.local_path for file in required_files(options)})
    assert raw.truth_known is not None
    assert raw.truth_known.sum() == 500 * 499


def test_every_file_has_a_checksum() -> None:
    assert all(file.sha256 and file.size for file in required_files({}))


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., dict]:
    """The five files, small: genes a, b, c, d; d is in no table of targets."""
    texts = [
        "4,1,\n1,2\n3,4\n5,6\n7,8\n0.1,0.4\n",
        "4,1\n9\n9\n9\n9\n0.2\n",
        "gene\na\nb\nc\nd\n",
        "0,-0.5,0,0\n0,0,0,0\n0,0.5,0.5,0\n0,0,0,0\n",
        '"from","to"\n"a","a"\n"a","c"\n"z","b"\n"a","c"\n',
    ]

    def write(**changes: str) -> dict:
        kinds = ("training", "test", "genes", "prior", "validation")
        files = {}
        for kind, text, file in zip(kinds, texts, required_files({}), strict=True):
            files[file.local_path] = tmp_path / f"{kind}.csv"
            files[file.local_path].write_text(changes.get(kind, text))
        return files

    return write


def test_made_files(made: Callable[..., dict]) -> None:
    raw = load({"known": "experiments"}, made())
    (course,) = raw.trajectories
    np.testing.assert_array_equal(course.times, [0.1, 0.2, 0.4])
    np.testing.assert_array_equal(course.values, [[1, 3, 5, 7], [9, 9, 9, 9], [2, 4, 6, 8]])
    assert course.splits.tolist() == ["train", "test", "train"]
    np.testing.assert_array_equal(raw.truth, [[1, 0, 1, 0], [0] * 4, [0] * 4, [0] * 4])
    np.testing.assert_array_equal(raw.truth_known, [[False, True, True, False], [False] * 4, [False] * 4, [False] * 4])
    np.testing.assert_array_equal(raw.priors["motif"], [[0, 1, 0, 0], [0] * 4, [0, 1, 1, 0], [0] * 4])
    assert raw.is_regulator.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": "3,1\n9\n9\n9\n0.2\n"}, r"test\.csv does not belong to .*training\.csv"),
        ({"test": "4,1\n9\n9\n9\n9\n0.4\n"}, r"test\.csv does not belong to .*or some of its times"),
        ({"test": "4,2\n9\n9\n9\n9\n0.2\n9\n9\n9\n9\n0.2\n"}, r"test\.csv: 2 trajectories, expected one"),
        ({"genes": "gene\na\nb\nc\n"}, r"genes\.csv: 3 genes, but the trajectories have 4"),
        ({"prior": "0,1\n1,0\n"}, r"prior\.csv: line 1 has 2 fields, expected a matrix of 4 by 4"),
        ({"validation": "from,to\nx,y\n"}, r"validation\.csv: no edge among the 4 genes"),
        ({"validation": "from,to\na,a\n"}, r"validation\.csv: no edge among the 4 genes"),
    ],
)
def test_files_that_do_not_belong_together(made: Callable[..., dict], changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load({"known": "experiments"}, made(**changes))


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_published_network_has_repeated_lines_and_many_unmeasured_factors(mirror: Path) -> None:
    edges = read_edge_list(mirror / required_files({})[4].local_path, "from", "to")
    assert len(edges) == 226_813
    assert len({source for source, _ in edges}) == 61
