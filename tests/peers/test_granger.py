import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS
from statsmodels.tsa.api import VAR

from sparsenode.errors import UserError
from sparsenode.peers.derivatives import Samples
from sparsenode.peers.granger import Granger

LINKS = np.array([[0.5, 0.4, 0.0], [0.0, 0.5, -0.4], [0.0, 0.0, 0.5]])


def series_of(count, seed, links=LINKS):
    """A series (step, variable) whose values are those before times the links (source, target), and noise."""
    generator = np.random.default_rng(seed)
    values = [generator.normal(size=3)]
    for _ in range(count - 1):
        values.append(values[-1] @ links + generator.normal(size=3))
    return np.array(values)


def samples_of(*series, velocities=None):
    values = np.concatenate(series)
    stretch = np.repeat(np.arange(len(series)), [len(entry) for entry in series])
    return Samples(values, values, velocities, values, stretch)


@pytest.mark.parametrize("lags", [1, 2])
def test_statistics_are_those_of_a_vector_autoregression_by_statsmodels(lags):
    values = series_of(120, 0)
    scores, _ = Granger(lags=lags).infer(samples_of(values))
    fit = VAR(values).fit(lags)
    for source in range(3):
        for target in range(3):
            if source != target:
                statistic = fit.test_causality(target, source, kind="f").test_statistic
                np.testing.assert_allclose(np.expm1(scores[source, target]), statistic, rtol=1e-9)


def test_trajectories_are_below_each_other_and_not_joined():
    series = [series_of(25, seed) for seed in range(4)]
    scores, signs = Granger(lags=1).infer(samples_of(*series))
    now, before = (np.concatenate([entry[rows] for entry in series]) for rows in (slice(1, None), slice(-1)))
    design = np.column_stack([np.ones(len(now)), before])
    for target in range(3):
        whole = OLS(now[:, target], design).fit()
        for source in range(3):
            without = OLS(now[:, target], np.delete(design, source + 1, axis=1)).fit()
            statistic, _, _ = whole.compare_f_test(without)
            np.testing.assert_allclose(np.expm1(scores[source, target]), statistic, rtol=1e-7)
            assert signs[source, target] == np.sign(whole.params[source + 1])
    np.testing.assert_allclose(Granger(lags=1).infer(samples_of(*series[::-1]))[0], scores)


def test_links_and_self_effects_score_above_all_others():
    for number_of_series in (1, 5):
        series = [series_of(300 // number_of_series, seed) for seed in range(number_of_series)]
        scores, signs = Granger().infer(samples_of(*series))
        assert scores[LINKS != 0].min() > 2 * scores[LINKS == 0].max()
        np.testing.assert_array_equal(signs[LINKS != 0], np.sign(LINKS[LINKS != 0]))


def test_at_second_order_two_steps_are_looked_back():
    times = np.arange(60) * 0.3
    generator = np.random.default_rng(0)
    values = np.column_stack([np.sin(times), generator.normal(size=60), np.cos(2 * times)])
    values += 1e-3 * generator.normal(size=values.shape)
    scores, _ = Granger().infer(samples_of(values, velocities=values))
    chosen = [Granger(lags=lags).infer(samples_of(values))[0] for lags in (2, 3, 4, 5)]
    assert any(np.array_equal(scores, entry) for entry in chosen)
    # The own position two steps before tells a swing: with one step it says less.
    assert scores[0, 0] > Granger(lags=1).infer(samples_of(values))[0][0, 0] + 2


def test_a_constant_has_no_score_and_changes_no_other():
    values = series_of(80, 0)
    constant = values.copy()
    constant[:, 1] = 4.0
    scores, signs = Granger().infer(samples_of(constant))
    assert not scores[1].any()
    assert not scores[:, 1].any()
    assert not signs[1].any()
    pair = Granger().infer(samples_of(values[:, [0, 2]]))[0]
    np.testing.assert_allclose(scores[np.ix_([0, 2], [0, 2])], pair)
    assert not Granger().infer(samples_of(np.ones((20, 3))))[0].any()


def test_too_few_observations_are_refused():
    with pytest.raises(UserError, match=r"^granger regresses on 9 values at 3 lags and has 9 observations with all"):
        Granger(lags=3).infer(samples_of(series_of(12, 0)))
