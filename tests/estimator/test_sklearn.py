"""The checks of scikit-learn for estimators; those that cannot hold for trajectories are listed with the reason."""

from __future__ import annotations

from typing import Any, Self

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sparsenode.estimator.model import SparseNODE

_ERRORS = "what is wrong is told by the package's own UserError, which is no ValueError"
CANNOT_HOLD = {
    "check_n_features_in_after_fitting": _ERRORS,
    "check_complex_data": _ERRORS,
    "check_dtype_object": _ERRORS,
    "check_estimators_empty_data_messages": _ERRORS,
    "check_estimators_nan_inf": _ERRORS,
    "check_fit1d": _ERRORS,
    "check_fit2d_1sample": "a trajectory of one observation has no rate of change; " + _ERRORS,
}


class AtUnitSteps(SparseNODE):
    """The estimator without times: the checks give labels in their place, which are in no order."""

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]  # noqa: ARG002, N803
        return super().fit(X)

    def score(self, X: Any = None, y: Any = None) -> float:  # type: ignore[override]  # noqa: ARG002, N803
        return super().score(X)


QUICK = {"hidden": (2,), "iterations": 1, "seeds": 1, "windows": None, "bootstrap": None, "time_scale": 1.0}


@pytest.mark.slow(reason="fits models")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [AtUnitSteps(regularizer="none", verbose=0, **QUICK)],
    expected_failed_checks=lambda _: CANNOT_HOLD,
    xfail_strict=True,
)
def test_checks_of_scikit_learn(estimator: SparseNODE, check: Any) -> None:
    check(estimator)
