from sparsenode.methods import get_method


def test_none_adds_nothing_to_plain_training() -> None:
    method = get_method("none")
    assert not method.gated
    assert not method.has_strength
    assert (method.penalty, method.proximal, method.size) == (None, None, None)
    assert method.options == {}
