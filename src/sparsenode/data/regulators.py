"""Which genes regulate which: the published base network and the networks of single cell types.

Tables of transcription factors (rows) and their targets (columns), from github.com/theislab/PathReg (MIT): a base
network of motifs in open chromatin, and of each cell type of the bone marrow a network of its own. The networks of the
cell types that a lineage passes through, united, are what is known of that lineage.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.downloads import RemoteFile, known_file
from sparsenode.data.tables import gzip_lines
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

logger = logging.getLogger(__name__)

BASE = "base"
_ADDRESS = "https://raw.githubusercontent.com/theislab/PathReg/main/data/data/TFs_Targets"
_BASE_NETWORK = f"{_ADDRESS}/tf_targets_baseGRN_human_matrix.csv.gz"
_LARGEST = 100 * 2**20  # bytes unpacked; the base network has 41 million
_REGULATORS = ("TF.human", "tf.name")  # what the first column is called
_VALUES = {"0": False, "0.0": False, "1": True, "1.0": True}
_NAMED = 5  # regulators listed in a message
CELL_TYPES = (
    "B1 B",
    "CD14+ Mono",
    "CD16+ Mono",
    "CD4+ T activated",
    "CD4+ T naive",
    "CD8+ T",
    "Erythroblast",
    "G/M prog",
    "HSC",
    "Lymph prog",
    "MK/E prog",
    "NK",
    "Naive CD20+ B",
    "Normoblast",
    "Plasma cell",
    "Proerythroblast",
    "Transitional B",
    "cDC2",
    "pDC",
)

NETWORK_OPTIONS: dict[str, dict[str, Any]] = {
    "networks": {
        "type": "object",
        "propertyNames": {"pattern": r"^[A-Za-z0-9_+-]+$", "not": {"const": BASE}},
        "additionalProperties": {
            "type": "array",
            "items": {"enum": list(CELL_TYPES)},
            "minItems": 1,
            "uniqueItems": True,
        },
        "default": {
            "erythroid": ["HSC", "MK/E prog", "Proerythroblast", "Erythroblast", "Normoblast"],
            "monocyte": ["HSC", "G/M prog", "CD14+ Mono", "CD16+ Mono"],
            "B": ["HSC", "Lymph prog", "Transitional B", "Naive CD20+ B"],
        },
        "description": (
            "Prior networks beside the base network, by name (that of a lineage, to be shown with it): of each, the "
            "cell types whose published networks are united. `{}` for the base network alone."
        ),
    },
}


@dataclass(frozen=True)
class PriorNetwork:
    """What a table says about a set of genes.

    Shapes: `edges` and `known` (source, target): where there is an edge, and of which pairs the table tells whether
    there is one, which are those of a gene among its regulators and a gene among its targets; `is_regulator` (gene,).
    """

    edges: NDArray[np.bool_]
    known: NDArray[np.bool_]
    is_regulator: NDArray[np.bool_]

    @property
    def density(self) -> float:
        """Share of edges among the known pairs, which is also the precision of a random prediction; NaN without any."""
        known = int(self.known.sum())
        return int(self.edges.sum()) / known if known else float("nan")


@dataclass(frozen=True)
class Priors:
    """Prior networks by name, `base` among them; `is_regulator` (gene,) are the regulators of any of them."""

    networks: Mapping[str, PriorNetwork]
    is_regulator: NDArray[np.bool_]

    @property
    def edges(self) -> dict[str, Floats]:
        """Edges of each network by name, (source, target) of 0 and 1."""
        return {name: network.edges.astype(np.float64) for name, network in self.networks.items()}

    @property
    def known(self) -> dict[str, NDArray[np.bool_]]:
        """Known pairs of each network by name, (source, target)."""
        return {name: network.known for name, network in self.networks.items()}

    @property
    def facts(self) -> dict[str, dict[str, float]]:
        """Of each network by name: how many regulators, known pairs and edges it has among the genes, its density."""
        return {
            name: {
                "regulators": int(network.is_regulator.sum()),
                "known_pairs": int(network.known.sum()),
                "edges": int(network.edges.sum()),
                "density": network.density,
            }
            for name, network in self.networks.items()
        }


def network_files(options: Mapping[str, Any]) -> list[RemoteFile]:
    """The base network and, each once, the tables of the cell types in `options["networks"]`."""
    cell_types = dict.fromkeys(cell_type for united in options["networks"].values() for cell_type in united)
    return [base_network_file(), *map(cell_type_file, cell_types)]


def base_network_file() -> RemoteFile:
    """The published network of all cell types, whose rows are the transcription factors."""
    return known_file(_BASE_NETWORK)


def cell_type_file(cell_type: str) -> RemoteFile:
    """The published network of a cell type; in its file's name an underscore stands for a slash."""
    return known_file(f"{_ADDRESS}/{quote(cell_type.replace('/', '_'))}_matrix.csv.gz")


def read_priors(options: Mapping[str, Any], files: Mapping[str, Path], genes: Sequence[str]) -> Priors:
    """The base network and the networks of `options["networks"]` among `genes`; `files` by HOST/PATH.

    Raises:
        UserError: a table is damaged, no gene is a regulator of the base network, or a network tells nothing about
            any pair of genes.
    """
    path = files[base_network_file().relative_path]
    networks = {BASE: read_network(path, genes)}
    if not networks[BASE].is_regulator.any():
        message = (
            f"{path}: none of its regulators is among the {len(genes)} genes ({_some(genes)}); are the genes named by "
            "their symbols?"
        )
        raise UserError(message)
    for name, cell_types in options["networks"].items():
        parts = [read_network(files[cell_type_file(cell_type).relative_path], genes) for cell_type in cell_types]
        networks[name] = unite_networks(parts)
        if not networks[name].known.any():
            message = (
                f"options.networks.{name}: the networks of {', '.join(cell_types)} have no regulator and target that "
                f"are both among the {len(genes)} genes ({_some(genes)}); leave it out or name other cell types"
            )
            raise UserError(message)
    priors = Priors(networks, unite_networks(list(networks.values())).is_regulator)
    for name, facts in priors.facts.items():
        logger.info(
            "prior network %s: %d regulators among %d genes, %d edges among %d known pairs (density %.3f)",
            name,
            facts["regulators"],
            len(genes),
            facts["edges"],
            facts["known_pairs"],
            facts["density"],
        )
    return priors


def _some(genes: Sequence[str]) -> str:
    return ", ".join(genes[:_NAMED]) + (", ..." if len(genes) > _NAMED else "")


def read_network(path: Path, genes: Sequence[str]) -> PriorNetwork:
    """A table of regulators and targets among `genes`, CSV of 0 and 1, gzipped if its name ends in `.gz`.

    The first line holds `TF.human` or `tf.name` and the targets, each further line a regulator and its row.

    Raises:
        UserError: the file is damaged, too large once unpacked, names a regulator or a target twice, or holds anything
            but 0 and 1.
    """
    header, rows = _read_table(path)
    column = {name: number for number, name in enumerate(header)}
    targets = [(column[gene], index) for index, gene in enumerate(genes) if gene in column]
    place = {gene: index for index, gene in enumerate(genes)}
    edges = np.zeros((len(genes), len(genes)), dtype=bool)
    is_regulator = np.zeros(len(genes), dtype=bool)
    for number, regulator, line in rows:
        if (source := place.get(regulator)) is None:
            continue
        fields = line.split(",")
        is_regulator[source] = True
        for position, target in targets:
            if (value := _VALUES.get(fields[position])) is None:
                message = f"{path}, line {number}: {fields[position]!r} for {header[position]!r}, expected 0 or 1"
                raise UserError(message)
            edges[source, target] = value
    is_target = np.zeros(len(genes), dtype=bool)
    is_target[[target for _, target in targets]] = True
    return PriorNetwork(edges, np.outer(is_regulator, is_target), is_regulator)


def read_regulators(path: Path) -> tuple[str, ...]:
    """All regulators of a table, in its order, whether they are measured or not.

    Raises:
        UserError: as for `read_network`, save that the values are not read.
    """
    return tuple(regulator for _, regulator, _ in _read_table(path)[1])


def _read_table(path: Path) -> tuple[list[str], Iterator[tuple[int, str, str]]]:
    """Names in the first line, and of each further line its number, its regulator and its text."""
    lines = gzip_lines(path, limit=_LARGEST) if path.suffix == ".gz" else _plain_lines(path)
    header = next(lines, "").split(",")
    if header[0] not in _REGULATORS:
        message = f"{path}, line 1: the first column is {header[0]!r}, expected {' or '.join(map(repr, _REGULATORS))}"
        raise UserError(message)
    if len(set(header)) < len(header):
        repeated = next(name for name in header if header.count(name) > 1)
        message = f"{path}, line 1: the target {repeated!r} stands there more than once"
        raise UserError(message)
    return header, _read_rows(path, lines, len(header))


def _read_rows(path: Path, lines: Iterator[str], width: int) -> Iterator[tuple[int, str, str]]:
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=2):
        if (count := line.count(",") + 1) != width:
            message = f"{path}, line {number}: {count} fields where line 1 has {width}; is it cut off?"
            raise UserError(message)
        regulator = line.partition(",")[0]
        if seen.setdefault(regulator, number) != number:
            message = f"{path}, line {number}: the regulator {regulator!r} stands in line {seen[regulator]} already"
            raise UserError(message)
        yield number, regulator, line
    if not seen:
        message = f"{path}: no line below the targets; is the file cut off?"
        raise UserError(message)


def unite_networks(networks: Sequence[PriorNetwork]) -> PriorNetwork:
    """Every edge, known pair and regulator that any of the networks has."""
    return PriorNetwork(
        edges=np.any([network.edges for network in networks], axis=0),
        known=np.any([network.known for network in networks], axis=0),
        is_regulator=np.any([network.is_regulator for network in networks], axis=0),
    )


def _plain_lines(path: Path) -> Iterator[str]:
    """Lines of a text file, without their ends; the last one has to have an end."""
    try:
        if path.stat().st_size > _LARGEST:
            message = f"{path} has more than {_LARGEST} bytes, which is not the file expected here"
            raise UserError(message)
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise UserError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path} is not a text file (byte {error.start} is no UTF-8)"
        raise UserError(message) from error
    if content and not content.endswith("\n"):
        message = f"{path}: the last line has no end: the file is cut off; fetch it again"
        raise UserError(message)
    yield from content.splitlines()
