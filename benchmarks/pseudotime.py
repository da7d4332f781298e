"""Pseudotime from the published cells, beside the published pseudotime, which saw all cells and genes of a donor.

    python benchmarks/pseudotime.py MIRROR

For each donor, the cells of its three lineages (529 genes) are mapped anew without the published pseudotime; cells that
all three lineages share are those of the root type. Prints by donor and lineage:

- Spearman's rank correlation with the published pseudotime for the study's settings (one map for the donor, 50
  principal components, the first cell as root), for the same with the extreme root, and for ours with either root;
- what the genes know of the published order: the same correlation of a ridge regression that was *trained* on the
  published ranks of other cells (tenfold), over all cells and within the later half;
- repeatability, which needs no published pseudotime: the counts of each cell are dealt to two halves, each half is
  ordered alone, and the two orders are correlated; for the study's settings and for ours, mean of three deals;
- the rank correlation between pseudotimes from the first and from the extreme root.

Then, for genes that are known to go out (MYB, MME) or on (SLC4A1, TCF7L2, MS4A1) along a lineage, their rank
correlation with the published pseudotime and with ours.
"""

import argparse
from pathlib import Path

import numpy as np
from anndata import AnnData
from scipy.stats import rankdata
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

from sparsenode.data.readers.tables import read_numeric_table
from sparsenode.data.single_cell.pseudotime import (
    PseudotimeSettings,
    compare_roots,
    merge_lineages,
    order_lineages,
    rank_correlation,
)
from sparsenode.data.sources.hematopoiesis import DONORS, LINEAGES

FOLDER = Path("raw.githubusercontent.com/theislab/PathReg/main/data/data/trajectories")
STUDIED = ("s1d2", "s2d1", "s3d6", "s1d1")
DEALS = 3
MARKERS = {"erythroid": ("MYB", "SLC4A1"), "monocyte": ("MYB", "TCF7L2"), "B": ("MME", "MS4A1")}
STUDY = PseudotimeSettings(root="first")
STUDY_EXTREME = PseudotimeSettings()
OURS = PseudotimeSettings(pca_components=20, map="lineage", smoothing=1)
OURS_FIRST = PseudotimeSettings(pca_components=20, map="lineage", smoothing=1, root="first")


def published_cells(mirror: Path, donor: str) -> AnnData:
    """Each cell of a donor once; `obs` has a flag for each lineage, `root` for cells of all, and `published`."""
    tables = {
        lineage: read_numeric_table(mirror / FOLDER / f"{name}_{DONORS[donor]}_norm.csv", "\t")
        for lineage, name in LINEAGES.items()
    }
    cells, flags = merge_lineages({lineage: values for lineage, (_, values) in tables.items()})
    adata = AnnData(cells[:, 1:])
    adata.var_names = next(iter(tables.values()))[0][1:]
    adata.obs["published"] = cells[:, 0]
    for lineage, members in flags.items():
        adata.obs[lineage] = members
    adata.obs["root"] = np.all(list(flags.values()), axis=0)
    return adata


def lineages_of(adata: AnnData) -> dict[str, np.ndarray]:
    return {lineage: adata.obs[lineage].to_numpy() for lineage in LINEAGES}


def correlations(adata: AnnData, settings: PseudotimeSettings) -> list[float]:
    """Rank correlation with the published pseudotime, by lineage."""
    published = adata.obs["published"].to_numpy()
    lineages = lineages_of(adata)
    orders = order_lineages(adata.X, adata.obs["root"].to_numpy(), lineages, settings)
    return [rank_correlation(orders[lineage].pseudotime, published[members]) for lineage, members in lineages.items()]


def known_to_genes(adata: AnnData) -> list[tuple[float, float]]:
    """Of ridge regression trained on the published ranks, by lineage: all cells, and the later half of them."""
    found = []
    for members in lineages_of(adata).values():
        ranks = rankdata(adata.obs["published"].to_numpy()[members]) / members.sum()
        folds = KFold(10, shuffle=True, random_state=0)
        guess = cross_val_predict(RidgeCV(np.logspace(0, 4, 9)), np.log1p(adata.X[members]), ranks, cv=folds)
        late = ranks > 0.5
        found.append((rank_correlation(guess, ranks), rank_correlation(guess[late], ranks[late])))
    return found


def repeatability(adata: AnnData, settings: PseudotimeSettings) -> list[float]:
    """Rank correlation between the orders of two halves of the counts, by lineage, mean over deals."""
    unit = np.where(adata.X > 0, adata.X, np.inf).min(axis=1, keepdims=True)  # one count, over the size factor
    counts = np.rint(adata.X / unit).astype(int)
    is_root, lineages = adata.obs["root"].to_numpy(), lineages_of(adata)
    found = []
    for seed in range(DEALS):
        half = np.random.default_rng(seed).binomial(counts, 0.5)
        one, other = (order_lineages(2 * part * unit, is_root, lineages, settings) for part in (half, counts - half))
        found.append([rank_correlation(one[name].pseudotime, other[name].pseudotime) for name in lineages])
    return np.mean(found, axis=0).tolist()


def marker_correlations(adata: AnnData) -> dict[str, str]:
    """By lineage, each marker with its correlation with the published pseudotime, and with ours."""
    published, lineages = adata.obs["published"].to_numpy(), lineages_of(adata)
    orders = order_lineages(adata.X, adata.obs["root"].to_numpy(), lineages, OURS)
    found = {}
    for name, members in lineages.items():
        texts = []
        for gene in MARKERS[name]:
            values = np.asarray(adata[members, gene].X).ravel()
            pair = (rank_correlation(values, times) for times in (published[members], orders[name].pseudotime))
            texts.append(f"{gene} " + " ".join(f"{value:.2f}" for value in pair))
        found[name] = ", ".join(texts)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mirror", type=Path, help="folder laid out as HOST/PATH")
    mirror = parser.parse_args().mirror
    columns = (
        "study,first",
        "study,extr.",
        "ours,first",
        "ours,extr.",
        "genes,all",
        "genes,late",
        "rep.,study",
        "rep.,ours",
        "roots agree",
    )
    print(f"{'donor':6}{'lineage':11}{'cells':>6}" + "".join(f"{column:>13}" for column in columns))
    cells = {donor: published_cells(mirror, donor) for donor in STUDIED}
    for donor, adata in cells.items():
        lineages = lineages_of(adata)
        tried = [correlations(adata, settings) for settings in (STUDY, STUDY_EXTREME, OURS_FIRST, OURS)]
        known = known_to_genes(adata)
        repeated = [repeatability(adata, settings) for settings in (STUDY, OURS)]
        roots = compare_roots(adata.X, adata.obs["root"].to_numpy(), lineages, OURS, where=donor)
        for number, (lineage, members) in enumerate(lineages.items()):
            row = [*(values[number] for values in tried), *known[number], *(values[number] for values in repeated)]
            text = "".join(f"{value:13.3f}" for value in [*row, roots[lineage][2]])
            print(f"{donor:6}{lineage:11}{members.sum():6d}{text}")
    print("\nmarkers: correlation with the published pseudotime, with ours")
    for donor, adata in cells.items():
        for lineage, text in marker_correlations(adata).items():
            print(f"{donor:6}{lineage:11}{text}")


if __name__ == "__main__":
    main()
