"""Steps from cells to pseudotime: neighbor graph, diffusion map, and the diffusion distance from a root cell.

scanpy makes the graph (McInnes et al. 2018) and the diffusion map (Coifman et al. 2005); pseudotime is the diffusion
distance from the root, summed over walks of all lengths (Haghverdi et al., Nature Methods 2016). That sum is taken
here: `scanpy.tl.dpt` leaves the weight out of components whose eigenvalue is .9994 or more, which are those that order
a long lineage (on a straight line of 500 cells its rank correlation with the order is .07, here .999; below that
eigenvalue both agree).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from sparsenode.data.ranks import rank_correlation
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError
from sparsenode.typed import Contradiction, Settings

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Flags = NDArray[np.bool_]

FEWEST_CELLS = 20
"""Of a lineage; fewer have no order worth learning from."""
_MEDOID_SHARE, _MEDOID_FEWEST = 0.2, 5
_SMALLEST_GAP = 1e-6  # below it, 1 - eigenvalue is rounding: the map is in float32
_NAMED = 5  # cell types, or parts of a graph, listed in a message


class PseudotimeSettings(Settings):
    """How pseudotime is computed."""

    neighbors: int = Field(
        30,
        ge=2,
        description="Nearest neighbors of each cell, itself included. More connect what falls apart and smooth over "
        "rare cells.",
    )
    components: int = Field(20, ge=3, description="Components of the diffusion map, the constant one included.")
    dpt_components: int = Field(
        10,
        ge=2,
        description="Components that pseudotime is computed from, the constant one included; at most `components`. It "
        "hardly matters: later ones weigh little.",
    )
    pca_components: int = Field(
        50,
        ge=1,
        description="Principal components in which neighbors are looked for, or how many of a given embedding's are "
        "used. Some 50 for thousands of genes, 20 for hundreds: more of them are noise.",
    )
    root: Literal["first", "extreme", "medoid"] = Field(
        "extreme",
        description="Which cell of the root type pseudotime starts at. `first`: the first in the file, as in the "
        "study; `extreme`: the one farthest along the diffusion component that best separates the root "
        "type from the other types of the lineages, on the side of the root type; `medoid`: the most "
        "central one of the fifth that lies farthest there, which depends less on a single cell.",
    )
    map: Literal["donor", "lineage"] = Field(
        "donor",
        description="`donor`: one map and one clock for all cells of a donor, as in the study; `lineage`: a map of "
        "each lineage's cells only, which other branches do not disturb; its clock runs from 0 to 1.",
    )
    smoothing: int = Field(
        0,
        ge=0,
        description="How often pseudotime is averaged, half with the cell's own and half with its neighbors'. 0: not "
        "at all; 1 to 5 where single cells are too sparse to be ordered one by one.",
    )
    seed: int = Field(
        0, ge=0, description="Seed of the solvers' starting vectors; it changes results by rounding only."
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """More components for pseudotime than the map has."""
        if self.dpt_components > self.components:
            description = f"{self.dpt_components}, with components: {self.components}"
            yield Contradiction("dpt_components", description, f"at most {self.components}")


DEFAULTS = PseudotimeSettings()


@dataclass(frozen=True)
class Diffusion:
    """Cells in diffusion pseudotime.

    Shapes: `pseudotime` (cell,), from 0 at the root to 1, unless smoothed; `components` (cell, component), without the
    constant one, the root type on the lower side of each; `eigenvalues` (component,). `root` is a row;
    `root_component`, counted from 0, tells the root type from the other types for the share `separation` of pairs of
    cells (.5: not at all).
    """

    pseudotime: Floats
    components: Floats
    eigenvalues: Floats
    root: int
    root_component: int
    separation: float


def diffuse(
    values: Any,
    is_root: Flags,
    settings: PseudotimeSettings = DEFAULTS,
    *,
    kind: Literal["normalized", "logged", "embedding"] = "normalized",
    compared: Flags | None = None,
    cell_types: Sequence[str] | NDArray[np.str_] | None = None,
    where: str = "cells",
) -> Diffusion:
    """Pseudotime of all cells from one map, whatever `settings.map` says; see `order_lineages`.

    Args:
        values: `normalized` or `logged` expression (cell, gene), dense or sparse, or an `embedding` (cell,
            component), by `kind`; log1p is taken of normalized expression. Genes are not scaled.
        is_root: (cell,), true for cells of the root type, in the order of the file.
        settings: the knobs.
        kind: what `values` are.
        compared: (cell,), cells whose types the root type is compared with; all, if not given.
        cell_types: (cell,), names for messages.
        where: what the cells are, such as `s1d2`, for messages.

    The same input gives the same output; another order of the cells changes it by rounding, and where neighbors are
    equally near.

    Raises:
        UserError: no cell of the root type, or no other; no more cells than neighbors; values that are not finite,
            or negative where a logarithm is taken, or the same for all cells; a graph that falls apart.
    """
    flags = np.asarray(is_root, dtype=bool)
    is_other = ~flags if compared is None else np.asarray(compared, dtype=bool) & ~flags
    diffusion_map = _map_cells(values, (flags, is_other), settings, kind=kind, cell_types=cell_types, where=where)
    return _order(diffusion_map, settings)


def order_lineages(
    values: Any,
    is_root: Flags,
    lineages: Mapping[str, Flags],
    settings: PseudotimeSettings = DEFAULTS,
    *,
    kind: Literal["normalized", "logged", "embedding"] = "normalized",
    cell_types: Sequence[str] | NDArray[np.str_] | None = None,
    where: str = "cells",
) -> dict[str, Diffusion]:
    """Pseudotime of each lineage's own cells, from one map or one for each lineage.

    Arrays of the results have rows only for the lineage's cells, in their order, while `root` is a row of `values`.
    With `map: donor` cells of no lineage take part in the map, and an embedding is used as it is; with `map: lineage`
    expression has its principal components taken within the lineage.

    Args:
        values: as for `diffuse`.
        is_root: (cell,), true for cells of the root type, in the order of the file.
        lineages: flags (cell,) by name of the lineage.
        settings: the knobs.
        kind: what `values` are.
        cell_types: (cell,), names for messages.
        where: what the cells are, for messages.

    Raises:
        UserError: as `diffuse`; a lineage of fewer than 20 cells.
    """
    maps = _map_lineages(values, is_root, lineages, settings, kind=kind, cell_types=cell_types, where=where)
    return {name: _order_of(lineage_map, settings) for name, lineage_map in maps.items()}


def compare_roots(
    values: Any,
    is_root: Flags,
    lineages: Mapping[str, Flags],
    settings: PseudotimeSettings = DEFAULTS,
    *,
    roots: tuple[str, str] = ("first", "extreme"),
    kind: Literal["normalized", "logged", "embedding"] = "normalized",
    cell_types: Sequence[str] | NDArray[np.str_] | None = None,
    where: str = "cells",
) -> dict[str, tuple[int, int, float]]:
    """By lineage: the two root cells, and the rank correlation of the pseudotimes that start at them.

    The maps are made once. Errors are those of `order_lineages`.

    Args:
        values: as for `diffuse`.
        is_root: (cell,), true for cells of the root type, in the order of the file.
        lineages: flags (cell,) by name of the lineage.
        settings: the knobs, of which `root` is not used.
        roots: the two rules by which root cells are chosen.
        kind: what `values` are.
        cell_types: (cell,), names for messages.
        where: what the cells are, for messages.
    """
    maps = _map_lineages(values, is_root, lineages, settings, kind=kind, cell_types=cell_types, where=where)
    compared = {}
    for name, lineage_map in maps.items():
        first, second = (_order_of(lineage_map, settings.changed(root=root)) for root in roots)
        compared[name] = (first.root, second.root, rank_correlation(first.pseudotime, second.pseudotime, undefined=0.0))
    return compared


def diffusion_embedding(result: Diffusion) -> Floats:
    """The first two diffusion components, for pictures; (cell, 2)."""
    return result.components[:, :2]


def merge_lineages(tables: Mapping[str, Floats]) -> tuple[Floats, dict[str, Flags]]:
    """Each cell of several lineages once, and which lineages it belongs to.

    Equal rows are one cell. Shapes: tables (cell of the lineage, column) with the same columns; returns (cell,
    column), cells in the order of their first appearance, and (cell,) flags by lineage. Cells of all lineages at once
    are the stem from which they branch.
    """
    rows: dict[bytes, int] = {}
    positions = {
        name: [rows.setdefault(row.tobytes(), len(rows)) for row in np.ascontiguousarray(table) + 0.0]
        for name, table in tables.items()
    }
    if not rows:
        message = "no cell in any lineage"
        raise UserError(message)
    merged = np.empty((len(rows), next(iter(tables.values())).shape[1]))
    flags = {name: np.zeros(len(rows), dtype=bool) for name in tables}
    for name, table in tables.items():
        merged[positions[name]] = table
        flags[name][positions[name]] = True
    return merged, flags


@dataclass(frozen=True)
class _Map:
    """A diffusion map that has no root yet.

    Shapes: `components` (cell, component), `eigenvalues` (component,), the constant one left out; `connectivities`
    (cell, cell); `is_root` and `others` (cell,).
    """

    components: Floats
    eigenvalues: Floats
    connectivities: csr_matrix
    is_root: Flags
    others: Flags


@dataclass(frozen=True)
class _LineageMap:
    """Map in which a lineage is ordered: `rows` of the data that are in the map, `members` of these that belong."""

    map: _Map
    rows: NDArray[np.int_]
    members: Flags


def _map_lineages(
    values: Any,
    is_root: Flags,
    lineages: Mapping[str, Flags],
    settings: PseudotimeSettings,
    *,
    kind: Literal["normalized", "logged", "embedding"],
    cell_types: Sequence[str] | NDArray[np.str_] | None,
    where: str,
) -> dict[str, _LineageMap]:
    flags = np.asarray(is_root, dtype=bool)
    members = {name: np.asarray(lineage, dtype=bool) for name, lineage in lineages.items()}
    for name, lineage in members.items():
        if (count := int(lineage.sum())) < FEWEST_CELLS:
            message = (
                f"{where}: the lineage {name!r} has {count} cells, fewer than {FEWEST_CELLS}; correct its cell types, "
                "or leave out the lineage or the donor"
            )
            raise UserError(message)
    types = None if cell_types is None else np.asarray(cell_types, dtype=np.str_)
    if settings.map == "donor":
        is_other = np.any(list(members.values()), axis=0) & ~flags
        shared = _map_cells(values, (flags, is_other), settings, kind=kind, cell_types=types, where=where)
        return {name: _LineageMap(shared, np.arange(len(flags)), lineage) for name, lineage in members.items()}
    maps = {}
    for name, lineage in members.items():
        rows = np.flatnonzero(lineage)
        cell_map = _map_cells(
            values[rows],
            (flags[rows], ~flags[rows]),
            settings,
            kind=kind,
            cell_types=None if types is None else types[rows],
            where=f"{where} {name}",
        )
        maps[name] = _LineageMap(cell_map, rows, np.ones(len(rows), dtype=bool))
    return maps


def _map_cells(
    values: Any,
    groups: tuple[Flags, Flags],
    settings: PseudotimeSettings,
    *,
    kind: Literal["normalized", "logged", "embedding"],
    cell_types: Sequence[str] | NDArray[np.str_] | None,
    where: str,
) -> _Map:
    import scanpy
    from scipy.sparse import SparseEfficiencyWarning

    is_root, is_other = groups
    _check_cells(values, is_root, is_other, settings, where)
    _check_values(values, kind, where)
    adata = _empty_cells(len(is_root))
    adata.obsm["X_pca"] = _embed(values, kind, settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SparseEfficiencyWarning)  # scanpy's, where cells are equal
        # Exact neighbors: the approximate ones of large data depend on the order of the cells.
        scanpy.pp.neighbors(
            adata,
            n_neighbors=settings.neighbors,
            use_rep="X_pca",
            transformer="sklearn",
            random_state=settings.seed,
        )
    connectivities = adata.obsp["connectivities"].tocsr()
    _refuse_parts(connectivities, settings.neighbors, cell_types, where)
    with np.printoptions():  # diffmap changes them for the whole process
        scanpy.tl.diffmap(adata, n_comps=settings.components, random_state=settings.seed)
    components = np.asarray(adata.obsm["X_diffmap"], dtype=np.float64)[:, 1:]
    # Signs of eigenvectors are arbitrary: these do not depend on the solver.
    components *= np.where(components[is_root].mean(axis=0) > components[is_other].mean(axis=0), -1.0, 1.0)
    eigenvalues = np.asarray(adata.uns["diffmap_evals"], dtype=np.float64)[1:]
    return _Map(components, eigenvalues, connectivities, is_root, is_other)


def _empty_cells(count: int) -> AnnData:
    from anndata import AnnData

    return AnnData(np.zeros((count, 1), dtype=np.float32))


def _embed(values: Any, kind: str, settings: PseudotimeSettings) -> Floats:
    """Coordinates in which neighbors are looked for, (cell, component)."""
    import scanpy

    if kind == "embedding":
        return np.asarray(values, dtype=np.float64)[:, : settings.pca_components]
    logged = values if kind == "logged" else np.log1p(values)
    most = min(logged.shape) - 1
    if most < 1:  # one gene is its own component
        return np.asarray(logged.toarray() if hasattr(logged, "toarray") else logged, dtype=np.float64)
    return np.asarray(
        scanpy.pp.pca(
            logged,
            n_comps=min(settings.pca_components, most),
            svd_solver="arpack",
            random_state=settings.seed,
            dtype="float64",
        )
    )


def _check_cells(values: Any, is_root: Flags, is_other: Flags, settings: PseudotimeSettings, where: str) -> None:
    cells = values.shape[0]
    if len(is_root) != cells or len(is_other) != cells:
        message = f"{where}: {cells} cells, but {len(is_root)} and {len(is_other)} flags that tell their types"
        raise UserError(message)
    if not is_root.any():
        message = f"{where}: no cell of the root type; name a root type that is there, or leave these cells out"
        raise UserError(message)
    if not is_other.any():
        message = f"{where}: no cell of a lineage but those of the root type; add the types that come after it"
        raise UserError(message)
    if cells <= settings.neighbors:
        message = (
            f"{where}: {cells} cells, no more than the {settings.neighbors} of `neighbors`; lower it, or leave these "
            "cells out"
        )
        raise UserError(message)


def _check_values(values: Any, kind: str, where: str) -> None:
    held = values.data if hasattr(values, "toarray") else np.asarray(values)
    if wrong := int((~np.isfinite(held)).sum()):
        message = f"{where}: {wrong} values are NaN or infinite; remove those cells or genes"
        raise UserError(message)
    if (values.min(axis=0) != values.max(axis=0)).sum() == 0:
        message = f"{where}: all cells are equal; there is nothing to order"
        raise UserError(message)
    if kind == "normalized" and (held < 0).any():
        message = (
            f"{where}: negative values, which have no logarithm: these are not normalized counts; say `logged` if they "
            "are logarithms already"
        )
        raise UserError(message)


def _refuse_parts(
    connectivities: csr_matrix,
    neighbors: int,
    cell_types: Sequence[str] | NDArray[np.str_] | None,
    where: str,
) -> None:
    """Refuse a graph in which some cells cannot be reached from the rest: their pseudotime would be infinite."""
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(connectivities, directed=False)
    if count == 1:
        return
    sizes = np.bincount(label)
    descriptions = []
    for component in np.argsort(-sizes, kind="stable")[:_NAMED]:
        text = f"{sizes[component]} cells"
        if cell_types is not None:
            names, counts = np.unique(np.asarray(cell_types, dtype=np.str_)[label == component], return_counts=True)
            most = np.argsort(-counts, kind="stable")
            listed = [f"{names[index]} {counts[index]}" for index in most[:_NAMED]]
            text += f" ({', '.join([*listed, '...'] if len(most) > _NAMED else listed)})"
        descriptions.append(text)
    more = ", ..." if count > _NAMED else ""
    message = (
        f"{where}: the graph of {neighbors} nearest neighbors falls into {count} parts without a way between them: "
        f"{', '.join(descriptions)}{more}; pseudotime would be infinite outside the root's part. Raise `neighbors`, "
        "add the cell types between them, or leave out the smaller part"
    )
    raise UserError(message)


def _order(diffusion_map: _Map, settings: PseudotimeSettings) -> Diffusion:
    """Choose the root and measure all cells from it."""
    used = min(settings.dpt_components - 1, len(diffusion_map.eigenvalues))
    gap = np.maximum(1 - diffusion_map.eigenvalues[:used], _SMALLEST_GAP)
    # Haghverdi et al. 2016: walks of all lengths, a geometric series.
    coordinates = diffusion_map.components[:, :used] * (diffusion_map.eigenvalues[:used] / gap)
    component, separation = _separating_component(diffusion_map, used)
    root = _choose_root(settings.root, diffusion_map.is_root, coordinates, component)
    pseudotime = np.sqrt(((coordinates - coordinates[root]) ** 2).sum(axis=1))
    pseudotime /= pseudotime.max()
    degrees = np.asarray(diffusion_map.connectivities.sum(axis=1)).ravel()
    for _ in range(settings.smoothing):
        pseudotime = (pseudotime + diffusion_map.connectivities @ pseudotime / degrees) / 2
    return Diffusion(
        pseudotime=pseudotime,
        components=diffusion_map.components,
        eigenvalues=diffusion_map.eigenvalues,
        root=root,
        root_component=component,
        separation=separation,
    )


def _order_of(lineage_map: _LineageMap, settings: PseudotimeSettings) -> Diffusion:
    result = _order(lineage_map.map, settings)
    return replace(
        result,
        pseudotime=result.pseudotime[lineage_map.members],
        components=result.components[lineage_map.members],
        root=int(lineage_map.rows[result.root]),
    )


def _separating_component(diffusion_map: _Map, used: int) -> tuple[int, float]:
    """The component that best tells the root type from the other types, and for which share of pairs it does."""
    from scipy.stats import rankdata

    is_root = diffusion_map.is_root
    chosen = is_root | diffusion_map.others
    ranks = rankdata(diffusion_map.components[chosen, :used], axis=0)
    first, rest = int(is_root.sum()), int(diffusion_map.others.sum())
    # Mann-Whitney: pairs in which the root type's cell lies lower, on the side where the root type's mean lies.
    shares = 1 - (ranks[is_root[chosen]].sum(axis=0) - first * (first + 1) / 2) / (first * rest)
    best = int(np.argmax(shares))
    return best, float(shares[best])


def _choose_root(rule: str, is_root: Flags, coordinates: Floats, component: int) -> int:
    candidates = np.flatnonzero(is_root)
    if rule == "first":
        return int(candidates[0])
    outward = candidates[np.argsort(coordinates[candidates, component], kind="stable")]
    if rule == "extreme":
        return int(outward[0])
    farthest = outward[: max(_MEDOID_FEWEST, round(_MEDOID_SHARE * len(outward)))]
    between = np.linalg.norm(coordinates[farthest][:, None] - coordinates[farthest][None], axis=2)
    return int(farthest[np.argmin(between.sum(axis=1))])
