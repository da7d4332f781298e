"""Tools on AnnData, as scanpy has them: fit a model of the dynamics, and write what was learned into the data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.errors import UserError, describe_choice
from sparsenode.estimator.archive import pack, unpack
from sparsenode.estimator.model import SparseNODE

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.inference import EdgeTest

KEY = "dynamics"


def fit_dynamics(
    adata: AnnData,
    *,
    time_key: str | Sequence[str],
    trajectory_key: str | None = None,
    lineage_key: str | None = None,
    group_key: str | None = None,
    subject_key: str | None = None,
    layer: str | None = None,
    key_added: str = KEY,
    **settings: Any,
) -> SparseNODE:
    """Fit `SparseNODE` to the observations of an AnnData, and write the network into it.

    Args:
        adata: the observations; it is changed.
        time_key: column of `obs` with the times (or pseudotimes), or of cells that are of several lineages one column
            for each, NaN where a cell is not of it.
        trajectory_key: column of `obs` with the trajectory of each observation (a donor, where there are lineages);
            None where all are one.
        lineage_key: entry of `obsm` with weights or a mask (cell, lineage) of cells that are of several lineages, such
            as fate probabilities; see `SparseNODE.fit`.
        group_key: column of `obs` that trajectories of one kind share (lineage, branch).
        subject_key: column of `obs` with the donor or person.
        layer: layer to model; `X` where it is None.
        key_added: how the keys of what is written begin.
        **settings: settings of `SparseNODE`.

    Returns:
        The fitted estimator. It writes into `adata`, for the default `key_added`:

        - `varp["dynamics_effect"]`, sparse, row = source, column = target: the signed share of the source in what the
          target gets from all other variables.
        - `varp["dynamics_frequency"]`, sparse: the share of the members with the edge.
        - `var["dynamics_targets"]` and `var["dynamics_regulators"]`: numbers of edges that at least half of the members
          have, out of and into each variable, self-loops aside.
        - `uns["dynamics"]`: `strength` (the chosen one, absent where none was), `strengths`, `errors` and `edges` (what
          each strength gives, see `SparseNODE.path`), `settings` (JSON of the frozen settings), `remarks` (what is
          doubtful) and `model` (bytes of the fitted estimator, which `read_dynamics` and `sparsenode.pl` read).

        All of it is kept by `write_h5ad`.

    Raises:
        UserError: data or settings cannot be used.
    """
    if key_added == "sparsenode":
        raise UserError("key_added: found 'sparsenode', which marks an AnnData of trajectories; take another word")
    model = SparseNODE(**settings).fit(
        adata,
        time_key=time_key,
        trajectory_key=trajectory_key,
        lineage_key=lineage_key,
        group_key=group_key,
        subject_key=subject_key,
        layer=layer,
    )
    _write(adata, model, key_added)
    return model


def test_edges(adata: AnnData, *, key: str = KEY, **settings: Any) -> EdgeTest:  # noqa: PT028  no test of pytest
    """Test which edges of a fit are needed, given the other measured variables, and write them into the AnnData.

    On cells all p-values are conditional on the pseudotime.

    Args:
        adata: an AnnData that `fit_dynamics` was called on; it is changed.
        key: how the keys of the fit begin.
        **settings: those of `SparseNODE.test_edges`.

    Returns:
        The test. It writes into `adata`, for the default `key`, `varp["dynamics_edges_effect"]`,
        `varp["dynamics_edges_q"]`, `varp["dynamics_edges_sign"]`, `varp["dynamics_edges_selected"]` and
        `uns["dynamics_edges"]`; see `SparseNODE.annotate`.

    Raises:
        UserError: there is no fit in the AnnData, or settings cannot be used.
    """
    model = read_dynamics(adata, key)
    test = model.test_edges(**settings)
    model.annotate(adata, key_added=f"{key}_edges")
    return test


test_edges.__test__ = False  # type: ignore[attr-defined]  # its name is no name of a test


def _write(adata: AnnData, model: SparseNODE, key: str) -> None:
    from scipy.sparse import csr_matrix

    from sparsenode.remarks import HEADINGS

    edges, path = model.network(), model.path()
    frequent = edges[edges["selection_frequency"] >= 0.5]
    shape = adata.n_vars, adata.n_vars
    source, target = (adata.var_names.get_indexer(edges[name]) for name in ("source", "target"))
    for name, column in (("effect", "effect"), ("frequency", "selection_frequency")):
        adata.varp[f"{key}_{name}"] = csr_matrix((edges[column].to_numpy(), (source, target)), shape=shape)
    for name, end in (("targets", "source"), ("regulators", "target")):
        counts = frequent[end].value_counts()
        adata.var[f"{key}_{name}"] = counts.reindex(adata.var_names, fill_value=0).to_numpy(np.int64)
    adata.uns[key] = {
        **({} if model.strength_ is None else {"strength": float(model.strength_)}),
        "strengths": path["strength"].to_numpy(),
        "errors": path["error"].to_numpy(),
        "edges": path["edges"].to_numpy(),
        "settings": json.dumps(model.settings_),
        "remarks": "\n".join(f"{HEADINGS[remark.kind]}: {remark.finding}" for remark in model.remarks_),
        "model": np.frombuffer(pack(model), dtype=np.uint8),
    }


def read_dynamics(adata: AnnData, key: str = KEY) -> SparseNODE:
    """The estimator that `fit_dynamics` wrote into an AnnData.

    Raises:
        UserError: there is none, or it is of another version.
    """
    entry = adata.uns.get(key)
    if not isinstance(entry, Mapping) or "model" not in entry:
        names = [str(name) for name, value in adata.uns.items() if isinstance(value, Mapping) and "model" in value]
        raise UserError(
            f"the AnnData has no fit in uns[{key!r}]: call sparsenode.tl.fit_dynamics first. "
            f"{describe_choice(key, names)}"
        )
    return unpack(SparseNODE, np.asarray(entry["model"], dtype=np.uint8).tobytes(), Path(f"uns[{key!r}]['model']"))
