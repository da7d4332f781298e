"""What values of gene expression are, and the steps from them to normalized counts and variable genes.

Values are sparse, (cell, gene), as they come from a file; nothing here knows of files or configurations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from sparsenode.errors import UserError

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix


Kind = Literal["counts", "normalized counts", "logs"]

_LEAST_SHARE = 0.99  # of values that have to be multiples; a cell's smallest value may be two counts
_ROUNDING = 1e-3, 1e-6  # of a multiple: absolute, and relative to it, for values in single precision


class Found(NamedTuple):
    """What values are, and how that is known."""

    kind: Kind
    evidence: str


def find_kind(values: csr_matrix, where: str) -> Found:
    """Whether values are counts, normalized counts, or natural logarithms of one plus normalized counts.

    Counts are whole numbers. Normalized counts are counts over a number of each cell, so that a cell's values are
    multiples of its smallest one; some cells whose smallest value is no single count are allowed.

    Raises:
        UserError: values are none of these, negative, not finite, or all zero; `where` says which they are.
    """
    stored = values.data
    if not np.isfinite(stored).all():
        message = f"{where}: {int((~np.isfinite(stored)).sum())} values are NaN or infinite"
        raise UserError(f"{message}; {_WANTED}")
    if len(stored) == 0:
        message = f"{where}: all values are zero"
        raise UserError(message)
    if stored.min() < 0:
        negative = int((stored < 0).sum())
        message = f"{where}: {negative} values are negative (down to {stored.min():.3g}), as in scaled or centered data"
        raise UserError(f"{message}; {_WANTED}")
    if (stored == np.rint(stored)).all():
        return Found("counts", f"all {len(stored)} positive values are whole numbers")
    plain = _share_of_multiples(values, stored)
    if plain >= _LEAST_SHARE:
        return Found("normalized counts", f"{plain:.2%} of the values are multiples of the smallest of their cell")
    # Normalized counts lie below some 1e6; logarithms of them are small.
    logs = _share_of_multiples(values, np.expm1(stored.astype(np.float64))) if stored.max() < 20 else 0.0
    if logs >= _LEAST_SHARE:
        return Found("logs", f"{logs:.2%} of exp(value) - 1 are multiples of the smallest of their cell")
    message = (
        f"{where}: values up to {stored.max():.3g} are neither counts (not whole), nor normalized counts (within a "
        f"cell {plain:.0%} are multiples of the smallest), nor natural logarithms of one plus them ({logs:.0%})"
    )
    raise UserError(f"{message}; {_WANTED}")


_WANTED = "name a matrix with counts, normalized counts or their logarithms by `values`"


def _share_of_multiples(values: csr_matrix, stored: NDArray[np.floating]) -> float:
    """Share of the values above the smallest of their cell that are multiples of it; 0 where there are none."""
    counts = np.diff(values.indptr)
    starts = values.indptr[:-1][counts > 0]
    smallest = np.minimum.reduceat(stored, starts)
    ratios = stored / np.repeat(smallest, counts[counts > 0])
    absolute, relative = _ROUNDING
    tolerance = absolute + relative * ratios
    above = ratios > 1 + tolerance
    if not above.any():
        return 0.0
    return float((np.abs(ratios - np.rint(ratios)) <= tolerance)[above].mean())


def normalize(values: csr_matrix, kind: Kind, total: float | None, where: str) -> csr_matrix:
    """Normalized counts (cell, gene), not logarithms, in place of `values`, which may be changed.

    Args:
        values: counts, normalized counts or their logarithms, (cell, gene).
        kind: what `values` are.
        total: the sum to which every cell is brought. With None, counts are brought to the median of the cells'
            totals, and what was normalized already stays as it was.
        where: the file and matrix, for messages.

    Raises:
        UserError: a cell has no counts.
    """
    if kind == "logs":
        np.expm1(values.data, out=values.data)
    if total is None and kind != "counts":
        return values
    totals = np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()
    if (totals == 0).any():
        message = f"{where}: {int((totals == 0).sum())} cells have no counts at all; leave them out of the file"
        raise UserError(message)
    factors = (np.median(totals) if total is None else total) / totals
    values.data *= np.repeat(factors, np.diff(values.indptr)).astype(values.dtype)
    return values


def highly_variable(normalized: csr_matrix, count: int) -> NDArray[np.int_]:
    """Positions, ascending, of the `count` genes that vary most, or of all that vary where these are no more.

    By scanpy's `seurat` flavor: dispersions of normalized counts, standardized among genes of like means.
    """
    import scanpy

    table = scanpy.pp.highly_variable_genes(_logarithms(normalized), flavor="seurat", inplace=False)
    dispersions = table["dispersions_norm"].to_numpy()
    ranked = np.argsort(-dispersions, kind="stable")  # NaN, of genes that are not expressed, comes last
    return np.sort(ranked[: min(count, int(np.isfinite(dispersions).sum()))])


def _logarithms(normalized: csr_matrix) -> AnnData:
    import anndata
    import pandas as pd

    # Names of genes may repeat in a file; their places do not.
    names = [pd.RangeIndex(size).astype(str) for size in normalized.shape]
    return anndata.AnnData(np.log1p(normalized), obs=pd.DataFrame(index=names[0]), var=pd.DataFrame(index=names[1]))
