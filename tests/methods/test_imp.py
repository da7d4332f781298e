import torch

from sparsenode.methods import get_method
from sparsenode.methods.imp import scores, weights_left
from sparsenode.pruning import SCHEDULE
from sparsenode.pruning import weights_left as left_by_schedule


def test_scores_are_the_sizes_of_the_weights() -> None:
    sizes = [torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0], [0.5]])]
    before = [torch.full_like(size, 9.0) for size in sizes]
    for strength in (0.0, 1.0):
        found = scores(sizes, before, None, strength, epochs=10)
        assert [one.tolist() for one in found] == [[[1.0, 2.0]], [[0.0], [0.5]]]


def test_a_strength_is_the_largest_share_that_is_pruned() -> None:
    assert set(weights_left(50, 0.0, 400).values()) == {50}
    assert weights_left(50, 1.0, 400) == left_by_schedule(50, 1.0, 400)
    assert min(weights_left(50, 0.8, 400, every=5).values()) == 10


def test_imp_prunes_and_adds_nothing_else() -> None:
    method = get_method("imp")
    assert (method.penalty, method.proximal, method.gated, method.per_target, method.prior) == (
        None,
        None,
        *[False] * 3,
    )
    assert method.largest_strength == 1.0
    assert method.options == SCHEDULE
