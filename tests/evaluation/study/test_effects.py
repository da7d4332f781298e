"""Paired effects of the study, their intervals and tests."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, wilcoxon

from sparsenode.evaluation.study.effects import (
    bootstrap_interval,
    correct,
    fit_mixed_model,
    mean_by_system,
    measure_association,
    measure_effect,
    paired_values,
    rank_test,
)
from study_tables import make_long


def values_by_seed(spreads: tuple[float, float, float], kinds: int = 4, networks: int = 3, seeds: int = 2) -> pd.Series:
    """Random effects of kinds, networks and seeds around .5."""
    generator = np.random.default_rng(1)
    values = {}
    for kind in range(kinds):
        of_kind = 0.5 + spreads[0] * generator.standard_normal()
        for network in range(networks):
            of_network = of_kind + spreads[1] * generator.standard_normal()
            for seed in range(seeds):
                values[f"k{kind}", f"n{network}", seed] = of_network + spreads[2] * generator.standard_normal()
    return pd.Series(values).rename_axis(["kind", "network", "seed"])


def test_pairs_are_of_the_same_data_architecture_seed_and_choice():
    long = make_long({"l1": np.log(0.5), "pathreg": 0.0}, spread=0.0)
    paired = paired_values(long, "mse_cut", "ratio")
    np.testing.assert_allclose(paired.loc[paired["method"] == "l1", "effect"], np.log(0.5))
    np.testing.assert_allclose(paired.loc[paired["method"] == "pathreg", "effect"], 0.0, atol=1e-12)
    assert set(paired["method"]) == {"l1", "pathreg"}
    other = long.assign(model="other")
    both = pd.concat([long, other.assign(value=other["value"] * 7)])
    np.testing.assert_allclose(paired_values(both, "mse_cut", "ratio")["effect"].abs().max(), np.log(2))


def test_a_member_without_its_unregularized_one_has_no_pair():
    long = make_long({"l1": 0.1})
    kept = long[~((long["method"] == "none") & (long["seed"] == 1))]
    assert set(paired_values(kept, "mse_cut", "ratio")["seed"]) == {0}


def test_an_effect_is_the_mean_over_kinds_of_that_over_networks_of_that_over_seeds():
    seeds = pd.DataFrame(
        [("a", "1", 0, 1.0), ("a", "1", 1, 3.0), ("a", "2", 0, 8.0), ("b", "1", 0, 1.0)],
        columns=["kind", "network", "seed", "effect"],
    )
    effect = measure_effect(seeds, repeats=50, has_model=False)
    assert effect.estimate == (((1 + 3) / 2 + 8) / 2 + 1) / 2
    assert (effect.systems, effect.pairs) == (3, 4)


def test_the_bootstrap_is_that_of_loops():
    seeds = values_by_seed((0.5, 0.3, 0.2))
    seeds = seeds.drop(("k0", "n2", 1)).drop([("k1", "n0", 0), ("k1", "n0", 1)])  # ragged
    lower, upper = bootstrap_interval(seeds, repeats=4000)
    generator = np.random.default_rng(5)
    nested = {
        kind: [network.to_numpy() for _, network in rows.groupby("network")] for kind, rows in seeds.groupby("kind")
    }
    names, samples = list(nested), []
    for _ in range(1500):
        means = []
        for kind in generator.choice(names, len(names)):
            networks = nested[kind]
            drawn = [networks[number] for number in generator.integers(len(networks), size=len(networks))]
            means.append(
                np.mean([network[generator.integers(len(network), size=len(network))].mean() for network in drawn])
            )
        samples.append(np.mean(means))
    np.testing.assert_allclose([lower, upper], np.percentile(samples, [2.5, 97.5]), atol=0.04)


def test_systems_that_differ_widen_the_interval_and_seeds_do_not_narrow_it():
    narrow = np.ptp(bootstrap_interval(values_by_seed((0.0, 0.0, 0.2), seeds=8)))
    wide = np.ptp(bootstrap_interval(values_by_seed((0.0, 0.6, 0.2), seeds=8)))
    assert wide > 3 * narrow


def test_one_system_has_no_interval():
    assert np.isnan(bootstrap_interval(values_by_seed((0, 0, 1), kinds=1, networks=1))).all()


def test_the_mixed_model_finds_the_mean_of_balanced_systems():
    seeds = values_by_seed((0.5, 0.5, 0.1), kinds=8, networks=4)
    estimate, lower, upper = fit_mixed_model(seeds)
    assert estimate == pytest.approx(seeds.mean(), abs=1e-4)
    # The interval of the mean over kinds, whose variance holds those of networks and seeds.
    of_kinds = seeds.groupby("kind").mean()
    assert upper - lower == pytest.approx(2 * 1.96 * of_kinds.std() / np.sqrt(8), rel=0.02)
    assert np.isnan(fit_mixed_model(values_by_seed((1, 1, 1), kinds=2))).all()


def test_the_rank_test_takes_systems_and_six_of_them():
    values = np.array([0.3, 0.1, -0.2, 0.5, 0.4, 0.6, 0.7])
    assert rank_test(values) == wilcoxon(values).pvalue
    assert np.isnan(rank_test(values[:5]))
    assert rank_test(np.zeros(7)) == 1.0


def test_tests_are_corrected_by_holm_over_those_that_there_are():
    np.testing.assert_allclose(correct([0.01, float("nan"), 0.04, 0.03]), [0.03, np.nan, 0.06, 0.06])
    assert np.isnan(correct([float("nan")])).all()


def by_system(values: np.ndarray, kinds: int) -> pd.Series:
    names = [[f"k{kind}" for kind in range(kinds)], [str(number) for number in range(len(values) // kinds)]]
    return pd.Series(values, index=pd.MultiIndex.from_product(names, names=["kind", "network"]))


def test_an_association_is_over_the_systems_of_each_kind():
    first = by_system(np.arange(8.0), 2)
    perfect = measure_association(first, np.exp(first)[::-1], pairs=32, repeats=500)
    assert perfect.estimate == pytest.approx(1.0)
    assert perfect.p == pytest.approx(2 / 576, abs=0.006)  # permutations of 4 within two kinds
    assert perfect.lower == pytest.approx(1.0)
    assert (perfect.systems, perfect.pairs) == (8, 32)
    assert np.isnan(measure_association(first[:4], first[:4], pairs=4).estimate)
    generator = np.random.default_rng(0)
    noise = measure_association(first, by_system(generator.permutation(8), 2), pairs=8, repeats=200)
    assert noise.lower < noise.estimate < noise.upper


def test_kinds_that_differ_in_both_quantities_have_no_association():
    generator = np.random.default_rng(3)
    kinds = np.repeat([0.0, 100.0, 200.0, 300.0], 10)
    first, second = (by_system(kinds + generator.standard_normal(40), 4) for _ in range(2))
    effect = measure_association(first, second, pairs=40, repeats=200)
    assert abs(effect.estimate) < 0.3
    assert effect.p > 0.05
    assert np.corrcoef(first, second)[0, 1] > 0.99


def test_an_association_of_one_kind_is_that_of_spearman():
    values = np.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.6, 5.0, 3.5])
    first, second = by_system(values, 1), by_system(values[::-1] + values**2 / 9, 1)
    expected = spearmanr(first, second).statistic
    assert measure_association(first, second, pairs=8, repeats=50).estimate == pytest.approx(expected)


def test_the_value_of_a_system_is_the_mean_over_seeds_of_the_mean_over_conditions():
    seeds = pd.DataFrame(
        [("a", "1", 0, 1.0), ("a", "1", 0, 3.0), ("a", "1", 1, 8.0)], columns=["kind", "network", "seed", "effect"]
    )
    assert mean_by_system(seeds).to_dict() == {("a", "1"): 5.0}
