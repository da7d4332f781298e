"""PCMCI+ (Runge 2020, UAI, proceedings.mlr.press/v124/runge20a.html) by its authors' package tigramite."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.errors import UserError
from sparsenode.peers import Peer
from sparsenode.peers.series import Irregular, Lags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparsenode.peers.derivatives import Samples

_LEAST_P = 1e-300
_FEWEST_ROWS = 10


class Pcmci(Peer):
    """PCMCI+: conditional independence of lagged and simultaneous values (tigramite)."""

    summary: ClassVar[str] = "PCMCI+: conditional independence of lagged and simultaneous values (tigramite)"

    test: Literal["parcorr", "robust_parcorr"] = Field(
        "parcorr",
        description="Test of independence: partial correlation, or partial correlation of values that are first "
        "brought to a normal distribution each.",
    )
    alpha: float | None = Field(
        0.01,
        gt=0,
        lt=1,
        description="Level at which links are dropped while conditions are chosen; null for the best of tigramite's "
        "own five by its criterion, which takes five times as long.",
    )
    lags: Lags = None
    irregular: Irregular = "interpolate"

    @property
    def has_self_effects(self) -> bool:
        """Links from the own past are tested as any other."""
        return True

    def infer(self, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
        """Minus the decimal logarithm of the least p-value over the lags, and the sign of the partial correlation.

        Both (source, target), from the observed values, trajectories as tigramite's several datasets. A simultaneous
        link counts for its direction; where that is not decided, or there is no link, for both, so that these two pairs
        tie if nothing lagged is stronger. Of p-values below 1e-300 the larger partial correlation ranks first. A
        constant, which is not passed on to tigramite, has no score.

        Raises:
            UserError: the series are too short for the lags, or the times are refused.
        """
        from sparsenode.peers.derivatives import deviation
        from sparsenode.peers.series import choose_lags, equal_steps

        series = equal_steps(samples, self.irregular, self.name)
        lags = self.lags or choose_lags(series, order=len(samples.inputs))
        # tigramite compares all lags on the same observations, which have twice as many steps before them.
        count = sum(max(len(values) - 2 * lags, 0) for values in series)
        if count < _FEWEST_ROWS:
            raise UserError(
                f"{self.name} looks back {2 * lags} steps (twice its option `lags`), and {count} observations of "
                f"{len(series)} trajectories have so many before them; it takes {_FEWEST_ROWS}: set fewer `lags`, or "
                "take it from `run.peers`"
            )
        scores, signs = np.zeros((2, samples.observed.shape[1], samples.observed.shape[1]))
        moves = np.flatnonzero(np.isfinite(deviation(samples.observed)))
        if len(moves):
            results = self._run([values[:, moves] for values in series], lags)
            scores[np.ix_(moves, moves)], signs[np.ix_(moves, moves)] = score_links(**results)
        return scores, signs

    def _run(self, series: Sequence[np.ndarray], lags: int) -> dict[str, np.ndarray]:
        from tigramite.data_processing import DataFrame
        from tigramite.independence_tests.parcorr import ParCorr
        from tigramite.independence_tests.robust_parcorr import RobustParCorr
        from tigramite.pcmci import PCMCI

        absent = 1e3 * max(np.nanmax(np.abs(values)) for values in series)
        data: dict[int, Any] = {
            number: np.where(np.isnan(values), absent, values) for number, values in enumerate(series)
        }
        tests = {"parcorr": ParCorr, "robust_parcorr": RobustParCorr}
        with warnings.catch_warnings():
            # A single trajectory is one dataset of several, which is as intended.
            warnings.filterwarnings("ignore", message="In analysis mode 'multiple'", category=UserWarning)
            # A partial correlation of 1, without noise: its p-value is 0, or is read as that below.
            warnings.filterwarnings(
                "ignore", message="(invalid value|divide by zero) encountered", category=RuntimeWarning
            )
            frame = DataFrame(data, analysis_mode="multiple", missing_flag=absent)
            results = PCMCI(frame, tests[self.test](), verbosity=0).run_pcmciplus(tau_max=lags, pc_alpha=self.alpha)
        return {"graph": results["graph"], "p_values": results["p_matrix"], "correlations": results["val_matrix"]}


def score_links(graph: np.ndarray, p_values: np.ndarray, correlations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and signs (source, target) of the links that tigramite gives, all (source, target, lag).

    Args:
        graph: kinds of links, such as `-->`, `<--`, `o-o` and, where there is none, empty.
        p_values: of each link, NaN where a partial correlation is 1 to rounding.
        correlations: partial correlations.
    """
    p_values = np.where(np.isnan(p_values), np.where(np.abs(correlations) > 0.5, 0.0, 1.0), p_values)
    scores = -np.log10(np.clip(p_values, _LEAST_P, 1.0))
    scores = np.where(p_values <= _LEAST_P, scores + np.abs(correlations), scores)
    scores[..., 0] = np.where(graph[..., 0] == "<--", 0.0, scores[..., 0])
    lag = scores.argmax(2)[..., None]
    signs = np.sign(np.take_along_axis(correlations, lag, 2)[..., 0])
    largest = np.take_along_axis(scores, lag, 2)[..., 0]
    return largest, np.where(largest > 0, signs, 0.0)
