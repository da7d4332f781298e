"""Headline values from a tidy table."""

from sparsenode.evaluation.evaluate import evaluate_ensembles
from sparsenode.evaluation.summary import summarize_metrics


def test_medians_at_the_chosen_strength(linear_data, new_ensemble):
    evaluation = evaluate_ensembles(linear_data, [new_ensemble()])
    chosen = evaluation.selections["exact", "shrunk"]["chosen"]
    summary = summarize_metrics(evaluation.metrics)
    mine = summary[(summary["method"] == "shrunk")]
    assert set(mine["strength"]) == {chosen}
    row = mine[(mine["metric"] == "mse") & (mine["split"] == "test") & (mine["phase"] == "fit")]
    metrics = evaluation.metrics.query("metric == 'mse' and split == 'test' and phase == 'fit' and trajectory == 'all'")
    values = metrics[(metrics["method"] == "shrunk") & (metrics["strength"] == chosen)]["value"]
    assert row["median"].item() == values.median()
    assert row["count"].item() == 3
    assert "baseline:zeros" in set(summary["method"])
    assert set(summary["trajectory"]) == {"all", ""}
    assert "four" in set(summarize_metrics(evaluation.metrics, trajectories=True)["trajectory"])
