"""Training with standardized states is training on standardized data, whatever is read off the members."""

import anndata
import numpy as np
import pytest

from sparsenode.ensemble.members import Ensemble
from sparsenode.methods import get_method
from sparsenode.settings import MethodSettings, ModelSettings, RefitSettings, SolverSettings, WindowSettings
from sparsenode.training.loop import train
from sparsenode.training.problems import make_problems, training_standards

CENTER, SPREAD = np.array([10.0, -0.2]), np.array([3.0, 0.05])
TIMES = np.linspace(0.0, 3.0, 7)


def moved(data: anndata.AnnData, center: np.ndarray, spread: np.ndarray) -> anndata.AnnData:
    """The same data in other units, each variable's error weighed as before."""
    changed = data.copy()
    changed.X = np.asarray(data.X, float) * spread + center
    facts = changed.uns["sparsenode"]
    facts["initial_states"] = facts["initial_states"] * spread + center
    changed.var["weight"] = 1.0 / spread**2
    return changed


def standard(rotation: anndata.AnnData) -> anndata.AnnData:
    mean, deviation = np.asarray(rotation.X, float).mean(0), np.asarray(rotation.X, float).std(0)
    return moved(moved(rotation, -mean, np.ones(2)), np.zeros(2), 1.0 / deviation)


def test_standards_are_the_mean_and_deviation_of_training_observations(rotation: anndata.AnnData) -> None:
    data = rotation.copy()
    data.obs["split"] = ["train"] * 26 + ["validation"] * 13
    data.X = np.asarray(data.X, float)
    data.X[:, 1] = 0.1  # whose deviation is not zero, by rounding
    found = training_standards(data)
    np.testing.assert_allclose(found[:, 0], [data.X[:26, 0].mean(), data.X[:26, 0].std()])
    np.testing.assert_allclose(found[:, 1], [0.1, 1.0])


@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize("refit", [None, RefitSettings(iterations=5)])
@pytest.mark.parametrize(
    ("method", "network"), [("l0", "joint"), ("grouplasso", "per_target"), ("lassonet", "per_target")]
)
def test_members_are_those_of_standardized_data(
    rotation: anndata.AnnData, method: str, network: str, refit: RefitSettings | None
) -> None:
    settings = ModelSettings(
        network=network,
        hidden=(4,),
        activation="tanh",
        iterations=15,
        refit=refit,
        solver=SolverSettings(step=0.5),
        windows=WindowSettings(length=4, stride=2, batch=3),
        whole_share=0.5,
    )
    options = get_method(method)().model_dump()
    inner, outer = standard(rotation), moved(standard(rotation), CENTER, SPREAD)
    inner.var["weight"] = 1.0
    found = []
    for data, standardize in ((inner, False), (outer, True)):
        own = settings.changed(standardize=standardize)
        problems = make_problems(data, own)
        result = train(problems, 2, own, MethodSettings(regularizer=method, strengths=(0.1,), options=options), [0])
        model = {"network": network, "hidden": [4], "activation": "tanh", "standardize": standardize}
        frozen = {"model_settings": model, "method_settings": {"regularizer": method}}
        ensemble = Ensemble(frozen, result.members, ("x", "y"), {}, result.parameters)
        center, spread = (CENTER, SPREAD) if standardize else (np.zeros(2), np.ones(2))
        start = np.asarray(data.X, float)[:1]
        units = spread[:, None] / spread
        found.append(
            [
                (ensemble.forecast(start, [TIMES])[0] - center) / spread,
                (ensemble.forecast(start, [TIMES], clamp={"x": float(start[0, 0])})[0] - center) / spread,
                ensemble.mean_jacobian(np.asarray(data.X, float)) * units,
                ensemble.path_matrix() * units,
                ensemble.untrained().path_matrix() * units,
                np.array([row["loss"] for row in result.history]),
            ]
        )
    for plain, folded in zip(*found, strict=True):
        np.testing.assert_allclose(folded, plain, rtol=1e-4, atol=1e-5)
