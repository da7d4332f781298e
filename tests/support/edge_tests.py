"""Tests of edges as `inference.test_edges` gives them, without a fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sparsenode.inference.results import NEEDED, NO_EVIDENCE, UNTOLD, EdgeTest
from sparsenode.inference.settings import EdgeTestSettings
from sparsenode.inference.significance import q_values


def edge_test(
    names: Sequence[str], edges: Sequence[tuple[str, str]], *, reason: str = "", fdr: float = 0.1
) -> EdgeTest:
    """A test that selects some edges and finds nothing else, or of which nothing can be told for a reason."""
    generator = np.random.default_rng(0)
    source, target = (index.ravel() for index in np.indices((len(names), len(names))))
    present = np.array([(names[a], names[b]) in set(edges) or a == b for a, b in zip(source, target, strict=True)])
    effect = np.where(present, 1.0, 0.0) + 0.2 * generator.random(len(source))
    p = np.where(present, 1e-6, generator.uniform(0.3, 1.0, len(source)))
    if reason:
        p[:] = np.nan
    table = pd.DataFrame(
        {
            "source": np.array(names, object)[source],
            "target": np.array(names, object)[target],
            "effect": effect,
            "lower": effect - 0.3,
            "upper": effect + 0.3,
            "sign": np.where(present, np.where(source < target, 1, -1), 0),
            "sign_share": 0.75,
            "p": p,
        }
    )
    off_diagonal = source != target
    tables = []
    for rows in (off_diagonal, ~off_diagonal):
        part = table[rows].reset_index(drop=True)
        part["q"] = q_values(part["p"].to_numpy())
        part["q_dependent"] = q_values(part["p"].to_numpy(), dependent=True)
        part["selected"] = part["q"] <= fdr
        part["verdict"] = UNTOLD if reason else np.where(part["selected"], NEEDED, NO_EVIDENCE)
        tables.append(part.sort_values("effect", ascending=False, ignore_index=True))
    between, itself = tables
    return EdgeTest(
        table=between.assign(screened=1.0, group=""),
        self_effects=itself,
        groups=pd.DataFrame(
            {"sources": [f"{names[0]}, {names[1]}"], "target": [names[-1]]}
            | {name: [0.5] for name in ("effect", "lower", "upper", "p", "q")}
        ),
        targets=pd.DataFrame(
            {"target": list(names)}
            | dict.fromkeys(("unexplained", "misfit", "deviations", "margin"), 0.0)
            | {"verdict": UNTOLD if reason else "residuals are white"}
        ),
        blocks=3 if reason else 20,
        reason=reason,
        settings=EdgeTestSettings(fdr=fdr),
    )
