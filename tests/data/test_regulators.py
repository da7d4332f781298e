import gzip
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenode.data.downloads import known_files, relative_path
from sparsenode.data.single_cell.regulators import (
    CELL_TYPES,
    NetworkOptions,
    PriorNetwork,
    base_network_file,
    cell_type_file,
    network_files,
    read_network,
    read_priors,
    read_regulators,
    unite_networks,
)
from sparsenode.data.sources import make_source
from sparsenode.errors import UserError

LINEAGES = NetworkOptions().networks
FOLDER = "raw.githubusercontent.com/theislab/PathReg/main/data/data"


def network_of(known: np.ndarray, edges: np.ndarray) -> PriorNetwork:
    return PriorNetwork(edges & known, known, known.any(axis=1))


@pytest.fixture(scope="module")
def genes(mirror: Path) -> list[str]:
    with (mirror / FOLDER / "trajectories" / "B_12_norm.csv").open() as stream:
        return stream.readline().rstrip("\n").split("\t")[1:]


@pytest.fixture(scope="module")
def published(mirror: Path) -> Mapping[str, Path]:
    files = network_files(NetworkOptions(networks={"all": tuple(CELL_TYPES)}))
    return {file.relative_path: mirror / file.relative_path for file in files}


def read_plainly(path: Path) -> tuple[list[str], list[list[str]], set[tuple[str, str]]]:
    """Fields of the first line and of the others, and the edges."""
    with gzip.open(path, "rt") as stream:
        header, *rows = [line.split(",") for line in stream.read().splitlines()]
    edges = {
        (row[0], target) for row in rows for target, value in zip(header[1:], row[1:], strict=True) if float(value)
    }
    return header, rows, edges


# Published files.


def test_every_published_network_is_known_with_checksum_and_under_its_own_name(mirror: Path) -> None:
    folder = mirror / FOLDER / "TFs_Targets"
    files = [base_network_file(), *map(cell_type_file, CELL_TYPES)]
    assert {mirror / file.relative_path for file in files} == set(folder.iterdir())
    assert all(known_files()[file.relative_path] == file for file in files)
    assert all(file.sha256 and file.size for file in files)


def test_names_with_spaces_plus_signs_and_slashes_become_addresses() -> None:
    file = cell_type_file("Naive CD20+ B")
    assert file.url.endswith("/TFs_Targets/Naive%20CD20%2B%20B_matrix.csv.gz")
    assert file.relative_path == f"{FOLDER}/TFs_Targets/Naive CD20+ B_matrix.csv.gz"
    assert Path(relative_path(cell_type_file("MK/E prog").url)).name == "MK_E prog_matrix.csv.gz"


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_base_network_is_dense_among_what_is_measured(published: Mapping[str, Path], genes: list[str]) -> None:
    network = read_network(published[base_network_file().relative_path], genes)
    assert (network.is_regulator.sum(), network.known.any(axis=0).sum(), network.edges.sum()) == (113, 365, 22689)
    assert network.density == pytest.approx(0.550, abs=5e-4)


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_networks_of_cell_types_agree_with_a_plain_reading(
    published: Mapping[str, Path], genes: list[str], cell_type: str
) -> None:
    path = published[cell_type_file(cell_type).relative_path]
    header, rows, expected = read_plainly(path)
    all_genes = [*dict.fromkeys([*header[1:], *(row[0] for row in rows)])]
    network = read_network(path, all_genes)
    found = {(all_genes[source], all_genes[target]) for source, target in np.argwhere(network.edges)}
    assert found == expected
    assert network.known.sum() == len(rows) * (len(header) - 1)
    assert read_regulators(path) == tuple(row[0] for row in rows)
    measured = read_network(path, genes)
    assert {(genes[source], genes[target]) for source, target in np.argwhere(measured.edges)} == {
        (source, target) for source, target in expected if source in genes and target in genes
    }


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_networks_of_the_lineages(
    published: Mapping[str, Path], genes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        priors = read_priors(NetworkOptions(networks=LINEAGES), published, genes)
    assert list(priors.edges) == ["base", "erythroid", "monocyte", "B"]
    of_any = np.any([network.is_regulator for network in priors.networks.values()], axis=0)
    np.testing.assert_array_equal(priors.is_regulator, of_any)
    assert priors.is_regulator[genes.index("CUX1")]
    assert not priors.networks["base"].is_regulator[genes.index("CUX1")]
    for network in priors.networks.values():
        assert not (network.edges & ~network.known).any()
    for name, cell_types in LINEAGES.items():
        paths = [published[cell_type_file(cell_type).relative_path] for cell_type in cell_types]
        edges = set().union(*(read_plainly(path)[2] for path in paths))
        found = {(genes[source], genes[target]) for source, target in np.argwhere(priors.edges[name])}
        assert found == {(source, target) for source, target in edges if source in genes and target in genes}
    assert priors.networks["erythroid"].is_regulator[genes.index("GATA1")]
    assert not priors.networks["B"].is_regulator[genes.index("GATA1")]
    assert {name: facts["edges"] for name, facts in priors.facts.items()} == {
        "base": 22689,
        "erythroid": 844,
        "monocyte": 550,
        "B": 395,
    }
    assert (
        "prior network base: 113 regulators among 529 genes, 22689 edges among 41245 known pairs (density 0.550)"
        in caplog.messages
    )


# Small tables from here on.


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_table(text: str, name: str = "network.csv.gz") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write_table


@pytest.mark.parametrize("name", ["network.csv.gz", "network.csv"])
@pytest.mark.parametrize("first", ["TF.human", "tf.name"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_is_read_by_name(write: Callable[..., Path], name: str, first: str, end: str) -> None:
    lines = [f"{first},B,A,C", "A,1.0,0.0,1", "X,1.0,1.0,1.0", "C,0,1.0,0.0", ""]
    network = read_network(write(end.join(lines), name), ["A", "B", "C", "D"])
    assert network.edges.astype(int).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert network.is_regulator.tolist() == [True, False, True, False]
    assert network.known.astype(int).tolist() == [[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    assert network.density == pytest.approx(3 / 6)


@pytest.mark.slow(reason="draws many examples")
@given(st.randoms(use_true_random=False))
def test_order_of_rows_columns_and_genes_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, random: Random
) -> None:
    regulators, targets, genes = list("ABXY"), list("BCDZ"), list("ABCDE")
    edges = {(source, target) for source in regulators for target in targets if random.random() < 0.5}
    random.shuffle(regulators)
    random.shuffle(targets)
    random.shuffle(genes)
    lines = [",".join(["tf.name", *targets])]
    lines += [",".join([source, *("01"[(source, target) in edges] for target in targets)]) for source in regulators]
    path = tmp_path_factory.mktemp("network") / "network.csv"
    path.write_text("\n".join(lines) + "\n")
    network = read_network(path, genes)
    found = {(genes[source], genes[target]) for source, target in np.argwhere(network.edges)}
    assert found == {(source, target) for source, target in edges if source in genes and target in genes}
    assert network.known.sum() == 2 * 3


MATRIX = "{first},B,A,C\nA,1,0,1\nX,1,1,1\nC,0,1,0\n"
LIST = "source,target,weight\nA,B,1\nC,A,0.5\nA,C,-2\nA,A,0\nX,B,1\nX,A,1\nX,C,1\nC,B,0\nA,B,3\n"
SAME_NETWORK = {
    "matrix": MATRIX.format(first="TF.human"),
    "matrix without a name": MATRIX.format(first=""),
    "matrix of R": MATRIX.format(first="")[1:].replace("B,A", '"B","A"'),
    "matrix with quotes": MATRIX.format(first='"regulator"').replace("B,A", '"B","A"'),
    "matrix with a byte-order mark": "\ufeff" + MATRIX.format(first="tf"),
    "matrix with tabs": MATRIX.format(first="TF").replace(",", "\t"),
    "matrix with semicolons and blanks": MATRIX.format(first="Source").replace(",", " ; "),
    "matrix of truth values": MATRIX.format(first="").replace("1", "True").replace("0", "FALSE"),
    "list": LIST,
    "list with tabs": LIST.replace(",", "\t"),
    "list with semicolons and ends of Windows": LIST.replace(",", ";").replace("\n", "\r\n"),
    "list with quotes and blanks": '"TF" , "Target" , "Weight"\n' + LIST.partition("\n")[2].replace("A,", '"A" , '),
    "list of R": "from,to\n" + "".join(f"{row},{edge}\n" for row, edge in enumerate(
        ("A,B", "C,A", "A,C", "X,B", "X,A", "X,C")
    )),
    "list with other columns": "id,to,source\n1,B,A\n2,A,C\n3,C,A\n4,B,X\n5,A,X\n6,C,X",
}  # fmt: skip


@pytest.mark.parametrize("text", SAME_NETWORK.values(), ids=SAME_NETWORK)
def test_a_network_is_the_same_in_every_form(write: Callable[..., Path], text: str) -> None:
    path = write(text, "network.csv")
    network = read_network(path, ["A", "B", "C", "D"])
    assert network.edges.astype(int).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert network.is_regulator.tolist() == [True, False, True, False]
    assert network.known.astype(int).tolist() == [[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    assert sorted(read_regulators(path)) == ["A", "C", "X"]


@pytest.mark.parametrize("separator", list("\t,;"))
def test_the_names_of_r_are_read_whichever_genes_are_modeled(write: Callable[..., Path], separator: str) -> None:
    path = write("X9,G1,G2\nT1,1,1,0\nT2,1,0,1\n".replace(",", separator), "network.csv")
    network = read_network(path, ["G1", "G2", "T1"])
    assert network.edges.astype(int).tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert read_regulators(path) == ("T1", "T2")


def test_the_gene_tf_is_no_first_column(write: Callable[..., Path]) -> None:
    """Transferrin is called TF: a matrix may have it as a target, and its first column is still the regulators'."""
    network = read_network(write("TF,A,TF\nA,0,1\nTF,1,0\n".replace("TF,A", "tf,A", 1), "network.csv"), ["TF", "A"])
    assert network.edges.astype(int).tolist() == [[0, 1], [1, 0]]
    network = read_network(write("TF,A\nA,0\nTF,1\n", "network.csv"), ["TF", "A"])
    assert network.edges.astype(int).tolist() == [[0, 1], [0, 0]]
    assert network.known.astype(int).tolist() == [[0, 1], [0, 1]]


def test_what_of_a_list_is_not_read_is_said(write: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        read_network(write("source,target,kind,weight\nA,B,x,0.5\n", "network.csv"), ["A", "B"])
    assert any("these columns are not read: 'kind'" in message for message in caplog.messages)
    assert any("every weight but 0 is read as an edge; their sizes and signs are not used" in message
               for message in caplog.messages)  # fmt: skip
    caplog.clear()
    with caplog.at_level(logging.INFO):
        read_network(write("source,target,weight\nA,B,1\nB,A,0\n", "network.csv"), ["A", "B"])
    assert not caplog.messages


def test_a_union_has_what_any_of_its_networks_has() -> None:
    generator = np.random.default_rng(0)
    parts = [network_of(*(generator.random((2, 5, 5)) < 0.4)) for _ in range(3)]
    union = unite_networks(parts)
    for source, target in np.ndindex(5, 5):
        assert union.edges[source, target] == any(part.edges[source, target] for part in parts)
        assert union.known[source, target] == any(part.known[source, target] for part in parts)
    assert unite_networks([*parts, union]).density == union.density
    assert np.isnan(network_of(np.zeros((2, 2), bool), np.zeros((2, 2), bool)).density)


@pytest.mark.parametrize("name", ["network.csv.gz", "network.csv"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TF.human,B,A\nA,1.0\n", r"line 2: 2 fields where line 1 names 3 columns, none for the column 'A'"),
        ("TF.human,B,A\nA,2.5,0.0\n", r"line 2: '2\.5' for 'B', expected true or false, yes or no, 1 or 0; weights"),
        ("tf.name,B,A\nX,1,1\nA,1,\n", r"line 3: '' for 'A', expected true or false"),
        ("tf.name,B,A\nX,1,1\nA,1,0\nX,0,0\n", r"line 4: the regulator 'X' is in line 2 already"),
        ("tf.name,B,A,B\nA,1,0,0\n", r"line 1: the column 'B' is there more than once, as fields 2 and 4"),
        ("tf.name,B,A\n", r" has no rows: no line below the column names"),
        ("<html>\n", r" is a web page"),
        ("", r": the file is empty"),
        (
            "gene,B,A\nA,1,0\n",
            r"line 1: the first column is 'gene'; give a matrix .* or a list of edges with the columns",
        ),
        ("A,B,1\nA,C,1\n", r"line 1: the first column is 'A'; give a matrix"),
        ("tf,B,A\nA,1,0,1\n", r"line 2: 4 fields where line 1 names 3 columns: '1' follows the last column, 'A'"),
        ("TF,B,A\nA,1,0,1\n", r"line 2: 4 fields where line 1 names 3 columns"),
        ("tf,B,A\n,1,0\n", r"line 2: the first field, the name of the regulator, is empty"),
        ("source,target\nA\n", r"line 2: 1 fields where line 1 names 2 columns, none for the column 'target'"),
        ("source,target\nA,B\nA,\n", r"line 3: an edge without the name of its target"),
        ("source,target\n,B\n", r"line 2: an edge without the name of its source"),
        ("source,target,weight\nA,B,high\n", r"line 2, column 'weight': 'high' is not a finite number"),
        ("source;target;weight\nA;B;0,5\n", r"line 2, column 'weight': '0,5' has a comma"),
        (
            "source,target,weight\nA,B,1\nB,A,1\nA,B,0\n",
            r"line 4: the weight from 'A' to 'B' is 0, and in line 2 it is not 0",
        ),
        ("source,target,weight\nA,B,0\nA,B,2\n", r"line 3: the weight from 'A' to 'B' is not 0, and in line 2 it is 0"),
    ],
)
def test_a_damaged_table(write: Callable[..., Path], name: str, text: str, message: str) -> None:
    path = write(text, name)
    with pytest.raises(UserError, match=rf"{name}.*{message}"):
        read_network(path, ["A", "B"])


def test_files_that_are_no_table(write: Callable[..., Path], tmp_path: Path) -> None:
    plain = tmp_path / "plain.csv.gz"
    plain.write_text("tf.name,B\nA,1\n")
    with pytest.raises(UserError, match=r"cannot read the gzip file .*plain\.csv\.gz: Not a gzipped file"):
        read_network(plain, ["A", "B"])
    whole = write("".join(["tf.name,B\n", *(f"{number},1\n" for number in range(1000))]))
    whole.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"network\.csv\.gz: the gzip file is cut off"):
        read_network(whole, ["A", "B"])
    (tmp_path / "binary.csv").write_bytes(b"tf.name,\xff\n")
    with pytest.raises(UserError, match=r"binary\.csv is not a text file \(byte 8 is no UTF-8\)"):
        read_network(tmp_path / "binary.csv", ["A", "B"])
    with pytest.raises(UserError, match=r"cannot read .*missing\.csv: No such file"):
        read_network(tmp_path / "missing.csv", ["A", "B"])


def small_files(write: Callable[..., Path], base: str, cell_type: str) -> Mapping[str, Path]:
    return {
        base_network_file().relative_path: write(base, "base.csv"),
        cell_type_file("HSC").relative_path: write(cell_type, "HSC.csv"),
    }


def test_no_measured_regulator(write: Callable[..., Path]) -> None:
    some, others = "tf.name,A\nA,1\n", "tf.name,Y,Z\nX,1,1\n"
    with pytest.raises(UserError, match=r"base\.csv: none of its regulators is among the 2 genes \(A, B\); are the"):
        read_priors(NetworkOptions(networks={}), small_files(write, others, some), ["A", "B"])
    message = r"options\.networks\.early: the networks of HSC have no regulator and target .* 2 genes \(A, B\); leave"
    with pytest.raises(UserError, match=message):
        read_priors(NetworkOptions(networks={"early": ("HSC",)}), small_files(write, some, others), ["A", "B"])


def test_each_table_is_fetched_once() -> None:
    files = [file.url for file in network_files(NetworkOptions(networks=LINEAGES))]
    assert len(files) == len(set(files)) == 1 + 11
    assert [file.url for file in network_files(NetworkOptions(networks={}))] == [base_network_file().url]


@pytest.mark.parametrize("networks", [{"base": ["HSC"]}, {"a/b": ["HSC"]}, {"a": []}, {"a": ["Neuron"]}])
def test_networks_that_cannot_be(networks: dict) -> None:
    with pytest.raises(UserError, match=r"options\.networks"):
        make_source("hematopoiesis", {"networks": networks})
