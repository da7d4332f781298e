import torch

from sparsenode.methods import get_method
from sparsenode.methods.imp import MagnitudePruning
from sparsenode.pruning import ScheduledPruner


def test_scores_are_the_sizes_of_the_weights() -> None:
    sizes = [torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0], [0.5]])]
    before = [torch.full_like(size, 9.0) for size in sizes]
    for strength in (0.0, 1.0):
        found = MagnitudePruning(epochs=10).scores(sizes, before, None, strength)
        assert [one.tolist() for one in found] == [[[1.0, 2.0]], [[0.0], [0.5]]]


def test_a_strength_is_the_largest_share_that_is_pruned() -> None:
    assert set(MagnitudePruning().weights_left(50, 0.0, 400).values()) == {50}
    assert MagnitudePruning().weights_left(50, 1.0, 400) == MagnitudePruning().left_by_schedule(50, 1.0, 400)
    assert min(MagnitudePruning(every=5).weights_left(50, 0.8, 400).values()) == 10


def test_imp_prunes_and_adds_nothing_else() -> None:
    method = get_method("imp")
    assert issubclass(method, ScheduledPruner)
    assert not method.gated
    assert method().prior_name() is None
    assert method.largest_strength == 1.0
    assert method.model_fields.keys() == ScheduledPruner.model_fields.keys()
