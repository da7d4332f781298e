from sparsenode.methods import EdgeProximal, Penalty, Pruner, WeightProximal, get_method


def test_none_adds_nothing_to_plain_training() -> None:
    method = get_method("none")
    assert not method.gated
    assert method.strength is None
    assert not issubclass(method, Penalty | WeightProximal | EdgeProximal | Pruner)
    assert method.model_fields == {}
