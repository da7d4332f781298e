"""The registry of metrics: complete, told by the documents, and open for one more function."""

import re

import numpy as np
import pytest

from sparsenode.data.observations import read_observations
from sparsenode.data.preprocess import assemble
from sparsenode.data.sources import make_source
from sparsenode.evaluation import metrics
from sparsenode.evaluation.evaluate import evaluate_ensembles
from sparsenode.evaluation.metrics.errors import error_units
from sparsenode.evaluation.settings import EvaluationSettings, RollingSettings
from sparsenode.evaluation.structure import score_pairs


def test_the_documents_hold_the_table_of_the_registry(repository):
    text = (repository / "docs" / "design.md").read_text(encoding="utf-8")
    table = text.partition(metrics.TABLE_BEGIN)[2].partition(metrics.TABLE_END)[0].strip()
    message = "write what `sparsenode metrics` prints between the marks of docs/design.md"
    assert table == metrics.metrics_table(), message


@pytest.mark.slow(reason="evaluates all forecasts and networks of an ensemble")
def test_every_metric_of_an_evaluation_is_registered(linear_data, new_ensemble):
    settings = EvaluationSettings(rolling=RollingSettings(past=0.4, horizon=0.6), one_step=True, interval_repeats=1000)
    ensembles = [new_ensemble(), new_ensemble(method="none", strengths=[0.0])]
    registered = set(metrics.registered_metrics())
    assert set(evaluate_ensembles(read_observations(linear_data), ensembles, settings).metrics["metric"]) <= registered


def test_every_metric_that_the_code_names_is_registered(repository):
    registered = set(metrics.registered_metrics())
    package = repository / "src" / "sparsenode"
    for folder in ("evaluation", "interventions"):
        for path in (package / folder).rglob("*.py"):
            names = re.findall(r'\bmetric"?(?:=|: )"(\w+)"', path.read_text(encoding="utf-8"))
            assert set(names) <= registered, path


def test_a_new_metric_is_one_function(monkeypatch):
    monkeypatch.setattr(metrics, "_METRICS", metrics.registered_metrics())

    @metrics.metric(metrics.PAIRS, description="share of predicted edges that are true", undefined="none is predicted")
    def precision(predicted, edges):
        return float(edges[predicted].mean())

    edges = np.array([True, False, True, False])
    scores = np.array([0.9, 0.8, 0.1, 0.2])
    assert score_pairs(scores, edges, threshold=0.5)["precision"] == 0.5
    assert "| `precision` |  | share of predicted edges that are true | none is predicted |" in metrics.metrics_table()
    with pytest.raises(ValueError, match="'precision' is defined twice"):
        metrics.metric(metrics.PAIRS, description="again")(precision)


@pytest.fixture(scope="module")
def far_data():
    """A linear system with test sets at levels of distance."""
    options = {"nodes": 3, "horizon": 1, "observations": 4, "trajectories": 4, "test_trajectories": 1}
    source = make_source("linear", {**options, "distances": {"parameter": "matrix"}})
    settings = {"source": "linear", "options": source.options, "validation": {"by": "trajectory", "share": 0.3}}
    return read_observations(assemble("far", source.load({}), settings, {}))


def test_errors_are_cut_where_a_forecast_runs_away(far_data, linear_data):
    observation = np.array([0, 3, 5, 7])
    forecast = far_data.noise_free[observation].copy()
    forecast[0] += 2.0
    forecast[1, 0] += 20.0  # squared 400, of which the mean over three variables is above the bound
    forecast[2, 1] = np.nan
    forecast[3, 2] = np.inf
    errors = metrics.registered_metrics(metrics.ERRORS)
    values = {"forecast": forecast, "data": far_data, "observation": observation}
    cut, share = (errors[name].measure(**values) for name in ("mse_cut", "share_ran_away"))
    np.testing.assert_allclose(cut, [4.0, 100.0, 100.0, 100.0], rtol=1e-5)
    np.testing.assert_array_equal(share, [0.0, 1.0, 1.0, 1.0])
    assert {"mse_cut", "share_ran_away"} <= set(error_units(far_data))
    # Of data without these sets nothing is measured that was not measured before.
    assert not {"mse_cut", "share_ran_away"} & set(error_units(read_observations(linear_data)))
