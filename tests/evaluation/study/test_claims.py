"""Claims of the study, their verdicts and the answer."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sparsenode.errors import UserError
from sparsenode.evaluation.study.answer import answer_of, answer_study
from sparsenode.evaluation.study.claims import CLAIMS, get_claim
from sparsenode.evaluation.study.tables import VALIDATION, write_long
from sparsenode.evaluation.study.verdicts import answer_claim, evaluate_claim, judge
from study_tables import make_long


def effect(lower: float, upper: float, p: float = 0.01, systems: int = 15) -> SimpleNamespace:
    return SimpleNamespace(lower=lower, upper=upper, p_corrected=p, systems=systems)


@pytest.mark.parametrize(
    ("claim", "measured", "verdict"),
    [
        ("weight_sparsity_forecasting", effect(-0.5, -0.1), "holds"),
        ("weight_sparsity_forecasting", effect(-0.5, -0.1, p=0.2), "undecided"),
        ("weight_sparsity_forecasting", effect(-0.5, -0.1, systems=5), "undecided"),
        ("weight_sparsity_forecasting", effect(0.1, 0.5), "the opposite holds"),
        ("weight_sparsity_forecasting", effect(-0.05, 0.05, p=0.9), "no difference"),
        ("weight_sparsity_forecasting", effect(-0.05, 0.3, p=0.9), "undecided"),
        ("feature_sparsity_dynamics", effect(0.1, 0.2), "holds"),
        ("feature_sparsity_dynamics", effect(-0.2, -0.1), "the opposite holds"),
        ("weight_sparsity_spurious", effect(-0.04, 0.2, p=0.9), "holds"),
        ("weight_sparsity_spurious", effect(-0.2, -0.06), "does not hold"),
        ("weight_sparsity_spurious", effect(-0.2, 0.0), "undecided"),
        ("weight_sparsity_dynamics", effect(-0.3, 0.04), "holds"),
        ("weight_sparsity_dynamics", effect(0.06, 0.1), "does not hold"),
        ("weight_sparsity_dynamics", effect(float("nan"), float("nan")), "undecided"),
    ],
)
def test_verdicts_follow_the_rules(claim, measured, verdict):
    assert judge(get_claim(claim), measured) == verdict


def test_a_single_kind_is_judged_by_the_interval_of_three_networks():
    claim = get_claim("weight_sparsity_forecasting")
    assert judge(claim, effect(-0.5, -0.1, p=float("nan"), systems=3), is_kind=True) == "holds"
    assert judge(claim, effect(-0.5, -0.1, p=float("nan"), systems=2), is_kind=True) == "undecided"


def test_planted_effects_are_found_and_none_where_there_is_none():
    long = make_long(
        {"l1": np.log(0.7), "pathreg": 0.0},
        {"pathreg": 0.2},
        spread=0.02,
        kinds=("hill", "linear"),
        networks=4,
        conditions=2,
    )

    def verdicts(name: str) -> set[str]:
        rows = evaluate_claim(get_claim(name), long, repeats=60)
        return set(rows.loc[(rows["scope"] == "all") & (rows["choice"] == VALIDATION), "verdict"])

    assert verdicts("weight_sparsity_forecasting") == {"holds"}
    assert verdicts("weight_sparsity_interventions") == {"does not hold"}
    assert verdicts("weight_sparsity_spurious") == {"holds"}
    assert verdicts("weight_sparsity_dynamics") == {"holds"}
    assert verdicts("feature_sparsity_dynamics") == {"holds"}
    assert verdicts("feature_sparsity_spurious") == {"holds"}
    assert verdicts("feature_sparsity_interventions") == {"no difference"}
    out = evaluate_claim(get_claim("sparsity_out_of_distribution"), long, repeats=100)
    whole = out[(out["scope"] == "all") & (out["choice"] == VALIDATION)].set_index(["method", "distance"])["verdict"]
    assert whole.to_dict() == {
        ("l1", 3): "holds", ("l1", 4): "holds", ("pathreg", 3): "no difference", ("pathreg", 4): "no difference",
    }  # fmt: skip


def test_the_gain_goes_with_the_structure_where_it_does():
    # Systems in which a method errs more have more of its structure wrong.
    rows = evaluate_claim(get_claim("gain_with_structure"), make_long({"l1": 0.0}, spread=0.5, networks=4), repeats=100)
    assert set(rows["verdict"]) == {"holds"}
    assert (rows["estimate"] > 0.9).all()


def test_a_claim_is_about_its_conditions_only():
    long = make_long({"l1": 0.0}, spread=0.0)
    exact = (long["noise"] == 0) & (long["share_kept"] == 1) & (long["method"] == "l1")
    changed = long.assign(value=long["value"].where(~exact, long["value"] * 100))
    claim = get_claim("weight_sparsity_forecasting")
    rows = evaluate_claim(claim, long, repeats=50)
    pd.testing.assert_frame_equal(evaluate_claim(claim, changed, repeats=50), rows)
    assert not rows["scope"].str.startswith("noise 0,").any()


def test_what_was_not_measured_says_so():
    rows = evaluate_claim(get_claim("feature_sparsity_dynamics"), make_long({"l1": 0.0}))
    assert rows["verdict"].tolist() == ["not measured"]
    assert answer_of(rows) == "not measured"


def test_kinds_in_which_a_claim_holds_are_named():
    helped = make_long({"l1": -1.0}, spread=0.05, kinds=("hill",), networks=3)
    hurt = make_long({"l1": 1.0}, spread=0.05, kinds=("linear", "kuramoto"), networks=3, seed=1)
    rows = evaluate_claim(get_claim("weight_sparsity_forecasting"), pd.concat([helped, hurt]), repeats=100)
    answer = answer_of(rows[rows["choice"] == VALIDATION])
    assert answer.startswith("undecided over all systems (3 × undecided); hints (few networks, no test): l1, held-out")
    assert "holds where" not in answer
    assert "linear" not in answer


def test_a_claim_fails_only_where_nothing_is_undecided():
    def answer(*verdicts: str) -> str:
        rows = [{"method": "l1", "distance": 0, "scopes": "all", "scope": "all", "verdict": each} for each in verdicts]
        return answer_of(pd.DataFrame(rows))

    assert answer("undecided", "no difference", "no difference").startswith("undecided over all systems (2 × no diff")
    assert answer("no difference", "the opposite holds").startswith("does not hold over all systems")
    assert answer("holds", "holds") == "holds"


def test_nothing_is_tested_at_the_strength_that_the_truth_chose():
    # Of four strengths that do nothing the best by the truth helps: it is no effect.
    long = make_long({"l1": -1.0, "pathreg": -1.0}, {"pathreg": 0.2}, spread=0.02, kinds=("hill", "linear"), networks=4)
    for name in ("weight_sparsity_forecasting", "feature_sparsity_dynamics", "sparsity_out_of_distribution"):
        rows = evaluate_claim(get_claim(name), long, repeats=50).set_index("choice")
        assert set(rows.loc["truth", "verdict"]) == {"at best"}
        assert rows.loc["truth", ["p", "p_corrected"]].isna().to_numpy().all()
        assert (rows.loc["validation", "verdict"] == "holds").any()
    claim = get_claim("weight_sparsity_interventions")
    assert judge(claim, effect(-0.05, 0.05), is_best=True) == "holds"
    assert judge(claim, effect(-0.5, -0.3), is_best=True) == "at best"
    assert judge(get_claim("feature_sparsity_dynamics"), effect(0.1, 0.2), is_best=True) == "at best"


def test_the_answer_has_a_row_for_each_claim_and_says_the_numbers(tmp_path):
    names = ["weight_sparsity_interventions", "feature_sparsity_dynamics", "gain_with_structure"]
    long = make_long(
        {"l1": np.log(0.5), "grouplasso": 0.0}, {"grouplasso": 0.2}, spread=0.01, kinds=("hill", "linear"), conditions=1
    )
    write_long(long, tmp_path / "long.csv.gz")
    for name in names:
        answer_claim(name, tmp_path / "long.csv.gz", tmp_path / f"{name}.csv", repeats=100)
    paths = [tmp_path / f"{name}.csv" for name in names]
    answer_study(paths, tmp_path / "answer.csv", tmp_path / "answer.md")
    rows, page = pd.read_csv(tmp_path / "answer.csv"), (tmp_path / "answer.md").read_text()
    assert list(dict.fromkeys(rows["claim"])) == names
    assert page.count("\n## ") == page.count("| the paper |") + page.count("| our own |") == len(names)
    assert f"| {CLAIMS['feature_sparsity_dynamics'].text} | the paper | holds | at best: " in page
    number = rows.loc[(rows["method"] == "l1") & (rows["distance"] == 5) & (rows["scope"] == "all"), "estimate"].iloc[0]
    assert f"| l1 | held variable | {np.exp(number):.3g} |" in page
    assert number == pytest.approx(np.log(0.5), abs=0.02)


def test_unknown_claims_are_refused():
    with pytest.raises(UserError, match=r"the study has no claim 'gain'; the nearest: .*gain_with_structure"):
        get_claim("gain")
