"""The rule that chooses a strength, on tables whose answer is known, and its formulas against brute force."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenode.ensemble.choice import (
    BLOCKS,
    choose_strength,
    excess_standard_error,
    selection_stability,
    time_blocks,
)
from sparsenode.evaluation.choose import write_selection


def tables(values, status=None):
    """Errors and members from {strength: {seed: [error of each trajectory]}}."""
    errors, members = [], []
    for strength, by_seed in values.items():
        for seed, row in by_seed.items():
            state = (status or {}).get((strength, seed), "finished")
            members.append({"strength": strength, "seed": seed, "status": state})
            errors += [
                {"strength": strength, "seed": seed, "cluster": str(number), "value": value}
                for number, value in enumerate(row)
            ]
    return pd.DataFrame(errors), pd.DataFrame(members)


def test_largest_strength_within_one_standard_error_of_the_best():
    choice = choose_strength(
        *tables(
            {
                0.0: {0: [1.2, 1.2], 1: [1.2, 1.2]},
                0.1: {0: [1.0, 1.0], 1: [1.0, 1.0]},
                1.0: {0: [1.3, 0.8], 1: [1.4, 0.75]},
                2.0: {0: [1.2, 1.3], 1: [1.2, 1.3]},
            }
        )
    )
    assert choice["best"] == 0.1
    assert choice["chosen"] == 1.0
    entry = choice["candidates"][2]
    first, second = math.log(1.3 * 1.4) / 2, math.log(0.8 * 0.75) / 2
    assert math.isclose(entry["excess"], (first + second) / 2)
    # By trajectory, with these two means: the four pairs are not independent.
    assert math.isclose(entry["standard_error"], (first - second) / 2)


def test_where_a_larger_strength_is_no_sparser_the_least_error_decides():
    values = tables({0.3: {0: [1.0, 1.0], 1: [1.0, 1.0]}, 0.9: {0: [1.3, 0.8], 1: [1.4, 0.75]}})
    selected = np.array([[True, False], [False, True], [True, False], [True, False]])
    assert choose_strength(*values, selected=selected)["chosen"] == 0.9
    choice = choose_strength(*values, selected=selected, sparsifies=False)
    assert choice["chosen"] == choice["best"] == 0.3
    assert choice["rule"].startswith("least error")
    lost = choose_strength(*tables({0.3: {0: [math.nan]}, 0.9: {0: [math.nan]}}), sparsifies=False)
    assert lost["chosen"] is None


def test_no_single_trajectory_decides_by_the_size_of_its_error():
    """Half as much again on three of four, and a tenth less on the one that errs a thousand times more."""
    choice = choose_strength(*tables({0.0: {0: [1.0, 1.1, 0.9, 1000.0]}, 1.0: {0: [1.5, 1.6, 1.4, 900.0]}}))
    assert choice["best"] == choice["chosen"] == 0.0
    assert choice["candidates"][1]["mean"] < choice["candidates"][0]["mean"]


def test_an_error_of_zero_is_the_smallest_there_is():
    choice = choose_strength(*tables({0.0: {0: [0.0]}, 1.0: {0: [1e-9]}}))
    assert choice["chosen"] == 0.0
    assert all(math.isfinite(entry["excess"]) for entry in choice["candidates"])


def test_pairing_removes_what_seeds_and_trajectories_have_in_common():
    # Unpaired, the spread over trajectories (1 to 100) would hide that strength 1 is always worse.
    choice = choose_strength(*tables({0.0: {0: [1, 100], 1: [2, 90]}, 1.0: {0: [1.5, 100.5], 1: [2.5, 90.6]}}))
    assert choice["chosen"] == 0.0


def test_single_member_decides_by_the_mean():
    assert choose_strength(*tables({0.0: {0: [1.0]}, 1.0: {0: [1.1]}}))["chosen"] == 0.0
    assert choose_strength(*tables({0.0: {0: [1.1]}, 1.0: {0: [1.0]}}))["chosen"] == 1.0


def test_equal_errors_choose_the_largest_strength():
    choice = choose_strength(*tables({0.0: {0: [1.0]}, 1.0: {0: [1.0]}}))
    assert choice["chosen"] == choice["best"] == 1.0


def test_a_choice_at_the_end_of_the_grid_says_so():
    def edge(*values):
        return choose_strength(*tables({strength: {0: [value]} for strength, value in values}))["at_edge"]

    assert edge((0.1, 1.0), (1.0, 2.0), (10.0, 3.0)) == "smallest"
    assert edge((0.1, 2.0), (1.0, 1.0), (10.0, 3.0)) is None
    assert edge((0.1, 3.0), (1.0, 2.0), (10.0, 1.0)) == "largest"
    assert edge((0.0, 1.0), (1.0, 2.0)) is None
    assert edge((1.0, 1.0)) is None


def test_nothing_is_larger_than_a_strength_that_leaves_no_edge():
    values = tables({0.1: {0: [3.0], 1: [3.0]}, 1.0: {0: [1.0], 1: [1.0]}})
    none, some = np.array([[1, 1], [1, 0], [0, 0], [0, 0]], bool), np.array([[1, 1], [1, 0], [0, 0], [0, 1]], bool)
    assert choose_strength(*values, selected=none)["at_edge"] is None
    assert choose_strength(*values, selected=some)["at_edge"] == "largest"


def test_a_strength_that_few_seeds_were_trained_with_is_no_candidate():
    """Jobs that chose strengths by themselves may have trained different ones."""
    values = {1.0: {seed: [2.0] for seed in range(5)}, 0.1: {0: [1.0], 1: [1.0]}}
    assert choose_strength(*tables(values))["best"] == 1.0
    values[0.1] |= {2: [1.0]}
    assert choose_strength(*tables(values))["best"] == 0.1


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_blocks_of_time_are_consecutive_and_nearly_equal(times):
    blocks = time_blocks(np.array(times, np.float64))
    pairs = sorted(zip(times, blocks.tolist(), strict=True))
    assert [block for _, block in pairs] == sorted(block for _, block in pairs)
    distinct = {block: len({time for time, other in pairs if other == block}) for block in blocks.tolist()}
    assert sum(distinct.values()) == len(set(times))  # equal times share a block
    assert set(distinct) == set(range(len(distinct)))
    assert len(distinct) <= BLOCKS
    assert max(distinct.values()) - min(distinct.values()) <= 1
    assert min(distinct.values()) >= 2 or len(distinct) == 1


def test_diverged_members_do_not_count_and_half_must_finish():
    values = {0.0: {0: [2.0], 1: [2.0], 2: [2.0]}, 1.0: {0: [1.0], 1: [1.0], 2: [1.0]}}
    one_lost = choose_strength(*tables(values, {(1.0, 0): "diverged"}))
    assert one_lost["chosen"] == 1.0
    assert one_lost["candidates"][1]["usable"] == 2
    two_lost = choose_strength(*tables(values, {(1.0, 0): "diverged", (1.0, 1): "diverged"}))
    assert two_lost["chosen"] == 0.0
    assert not two_lost["candidates"][1]["candidate"]


def test_forecasts_that_are_not_finite_count_as_lost():
    values = {0.0: {0: [2.0], 1: [2.0]}, 1.0: {0: [math.inf], 1: [math.nan]}}
    assert choose_strength(*tables(values))["chosen"] == 0.0


def test_strengths_are_compared_on_common_seeds():
    values = {0.0: {0: [1.0], 1: [9.0], 2: [1.0]}, 1.0: {0: [1.2], 1: [0.0], 2: [1.2]}}
    choice = choose_strength(*tables(values, {(0.0, 1): "diverged"}))
    assert choice["best"] == 1.0
    assert choice["candidates"][0]["excess"] < 0


def test_nothing_finished_chooses_nothing(tmp_path):
    choice = choose_strength(*tables({0.0: {0: [1.0]}}, {(0.0, 0): "diverged"}))
    assert choice["chosen"] is None
    write_selection(choice, tmp_path / "model" / "method.json")
    read = json.loads((tmp_path / "model" / "method.json").read_text())
    assert read["candidates"][0]["mean"] is None


def sparse_tables(sparsities, errors):
    """Three strengths with these median sparsities and errors, two seeds and two trajectories each."""
    strengths = (0.1, 1.0, 10.0)
    table, members = tables({s: {0: [e, e], 1: [e, e]} for s, e in zip(strengths, errors, strict=True)})
    members["feature_sparsity"] = np.repeat(sparsities, 2)
    return table, members


def test_the_strength_is_chosen_among_those_that_are_sparse_enough():
    given = sparse_tables([0.1, 0.6, 0.9], [1.0, 1.2, 1.5])
    assert choose_strength(*given)["chosen"] == 0.1
    choice = choose_strength(*given, least_feature_sparsity=0.5)
    assert (choice["best"], choice["chosen"]) == (1.0, 1.0)
    assert [entry["candidate"] for entry in choice["candidates"]] == [False, True, True]
    assert "at least 0.5" in choice["rule"]


def test_where_no_strength_is_sparse_enough_the_sparsest_is_taken():
    choice = choose_strength(*sparse_tables([0.1, 0.3, 0.2], [1.0, 1.2, 1.5]), least_feature_sparsity=0.5)
    assert choice["chosen"] == 1.0


def test_a_single_strength_is_chosen_however_dense():
    table, members = tables({0.0: {0: [1.0, 1.0]}})
    members["feature_sparsity"] = 0.0
    assert choose_strength(table, members, least_feature_sparsity=0.5)["chosen"] == 0.0


def test_members_that_diverged_do_not_count_as_sparse():
    table, members = sparse_tables([0.1, 0.6, 1.0], [1.0, 1.2, 1.5])
    members.loc[members["strength"] == 10.0, "status"] = "diverged"
    assert choose_strength(table, members, least_feature_sparsity=0.5)["chosen"] == 1.0


EXCESS = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**16))


@given(EXCESS)
def test_the_standard_error_is_the_largest_of_the_plain_one_and_those_of_cluster_means(case):
    seeds, trajectories, state = case
    excess = np.random.default_rng(state).normal(size=(seeds, trajectories))

    def standard_error(values):
        mean = sum(values) / len(values)
        return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))

    plain = [float(value) for row in excess for value in row]
    by_trajectory = [sum(excess[seed, one] for seed in range(seeds)) / seeds for one in range(trajectories)]
    by_seed = [sum(excess[seed, one] for one in range(trajectories)) / trajectories for seed in range(seeds)]
    found = [standard_error(values) for values in (plain, by_trajectory, by_seed) if len(values) > 1]
    assert excess_standard_error(excess) == pytest.approx(max(found, default=0.0))


def test_seeds_that_repeat_one_another_are_no_evidence():
    # Ten copies of one seed on three trajectories: the plain error is less than a third of that of the three.
    excess = np.tile([0.3, -0.1, 0.2], (10, 1))
    assert excess_standard_error(excess) == pytest.approx(np.std([0.3, -0.1, 0.2], ddof=1) / math.sqrt(3))
    assert excess_standard_error(excess.T) == excess_standard_error(excess)
    # The clustered one, 0.115, decides: an excess of 0.1 is within it, and beyond the plain one of 0.03.
    values = {0.0: {seed: [1.0, 1.0, 1.0] for seed in range(10)}}
    values[1.0] = {seed: [1.3, 0.9, 1.1] for seed in range(10)}
    choice = choose_strength(*tables(values))
    assert (choice["best"], choice["chosen"]) == (0.0, 1.0)


def brute_force_stability(selected):
    """Equation by equation, in plain numbers: Nogueira, Sechidis & Brown 2018."""
    members, pairs = len(selected), len(selected[0])
    variance = 0.0
    for pair in range(pairs):
        mean = sum(row[pair] for row in selected) / members
        variance += sum((row[pair] - mean) ** 2 for row in selected) / (members - 1)
    share = sum(sum(row) for row in selected) / members / pairs
    return 1 - variance / pairs / (share * (1 - share))


@given(
    st.integers(2, 5).flatmap(
        lambda pairs: st.lists(st.lists(st.booleans(), min_size=pairs, max_size=pairs), min_size=2, max_size=5)
    )
)
def test_stability_agrees_with_its_equations(selected):
    count = sum(map(sum, selected))
    if count in {0, len(selected) * len(selected[0])}:
        assert selection_stability(np.array(selected)) == 0.0
    else:
        found = selection_stability(np.array(selected))
        assert found == pytest.approx(brute_force_stability(selected), abs=1e-12)
        assert -1 / (len(selected) - 1) - 1e-12 <= found <= 1 + 1e-12


def test_stability_is_one_for_equal_selections_and_zero_for_chance_of_any_size():
    one = np.array([True, False, False, True])
    assert selection_stability(np.tile(one, (3, 1))) == pytest.approx(1.0)
    assert selection_stability(one[None]) == 0.0
    assert selection_stability(np.empty((0, 4), bool)) == 0.0
    for share in (0.1, 0.9):
        drawn = np.random.default_rng(1).random((10, 20_000)) < share
        assert selection_stability(drawn) == pytest.approx(0.0, abs=0.01)


STABLE, UNSTABLE = [[1, 0, 0, 1]] * 2, [[1, 1, 0, 0], [0, 0, 1, 1]]


def choose_by_stability(errors, selections):
    """Strengths 1, 2, 3 ... with these errors at two seeds and two trajectories, and these selections by seed."""
    strengths = [float(number + 1) for number in range(len(errors))]
    table, members = tables({s: {0: [e, e], 1: [e, e]} for s, e in zip(strengths, errors, strict=True)})
    selected = np.array([row for rows in selections for row in rows], bool)
    return choose_strength(table, members, selected=selected)


def test_of_equally_good_strengths_the_most_stable_is_chosen():
    choice = choose_by_stability([1.0, 1.0, 1.0], [UNSTABLE, STABLE, UNSTABLE])
    assert choice["chosen"] == 2.0
    assert [entry["stability"] for entry in choice["candidates"]] == pytest.approx([-1, 1, -1])
    assert "stable" in choice["rule"]
    assert list(choice["candidates"][0]) == [
        "strength", "members", "usable", "mean", "mean_log", "candidate", "excess", "standard_error", "stability",
    ]  # fmt: skip


def test_of_equally_stable_strengths_the_largest_is_chosen():
    assert choose_by_stability([1.0, 1.0, 1.0], [STABLE, STABLE, UNSTABLE])["chosen"] == 2.0


def test_a_difference_that_few_seeds_cannot_tell_counts_as_none():
    def two(pairs, differing):
        first = np.arange(1000) < pairs
        second = first.copy()
        second[:differing] = False
        second[-differing:] = True
        return [first, second]

    near = choose_by_stability([1.0, 1.0], [two(500, 1), two(500, 5)])
    assert [entry["stability"] for entry in near["candidates"]] == pytest.approx([0.996, 0.98])
    assert near["chosen"] == 2.0
    assert choose_by_stability([1.0, 1.0], [two(500, 1), two(500, 10)])["chosen"] == 1.0


def test_a_stable_strength_that_forecasts_worse_is_not_chosen():
    assert choose_by_stability([1.0, 1.0, 2.0], [UNSTABLE, UNSTABLE, STABLE])["chosen"] == 2.0


def test_dense_and_empty_networks_are_not_stable():
    dense, empty = [[1, 1, 1, 1]] * 2, [[0, 0, 0, 0]] * 2
    assert choose_by_stability([1.0, 1.0, 1.0], [dense, STABLE, empty])["chosen"] == 2.0
    # Where nothing has a stability: the largest, as if there were none.
    assert choose_by_stability([1.0, 1.0, 2.0], [dense, dense, dense])["chosen"] == 2.0


def test_only_usable_members_count_for_the_stability():
    strengths = {1.0: {0: [1.0], 1: [1.0], 2: [1.0]}, 2.0: {0: [1.0], 1: [1.0], 2: [math.inf]}}
    table, members = tables(strengths, {(1.0, 0): "diverged"})
    selected = np.array([[0, 1], [1, 0], [1, 0], [1, 0], [0, 1], [1, 0]], bool)
    choice = choose_strength(table, members, selected=selected)
    assert [entry["stability"] for entry in choice["candidates"]] == pytest.approx([1.0, -1.0])
    assert choice["chosen"] == 1.0
