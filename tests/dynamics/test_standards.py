"""Networks that see standardized states are those of the states themselves with other weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sparsenode.dynamics import mlp, network
from sparsenode.ensemble.model import initialize, make_field
from sparsenode.errors import UserError
from sparsenode.settings import ModelSettings

STANDARDS = np.array([[0.5, -2.0, 30.0, 0.0], [0.1, 4.0, 7.0, 1.0]])


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("hidden", [(), (3,), (3, 2)])
@pytest.mark.parametrize("kind", ["joint", "per_target"])
def test_rates_are_those_of_standardized_states(kind: str, hidden: tuple[int, ...], skip: bool) -> None:
    settings = ModelSettings(network=kind, hidden=hidden, activation="tanh", standardize=True)
    skip = skip and kind == "per_target"
    standardized = initialize(settings, 4, [0, 1], gated=False, skip=skip, standards=STANDARDS)
    standardized = standardized.map(lambda tensor: tensor.double())
    plain = replace(standardized, standards=())
    states = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 10.0
    center, spread = torch.as_tensor(STANDARDS).float().double()
    found = mlp.apply(network.effective_layers(standardized, (), "tanh"), states)
    inner = mlp.apply(network.effective_layers(plain, (), "tanh"), (states - center) / spread)
    torch.testing.assert_close(found, inner * spread)
    paths = network.path_matrix(plain) / spread.view(-1, 1) * spread
    torch.testing.assert_close(network.path_matrix(standardized), paths)


def test_gradients_of_weights_pass_through_the_standards() -> None:
    settings = ModelSettings(network="per_target", hidden=(2,), activation="tanh", standardize=True)
    parameters = initialize(settings, 4, [0], gated=False, skip=True, standards=STANDARDS)
    parameters = parameters.map(lambda tensor: tensor.double())
    states = torch.randn(1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def outputs(first: torch.Tensor, bias: torch.Tensor, straight: torch.Tensor) -> torch.Tensor:
        changed = replace(
            parameters,
            weights=(first, parameters.weights[1]),
            biases=(bias, parameters.biases[1]),
            skip=(straight,),
        )
        return mlp.apply(network.effective_layers(changed, (), "tanh"), states)

    changed = (parameters.weights[0], parameters.biases[0], parameters.skip[0])
    assert torch.autograd.gradcheck(outputs, tuple(one.clone().requires_grad_() for one in changed))


def test_standards_are_refused_where_they_mean_nothing() -> None:
    for settings in (
        ModelSettings(order=2, standardize=True),
        ModelSettings(network="biological", hidden=(3,), standardize=True),
    ):
        with pytest.raises(UserError, match="standardize needs order 1"):
            make_field(settings, 4)
