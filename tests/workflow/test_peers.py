"""Peers in the workflow: beside the methods in the metrics, made anew only for what they depend on."""

import pandas as pd
import pytest

pytestmark = pytest.mark.workflow

PEERS = {
    "correlation": {},
    "trees": {"peer": "extra_trees", "options": {"trees": 3}},
    "slow": {"peer": "correlation", "options": {"time_limit": 0.01}},  # less than a process takes to start
}
RUN = {"peers": ["correlation", "trees", "slow"]}


def test_peers_stand_in_the_metrics_and_depend_on_their_own_settings_alone(workflow):
    workflow.configure(run=RUN, peers=PEERS)
    done = workflow.snakemake("results/metrics.csv")
    assert done.status == 0, done.output
    assert done.jobs["infer_peer"] == 3
    assert "peer:slow (not finished within 0.01 s)" in done.output, done.output
    metrics = pd.read_csv(workflow.result("metrics.csv"), keep_default_na=False)
    ended = metrics[metrics["method"] == "peer:slow"]
    assert ended[["status", "reason"]].to_numpy().tolist() == [["unfinished", "not finished within 0.01 s"]]
    scored = metrics[(metrics["estimator"] == "peer") & (metrics["status"] == "finished")]
    assert set(scored["method"]) == {"peer:correlation", "peer:trees"}
    seeds = scored[scored["metric"] == "auprc"].groupby("method")["seed"].agg(list).to_dict()
    assert seeds == {"peer:correlation": [0, -1], "peer:trees": [0, 1, -1]}
    rankings = pd.read_parquet(workflow.result("networks/branches/rankings.parquet"))
    assert {"peer:correlation", "peer:trees"} <= set(rankings["method"])
    evaluation = {"evaluate_models_branches": 1, "collect_metrics": 1}
    for changes, jobs in (
        ({}, {}),
        ({"seeds": 4}, {"infer_peer": 1, "train_members": 2, **evaluation}),
        (
            {"peers": {**PEERS, "trees": {"peer": "extra_trees", "options": {"trees": 4}}}},
            {"infer_peer": 1, **evaluation},
        ),
        ({"run": {"peers": ["trees"]}}, evaluation),
        # With a longer limit what was not finished is run again.
        ({"peers": {**PEERS, "slow": {"peer": "correlation"}}}, {"infer_peer": 1, **evaluation}),
    ):
        workflow.configure(**{"run": RUN, "peers": PEERS, **changes})
        done = workflow.snakemake("--dry-run", "results/metrics.csv")
        assert done.status == 0, done.output
        assert done.jobs == jobs


def test_a_peer_that_is_not_of_the_run_is_refused(workflow):
    workflow.configure(run=RUN, peers={**PEERS, "sindy": {}})
    done = workflow.snakemake("results/peers/branches/sindy.parquet")
    assert done.status == 1
    assert "nothing makes results/peers/branches/sindy.parquet" in done.output, done.output
