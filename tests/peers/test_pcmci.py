import numpy as np
import pytest
from scipy.stats import pearsonr

from sparsenode.errors import UserError
from sparsenode.peers.derivatives import Samples
from sparsenode.peers.pcmci import Pcmci, score_links

LINKS = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, -0.5], [0.0, 0.0, 0.5]])


def series_of(count, seed):
    """A series (step, variable) whose values are those before times the links (source, target), and noise."""
    generator = np.random.default_rng(seed)
    values = [generator.normal(size=3)]
    for _ in range(count - 1):
        values.append(values[-1] @ LINKS + generator.normal(size=3))
    return np.array(values)


def samples_of(*series, times=None):
    values = np.concatenate(series)
    stretch = np.repeat(np.arange(len(series)), [len(entry) for entry in series])
    return Samples(values, values, None, values, stretch, times)


@pytest.mark.parametrize("options", [{}, {"test": "robust_parcorr"}, {"alpha": None}])
def test_links_and_links_from_the_own_past_score_above_all_others(options, capfd):
    scores, signs = Pcmci(**options).infer(samples_of(series_of(300, 0)))
    assert scores[LINKS != 0].min() > 4 > scores[LINKS == 0].max()
    np.testing.assert_array_equal(signs[LINKS != 0], np.sign(LINKS[LINKS != 0]))
    assert capfd.readouterr() == ("", "")


def test_trajectories_are_several_datasets_which_are_not_joined():
    series = [series_of(60, seed) for seed in range(5)]
    scores, _ = Pcmci(lags=1).infer(samples_of(*series))
    assert scores[LINKS != 0].min() > 4 > scores[LINKS == 0].max()
    np.testing.assert_allclose(Pcmci(lags=1).infer(samples_of(*series[::-1]))[0], scores)
    alone, _ = Pcmci(lags=1).infer(samples_of(series[0]))
    assert (scores > alone)[LINKS != 0].all()


def test_the_p_value_of_two_independent_series_is_that_of_their_correlation():
    values = np.random.default_rng(3).normal(size=(200, 1))
    scores, _ = Pcmci(lags=1, alpha=0.001).infer(samples_of(values))
    # Two steps are passed over at the beginning, twice the lag.
    expected = pearsonr(values[1:-1, 0], values[2:, 0]).pvalue
    np.testing.assert_allclose(scores, -np.log10(expected), rtol=1e-9)


def test_a_gap_is_no_observation_whatever_is_around_it():
    values = series_of(200, 0)
    present = np.delete(np.arange(200), [50, 51, 120])
    scores, _ = Pcmci(lags=1).infer(samples_of(values[present], times=present / 10))
    assert scores[LINKS != 0].min() > 4 > scores[LINKS == 0].max()
    joined, _ = Pcmci(lags=1).infer(samples_of(values[present]))
    assert np.abs(scores - joined).max() > 0.01
    # The same in other units, which decide what stands for a missing value.
    other, _ = Pcmci(lags=1).infer(samples_of(values[present] * 1e-4, times=present / 10))
    np.testing.assert_allclose(other, scores, rtol=1e-6)


def test_a_constant_has_no_score():
    values = series_of(100, 0)
    values[:, 1] = 2.0
    scores, _ = Pcmci().infer(samples_of(values))
    assert not scores[1].any()
    assert not scores[:, 1].any()
    assert scores[0, 0] > 3
    assert not Pcmci().infer(samples_of(np.ones((40, 2))))[0].any()


def test_smooth_series_without_noise_are_no_error():
    times = np.linspace(0, 20, 200)
    scores, _ = Pcmci().infer(samples_of(np.column_stack([np.sin(times), np.cos(times), np.sin(2 * times)])))
    assert np.isfinite(scores).all()


def test_series_that_are_too_short_are_refused():
    with pytest.raises(UserError, match=r"^pcmci looks back 6 steps .*, and 8 observations of 2 trajectories have so"):
        Pcmci(lags=3).infer(samples_of(series_of(10, 0), series_of(10, 1)))


def test_scores_are_p_values_and_directions_of_simultaneous_links():
    graph = np.full((3, 3, 2), "", dtype="<U3")
    p_values, correlations = np.ones((2, 3, 3, 2))
    for source, target, kind in ((0, 1, "-->"), (1, 0, "<--"), (1, 2, "o-o"), (2, 1, "o-o")):
        graph[source, target, 0] = kind
    p_values[[0, 1], [1, 0], 0] = 1e-8
    p_values[[1, 2], [2, 1], 0] = 1e-6
    p_values[0, 2, 1], correlations[0, 2, 1] = 1e-4, -0.3
    p_values[2, 1, 1], correlations[2, 1, 1] = 1e-7, -0.5
    scores, signs = score_links(graph, p_values, correlations)
    np.testing.assert_allclose(scores, [[0, 8, 4], [0, 0, 6], [0, 7, 0]], atol=1e-12)
    np.testing.assert_array_equal(signs, [[0, 1, -1], [0, 0, 1], [0, -1, 0]])


def test_p_values_that_are_0_rank_by_correlation():
    p_values = np.array([[[1.0, 0.0], [1.0, 0.0]], [[1.0, np.nan], [1.0, np.nan]]])
    correlations = np.array([[[0.0, 0.8], [0.0, -0.9]], [[0.0, 1.0], [0.0, 0.0]]])
    scores, signs = score_links(np.full((2, 2, 2), ""), p_values, correlations)
    np.testing.assert_allclose(scores, [[300.8, 300.9], [301.0, 0.0]])
    np.testing.assert_array_equal(signs, [[1, -1], [1, 0]])
