"""The test of all edges: data in, a table with effects, p-values and q-values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.data.checks import refuse_constant
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError, describe_choice
from sparsenode.inference.blocks import FEWEST_BLOCKS, Block, Windows, cut_blocks, cut_windows, usual_window
from sparsenode.inference.costs import units_of
from sparsenode.inference.masks import Costs, leave_out
from sparsenode.inference.networks import Layout
from sparsenode.inference.results import (
    CONTRADICTED,
    FORBIDDEN,
    NEEDED,
    NO_EVIDENCE,
    REQUIRED,
    UNSUPPORTED,
    UNTOLD,
    EdgeTest,
)
from sparsenode.inference.screening import screen
from sparsenode.inference.settings import EdgeTestSettings
from sparsenode.inference.significance import combine_splits, corrected_t_test, misfit_margin, q_values
from sparsenode.inference.systems import Wiring, fit_system
from sparsenode.typed import read_settings

if TYPE_CHECKING:
    import pandas as pd

_MOST_ALIKE = 3  # inputs that are left out together
_OBSERVATIONS_AN_INPUT = 3  # of a target in a training set, below which nothing can be told
Pairs = Iterable[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class _Data:
    """Standardized blocks of named variables, and which pairs may and which must be edges, (source, target)."""

    names: tuple[str, ...]
    blocks: Sequence[Block]
    allowed: np.ndarray
    required: np.ndarray
    groups: tuple[tuple[int, ...], ...]


def test_edges(
    X: Any,  # noqa: N803  as in scikit-learn
    t: Any = None,
    *,
    trajectory: Any = None,
    forbidden: Pairs = (),
    required: Pairs = (),
    threads: int = 1,
    **settings: Any,
) -> EdgeTest:
    """Test which edges are needed, given the other measured variables.

    Args:
        X: an array or DataFrame (observation, variable), a list of them, one a trajectory, an array (trajectory, time,
            variable), or an AnnData of trajectories, of which the training and validation observations are taken.
        t: times, as `SparseNODE.fit` takes them; None for steps of one.
        trajectory: labels (observation,), where one array holds several trajectories.
        forbidden: pairs (source, target) that are no edges.
        required: pairs (source, target) that every model has, except the one that is compared with them.
        threads: folds that are computed at a time, which change no result.
        settings: those of `EdgeTestSettings`.

    Returns:
        The table of all pairs, those of targets and groups, and what was left untold and why.

    Raises:
        UserError: data, names or settings cannot be used.

    Source:
        Decoupled shooting: the full model's own paths are the inputs of one-dimensional masked refits.
    """
    checked = read_settings(EdgeTestSettings, settings, "test_edges")
    names, times, values = _read(X, t, trajectory)
    pairs = {
        label: pair_matrix(chosen, names, label) for label, chosen in (("forbidden", forbidden), ("required", required))
    }
    if (pairs["forbidden"] & pairs["required"]).any():
        source, target = np.argwhere(pairs["forbidden"] & pairs["required"])[0]
        raise UserError(
            f"the edge from {names[source]!r} to {names[target]!r} is forbidden and required; keep one of both"
        )
    stacked = np.concatenate(values)
    refuse_constant(names, stacked)
    mean, deviation = np.nanmean(stacked, axis=0), np.nanstd(stacked, axis=0)
    blocks = cut_blocks(times, [(block - mean) / deviation for block in values])
    checked = _choose(checked, blocks, len(names))
    data = _Data(
        names=names,
        blocks=blocks,
        allowed=~pairs["forbidden"],
        required=pairs["required"],
        groups=_alike(blocks, checked.alike) if blocks else (),
    )
    return _tabulate(data, checked, _collect(data, checked, threads))


test_edges.__test__ = False  # type: ignore[attr-defined]  # its name is no name of a test


def _choose(settings: EdgeTestSettings, blocks: Sequence[Block], variables: int) -> EdgeTestSettings:
    """The settings with what the data choose."""
    chosen = {"units": units_of(settings, variables)}
    if settings.window is None and blocks:
        chosen["window"] = usual_window(blocks)
    return settings.model_copy(update=chosen)


def _read(values: Any, times: Any, trajectory: Any) -> tuple[tuple[str, ...], list[Floats], list[Floats]]:
    """Names of the variables, and times and values of each trajectory."""
    from sparsenode.data.contract import check_trajectories, dense, has_metadata
    from sparsenode.data.readers.arrays import read_arrays

    if hasattr(values, "obs") and hasattr(values, "var_names"):
        if not has_metadata(values):
            raise UserError(
                "X is an AnnData without trajectories; read it by sparsenode.load_dataset or fit a SparseNODE to it, "
                "and give the adata_ of the fit"
            )
        if times is not None or trajectory is not None:
            raise UserError("X is an AnnData of trajectories, which brings its times; give nothing beside it")
        check_trajectories(values, where="X")
        # The test holds out blocks of its own. Without the validation blocks there would be gaps in the trajectories.
        fitted = values.obs["split"].isin(("train", "validation")) & (values.obs["phase"] == "fit")
        rows = (fitted & (values.obs["weight"] > 0)).to_numpy()
        labels = values.obs["trajectory"].astype(str).to_numpy()
        what, when = dense(values.X).astype(np.float64), values.obs["time"].to_numpy(np.float64)
        each = [np.flatnonzero(rows & (labels == label)) for label in dict.fromkeys(labels[rows].tolist())]
        return tuple(map(str, values.var_names)), [when[row] for row in each], [what[row] for row in each]
    raw = read_arrays(values, times, trajectory)
    return raw.features, [entry.times for entry in raw.trajectories], [entry.values for entry in raw.trajectories]


def pair_matrix(pairs: Pairs, names: Sequence[str], label: str, *, self_effects: bool = False) -> np.ndarray:
    """Pairs as a matrix (source, target), true where there is one.

    Args:
        pairs: names of source and target.
        names: of all variables.
        label: what messages call the pairs.
        self_effects: whether a variable may be paired with itself.

    Raises:
        UserError: a pair is none, names what is no variable, or an edge from a variable to itself.
    """
    matrix = np.zeros((len(names), len(names)), dtype=bool)
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2:
            raise UserError(f"{label}: found {pair!r}; allowed: pairs of the names of a source and a target")
        for name in pair:
            if name not in names:
                raise UserError(f"{label}: there is no variable {name!r}. {describe_choice(str(name), names)}")
        source, target = (names.index(name) for name in pair)
        if source == target and not self_effects:
            raise UserError(f"{label}: {pair[0]!r} to itself; self-effects are part of every model, leave the pair out")
        matrix[source, target] = True
    return matrix


def _alike(blocks: Sequence[Block], least: float) -> tuple[tuple[int, ...], ...]:
    """Variables of which any two correlate by at least so much, at most three together; of the observations only."""
    states = np.concatenate([block.states for block in blocks])
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.nan_to_num(np.abs(np.corrcoef(states.T)))
    correlation = np.atleast_2d(correlation)
    pairs = np.argwhere(np.triu(correlation >= least - 1e-12, 1))
    group_of: dict[int, tuple[int, ...]] = {number: (number,) for number in range(len(correlation))}
    for first, second in sorted(pairs.tolist(), key=lambda pair: -correlation[pair[0], pair[1]]):
        joined = tuple(sorted({*group_of[first], *group_of[second]}))
        close = all(correlation[a, b] >= least - 1e-12 for a in joined for b in joined if a < b)
        if len(joined) <= _MOST_ALIKE and close:
            group_of.update(dict.fromkeys(joined, joined))
    return tuple(sorted({group for group in group_of.values() if len(group) > 1}))


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What all folds and splits gave.

    `effects` (split, source, target, block) and `group_effects` (split, group, target, block), 0 where a source was no
    candidate; `fold` (split, block); `screened` (source, target), share of the folds; `sign` and `sign_share` (source,
    target); `misfit`, `deviations` and `unexplained` (target,), the mean over folds.
    """

    effects: Floats
    group_effects: Floats
    fold: np.ndarray
    screened: Floats
    sign: Floats
    sign_share: Floats
    misfit: Floats
    deviations: Floats
    unexplained: Floats


def _collect(data: _Data, settings: EdgeTestSettings, threads: int) -> _Measured | None:
    """All folds of all splits; None where there are too few blocks to hold any out."""
    import torch

    count, blocks = len(data.names), len(data.blocks)
    folds = min(settings.folds, blocks)
    if folds < 2 or count < 1:
        return None
    fold = np.empty((settings.splits, blocks), dtype=np.int64)
    for split in range(settings.splits):
        order = np.random.default_rng([settings.seed, split]).permutation(blocks) if split else np.arange(blocks)
        fold[split, order] = np.arange(blocks) % folds
    assert settings.window is not None  # noqa: S101  chosen where there are blocks
    windows = cut_windows(data.blocks, settings.window)
    tasks = [(split, number) for split in range(settings.splits) for number in range(folds)]

    def run(task: tuple[int, int]) -> tuple[Costs, np.ndarray]:
        return _run_fold(data, windows, settings, fold[task[0]] == task[1], task)

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                results = list(pool.map(run, tasks))
        else:
            results = [run(task) for task in tasks]
    finally:
        torch.set_num_threads(before)
    effects = np.zeros((settings.splits, count, count, blocks))
    group_effects = np.zeros((settings.splits, len(data.groups), count, blocks))
    screened, derivative, sign_share = (np.zeros((count, count)) for _ in range(3))
    for (split, number), (costs, candidates) in zip(tasks, results, strict=True):
        held = np.flatnonzero(fold[split] == number)
        cost = costs.log_errors[:, 1:] - costs.log_errors[:, :1]
        for target in range(count):
            inputs = [target, *candidates[target]]
            for position, source in enumerate(inputs):
                if position and source == target:
                    continue
                effects[split, source, target, held] = cost[target, position]
                screened[source, target] += 1 / len(tasks)
                derivative[source, target] += costs.derivative[target, position]
                sign_share[source, target] += costs.sign_share[target, position]
            group_effects[split, :, target, held] = cost[target, len(inputs) :].T
    with np.errstate(invalid="ignore"):
        sign_share = np.where(screened > 0, sign_share / (screened * len(tasks)), np.nan)
    return _Measured(
        effects=effects,
        group_effects=group_effects,
        fold=fold,
        screened=screened,
        sign=np.sign(derivative),
        sign_share=sign_share,
        misfit=np.mean([costs.misfit for costs, _ in results], axis=0),
        deviations=np.mean([costs.deviations for costs, _ in results], axis=0),
        unexplained=np.mean([costs.unexplained for costs, _ in results], axis=0),
    )


def _run_fold(
    data: _Data, windows: Windows, settings: EdgeTestSettings, held: np.ndarray, task: tuple[int, int]
) -> tuple[Costs, np.ndarray]:
    """Screen, fit and refit on the other blocks, and forecast the held-out ones; and the candidates of each target."""
    import torch

    count = len(data.names)
    training_blocks = [block for block, out in zip(data.blocks, held, strict=True) if not out]
    candidates = screen(training_blocks, data.allowed, data.required, settings.candidates)
    units = units_of(settings, count)
    is_input = candidates != np.arange(count)[:, None]
    mask = torch.tensor(np.hstack([np.ones((count, 1)), is_input]), dtype=torch.float64)
    slopes = np.concatenate([block.slopes for block in training_blocks])
    wiring = Wiring(
        sources=torch.tensor(candidates),
        mask=mask,
        slope=torch.tensor(np.maximum(np.sqrt(np.square(slopes).mean(0)), 1e-12)),
        layout=Layout(inputs=candidates.shape[1] + 1, units=units),
    )
    training = windows.of(~held)
    seed = int(np.random.SeedSequence([settings.seed, *task]).generate_state(1)[0])
    system = fit_system(wiring, training, rounds=settings.rounds, draws=settings.draws, seed=seed)
    single = torch.eye(mask.shape[1], dtype=torch.float64).expand(count, -1, -1)
    together = np.zeros((count, len(data.groups), mask.shape[1]))
    for number, group in enumerate(data.groups):
        together[:, number, 1:] = np.isin(candidates, group) & is_input
    nothing = torch.zeros((count, 1, mask.shape[1]), dtype=torch.float64)
    left_out = torch.cat([nothing, single, torch.tensor(together)], dim=1)
    return leave_out(wiring, system, training, windows.of(held), left_out), candidates


def _too_little(data: _Data, settings: EdgeTestSettings, measured: _Measured | None) -> str:
    """Why nothing can be told; empty otherwise."""
    if len(data.blocks) < FEWEST_BLOCKS or measured is None:
        return (
            f"a test takes {FEWEST_BLOCKS} independent blocks, and the data have {len(data.blocks)}: give more "
            "trajectories, or longer ones beside the time in which the variables forget where they were"
        )
    observations = min(int((~np.isnan(block.values)).sum(0).min()) for block in data.blocks) * len(data.blocks)
    width = min(settings.candidates, len(data.names) - 1) + 1
    folds = min(settings.folds, len(data.blocks))
    training = observations * (folds - 1) // folds
    if training < _OBSERVATIONS_AN_INPUT * width:
        return (
            f"a training set has about {training} observations of each variable for {width} inputs; a test takes "
            f"{_OBSERVATIONS_AN_INPUT} an input: give more observations, or fewer candidates"
        )
    return ""


def _tabulate(data: _Data, settings: EdgeTestSettings, measured: _Measured | None) -> EdgeTest:
    """Tables out of the effects of blocks."""
    import pandas as pd

    count, groups = len(data.names), len(data.groups)
    reason = _too_little(data, settings, measured)
    if measured is None:
        blank = np.full((count, count), np.nan)
        tested = dict.fromkeys(("effect", "lower", "upper", "p"), blank)
        group_tested = dict.fromkeys(("effect", "lower", "upper", "p"), np.full((groups, count), np.nan))
        sign = sign_share = screened = blank
        misfit = deviations = unexplained = margin = np.full(count, np.nan)
    else:
        misfit, deviations, unexplained = measured.misfit, measured.deviations, measured.unexplained
        margin = np.array([misfit_margin(*pair) for pair in zip(misfit, deviations, strict=True)])
        tested = _test(measured.effects, measured.fold, margin, settings)
        group_tested = _test(measured.group_effects, measured.fold, margin, settings)
        sign, sign_share, screened = measured.sign, measured.sign_share, measured.screened
        tested["p"] = np.where(screened > 0, tested["p"], 1.0)
    if reason:
        tested = {**tested, "p": np.full((count, count), np.nan)}
        group_tested = {**group_tested, "p": np.full((groups, count), np.nan)}
    diagonal = np.eye(count, dtype=bool)
    hypothesis = ~diagonal & data.allowed & ~data.required
    family = np.where(hypothesis, tested["p"], np.nan).ravel()
    q = {
        "q": q_values(family).reshape(count, count),
        "q_dependent": q_values(family, dependent=True).reshape(count, count),
    }
    source, target = (index.ravel() for index in np.indices((count, count)))
    columns = {
        "source": np.array(data.names, dtype=object)[source],
        "target": np.array(data.names, dtype=object)[target],
        **{name: tested[name].ravel() for name in ("effect", "lower", "upper")},
        "sign": np.nan_to_num(sign).ravel().astype(int),
        "sign_share": sign_share.ravel(),
        "p": tested["p"].ravel(),
        "q": q["q"].ravel(),
        "q_dependent": q["q_dependent"].ravel(),
        "screened": screened.ravel(),
    }
    table = pd.DataFrame(columns)
    group_table = _group_table(data, group_tested)
    table["group"] = _group_labels(group_table, table, settings.fdr)
    table["selected"] = (table["q"] <= settings.fdr).to_numpy()
    table["verdict"] = [
        _verdict(
            forbidden=not data.allowed[row[0], row[1]],
            required=bool(data.required[row[0], row[1]]),
            reason=reason,
            margin=float(margin[row[1]]),
            selected=bool(selected),
            lower=float(lower),
            upper=float(upper),
        )
        for row, selected, lower, upper in zip(
            zip(source, target, strict=True), table["selected"], table["lower"], table["upper"], strict=True
        )
    ]
    self_effects = table[diagonal.ravel()].drop(columns=["group", "screened"]).reset_index(drop=True)
    self_p = self_effects["p"].to_numpy()
    self_effects["q"], self_effects["q_dependent"] = q_values(self_p), q_values(self_p, dependent=True)
    self_effects["selected"] = self_effects["q"] <= settings.fdr
    self_effects["verdict"] = [
        UNTOLD if reason else NEEDED if selected else UNTOLD if limit > 0 else NO_EVIDENCE
        for limit, selected in zip(margin, self_effects["selected"], strict=True)
    ]
    pairs = table[~diagonal.ravel()].sort_values("effect", ascending=False, kind="stable").reset_index(drop=True)
    targets = pd.DataFrame(
        {
            "target": list(data.names),
            "unexplained": unexplained,
            "misfit": misfit,
            "deviations": deviations,
            "margin": margin,
            "verdict": [_target_verdict(reason, value) for value in margin],
        }
    )
    return EdgeTest(
        table=pairs,
        self_effects=self_effects,
        groups=group_table,
        targets=targets,
        blocks=len(data.blocks),
        reason=reason,
        settings=settings,
    )


def _test(effects: Floats, fold: np.ndarray, margin: Floats, settings: EdgeTestSettings) -> dict[str, Floats]:
    """Effects, intervals and p-values against the margin, (source, target), of effects (split, …)."""
    splits, sources, targets, blocks = effects.shape
    flat = effects.reshape(splits, sources * targets, blocks)
    margins = np.tile(margin, sources)
    by_split = [corrected_t_test(flat[s], fold[s], margins, coverage=settings.coverage) for s in range(splits)]
    mean, lower, upper, p = (np.stack([result[number] for result in by_split]) for number in range(4))
    shape = (sources, targets)
    return {
        "effect": mean.mean(0).reshape(shape),
        "lower": lower.mean(0).reshape(shape),
        "upper": upper.mean(0).reshape(shape),
        "p": combine_splits(p).reshape(shape),
    }


def _verdict(
    *, forbidden: bool, required: bool, reason: str, margin: float, selected: bool, lower: float, upper: float
) -> str:
    if forbidden:
        return FORBIDDEN
    if required:
        if reason:
            return UNSUPPORTED
        return CONTRADICTED if upper < 0 else REQUIRED if lower > margin else UNSUPPORTED
    if selected:
        return NEEDED
    return UNTOLD if reason or margin > 0 else NO_EVIDENCE


def _target_verdict(reason: str, margin: float) -> str:
    if reason:
        return UNTOLD
    return "residuals are white" if margin == 0 else f"more than noise is left: effects below {margin:.2g} tell nothing"


def _group_table(data: _Data, tested: Mapping[str, Floats]) -> pd.DataFrame:
    """Groups of inputs that were left out together, by target."""
    import pandas as pd

    rows = [
        (number, target)
        for number, group in enumerate(data.groups)
        for target in range(len(data.names))
        if sum(data.allowed[source, target] for source in group if source != target) > 1
    ]
    groups = [row[0] for row in rows]
    targets = [row[1] for row in rows]
    table = pd.DataFrame(
        {
            "sources": [
                ", ".join(data.names[s] for s in data.groups[number] if s != target and data.allowed[s, target])
                for number, target in rows
            ],
            "target": [data.names[target] for target in targets],
            **{name: tested[name][groups, targets] for name in ("effect", "lower", "upper", "p")},
        }
    )
    table["q"] = q_values(table["p"].to_numpy(dtype=np.float64))
    return table


def _group_labels(groups: pd.DataFrame, table: pd.DataFrame, fdr: float) -> list[str]:
    """What an edge that is not selected can stand in for: "one of A, B" where leaving all of them out costs."""
    labels = {}
    selected = table[table["q"] <= fdr]
    needed = set(zip(selected["source"], selected["target"], strict=True))
    for row in groups[groups["q"] <= fdr].itertuples():
        members = str(row.sources).split(", ")
        if not any((member, row.target) in needed for member in members):
            labels.update({(member, row.target): f"one of {row.sources}" for member in members})
    return [labels.get(pair, "") for pair in zip(table["source"], table["target"], strict=True)]
