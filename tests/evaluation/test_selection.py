"""The one-standard-error rule on tables whose answer is known."""

import json
import math

import numpy as np
import pandas as pd

from sparsenode.evaluation.selection import choose_strength, write_selection


def tables(values, status=None):
    """Errors and members from {strength: {seed: [error of each trajectory]}}."""
    errors, members = [], []
    for strength, by_seed in values.items():
        for seed, row in by_seed.items():
            state = (status or {}).get((strength, seed), "finished")
            members.append({"strength": strength, "seed": seed, "status": state})
            errors += [
                {"strength": strength, "seed": seed, "trajectory": str(number), "value": value}
                for number, value in enumerate(row)
            ]
    return pd.DataFrame(errors), pd.DataFrame(members)


def test_largest_strength_within_one_standard_error_of_the_best():
    choice = choose_strength(
        *tables(
            {
                0.0: {0: [1.2, 1.2], 1: [1.2, 1.2]},
                0.1: {0: [1.0, 1.0], 1: [1.0, 1.0]},
                1.0: {0: [1.3, 0.8], 1: [1.4, 0.6]},
                2.0: {0: [1.2, 1.3], 1: [1.2, 1.3]},
            }
        )
    )
    assert choice["best"] == 0.1
    assert choice["chosen"] == 1.0
    entry = choice["candidates"][2]
    excess = np.array([0.3, -0.2, 0.4, -0.4])
    assert math.isclose(entry["excess"], excess.mean())
    assert math.isclose(entry["standard_error"], excess.std(ddof=1) / 2)


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
