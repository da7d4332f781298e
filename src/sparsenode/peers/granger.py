"""Granger causality by statsmodels: what the past of a source adds to what all other pasts say of a target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sparsenode.errors import UserError
from sparsenode.peers import Peer
from sparsenode.peers.series import Irregular, Lags

if TYPE_CHECKING:
    from sparsenode.peers.derivatives import Samples


class Granger(Peer):
    """F tests of a vector autoregression (Granger 1969), by statsmodels."""

    summary: ClassVar[str] = "Granger causality: F tests of a vector autoregression (statsmodels)"

    lags: Lags = None
    irregular: Irregular = "interpolate"

    @property
    def has_self_effects(self) -> bool:
        """The own past is tested as any other."""
        return True

    def infer(self, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
        """Logarithm of 1 + F of all lags of a source together, and the sign of the sum of its coefficients.

        Both (source, target), from the observed values: each target is regressed on all lags of all variables, the
        trajectories below each other without being joined. A linear map of any variable changes nothing. Without noise
        what is left unexplained is rounding, and so is then the order of sources with large F. A constant has no score.

        Raises:
            UserError: there are not more rows than coefficients, or the times are refused.
        """
        from statsmodels.regression.linear_model import OLS

        from sparsenode.peers.derivatives import deviation, standardize
        from sparsenode.peers.series import choose_lags, equal_steps, lag_values, nearly_collinear

        scores, signs = np.zeros((2, samples.observed.shape[1], samples.observed.shape[1]))
        moves = np.flatnonzero(np.isfinite(deviation(samples.observed)))
        if not len(moves):
            return scores, signs
        series = [values[:, moves] for values in equal_steps(samples, self.irregular, self.name)]
        lags = self.lags or choose_lags(series, order=len(samples.inputs))
        rows = lag_values(series, lags)
        count, coefficients = len(rows.values), lags * len(moves) + 1
        if count <= coefficients:
            raise UserError(
                f"{self.name} regresses on {coefficients - 1} values at {lags} lags and has {count} observations with "
                "all of them; set its option `lags` to fewer, or take it from `run.peers`"
            )
        values = standardize(rows.values)
        design = np.column_stack([np.ones(count), standardize(rows.lagged.reshape(count, -1))])
        contrasts = np.eye(coefficients)[1:].reshape(lags, len(moves), coefficients)
        with nearly_collinear():
            for target in np.flatnonzero(values.any(0)):
                fit = OLS(values[:, target], design).fit()
                for source in range(len(moves)):
                    contrast = contrasts[:, source]
                    statistic = float(fit.f_test(contrast).fvalue)
                    pair = moves[source], moves[target]
                    scores[pair] = np.log1p(max(np.nan_to_num(statistic), 0.0))
                    signs[pair] = np.sign((contrast @ fit.params).sum())
        return scores, np.where(scores > 0, signs, 0.0)
