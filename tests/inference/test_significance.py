"""p-values and q-values beside brute force and simulation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sparsenode.inference.significance import (
    combine_splits,
    corrected_t_test,
    misfit_margin,
    misfit_share,
    q_values,
)


def rejected(p_values, rate, factor=1.0):
    """What Benjamini and Hochberg reject, by their definition: all up to the last below its line."""
    order = np.argsort(p_values)
    lines = rate * np.arange(1, len(p_values) + 1) / len(p_values) / factor
    below = np.flatnonzero(p_values[order] <= lines)
    chosen = np.zeros(len(p_values), dtype=bool)
    chosen[order[: below[-1] + 1 if len(below) else 0]] = True
    return chosen


@pytest.mark.parametrize("dependent", [False, True])
def test_q_values_reject_what_the_step_up_rule_rejects(dependent):
    generator = np.random.default_rng(0)
    p_values = generator.random(40) ** 3
    factor = (1 / np.arange(1, 41)).sum() if dependent else 1.0
    q = q_values(p_values, dependent=dependent)
    for rate in (0.01, 0.05, 0.1, 0.2, 0.5):
        np.testing.assert_array_equal(q <= rate, rejected(p_values, rate, factor))


def test_hypotheses_that_were_not_looked_at_count_as_one_and_those_that_are_none_do_not_count():
    p_values = np.array([0.001, 0.02, np.nan, 0.5])
    q = q_values(p_values)
    np.testing.assert_allclose(q[[0, 1, 3]], q_values(p_values[[0, 1, 3]]))
    assert np.isnan(q[2])
    assert q_values(np.array([0.001, 0.02, 1.0, 0.5]))[0] == pytest.approx(0.004)


def test_the_test_is_the_t_test_with_a_larger_error():
    generator = np.random.default_rng(1)
    differences = generator.normal(0.3, 1.0, (6, 20))
    fold = np.arange(20) % 5
    mean, lower, upper, p = corrected_t_test(differences, fold, np.zeros(6), coverage=0.9)
    plain = stats.ttest_1samp(differences, 0.0, axis=1, alternative="greater")
    np.testing.assert_allclose(p, stats.t.sf(plain.statistic / np.sqrt(1 + 5 / 4), 19))
    np.testing.assert_allclose((lower + upper) / 2, mean)
    assert ((p < 0.05) == (lower > 0)).all()


def test_the_correction_holds_its_level_when_training_sets_are_shared():
    """Blocks of a fold share half of their variance, as models trained on one set do."""
    generator = np.random.default_rng(2)
    fold = np.arange(20) % 5
    shared = generator.normal(size=(4000, 5))[:, fold] * 0.5
    differences = shared + generator.normal(size=(4000, 20))
    p = corrected_t_test(differences, fold, np.zeros(4000), coverage=0.9)[3]
    assert (p < 0.05).mean() < 0.06
    plain = stats.ttest_1samp(differences, 0.0, axis=1, alternative="greater").pvalue
    assert (plain < 0.05).mean() > 0.08


def test_blocks_without_any_difference_are_no_evidence():
    p = corrected_t_test(np.array([np.zeros(12), np.ones(12)]), np.arange(12) % 3, np.zeros(2), coverage=0.9)[3]
    assert p.tolist() == [1.0, 0.0]


def test_splits_are_combined_by_a_rule_that_holds_whatever_their_dependence():
    generator = np.random.default_rng(3)
    for share in (0.0, 0.5, 1.0):
        common = generator.normal(size=(1, 20_000))
        scores = np.sqrt(share) * common + np.sqrt(1 - share) * generator.normal(size=(7, 20_000))
        assert (combine_splits(stats.norm.sf(scores)) < 0.05).mean() < 0.054
    assert combine_splits(np.array([[0.03, 0.8]])).tolist() == [0.03, 0.8]
    assert combine_splits(np.array([[0.01], [0.02], [0.9]])).tolist() == [0.04]


def windows_with(residual):
    """Residuals (window, time) of fitted starts whose effect stays the same: each window less its mean."""
    return residual - residual.mean(1, keepdims=True), np.ones_like(residual), np.ones_like(residual)


def test_white_residuals_are_no_misfit_although_starts_were_fitted():
    generator = np.random.default_rng(4)
    deviations = [misfit_share(*windows_with(generator.normal(size=(60, 6))))[1] for _ in range(300)]
    assert abs(np.mean(deviations)) < 0.15
    assert np.std(deviations) < 1.1
    assert np.mean(np.array(deviations) > 3) < 0.01


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_share_of_a_smooth_misfit_is_measured(share):
    generator = np.random.default_rng(5)
    time = np.arange(24)
    smooth = np.sin(2 * np.pi * time / 12 + generator.uniform(0, 2 * np.pi, (300, 1))) * np.sqrt(2 * share)
    residual = smooth + generator.normal(size=smooth.shape) * np.sqrt(1 - share)
    measured, deviations = misfit_share(*windows_with(residual))
    assert measured == pytest.approx(share, abs=0.1)
    assert deviations > 3


def test_the_margin_grows_with_the_misfit_and_is_zero_for_noise():
    margins = [misfit_margin(share, 5.0) for share in (0.0, 0.1, 0.5, 1.0)]
    assert all(low < high for low, high in itertools.pairwise(margins))
    assert misfit_margin(0.5, 2.0) == 0.0
