"""The test of all edges: linear systems with known edges, and data of which nothing can be told."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import expm

from edge_tests import edge_test
from sparsenode import inference
from sparsenode.errors import UserError
from sparsenode.inference.blocks import cut_blocks, cut_windows, usual_window
from sparsenode.inference.networks import Layout
from sparsenode.inference.results import CONTRADICTED
from sparsenode.inference.systems import Wiring, fit_system_starts, solve_system, system_sensitivity

CHEAP = {"folds": 3, "units": 2, "draws": 1, "rounds": 3, "window": 8}
CHAIN = np.array([[-0.5, 0.0, 0.0], [1.5, -1.0, 0.0], [0.0, -1.5, -1.0]])  # (target, source)


def simulate(matrix, *, trajectories=12, observations=17, step=0.2, noise=0.05, seed=0):
    """Noisy states (trajectory, time, variable) of dx/dt = matrix x, and their times."""
    generator = np.random.default_rng(seed)
    times = np.arange(observations) * step
    starts = generator.normal(size=(trajectories, len(matrix)))
    states = np.einsum("tij,rj->rti", expm(matrix * times[:, None, None]), starts)
    return states + noise * states.std() * generator.normal(size=states.shape), times


@pytest.fixture(scope="module")
def chain():
    states, times = simulate(CHAIN)
    return inference.test_edges(states, times, **CHEAP)


@pytest.mark.slow(reason="fits three folds")
def test_the_edges_of_a_chain_are_needed_and_no_others(chain):
    edges = chain.edges()
    assert set(zip(edges["source"], edges["target"], strict=True)) == {("x1", "x2"), ("x2", "x3")}
    assert edges.set_index("source")["sign"].to_dict() == {"x1": 1, "x2": -1}
    absent = chain.table[~chain.table["selected"]]
    assert (absent["p"] > 0.05).all()
    assert absent["effect"].max() < 0.2 < edges["effect"].min()
    assert (chain.table["effect"].diff().dropna() <= 0).all()
    assert chain.table["lower"].le(chain.table["effect"]).all()


@pytest.mark.slow(reason="shares the three folds")
def test_self_effects_are_apart(chain):
    assert (chain.table["source"] != chain.table["target"]).all()
    assert (chain.self_effects["source"] == chain.self_effects["target"]).all()
    assert len(chain.self_effects) == 3
    assert chain.self_effects.set_index("target").loc["x2", "selected"]


@pytest.mark.slow(reason="shares the three folds")
def test_white_residuals_are_told_and_what_is_left_is_the_noise(chain):
    assert (chain.targets["verdict"] == "residuals are white").all()
    states, _ = simulate(CHAIN)
    noise = (0.05 * simulate(CHAIN, noise=0.0)[0].std()) ** 2 / states.reshape(-1, 3).var(0)
    assert (chain.targets["unexplained"] / noise).between(0.6, 2.5).all()


@pytest.mark.slow(reason="shares the three folds")
def test_a_lower_rate_selects_no_more_and_the_rule_for_dependence_fewer(chain):
    strict, loose = (set(chain.edges(rate).index) for rate in (0.01, 0.2))
    assert len(strict) <= len(loose)
    assert (chain.table["q_dependent"] >= chain.table["q"]).all()
    with pytest.raises(UserError, match=r"fdr: found 1\.5; allowed: a number between 0 and 1"):
        chain.edges(1.5)


@pytest.mark.slow(reason="fits three folds twice")
def test_the_same_data_give_the_same_bits_however_many_threads(chain):
    states, times = simulate(CHAIN)
    again = inference.test_edges(states, times, **CHEAP, threads=2)
    assert again.table.equals(chain.table)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fold_has_one_thread_of_torch_and_the_caller_as_many_as_before(monkeypatch, threads):
    import torch

    from sparsenode.inference import edges

    class AskedError(Exception):
        pass

    def ask(*_):
        raise AskedError(torch.get_num_threads())

    monkeypatch.setattr(edges, "_run_fold", ask)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(AskedError, match=r"^1$"):
            inference.test_edges(*simulate(CHAIN), **CHEAP, threads=threads)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow(reason="fits three folds")
def test_forbidden_edges_are_in_no_model_and_required_ones_are_no_hypotheses():
    states, times = simulate(CHAIN)
    test = inference.test_edges(
        states, times, forbidden=[("x3", "x1"), ("x3", "x2")], required=[("x1", "x2"), ("x1", "x3")], **CHEAP
    )
    rows = test.table.set_index(["source", "target"])
    assert rows.loc[("x3", "x1"), ["verdict", "screened"]].tolist() == ["forbidden", 0.0]
    assert rows.loc[("x1", "x2"), "verdict"] == "required"
    assert rows.loc[("x1", "x3"), "verdict"] == "required, without evidence"
    assert rows["q"].isna().sum() == 4
    assert rows.loc[("x2", "x3"), "q"] <= 2 * rows.loc[("x2", "x3"), "p"] * (1 + 1e-12)


@pytest.mark.slow(reason="fits three folds")
def test_a_duplicate_makes_a_group_and_no_wrong_edge():
    states, times = simulate(CHAIN[:2, :2], noise=0.03)
    doubled = np.concatenate([states, states[..., :1]], axis=2)
    test = inference.test_edges(doubled, times, **CHEAP)
    into = test.table[test.table["target"] == "x2"].set_index("source")
    assert not into["selected"].any()
    assert into["group"].tolist() == ["one of x1, x3"] * 2
    assert test.groups.set_index("target").loc["x2", "q"] < 0.05
    assert "inputs that can stand in for each other: one of x1, x3" in test.doubts()


@pytest.mark.slow(reason="fits three folds")
def test_where_more_than_noise_is_left_nothing_can_be_told():
    """Positions only of oscillators, which no equation of first order describes."""
    generator = np.random.default_rng(0)
    times, phase = np.arange(17) * 0.3, generator.uniform(0, 2 * np.pi, (12, 1, 2))
    positions = np.cos(times[None, :, None] * [2.0, 3.1] + phase)
    test = inference.test_edges(positions + 0.02 * generator.normal(size=positions.shape), times, **CHEAP)
    assert (test.targets["margin"] > 1).all()
    assert not test.table["selected"].any()
    assert (test.table["verdict"] == "cannot be told").all()
    assert (test.self_effects["verdict"] == "cannot be told").all()
    assert "; 2 cannot be told" in test.summary()


def test_one_short_trajectory_tells_nothing():
    states, times = simulate(CHAIN, trajectories=1, observations=9)
    test = inference.test_edges(states, times, **CHEAP)
    assert test.reason.startswith("a test takes 10 independent blocks, and the data have 1:")
    assert test.edges().empty
    assert (test.table["verdict"] == "cannot be told").all()
    assert test.table[["p", "q"]].isna().all(axis=None)
    assert (test.self_effects["verdict"] == "cannot be told").all()
    assert (test.targets["verdict"] == "cannot be told").all()


@pytest.mark.slow(reason="fits two folds")
def test_fewer_blocks_than_folds_rank_edges_and_test_none():
    generator = np.random.default_rng(0)
    long = generator.normal(size=(4, 12, 2)).cumsum(1)
    test = inference.test_edges(long, **{**CHEAP, "folds": 20})
    assert test.blocks < 20
    assert test.table["p"].isna().all()
    assert test.edges().empty


@pytest.mark.slow(reason="fits two folds")
def test_more_variables_than_observations_tell_nothing():
    generator = np.random.default_rng(0)
    test = inference.test_edges(generator.normal(size=(10, 6, 40)), folds=2, units=1, draws=1, rounds=1, candidates=20)
    assert "observations of each variable for 21 inputs" in test.reason
    assert (test.table["verdict"] == "cannot be told").all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"required": [("x1", "y")]}, "required: there is no variable 'y'"),
        ({"forbidden": [("x1", "x1")]}, "forbidden: 'x1' to itself"),
        ({"forbidden": ["x1"]}, "forbidden: found 'x1'; allowed: pairs"),
        ({"forbidden": [("x1", "x2")], "required": [("x1", "x2")]}, "from 'x1' to 'x2' is forbidden and required"),
        ({"folds": 1}, "folds: found the number 1"),
        ({"fold": 3}, "fold"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, message):
    states, times = simulate(CHAIN, trajectories=2)
    with pytest.raises(UserError, match=message):
        inference.test_edges(states, times, **changes)


@pytest.mark.slow(reason="fits two folds")
def test_a_required_edge_without_evidence_stays_in_the_model_and_is_no_hypothesis():
    """What is required is a random walk, of which the target does not know."""
    generator = np.random.default_rng(1)
    states, times = simulate(CHAIN[:2, :2], trajectories=12, observations=13)
    noise = generator.normal(size=states[..., :1].shape).cumsum(1)
    test = inference.test_edges(np.concatenate([states, noise], axis=-1), times, required=[("x3", "x1")],
                                **{**CHEAP, "folds": 2})  # fmt: skip
    row = test.table.set_index(["source", "target"]).loc[("x3", "x1")]
    assert row["verdict"] in {
        "required, without evidence",
        "required, but held-out observations are forecast better without it",
    }
    assert not row["selected"]
    assert np.isnan(row["q"])
    assert ("x3", "x1") in set(zip(test.kept_edges()["source"], test.kept_edges()["target"], strict=True))


def test_verdicts_of_required_edges_follow_their_intervals():
    from sparsenode.inference.edges import _verdict

    of = {"forbidden": False, "required": True, "reason": "", "margin": 0.0, "selected": False}
    assert _verdict(**of, lower=0.1, upper=0.3) == "required"
    assert _verdict(**of, lower=-0.1, upper=0.3) == "required, without evidence"
    assert _verdict(**of, lower=-0.3, upper=-0.1) == CONTRADICTED
    # Of an effect that the misfit could make there is no evidence, and where nothing can be told there is none at all.
    assert _verdict(**{**of, "margin": 0.2}, lower=0.1, upper=0.3) == "required, without evidence"
    for limits in ({"lower": 0.1, "upper": 0.3}, {"lower": -0.3, "upper": -0.1}):
        assert _verdict(**{**of, "reason": "too few"}, **limits) == "required, without evidence"


def test_what_the_data_contradict_is_among_the_doubts():
    test = edge_test(["a", "b", "c"], [("a", "b")])
    assert test.doubts() == []
    rows = (test.table["source"] == "c") & (test.table["target"] == "a")
    contradicted = replace(test, table=test.table.assign(verdict=test.table["verdict"].mask(rows, CONTRADICTED)))
    doubt = "the edge from c to a is required, and held-out observations are forecast better without it"
    assert contradicted.doubts() == [doubt]
    assert doubt in contradicted.summary()
    assert ("c", "a") in set(zip(*(contradicted.kept_edges()[name] for name in ("source", "target")), strict=True))


def test_validation_observations_leave_no_gaps():
    """An estimator holds a block in the middle of each trajectory out: the test takes it, and no test data."""
    from sparsenode.data.preprocess import assemble
    from sparsenode.data.readers.arrays import read_arrays
    from sparsenode.inference.edges import _read

    states, times = simulate(CHAIN)
    adata = assemble(
        "chain", read_arrays(states, times, None), {"validation": {"by": "inner_blocks", "share": 0.2}}, {}
    )
    assert (adata.obs["split"] == "validation").sum() > 12
    names, when, what = _read(adata, None, None)
    assert names == ("x1", "x2", "x3")
    for time, values, expected in zip(when, what, states, strict=True):
        np.testing.assert_allclose(np.diff(time), np.diff(times))
        np.testing.assert_allclose(values, expected, atol=1e-6)
    split = adata.obs["split"].astype(str).replace("validation", "test")
    adata.obs["split"] = split.astype("category")
    assert sum(map(len, _read(adata, None, None)[1])) == (adata.obs["split"] == "train").sum()


def test_constant_variables_are_refused():
    states, times = simulate(CHAIN)
    states[..., 1] = 2.0
    with pytest.raises(UserError, match="x2"):
        inference.test_edges(states, times)


def test_blocks_of_a_series_are_longer_than_it_remembers_and_cover_it():
    times = np.arange(400) * 0.1
    blocks = cut_blocks([times], [np.sin(times)[:, None] * [1.0, 2.0]])
    assert len(blocks) >= 10
    assert min(np.ptp(block.time) for block in blocks) > 1.0
    np.testing.assert_array_equal(np.concatenate([block.time for block in blocks]), times)
    drift = np.linspace(0, 1, 400)[:, None] ** [1.0, 2.0]
    assert len(cut_blocks([times], [drift])) < 10


def test_what_a_block_is_smoothed_to_depends_on_no_other_block():
    generator = np.random.default_rng(0)
    times = np.arange(20) * 0.1
    values = [generator.normal(size=(20, 2)) for _ in range(12)]
    first = cut_blocks([times] * 12, values)[0]
    second = cut_blocks([times] * 12, [values[0], *(value + 5 for value in values[1:])])[0]
    np.testing.assert_allclose(first.states, second.states)
    np.testing.assert_allclose(first.slopes, second.slopes)


def test_windows_hold_every_interval_once():
    generator = np.random.default_rng(0)
    times = [np.sort(generator.random(23)) * 5 for _ in range(10)]
    values = [generator.normal(size=(23, 2)) for _ in range(10)]
    values[0][4, 1] = np.nan
    blocks = cut_blocks(times, values)
    windows = cut_windows(blocks, 5)
    assert windows.steps.sum() == pytest.approx(sum(np.ptp(block.time) for block in blocks))
    assert windows.weight[:, 1:].sum() + (windows.weight[:, 0]).sum() == pytest.approx(10 * 2 * (23 + 4) - 1)
    assert windows.weight[windows.observed != 0].all()


def test_the_systems_sensitivity_is_that_of_finite_differences():
    import torch

    generator = torch.Generator().manual_seed(0)
    layout = Layout(inputs=3, units=3)
    wiring = Wiring(
        sources=torch.tensor([[1, 2], [0, 2], [0, 1]]),
        mask=torch.ones((3, 3), dtype=torch.float64),
        slope=torch.tensor([1.0, 0.7, 1.2], dtype=torch.float64),
        layout=layout,
    )
    parameters = layout.draw(3, generator) + 0.3 * torch.randn((3, layout.size), generator=generator).double()
    start = torch.randn((4, 3), generator=generator).double()
    steps = torch.full((4, 5), 0.05, dtype=torch.float64)
    path = solve_system(wiring, parameters, start, steps)
    sensitivity = system_sensitivity(wiring, parameters, path, steps)
    for variable in range(3):
        change = 1e-6 * torch.eye(3, dtype=torch.float64)[variable]
        ends = [solve_system(wiring, parameters, start + sign * change, steps)[:, ::2] for sign in (1, -1)]
        torch.testing.assert_close(sensitivity[..., variable], (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-5)
    moved = start + 0.1
    fitted, _ = fit_system_starts(wiring, parameters, moved, path[:, ::2], torch.ones_like(path[:, ::2]), steps)
    torch.testing.assert_close(fitted, start, rtol=0, atol=1e-3)


@pytest.mark.slow(reason="fits two folds")
def test_the_command_writes_all_pairs_and_the_graph_of_the_needed_ones(tmp_path, capsys):
    import networkx
    import pandas as pd

    from sparsenode.cli import main
    from sparsenode.data.contract import write_trajectories
    from sparsenode.data.preprocess import assemble
    from sparsenode.data.sources import make_source

    source = make_source(
        "linear", {"nodes": 2, "density": 1.0, "trajectories": 11, "test_trajectories": 1, "observations": 10}
    )
    entry = {"source": "linear", "options": source.options, "validation": {"by": "none-in-source"}}
    adata = assemble("pair", source.load({}), entry, {})
    write_trajectories(adata, tmp_path / "pair.h5ad")
    files = ["--output", str(tmp_path / "edges.csv"), "--graph", str(tmp_path / "edges.graphml")]
    assert main(["edges", str(tmp_path / "pair.h5ad"), *files, "--folds", "2"]) == 0
    table = pd.read_csv(tmp_path / "edges.csv")
    test = inference.test_edges(adata, folds=2)
    np.testing.assert_allclose(table["effect"], test.table["effect"])
    graph = networkx.read_graphml(tmp_path / "edges.graphml")
    assert set(graph.nodes) == {"x1", "x2"}
    assert graph.number_of_edges() == len(test.edges()) == graph.graph["edges_written"]
    words = capsys.readouterr().out
    assert words.startswith(f"{len(test.edges())} of 2 edges are needed, given the other measured variables")
    assert "conditional on the pseudotime" in words


@pytest.mark.parametrize(("period", "intervals"), [(12.0, 4), (40.0, 7), (400.0, 10)])
def test_windows_are_as_long_as_the_changes_of_the_variables(period, intervals):
    time = np.arange(0.0, 20 * max(period, 20.0))
    values = np.sin(2 * np.pi * time / period + np.array([[0.0], [0.5]])).T
    # A sine changes by as much as it varies in its period over 2 pi.
    assert usual_window(cut_blocks([time], [values])) == intervals
