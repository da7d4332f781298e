"""What is doubtful about models: by their members, their validation errors, and the strengths that were chosen."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sparsenode.data.magnitudes import Magnitudes
from sparsenode.data.observations import read_observations
from sparsenode.ensemble.members import Member
from sparsenode.errors import UserError
from sparsenode.evaluation.evaluate import evaluate_ensembles
from sparsenode.evaluation.remarks import check_finished, least_trivial_error, remarks_of_dataset
from sparsenode.evaluation.tables import ALL, join_tables, make_table
from sparsenode.remarks import LARGEST, LOST, MAGNITUDES, NOT_CHOSEN, SMALLEST, STILL, TRIVIAL, Remark
from sparsenode.settings import read_model_settings

ORDINARY = Magnitudes("mine", (0.5, 2.0), 3.0, 9.0, "hour", {"scaling": "none", "time_scaling": "none"})


def trained(*status: str, settings: dict | None = None) -> SimpleNamespace:
    """An ensemble of a model and method by how its members ended."""
    members = [Member(0.1, seed, end, "", 0 if end == "diverged" else 9, 1.0) for seed, end in enumerate(status)]
    named = {"model": "tiny", "method": "l1"}
    return SimpleNamespace(settings=named, members=members, model_settings=read_model_settings(settings or {}))


def chosen(**changes):
    entry = {"strength": 0.1, "usable": 2, "members": 2}
    selection = {"chosen": 0.1, "at_edge": None, "protocol": "trajectory", "regularizer": "l1", "candidates": [entry]}
    return {("tiny", "l1"): {**selection, **changes}}


def make_metrics(errors: dict[tuple[str, str], list[float]]):
    """Errors by method and split, of single members or of a trivial forecast; whatever else there is must not count."""
    tables = []
    for (method, split), values in errors.items():
        trivial = method.startswith(("baseline:", "oracle:"))
        key = {
            "model": "" if trivial else "tiny",
            "strength": np.nan if trivial else 0.1,
            "method": method,
            "split": split,
            "phase": "fit",
            "horizon": "trajectory",
            "trajectory": ALL,
            "metric": "mse",
        }
        seeds = [-1] if trivial else list(range(len(values)))
        tables.append(make_table(**key, seed=seeds, value=values))
        others = {"phase": "extrapolation", "horizon": "window", "trajectory": "t0", "metric": "mse_restored"}
        tables += [
            make_table(**{**key, name: other}, seed=seeds, value=[1e-9] * len(values)) for name, other in others.items()
        ]
    return join_tables(tables)


ERRORS = {
    ("l1", "train"): [0.1, 0.2, 0.3],
    ("l1", "validation"): [0.2, 0.3, 0.9],
    ("l1", "test"): [99.0, 99.0, 99.0],
    ("baseline:initial_state", "train"): [1.0],
    ("baseline:initial_state", "validation"): [0.8],
    ("baseline:linear", "validation"): [0.4],
    ("oracle:cubic", "validation"): [0.001],
    ("baseline:linear", "test"): [0.001],
}


def remarks(errors=None, ensemble=None, magnitudes=ORDINARY, **selection):
    ensemble = ensemble or trained("finished", "finished", "finished")
    return remarks_of_dataset([ensemble], make_metrics({**ERRORS, **(errors or {})}), chosen(**selection), magnitudes)


def test_a_good_model_between_the_ends_gives_no_remark():
    assert remarks() == []


def test_the_median_validation_error_is_compared_with_the_best_trivial_forecast():
    expected = Remark("mine", "tiny", "l1", TRIVIAL, "error 0.41; line in time: 0.4")
    assert remarks({("l1", "validation"): [0.1, 0.41, 0.9]}) == [expected]
    assert remarks({("l1", "validation"): [0.1, 0.4, 0.9]}) == []
    assert remarks({("l1", "validation"): [0.1, 0.41, 0.9]}, protocol="rolling") == []
    assert least_trivial_error(
        make_metrics(ERRORS), model="tiny", protocol="trajectory", split="validation", phase="fit"
    ) == ("baseline:linear", 0.4)


def test_a_forecast_that_is_its_initial_state_is_told():
    expected = Remark("mine", "tiny", "l1", STILL, "error on the training data 1; initial state held: 1")
    assert remarks({("l1", "train"): [0.9995, 1.0, 1.0]}) == [expected]
    assert remarks({("l1", "train"): [0.9, 0.998, 1.0]}) == []
    # Even where nothing moves and holding it is without a fault.
    still = {("l1", "train"): [0.0] * 3, ("baseline:initial_state", "train"): [0.0]}
    assert [remark.kind for remark in remarks(still)] == [STILL]


def test_a_still_forecast_makes_short_times_doubtful():
    short = replace(ORDINARY, span=0.05)
    assert remarks(magnitudes=short) == []
    still, time, step = remarks({("l1", "train"): [1.0] * 3}, magnitudes=short)
    assert (still.kind, time.kind, step.kind) == (STILL, MAGNITUDES, MAGNITUDES)
    assert "trajectories are short, 0.05 (hour)" in time.finding
    assert "one step of the solver (0.2) is as long as the longest trajectory" in step.finding


@pytest.mark.parametrize(
    ("edge", "strength", "regularizer", "kind"),
    [
        ("largest", 0.1, "l1", LARGEST),
        ("smallest", 0.1, "l1", SMALLEST),
        (None, 0.1, "l1", None),
        ("largest", 1.0, "imp", None),
        ("largest", 0.9, "imp", LARGEST),
    ],
)
def test_a_strength_at_an_end_is_told_where_there_is_one_beyond(edge, strength, regularizer, kind):
    found = remarks(at_edge=edge, chosen=strength, regularizer=regularizer)
    assert found == ([Remark("mine", "tiny", "l1", kind, f"{strength:g}")] if kind else [])


def test_lost_members_are_counted_and_values_that_may_have_lost_them_named():
    lost = trained("finished", "diverged", "finished")
    [count] = remarks(ensemble=lost)
    assert count == Remark("mine", "tiny", "l1", LOST, "1 of 3, by iteration 0")
    small = replace(ORDINARY, movements=(0.02, 0.03))
    assert remarks(magnitudes=small) == []
    # A few that are lost tell of the strengths, and most of them of the data.
    assert remarks(ensemble=lost, magnitudes=small) == [count]
    _, reason = remarks(ensemble=trained("finished", "diverged", "diverged"), magnitudes=small)
    assert (reason.model, reason.method, reason.kind) == ("tiny", "", MAGNITUDES)
    assert reason.finding.startswith("values move by 0.02 to 0.03")


def test_a_method_without_a_strength_says_so():
    entries = [{"strength": 0.1, "usable": 0, "members": 3}, {"strength": 1.0, "usable": 1, "members": 3}]
    lost, none = remarks(ensemble=trained("diverged", "diverged", "finished"), chosen=None, candidates=entries)
    assert lost.kind == LOST
    assert none == Remark("mine", "tiny", "l1", NOT_CHOSEN, "strength 0.1: 0 of 3, strength 1: 1 of 3")


def test_a_dataset_of_which_nothing_finished_is_refused_with_the_reason():
    some = trained("finished", "diverged")
    none = trained("diverged", "diverged", settings={"time_scale": 1e-3, "solver": {"step": 2.0}})
    check_finished([none, some], ORDINARY)
    with pytest.raises(UserError) as refused:
        check_finished([none, none], replace(ORDINARY, movements=(1e-9, 1e-9)))
    message = str(refused.value)
    assert message.startswith(
        "no member of the dataset mine has finished its training (4 of 4, by iteration 0), so that there is nothing to "
        "evaluate: values move by 1e-09 from their initial states"
    )
    assert "9e+03 times the model's `time_scale`" in message
    assert "a step of the solver (2)" in message
    assert message.count("values move by") == 1


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_a_model_of_the_system_itself_is_no_worse_than_trivial(linear_data, new_ensemble):
    ensembles = [new_ensemble(strengths=[0.0, 0.1], diverged=[(0.1, 2)])]
    evaluation = evaluate_ensembles(read_observations(linear_data), ensembles)
    found = remarks_of_dataset(ensembles, evaluation.metrics, evaluation.selections, ORDINARY)
    assert not {TRIVIAL, STILL, NOT_CHOSEN} & {remark.kind for remark in found}
    assert Remark("mine", "exact", "shrunk", LOST, "1 of 6, by iteration 10") in found


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_a_model_that_stays_where_it_is_moves_nothing(linear_data, new_ensemble):
    ensemble = new_ensemble(strengths=[0.0], seeds=2)
    still = replace(ensemble, matrices=0 * ensemble.matrices)
    evaluation = evaluate_ensembles(read_observations(linear_data), [still])
    found = remarks_of_dataset([still], evaluation.metrics, evaluation.selections, ORDINARY)
    assert STILL in {remark.kind for remark in found}
